"""Commands on MNIST in a folder, whose files are made once: what benches of several runs stand on."""

from pathlib import Path

from cli import featlearn


class Bench:
    """A folder with train.h5 and test.h5, made of the four files of MNIST in another one."""

    def __init__(self, mnist: str, work: str, threads: int | None) -> None:
        self.cwd = work
        self.more = () if threads is None else ("--threads", threads)
        for name, files in (("train", "train"), ("test", "t10k")):
            source = Path(mnist).resolve()
            like = ("--like", "train.h5") if name == "test" else ("--size", "whole")
            images, labels = (
                source / f"{files}-{part}.gz" for part in ("images-idx3-ubyte", "labels-idx1-ubyte")
            )
            self.make(f"{name}.h5", "extract-patches", images, "--labels", labels, *like)

    def make(self, output: str, *command: object) -> str:
        """Run a command with that output, unless it is there. -> the output"""
        if not Path(self.cwd, output).exists():
            found = featlearn(*command, "-o", output, cwd=self.cwd)
            print(f"        {output}: {found['wall']:.0f} s", flush=True)
        return output
