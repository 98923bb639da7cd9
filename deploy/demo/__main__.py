"""`python -m deploy.demo [--seconds N]`: exit code 0 if everything that was shown was true, 1 if not, 130 interrupted."""

from __future__ import annotations

import argparse
import sys


def main() -> int:
    """Read the arguments, and run."""
    about = "Three countries, three Apache Kafka clusters, real incidents."
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description=about)
    parser.add_argument(
        "--seconds", type=float, default=0, help="end then, but not before the story is told; 0: Ctrl-C"
    )
    seconds = parser.parse_args().seconds
    try:
        from deploy.demo.run import run  # noqa: PLC0415 - it takes a second or two, in which Ctrl-C is a quiet end too

        return run(seconds)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
