"""One private SQLite file: mode 0600, held by one process, used by one thread of its own."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tocsin.errors import AdapterError, ConfigError

R = TypeVar("R")
Work = Callable[[sqlite3.Connection], R]

_BUSY_S = 1.0
_WRITABLE = "The folder must belong to the user that runs this, and the disk have room"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# With a write-ahead log and FULL, a commit is on the disk when it returns; FULL with a rollback journal would not say
# so of the journal's removal. EXCLUSIVE: two processes over one spool or one position would each do the other's work.
_OPENING = (
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "BEGIN IMMEDIATE",
    "CREATE TABLE IF NOT EXISTS owner (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
)


class PrivateDatabase:
    """A file of tables. Work runs in its thread, in the order in which it was given, also where a caller is cancelled."""

    def __init__(self, path: Path, tables: tuple[str, ...], owner: Mapping[str, str]) -> None:
        """No I/O. `tables` create what is not there; `owner` says whose file it is, and no other is opened."""
        self.path = path
        self._tables = tables
        self._owner = dict(owner)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tocsin-file")
        self._opened: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Make or open the file. `AdapterError` or `ConfigError` where it cannot be used, each with its remedy."""
        await self._in_thread(self._open)

    async def run(self, work: Work[R], *, commit: bool = True) -> R:
        """The result of `work` within one transaction; with `commit` it is durable when this returns.

        Without, the transaction stays open for the next work. Where work raises, all since the last commit is undone;
        an error of the disk is an `AdapterError`.
        """
        return await self._in_thread(lambda: self._run(work, commit=commit))

    async def undo(self) -> None:
        """Undo everything since the last commit."""
        await self._in_thread(self._undo)

    async def close(self) -> None:
        """Let go of the file; what was not committed is undone. Never raises."""
        with suppress(AdapterError):
            await self._in_thread(self._close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, act: Callable[[], R]) -> R:
        try:
            # Shielded: what waits for its turn is done although its caller is cancelled, or a commit could be left out.
            return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, act))
        except sqlite3.Error as error:
            remedy = "Look at the disk: is it full, or the file damaged, or of another version?"
            raise AdapterError(f"the file cannot be used ({error})", place=str(self.path), remedy=remedy) from error

    def _open(self) -> None:
        self._require_private()
        try:
            opened = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
        except sqlite3.Error as error:
            raise AdapterError(
                f"the file cannot be opened ({error})", place=str(self.path), remedy=_WRITABLE
            ) from error
        try:
            for statement in (*_OPENING, *self._tables):
                opened.execute(statement)
            self._require_owner(opened)
            opened.execute("COMMIT")
        except sqlite3.OperationalError as error:
            opened.close()
            if not error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                raise
            remedy = "Stop it first, or give this one a file of its own"
            raise AdapterError("another process uses the file", place=str(self.path), remedy=remedy) from error
        except BaseException:
            opened.close()
            raise
        self._opened = opened

    def _require_private(self) -> None:
        """The file is there, and nobody but its owner can read or write it; SQLite gives its log the same mode."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            mode = self.path.stat().st_mode
        except OSError as error:
            raise AdapterError(
                f"the file cannot be made ({error.strerror})", place=str(self.path), remedy=_WRITABLE
            ) from error
        if not stat.S_ISREG(mode):
            raise AdapterError("this is no file", place=str(self.path), remedy="Name another in the configuration")
        if mode & _OTHERS:
            words = f"others may read or write this file (mode {stat.S_IMODE(mode):04o})"
            raise AdapterError(words, place=str(self.path), remedy=f"chmod 600 {self.path}")

    def _require_owner(self, opened: sqlite3.Connection) -> None:
        opened.executemany("INSERT OR IGNORE INTO owner VALUES (?, ?)", self._owner.items())
        for name, value in opened.execute("SELECT name, value FROM owner"):
            if value != self._owner.get(name, value):
                words = f"the file is of {name} {value!r}, not {self._owner[name]!r}"
                raise ConfigError(words, place=str(self.path), remedy="Name another file, or correct the configuration")

    def _run(self, work: Work[R], *, commit: bool) -> R:
        if self._opened is None:
            raise AdapterError("the file is not open", place=str(self.path))
        try:
            if not self._opened.in_transaction:
                self._opened.execute("BEGIN IMMEDIATE")
            result = work(self._opened)
            if commit:
                self._opened.execute("COMMIT")
        except BaseException:
            self._undo()
            raise
        return result

    def _undo(self) -> None:
        if self._opened is not None and self._opened.in_transaction:
            self._opened.execute("ROLLBACK")

    def _close(self) -> None:
        if self._opened is not None:
            self._undo()
            self._opened.close()
            self._opened = None
