"""One transaction over a database connection."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Executable, Table

from tocsin.errors import AdapterError
from tocsin.flow.ports import LeaseLost
from tocsin.flow.rows import Row
from tocsin.store import statements
from tocsin.store.failures import attempt
from tocsin.store.tables import TABLES

R = TypeVar("R", bound=Row)

Answer = tuple[Sequence[Sequence[Any]], int]
"""The rows that a statement gives, and the number of rows that it changed."""
Run = Callable[[Executable, Any], Coroutine[Any, Any, Answer]]
"""Does one statement, with one set of parameters or a list of such sets."""

KEYS_AT_ONCE = 64
"""Keys per statement of a `get`: a batch of the flow. SQLite refuses expressions deeper than 1,000."""


class SqlTx:
    """`tocsin.flow.ports.Tx`. After a failure it does nothing more, and cannot be committed."""

    def __init__(self, run: Run, dialect: str, place: str) -> None:
        """`run` does a statement in a transaction of `dialect`; `place` is said in errors."""
        self._run = run
        self._dialect = dialect
        self._place = place
        self._failure: AdapterError | None = None

    def require_sound(self) -> None:
        """Raise what failed before: a database answers COMMIT after a failed statement with a silent ROLLBACK."""
        if self._failure is not None:
            raise self._failure

    async def get(self, kind: type[R], keys: Sequence[tuple[object, ...]]) -> dict[tuple[object, ...], R]:
        """Rows by key; keys that have no row are absent."""
        wanted = list(dict.fromkeys(keys))
        found: dict[tuple[object, ...], R] = {}
        for start in range(0, len(wanted), KEYS_AT_ONCE):
            part = statements.filled(wanted[start : start + KEYS_AT_ONCE])
            statement = statements.getting(TABLES[kind], len(part))
            rows, _ = await self._execute(statement, statements.wanted_values(part))
            found |= {row.key(): row for row in _made(kind, rows)}
        return found

    async def find(
        self, kind: type[R], where: Mapping[str, Any], *, order: Sequence[str] = (), limit: int | None = None
    ) -> list[R]:
        """Rows that fit `where`, in order."""
        self.require_sound()
        shape, parameters = statements.question(where)
        if statements.is_vain(shape):
            return []
        statement = statements.finding(TABLES[kind], shape, tuple(order), limited=limit is not None)
        if limit is not None:
            parameters["most"] = limit
        rows, _ = await self._execute(statement, parameters)
        return _made(kind, rows)

    async def count(self, kind: type[R], where: Mapping[str, Any]) -> int:
        """The number of rows that fit `where`."""
        self.require_sound()
        shape, parameters = statements.question(where)
        if statements.is_vain(shape):
            return 0
        ((number,),), _ = await self._execute(statements.counting(TABLES[kind], shape), parameters)
        return int(number)

    async def add(self, rows: Sequence[Row]) -> None:
        """Insert; a key that is there already is a `Conflict`."""
        for table, same in _by_table(rows):
            await self._execute(statements.adding(table), statements.values(table, same))

    async def put(self, rows: Sequence[Row]) -> None:
        """Insert or replace; of two rows with one key the later stays."""
        for table, same in _by_table(rows):
            await self._execute(statements.putting(table, self._dialect), statements.values(table, same))

    async def swap(self, row: Row, *, expect: Mapping[str, object]) -> None:
        """Replace the row of that key if its columns still equal `expect`; otherwise `LeaseLost`."""
        table = TABLES[type(row)]
        statement = statements.swapping(table, tuple(expect))
        _, changed = await self._execute(statement, statements.swap_values(table, row, expect))
        if changed != 1:
            self._failure = LeaseLost("another process holds or has moved it", place=type(row).__name__)
            raise self._failure

    async def drop(self, rows: Sequence[Row]) -> None:
        """Delete by key; absent rows are no error."""
        for table, same in _by_table(rows):
            await self._execute(statements.dropping(table), statements.keys(same))

    async def _execute(self, statement: Executable, parameters: Any) -> Answer:
        self.require_sound()
        try:
            return await attempt(self._run(statement, parameters), self._place)
        except AdapterError as failure:
            self._failure = failure
            raise


def _made(kind: type[R], rows: Sequence[Sequence[Any]]) -> list[R]:
    make: Callable[..., R] = kind  # columns and fields have one order
    flags = statements.flags(TABLES[kind])
    if flags:
        rows = [[bool(value) if i in flags else value for i, value in enumerate(row)] for row in rows]
    return [make(*row) for row in rows]


def _by_table(rows: Sequence[Row]) -> list[tuple[Table, list[Row]]]:
    """Rows grouped by table; tables in the order of their first row, rows in the order given."""
    grouped: dict[type[Row], list[Row]] = {}
    for row in rows:
        grouped.setdefault(type(row), []).append(row)
    return [(TABLES[kind], same) for kind, same in grouped.items()]
