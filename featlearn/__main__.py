"""The entry point of `featlearn` and `python -m featlearn`."""

import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    from featlearn.cli.run import run_and_exit

    run_and_exit(sys.argv[1:])


if __name__ == "__main__":
    main()
