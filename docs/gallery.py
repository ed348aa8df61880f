"""Make the pictures of gallery.md by running the commands that it shows.

    python docs/gallery.py --data FOLDER [--work FOLDER]

FOLDER holds photographs in `photos` and the four files of MNIST. The commands are read from the page and run
one by one, on one thread, in the work folder, where what they make stays; a command is not run again whose
output is there and newer than its inputs, so a run that was stopped goes on. Then each picture that the page
shows is copied to docs/pictures, and the lines "Time:" of the page are written anew: seconds of one core.
"""

import argparse
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).with_name("gallery.md")
PICTURES = PAGE.with_name("pictures")
BLOCK = re.compile(r"^```sh\n(.*?)^```\n\nTime: ([^\n]*)\n", re.MULTILINE | re.DOTALL)
COMMANDS = (
    "extract-patches",
    "train",
    "finetune",
    "visualize",
    "reconstruct",
    "evaluate",
    "sample",
    "encode",
)


def output(command: str) -> str:
    """The file that a command writes."""
    words = shlex.split(command)
    (place,) = (i for i, word in enumerate(words) if word in ("-o", "--plot"))
    return words[place + 1]


def pictures(text: str) -> list[str]:
    """The names of the pictures that a page shows."""
    return re.findall(r"!\[[^\]]*\]\((?:docs/)?pictures/([^)]+)\)", text)


def one_thread() -> dict[str, str]:
    """The environment of a reader, with featlearn told to take one thread."""
    threads = {f"FEATLEARN_{name.upper().replace('-', '_')}_THREADS": "1" for name in COMMANDS}
    return {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"} | threads


def seconds_of(command: str, work: Path) -> float:
    """Run a command; the seconds that it took of a core."""
    print(f"$ {command}", flush=True)
    start = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(["sh", "-e", "-c", command], cwd=work, env=one_thread(), check=False)
    if done.returncode:
        sys.exit(f"exit {done.returncode}: {command}")
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime


def is_made(command: str, made: Path, kept: Path) -> bool:
    """Whether this very command has made the file, and none of those that it names has changed since."""
    if not (made.exists() and kept.exists()) or json.loads(kept.read_text())[0] != command:
        return False
    inputs = [made.parent / word for word in shlex.split(command) if word.endswith(".h5")]
    return all(path.stat().st_mtime_ns <= made.stat().st_mtime_ns for path in inputs)


def run(block: str, work: Path) -> float:
    """Run what a block has to make; the seconds of all its commands, those of an earlier run among them."""
    assignments, total = "", 0.0
    for line in block.splitlines():
        if not line.startswith("featlearn"):
            assignments += f"{line}\n"
            continue
        command, made = assignments + line, work / output(line)
        kept = made.with_name(f"{made.name}.seconds")
        if not is_made(command, made, kept):
            made.unlink(missing_ok=True)
            kept.write_text(json.dumps([command, seconds_of(command, work)]))
        total += json.loads(kept.read_text())[1]
    return total


def main(data: Path, work: Path) -> None:
    for source in (data / "photos", *data.glob("*-ubyte.gz")):
        if not (work / source.name).exists():
            (work / source.name).symlink_to(source.resolve())
    text = PAGE.read_text("utf-8")

    def timed(block: re.Match[str]) -> str:
        return block[0].replace(f"Time: {block[2]}\n", f"Time: {run(block[1], work):.0f} s.\n")

    text = BLOCK.sub(timed, text)
    PAGE.write_text(text, "utf-8")
    PICTURES.mkdir(exist_ok=True)
    for old in PICTURES.glob("*"):
        old.unlink()
    for name in pictures(text):
        shutil.copy(work / name, PICTURES)
    print(f"{sum(path.stat().st_size for path in PICTURES.glob('*')):,} bytes of pictures")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    main(given.data, given.work or Path(tempfile.mkdtemp()))
