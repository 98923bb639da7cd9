"""The store over SQL: SQLite for one process and its command line, PostgreSQL for more."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import URL, Connection, Executable, make_url
from sqlalchemy.exc import ArgumentError

from tocsin.errors import ConfigError
from tocsin.flow.ports import Tx
from tocsin.store import backup, migrate, postgres
from tocsin.store.failures import FAILURES, attempt
from tocsin.store.postgres import Postgres
from tocsin.store.sqlite import Sqlite
from tocsin.store.transaction import Answer, SqlTx

T = TypeVar("T")

BUSY_S = 10
"""How long to wait for another writer before it is a `Conflict`; the command line's transactions are short."""


class Session(Protocol):
    """One transaction of a database."""

    async def run(self, statement: Executable, parameters: Any) -> Answer:
        """Do a statement."""
        ...

    async def commit(self) -> None:
        """Make it durable."""
        ...

    async def end(self) -> None:
        """Undo what is not committed, and let the next one begin."""
        ...


class Database(Protocol):
    """What the two kinds of database have in common; they raise what their drivers raise."""

    dialect: str
    connections: int

    async def begin(self) -> Session:
        """Open a transaction, when those before it have ended."""
        ...

    async def inspect(self, look: Callable[[Connection], T]) -> T:
        """What `look` finds or does over a connection of SQLAlchemy, within one transaction."""
        ...

    async def close(self) -> None:
        """Let go of the connection."""
        ...


class SqlStore:
    """`tocsin.flow.ports.Store` over `sqlite:////path/to/file` or `postgresql://user:password@host/name`.

    Construct, `migrate`, `begin` as often as needed, `close`. The transactions of one process wait
    for each other, in order: one inside another ends as a `Conflict`, and inside a block nothing but the store is
    waited for. One transaction is used by one task. A block that is cancelled, or loses its server, *while it commits*
    is in doubt, like one whose process dies there: whoever goes on reads the store again.
    """

    def __init__(self, url: str) -> None:
        """No I/O. `ConfigError` where the URL names neither a SQLite file nor a PostgreSQL database."""
        parsed = _parsed(url)
        self.place = _public(parsed)
        """The URL without user, password and options, for messages."""
        self._secret = str(parsed.password or "")
        self._database: Database = _database(parsed, self.place)

    @property
    def connections(self) -> int:
        """How many connections were made. A new one may lead to another server: then `recover` looks (design 2)."""
        return self._database.connections

    async def migrate(self) -> None:
        """Bring the tables to this version's; makes a SQLite file (0600) where there is none.

        `AdapterError` where the database cannot be reached, may lose what it acknowledged, or was written by a newer
        version of Tocsin.
        """
        if isinstance(self._database, Sqlite):
            self._database.make()

        def bring(connection: Connection) -> None:
            if isinstance(self._database, Postgres):
                postgres.require_durable(connection, self.place)
            migrate.upgrade(connection, self.place)

        await self._attempt(self._database.inspect(bring))

    async def require_whole(self) -> None:
        """`StoreDamaged` where a SQLite file is damaged, or mixed with the log of another one; reads all of it.

        At every start of a node: what it would sign over such a store could not be taken back.
        """
        if isinstance(self._database, Sqlite):
            await asyncio.to_thread(backup.require_whole, self._database.file)

    async def close(self) -> None:
        """Let go of the connection; never raises."""
        with suppress(*FAILURES):
            await self._database.close()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        """A transaction (see the port): durable when the block has ended, undone where it raises."""
        session = await self._attempt(self._database.begin())
        try:
            tx = SqlTx(session.run, self._database.dialect, self.place)
            yield tx
            tx.require_sound()
            await self._attempt(session.commit())
        finally:
            await self._attempt(session.end())

    async def _attempt(self, call: Coroutine[Any, Any, T]) -> T:
        return await attempt(call, self.place, self._secret)


def sqlite_file(url: str) -> Path | None:
    """The file that a store's URL names; None where it names a server. `ConfigError` where it names neither."""
    parsed = _parsed(url)
    return Path(parsed.database or "") if parsed.drivername == "sqlite" else None


def _database(url: URL, place: str) -> Database:
    if url.get_backend_name() == "sqlite":
        return Sqlite(Path(url.database or ""), place, BUSY_S)
    return Postgres(url, place, BUSY_S)


def _parsed(text_: str) -> URL:
    try:
        url = make_url(text_)
    except (ArgumentError, ValueError):  # its text is not passed on: there may be a password in it
        url = URL.create("none")
    if url.drivername == "sqlite" and url.database not in (None, "", ":memory:"):
        return url
    if url.drivername in {"postgresql", "postgres"} and url.database:
        return url.set(drivername="postgresql")
    remedy = "Write sqlite:////path/to/file or postgresql://user:password@host/database."
    raise ConfigError("the store's URL names no SQLite file and no PostgreSQL database", remedy=remedy)


def _public(url: URL) -> str:
    port = f":{url.port}" if url.port else ""
    return f"{url.drivername}://{url.host or ''}{port}/{url.database}"
