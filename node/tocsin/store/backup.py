"""A SQLite store copied while its node runs, and put back whole.

The last commits of a store stand beside its file, in a log ("-wal") that outlives a killed process. Whoever puts a
backup beside the log of another time gets both mixed at the next opening: pages of one time, pages of another, and
heads signed for records that are in neither (tried). So a restore moves the old file and its log away together.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from tocsin.errors import StoreDamaged
from tocsin.store.failures import told

LOGS = ("-wal", "-shm")
"""What SQLite keeps beside its file."""
_MIXED = (
    "It is damaged, or was put beside the -wal of another one: `tocsin store restore BACKUP` (with the node stopped)"
)


def back_up(file: Path, to: Path) -> None:
    """Copy the store as it is at this moment to a new file of its owner alone. OSError, or `AdapterError`."""
    os.close(os.open(to, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        with closing(_open(file)) as source, closing(_open(to)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE").close()  # one file, that needs nothing beside it
        require_whole(to)
        _on_disk(to)
    except sqlite3.Error as error:
        to.unlink(missing_ok=True)
        raise told(error, str(file)) from None
    except BaseException:
        to.unlink(missing_ok=True)
        raise


def restore(backup: Path, file: Path, aside: str) -> Path | None:
    """Put a backup in the place of the store. The old one, with its log, is kept beside it: returns where.

    OSError, or `StoreDamaged` where the backup is; then nothing was changed.
    """
    fresh, old = file.with_name(f"{file.name}.new"), file.with_name(f"{file.name}.{aside}")
    try:
        os.close(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        shutil.copyfile(backup, fresh)
        try:
            require_whole(fresh)
        except StoreDamaged:
            remedy = "Give a file that `tocsin store backup` wrote; nothing was changed"
            raise StoreDamaged("this is no whole backup of a store", place=str(backup), remedy=remedy) from None
        _on_disk(fresh)
        for end in ("", *LOGS):  # the log last: its file is out of its way by then
            beside = file.with_name(file.name + end)
            if beside.exists():
                beside.rename(old.with_name(old.name + end))
        fresh.replace(file)
        _on_disk(file.parent)
    finally:
        fresh.unlink(missing_ok=True)
    return old if old.exists() else None


def require_whole(file: Path) -> None:
    """`StoreDamaged` unless every page and index of the store is as SQLite left it. Reads the whole file."""
    try:
        with closing(_open(file)) as driver:
            [[said]] = driver.execute("PRAGMA integrity_check(1)").fetchall()
    except sqlite3.Error as error:
        said = getattr(error, "sqlite_errorname", "") or type(error).__name__
    if said != "ok":
        raise StoreDamaged("the store is not whole", place=str(file), remedy=_MIXED)


def _open(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True)


def _on_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
