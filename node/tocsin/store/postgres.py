"""PostgreSQL by SQLAlchemy's asynchronous engine and psycopg."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Executable, event, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from tocsin.errors import AdapterError
from tocsin.store.failures import FAILURES, to_the_end
from tocsin.store.transaction import Answer

T = TypeVar("T")

IDLE_S = 60
"""PostgreSQL undoes a transaction whose process stopped for so long in the middle of it."""

# A server that is gone is noticed within half a minute; nothing waits for ever.
_SETTINGS = {
    "application_name": "tocsin",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

# Settings under which a server may lose what it has acknowledged, when they are off.
_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


class Postgres:
    """One database over one connection, for which transactions wait in line.

    Eight connections gave two serialisation failures for every commit, and half the commits a second, where the tables
    were small (measured).
    """

    dialect = "postgresql"

    def __init__(self, url: URL, place: str, busy_s: float) -> None:
        """No I/O. `place` is said in errors; `busy_s` is how long to wait for other transactions."""
        # A batch that fails is reported by `attempt`; psycopg's own "error ignored" about its pipeline adds nothing.
        logging.getLogger("psycopg").setLevel(logging.ERROR)
        # Every question has an index; without statistics (a new store, a restored one) tables would be read whole.
        options = f"-c lock_timeout={busy_s}s -c idle_in_transaction_session_timeout={IDLE_S}s -c enable_seqscan=off"
        settings = {name: value for name, value in _SETTINGS.items() if name not in url.query}
        settings["options"] = f"{options} {url.query.get('options', '')}"  # the last word is the URL's
        self._place = place
        self._engine = create_async_engine(
            url.set(drivername="postgresql+psycopg"),
            isolation_level="SERIALIZABLE",
            hide_parameters=True,
            connect_args=settings,
            pool_size=1,
            max_overflow=0,
            pool_timeout=busy_s,
        )
        self.connections = 0
        event.listen(self._engine.sync_engine, "connect", self._count)

    async def inspect(self, look: Callable[[Connection], T]) -> T:
        """What `look` finds or does over a connection of SQLAlchemy, within one transaction."""
        # Not SERIALIZABLE: whoever waited for another's migration must see what it did.
        session = await self._session(isolation_level="READ COMMITTED")
        try:
            found = await session.connection.run_sync(look)
            await session.commit()
        finally:
            await session.end()
        return found

    async def begin(self) -> "PostgresSession":
        """Open a transaction, when those before it have ended."""
        return await self._session()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._engine.dispose()

    async def _session(self, **options: str) -> "PostgresSession":
        session = PostgresSession(self._engine.connect())
        try:
            await session.connection.start()
            if options:
                await session.connection.execution_options(**options)
            await session.connection.begin()
        except BaseException:
            await session.end()
            raise
        return session

    def _count(self, *_: object) -> None:
        self.connections += 1


def require_durable(connection: Connection, place: str) -> None:
    """`AdapterError` where the server may lose what it has acknowledged."""
    for setting in _DURABLE:
        if connection.scalar(text(f"SHOW {setting}")) == "off":
            thing = f"the database may lose what it has acknowledged: {setting} is off"
            raise AdapterError(thing, place=place, remedy=f"Set {setting} = on there.")


class PostgresSession:
    """One transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def run(self, statement: Executable, parameters: Any) -> Answer:
        """Do a statement."""
        return await self.connection.run_sync(_at_once, statement, parameters)

    async def commit(self) -> None:
        """Make it durable."""
        await to_the_end(self.connection.commit())

    async def end(self) -> None:
        """Undo what is not committed, and let the next one begin."""
        # Whatever a dead connection answers to its rollback: nothing was committed, and the pool throws it away.
        with suppress(*FAILURES):
            await to_the_end(self.connection.close())


def _at_once(connection: Connection, statement: Executable, parameters: Any) -> Answer:
    result = connection.execute(statement, parameters)
    return (result.all() if result.returns_rows else ()), result.rowcount
