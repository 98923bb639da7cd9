"""`python -m deploy.demo [--seconds N]`: exit code 0 if everything that was shown was true, 1 if not, 130 interrupted."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy.demo.brokers import Brokers, missing_jars
from deploy.demo.folder import chosen, fresh

from tocsin.errors import TocsinError

TRUE, UNTRUE, INTERRUPTED = 0, 1, 130


def main() -> int:
    """Read the arguments, take the folder, and run."""
    about = "Three countries, three Apache Kafka clusters, real incidents."
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description=about)
    parser.add_argument(
        "--seconds", type=float, default=0, help="end then, but not before the story is told; 0: Ctrl-C"
    )
    seconds = parser.parse_args().seconds
    try:
        with fresh(chosen()) as folder:
            return TRUE if _run(folder, seconds) else UNTRUE
    except TocsinError as fault:
        sys.stderr.write("\n   ".join(filter(None, (f"error: {fault.thing}", fault.place, fault.remedy))) + "\n")
        return UNTRUE
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(folder: Path, seconds: float) -> bool:
    brokers = Brokers(folder)
    try:
        if not missing_jars():  # what is to be downloaded first is shown
            brokers.begin()
        # It takes seconds, in which the brokers start already, and Ctrl-C is a quiet end as well.
        from deploy.demo.run import run  # noqa: PLC0415

        return run(folder, brokers, seconds)
    finally:
        brokers.end()


if __name__ == "__main__":
    sys.exit(main())
