"""Runs featlearn's commands as forks of one process that has imported everything, each with a fault of its
own.

Trials come as lines of JSON on stdin, answers go to stdout. shim.c has to be preloaded.
"""

import ctypes
import importlib
import json
import os
import pkgutil
import resource
import signal
import sys

import featlearn
from featlearn.__main__ import main


def serve():
    for module in pkgutil.walk_packages(featlearn.__path__, "featlearn."):
        importlib.import_module(module.name)
    arm = ctypes.CDLL(None).fault_arm
    for line in sys.stdin:
        trial = json.loads(line)
        pid = os.fork()
        if not pid:
            return become(trial, arm)
        status = os.waitpid(pid, 0)[1]
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(trial, arm):
    """The command itself: it leaves by SystemExit, through the interpreter's own end."""
    os.chdir(trial["folder"])
    signal.alarm(trial["seconds"])
    if trial["memory"]:
        resource.setrlimit(resource.RLIMIT_AS, (trial["memory"], trial["memory"]))
    for number, stream in enumerate(("stdin", "stdout", "stderr")):
        become_stream(number, stream, trial[stream])
    log = os.open(trial["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 999)
    os.close(log)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)  # in the background SIGINT is ignored
    sys.argv = ["featlearn", *trial["args"]]
    fault = trial["fault"]
    arm(
        os.fsencode(trial["folder"]), fault["kinds"].encode(), ctypes.c_long(fault["at"]),
        fault["number"], fault["sticky"], fault["signum"], 999,
    )  # fmt: skip
    main()


def become_stream(number, stream, name):
    """Make standard stream `number` a file, a pipe that nobody reads ("pipe") or a closed one (None)."""
    if name is None:
        os.close(number)
        setattr(sys, stream, None)
        return
    if name == "pipe":
        reading, opened = os.pipe()
        os.close(reading)
    else:
        opened = os.open(
            name, os.O_RDWR | (0 if name.startswith("/dev/") else os.O_CREAT | os.O_TRUNC), 0o600
        )
    os.dup2(opened, number)
    os.close(opened)


if __name__ == "__main__":
    serve()
