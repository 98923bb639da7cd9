"""SQL of the store: one statement per table and shape of question, built once and kept.

SQLAlchemy compiles a statement object once and remembers it; only the parameters change from call to call.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    BindParameter,
    Boolean,
    ColumnElement,
    Delete,
    Insert,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from tocsin.flow.ports import Between
from tocsin.flow.rows import Row

Parameters = dict[str, Any]
Shape = tuple[tuple[str, str, int], ...]
"""Column, operator and number of values of each condition; value m of condition n is the parameter `w<n>_<m>`."""


@cache
def _columns(table: Table) -> tuple[tuple[str, ...], Callable[[Row], tuple[Any, ...]]]:
    names = tuple(table.c.keys())
    return names, attrgetter(*names)


def values(table: Table, rows: Sequence[Row]) -> list[Parameters]:
    """Parameters to insert rows of one class."""
    names, get = _columns(table)
    return [dict(zip(names, get(row), strict=True)) for row in rows]


def keys(rows: Iterable[Row]) -> list[Parameters]:
    """Parameters to delete rows by key."""
    return [{f"k{i}": value for i, value in enumerate(row.key())} for row in rows]


@cache
def adding(table: Table) -> Insert:
    """INSERT of one row; takes `values`."""
    return insert(table)


@cache
def putting(table: Table, dialect: str) -> Insert:
    """INSERT of one row that replaces the one of the same key; takes `values`."""
    upsert = sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
    rest = {column.name: upsert.excluded[column.name] for column in table.c if not column.primary_key}
    return upsert.on_conflict_do_update(index_elements=list(table.primary_key), set_=rest)


@cache
def dropping(table: Table) -> Delete:
    """DELETE of one row; takes `keys`."""
    return delete(table).where(*_places(table))


@lru_cache(maxsize=512)
def getting(table: Table, size: int) -> Select[Any]:
    """SELECT of at most `size` rows by key; takes `wanted_values` of so many keys.

    Written as (a = … AND b = …) OR …: for (a, b) IN (VALUES …) SQLite 3.40 scans the whole table.
    """
    columns = list(enumerate(table.primary_key))
    if len(columns) == 1:
        return select(table).where(columns[0][1].in_([bindparam(f"k{row}_0") for row in range(size)]))
    rows = (and_(*(column == bindparam(f"k{row}_{i}") for i, column in columns)) for row in range(size))
    return select(table).where(or_(*rows))


def wanted_values(wanted: Sequence[tuple[object, ...]]) -> Parameters:
    """Parameters of `getting`."""
    return {f"k{row}_{i}": value for row, key in enumerate(wanted) for i, value in enumerate(key)}


def question(where: Mapping[str, Any]) -> tuple[Shape, Parameters]:
    """The shape of a `find` and its parameters, named by their place among the conditions."""
    found: list[tuple[str, str, list[Any]]] = []
    for name, wanted in where.items():
        match wanted:
            case Between(low=low, high=high):
                found += [(name, sign, [end]) for sign, end in ((">=", low), ("<=", high)) if end is not None]
            case list() | tuple() | set() | frozenset():
                found.append((name, "in", filled(list(wanted))))
            case _:
                found.append((name, "=", [wanted]))
    shape = tuple((name, sign, len(values)) for name, sign, values in found)
    return shape, {f"w{i}_{j}": value for i, (_, _, values) in enumerate(found) for j, value in enumerate(values)}


def is_vain(shape: Shape) -> bool:
    """Whether no row can fit: one of no values is asked for."""
    return any(size == 0 for _, _, size in shape)


def filled(items: list[Any]) -> list[Any]:
    """Filled up with the last one to a power of two: a few statements per table, not one per number of items."""
    return items + items[-1:] * ((1 << (len(items) - 1).bit_length()) - len(items)) if items else items


@lru_cache(maxsize=512)
def finding(table: Table, shape: Shape, order: tuple[str, ...], *, limited: bool) -> Select[Any]:
    """SELECT with conditions; takes the parameters of `question`, and `most` where it is limited.

    Ties of `order` are resolved by the key, so that the same question has the same answer everywhere.
    """
    named = [(name.removeprefix("-"), name.startswith("-")) for name in order]
    wanted = [table.c[name].desc() if falling else table.c[name].asc() for name, falling in named]
    ties = [column for column in table.primary_key if column.name not in dict(named)]
    found = select(table).where(*_conditions(table, shape)).order_by(*wanted, *ties)
    return found.limit(bindparam("most")) if limited else found


@lru_cache(maxsize=128)
def counting(table: Table, shape: Shape) -> Select[Any]:
    """SELECT count(*) with conditions; takes the parameters of `question`."""
    return select(func.count()).select_from(table).where(*_conditions(table, shape))


@lru_cache(maxsize=128)
def swapping(table: Table, expected: tuple[str, ...]) -> Update:
    """UPDATE of one row where the expected columns are as they were; takes `swap_values`."""
    held = [table.c[name] == bindparam(f"e{i}") for i, name in enumerate(expected)]
    rest: dict[str, Any] = {column.name: bindparam(f"v_{column.name}") for column in table.c if not column.primary_key}
    return update(table).where(*_places(table), *held).values(**rest)


def swap_values(table: Table, row: Row, expect: Mapping[str, object]) -> Parameters:
    """Parameters of `swapping`."""
    (new,), (place,) = values(table, [row]), keys([row])
    wanted = {f"v_{name}": value for name, value in new.items() if not table.c[name].primary_key}
    return place | {f"e{i}": value for i, value in enumerate(expect.values())} | wanted


def _places(table: Table) -> list[ColumnElement[bool]]:
    return [column == bindparam(f"k{i}") for i, column in enumerate(table.primary_key)]


def _conditions(table: Table, shape: Shape) -> list[ColumnElement[bool]]:
    return [
        _condition(table.c[name], sign, [bindparam(f"w{i}_{j}", type_=table.c[name].type) for j in range(size)])
        for i, (name, sign, size) in enumerate(shape)
    ]


def _condition(column: ColumnElement[Any], sign: str, values: list[BindParameter[Any]]) -> ColumnElement[bool]:
    match sign:
        case "in":
            return column.in_(values)
        case ">=":
            return column >= values[0]
        case "<=":
            return column <= values[0]
    return column == values[0]


@cache
def flags(table: Table) -> tuple[int, ...]:
    """The places of the columns that are true or false; SQLite gives them as 1 or 0."""
    return tuple(i for i, column in enumerate(table.c) if isinstance(column.type, Boolean))
