"""`python -m deploy.demo [--seconds N]`: exit code 0 if everything that was shown was true, 1 if not, 130 interrupted."""

from __future__ import annotations

import argparse
import signal
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
    heard: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # Until the run listens itself a signal is only kept. Raised into an import it may be swallowed there; and where
        # an import executes generated code (dataclasses do), CPython would end as killed whatever it is told to return.
        signal.signal(number, lambda number, _: heard.append(number))
    try:
        with fresh(chosen()) as folder:
            return _run(folder, seconds, heard)
    except TocsinError as fault:
        sys.stderr.write("\n   ".join(filter(None, (f"error: {fault.thing}", fault.place, fault.remedy))) + "\n")
        return UNTRUE


def _run(folder: Path, seconds: float, heard: list[int]) -> int:
    brokers = Brokers(folder)
    try:
        if not missing_jars():  # what is to be downloaded first is shown
            brokers.begin()
        # It takes seconds, in which the brokers start already.
        from deploy.demo.run import run  # noqa: PLC0415

        if heard:
            return INTERRUPTED
        return TRUE if run(folder, brokers, seconds, heard) else UNTRUE
    finally:
        brokers.end()


if __name__ == "__main__":
    sys.exit(main())
