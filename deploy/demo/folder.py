"""The state folder: one run at a time, made anew by each, and never somebody else's."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tocsin.errors import ConfigError

_MARK = "made-by-the-tocsin-demo"
_CHECKOUT = Path(__file__).parents[2]
_TRIES = 20


def chosen() -> Path:
    """$TOCSIN_DEMO_DIR, or .cache/demo in the checkout."""
    named = os.environ.get("TOCSIN_DEMO_DIR")
    return Path(named).absolute() if named else _CHECKOUT / ".cache" / "demo"


@contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """The empty folder, held until the block ends; `ConfigError` where another run holds it, or it is no demo's.

    What an earlier run left, ended or broken, is removed first. It stays when the block ends, to be looked at.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(folder.name + ".lock")
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            remedy = "Stop it with Ctrl-C, or name another folder in $TOCSIN_DEMO_DIR"
            raise ConfigError("The demonstration is running already", place=str(folder), remedy=remedy) from None
        _empty(folder)
        yield folder


def _empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).exists():
        remedy = "Name a folder in $TOCSIN_DEMO_DIR that is empty or does not exist"
        raise ConfigError("The folder holds something that no demonstration made", place=str(folder), remedy=remedy)
    # Children of a run that was killed die with it, but a moment later: until then one may still write.
    for left in reversed(range(_TRIES)):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            break
        except OSError:
            if not left:
                raise
            time.sleep(0.1)
    folder.mkdir(mode=0o700)
    (folder / _MARK).touch()
