"""The entry point of `featlearn` and `python -m featlearn`."""

import os
import sys

from featlearn import signals


def main() -> None:
    """Run the command line and end the process with its exit code."""
    signals.install()  # before anything that takes time: imports do
    # None of featlearn's own computing uses BLAS's threads. Starting them costs memory, and OpenBLAS raises
    # SIGINT where it cannot; and the bytes of LAPACK's results depend on their number.
    os.environ.update({f"{blas}_NUM_THREADS": "1" for blas in ("OPENBLAS", "MKL", "BLIS")})
    from featlearn.cli.process import run_and_exit

    run_and_exit(sys.argv[1:])


if __name__ == "__main__":
    main()
