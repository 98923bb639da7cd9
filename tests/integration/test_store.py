"""The contract of `tocsin.flow.ports.Store` and `Tx`, sentence by sentence, on every implementation of it."""

import asyncio
import dataclasses
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from enum import IntEnum, StrEnum
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.postgres import running_postgres, skip_or_fail

from tocsin.errors import AdapterError
from tocsin.flow.ports import Between, Conflict, LeaseLost, Store, Tx
from tocsin.flow.rows import Due, Hold, NoteRow, Outgoing, Outlet, Report, Row
from tocsin.memory import Disk, MemoryStore
from tocsin.store.store import SqlStore
from tocsin.store.tables import TABLES


@dataclasses.dataclass
class World:
    """What one store knows, and as many stores over it as a test opens: each is like another process."""

    make: Callable[[], MemoryStore | SqlStore]
    opened: list[MemoryStore | SqlStore] = dataclasses.field(default_factory=list)

    def open(self) -> Store:
        self.opened.append(self.make())
        return self.opened[-1]


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URL of a PostgreSQL database; `world` empties it for each test."""
    skip_or_fail()
    with running_postgres() as server:
        yield server.new_database()


async def migrated(url: str) -> None:
    store = SqlStore(url)
    await store.migrate()
    await store.close()


DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(params=["memory", *DATABASES])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    disk, url = Disk(), f"sqlite:///{tmp_path}/store"
    if request.param == "postgresql":
        url = request.getfixturevalue("database")
    if request.param != "memory":
        await migrated(url)
    if request.param == "postgresql":
        with psycopg.connect(url) as connection:
            connection.execute(";".join(f"DELETE FROM {table.name}" for table in TABLES.values()))
    made = World((lambda: MemoryStore(disk)) if request.param == "memory" else (lambda: SqlStore(url)))
    yield made
    for store in made.opened:
        if isinstance(store, SqlStore):
            await store.close()


@pytest.fixture
def store(world: World) -> Store:
    return world.open()


def due(leaf: int, audience: str = "jp", minute: int = 5, since_ms: int = 0) -> Due:
    return Due(bytes([leaf]), audience, minute, "NEW", since_ms)


OUTLET = Outlet("t", "jp", 1, 0, b"", 0, 0, -1, 0, "me", 9)


async def within(store: Store, act: Callable[[Tx], Awaitable[object]]) -> None:
    async with store.begin() as tx:
        await act(tx)


async def everything(store: Store, kind: type[Row]) -> list[Row]:
    async with store.begin() as tx:
        return list(await tx.find(kind, {}))


async def test_get_gives_rows_by_key_and_leaves_absent_keys_out(store: Store) -> None:
    rows = [due(leaf, audience) for leaf in range(50) for audience in ("jp", "ke", "us")]
    async with store.begin() as tx:
        await tx.add(rows)
        keys = [row.key() for row in rows] + [(b"\xff", "jp"), (b"\x00", "fr"), rows[0].key()]
        assert await tx.get(Due, keys) == {row.key(): row for row in rows}
        assert await tx.get(Due, []) == {}
        await tx.put([OUTLET])
        assert await tx.get(Outlet, [("t",), ("u",)]) == {("t",): OUTLET}


async def test_a_transaction_sees_its_own_writes(store: Store) -> None:
    async with store.begin() as tx:
        await tx.add([due(1), OUTLET])
        await tx.put([due(1, minute=7), due(2)])
        await tx.swap(dataclasses.replace(OUTLET, seq=4), expect={"seq": 0})
        await tx.drop([due(2)])
        assert await tx.find(Due, {}) == [due(1, minute=7)]
        assert await tx.get(Due, [due(2).key()]) == {}
        assert await tx.count(Due, {"minute": 7}) == 1
        assert (await tx.get(Outlet, [("t",)]))["t",].seq == 4


async def test_what_a_block_wrote_is_there_for_another_process_when_it_has_ended(world: World) -> None:
    first, second = world.open(), world.open()
    async with first.begin() as tx:
        await tx.add([due(1), due(2)])
        await tx.put([OUTLET])
    assert await everything(second, Due) == [due(1), due(2)]
    assert await everything(second, Outlet) == [OUTLET]


async def test_nothing_of_a_block_that_raises_is_there(store: Store) -> None:
    async with store.begin() as tx:
        await tx.add([due(1), OUTLET])

    async def fail(tx: Tx) -> None:
        await tx.add([due(2)])
        await tx.put([due(1, minute=9)])
        await tx.swap(dataclasses.replace(OUTLET, seq=4), expect={"holder": "me"})
        await tx.drop([due(1)])
        raise KeyError

    with pytest.raises(KeyError):
        await within(store, fail)
    assert await everything(store, Due) == [due(1)]
    assert await everything(store, Outlet) == [OUTLET]


@pytest.mark.parametrize("pauses", range(12))
async def test_a_block_cancelled_anywhere_is_done_or_undone_as_a_whole_and_the_store_goes_on(
    store: Store, pauses: int
) -> None:
    async def whole() -> None:
        async with store.begin() as tx:
            await tx.add([due(1)])
            await tx.add([due(2)])

    task = asyncio.create_task(whole())
    for _ in range(pauses):
        await asyncio.wait({task}, timeout=0.0005)
    task.cancel()
    await asyncio.wait({task})
    assert len(await everything(store, Due)) in {0, 2}
    async with store.begin() as tx:
        await tx.put([due(1), due(2)])
    assert len(await everything(store, Due)) == 2


async def test_add_of_a_key_that_is_there_is_a_conflict_and_persists_nothing(store: Store) -> None:
    async with store.begin() as tx:
        await tx.add([due(1)])
    for rows in ([due(2), due(1, minute=8)], [due(2), due(2)]):
        with pytest.raises(Conflict):
            await within(store, lambda tx, rows=rows: tx.add(rows))
    assert await everything(store, Due) == [due(1)]


async def test_put_replaces_and_of_two_rows_with_one_key_the_later_stays(store: Store) -> None:
    async with store.begin() as tx:
        await tx.put([due(1), OUTLET, due(1, minute=6), due(2)])
        await tx.put([due(1, minute=7), due(2, minute=8), due(1, minute=9)])
        await tx.put([])
        await tx.add([])
        await tx.drop([])
        assert await tx.find(Due, {}) == [due(1, minute=9), due(2, minute=8)]


async def test_swap_of_what_another_has_moved_or_nobody_has_is_lease_lost_and_persists_nothing(store: Store) -> None:
    async with store.begin() as tx:
        await tx.add([OUTLET])
        await tx.swap(dataclasses.replace(OUTLET, seq=1, rows=2), expect={"holder": "me", "seq": 0, "topic": "t"})
    moved = dataclasses.replace(OUTLET, seq=9)
    for row, expect in (
        (moved, {"holder": "me", "seq": 0}),
        (moved, {"holder": "you", "seq": 1}),
        (dataclasses.replace(moved, topic="u"), {}),
    ):

        async def swap(tx: Tx, row: Row = row, expect: Mapping[str, object] = expect) -> None:
            await tx.add([due(1)])
            await tx.swap(row, expect=expect)

        with pytest.raises(LeaseLost):
            await within(store, swap)
    assert await everything(store, Outlet) == [dataclasses.replace(OUTLET, seq=1, rows=2)]
    assert await everything(store, Due) == []


async def test_a_transaction_that_failed_does_nothing_more_even_where_the_failure_is_caught(store: Store) -> None:
    async with store.begin() as tx:
        await tx.add([due(1)])

    async def go_on(tx: Tx) -> None:
        await tx.add([due(2)])
        with pytest.raises(Conflict):
            await tx.add([due(1)])
        with pytest.raises(Conflict):
            await tx.find(Due, {})

    with pytest.raises(Conflict):
        await within(store, go_on)
    assert await everything(store, Due) == [due(1)]


async def test_drop_deletes_by_key_and_absent_rows_are_no_error(store: Store) -> None:
    async with store.begin() as tx:
        await tx.add([due(1), due(2), due(3)])
        await tx.drop([due(1, minute=77), due(9), OUTLET, due(3)])
        assert await tx.find(Due, {}) == [due(2)]


DUES = [due(1, "jp", 5), due(1, "ke", 6), due(2, "jp", 6), due(2, "us", 8), due(3, "fr", 9)]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, DUES),
        ({"minute": 6}, [DUES[1], DUES[2]]),
        ({"minute": Between(6, 8)}, DUES[1:4]),
        ({"minute": Between(low=8)}, DUES[3:]),
        ({"minute": Between(high=5)}, DUES[:1]),
        ({"minute": Between()}, DUES),
        ({"audience": ["jp", "fr", "xx"]}, [DUES[0], DUES[2], DUES[4]]),
        ({"leaf": {b"\x01", b"\x03"}}, [DUES[0], DUES[1], DUES[4]]),
        ({"audience": []}, []),
        ({"audience": ("jp",), "minute": Between(high=5), "cause": "NEW"}, DUES[:1]),
        ({"audience": "jp", "minute": 9}, []),
    ],
)
async def test_find_gives_the_rows_that_fit_and_count_their_number(store: Store, where, expected) -> None:
    async with store.begin() as tx:
        await tx.add(list(reversed(DUES)))
        assert await tx.find(Due, where) == expected
        assert await tx.count(Due, where) == len(expected)


@pytest.mark.parametrize(
    ("order", "limit", "expected"),
    [
        ((), None, [0, 1, 2, 3, 4]),
        ((), 2, [0, 1]),
        ((), 0, []),
        (("minute",), None, [0, 1, 2, 3, 4]),
        (("-minute",), None, [4, 3, 1, 2, 0]),
        (("audience", "-minute"), None, [4, 2, 0, 1, 3]),
        (("-leaf", "-audience"), 3, [4, 3, 2]),
    ],
)
async def test_find_is_ordered_as_asked_then_by_key_and_limited(store: Store, order, limit, expected) -> None:
    async with store.begin() as tx:
        await tx.add(list(reversed(DUES)))
        assert await tx.find(Due, {}, order=order, limit=limit) == [DUES[i] for i in expected]


async def test_text_is_ordered_by_code_point(store: Store) -> None:
    names = ["B", "_", "a", "a-b", "ab", "é", "東", "\U0001f514"]
    async with store.begin() as tx:
        await tx.add([due(1, name) for name in reversed(names)])
        assert [row.audience for row in await tx.find(Due, {}, order=("audience",))] == names


EXTREMES = {
    bytes: [b"", bytes(range(256)) * 700],
    str: ["", "Ünï 東京 \U0001f514 '%s' :name ? \\ \" \n"],
    int: [-(2**63), 2**63 - 1],
    bool: [False, True],
}
KEYS = EXTREMES | {bytes: [b"", bytes(range(256))]}  # an index of PostgreSQL takes 2,700 bytes


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
async def test_every_column_of_every_row_comes_back_as_it_was_written(store: Store, kind: type[Row]) -> None:
    table = TABLES[kind]
    for i in (0, 1):
        row = kind(*((KEYS if c.primary_key else EXTREMES)[c.type.python_type][i] for c in table.c))
        async with store.begin() as tx:
            await tx.put([row])
        async with store.begin() as tx:
            (found,) = (await tx.get(kind, [row.key()])).values()
            assert found == row
            assert [type(value) for value in dataclasses.astuple(found)] == [c.type.python_type for c in table.c]


async def test_enumerations_come_back_as_their_symbols(store: Store) -> None:
    stage, tlp = StrEnum("Stage", [("INITIAL", "INITIAL")]), IntEnum("Tlp", [("AMBER", 2)])
    row = Report(b"l", "gb", b"i", 0, stage.INITIAL, b"", b"", tlp.AMBER, 3, "x/1.0", exercise=False, accepted_ms=4)
    async with store.begin() as tx:
        await tx.add([row])
        assert await tx.count(Report, {"stage": stage.INITIAL, "tlp": [tlp.AMBER]}) == 1
        (found,) = await tx.find(Report, {})
    assert found == row
    assert (type(found.stage), type(found.tlp)) == (str, int)


@pytest.mark.parametrize("bad", [due(1, minute=2**63), due(1, "SECRET\ud800")])
async def test_what_no_column_can_hold_is_an_adapter_error_that_does_not_tell_it(store: Store, bad: Due) -> None:
    with pytest.raises(AdapterError) as caught:
        await within(store, lambda tx: tx.put([due(2), bad]))
    assert not isinstance(caught.value, Conflict)
    told = "".join(traceback.format_exception(caught.value, chain=True))
    assert "SECRET" not in told
    assert str(2**63) not in told
    assert await everything(store, Due) == []


# --- several transactions


async def until_done(act: Callable[[], object]) -> None:
    """Run a transaction again for as long as it is a `Conflict`, as the flow does."""
    while True:
        try:
            await act()  # type: ignore[misc]
        except Conflict:
            continue
        return


async def test_transactions_are_serialisable_so_that_only_one_of_many_takes_what_nobody_has(world: World) -> None:
    stores = [world.open() for _ in range(4)]

    async def take(me: int) -> None:
        async with stores[me % 4].begin() as tx:
            if await tx.count(Hold, {"state": "OPEN"}) == 0:  # a write skew: each adds a row of its own
                await tx.add([Hold(b"l", me, "r", "jp", "OPEN", 0, 0, "", "", 0)])

    await asyncio.gather(*(until_done(lambda me=me: take(me)) for me in range(8)))
    assert len(await everything(stores[0], Hold)) == 1


async def test_no_change_is_lost_between_transactions_that_read_and_write_one_row(world: World) -> None:
    stores = [world.open() for _ in range(2)]
    async with stores[0].begin() as tx:
        await tx.add([OUTLET])

    async def one_more(me: int) -> None:
        async with stores[me % 2].begin() as tx:
            (outlet,) = await tx.find(Outlet, {})
            await tx.add([Outgoing("t", outlet.rows + 1, 1, 0, True, b"", b"", b"", me)])
            await tx.swap(dataclasses.replace(outlet, rows=outlet.rows + 1), expect={"rows": outlet.rows})

    await asyncio.gather(*(until_done(lambda me=me: one_more(me)) for me in range(20)))
    rows = await everything(stores[0], Outgoing)
    assert [row.row for row in rows] == list(range(1, 21))
    assert {row.sealed_ms for row in rows} == set(range(20))


rows_of_few_keys = st.builds(
    NoteRow,
    topic=st.sampled_from(["a", "b"]),
    offset=st.integers(0, 2),
    ordinal=st.just(0),
    note=st.sampled_from(["GAP", "FORK"]),
    subject=st.just(""),
    at_ms=st.integers(-1, 2),
)
acts = st.one_of(
    st.tuples(st.sampled_from(["add", "put", "drop"]), st.lists(rows_of_few_keys, max_size=3)),
    st.tuples(st.just("swap"), rows_of_few_keys, st.fixed_dictionaries({"note": st.sampled_from(["GAP", "FORK"])})),
)


async def outcome(store: Store, transactions: list[list[tuple]]) -> list[object]:
    """What each transaction gave, and what was there after it."""
    seen: list[object] = []
    for transaction in transactions:
        try:
            async with store.begin() as tx:
                for name, given_, *expect in transaction:
                    await getattr(tx, name)(given_, **({"expect": expect[0]} if expect else {}))
                    seen.append(await tx.find(NoteRow, {"at_ms": Between(low=0)}, order=("-at_ms", "note")))
        except (Conflict, LeaseLost) as error:
            seen.append(type(error))
        seen.append(await everything(store, NoteRow))
    return seen


@pytest.mark.parametrize("world", DATABASES, indirect=True)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(transactions=st.lists(st.lists(acts, max_size=4), max_size=5))
async def test_every_store_does_what_the_in_memory_twin_does(world: World, transactions) -> None:
    store = world.opened[0] if world.opened else world.open()
    async with store.begin() as tx:
        await tx.drop(await tx.find(NoteRow, {}))
    assert await outcome(store, transactions) == await outcome(MemoryStore(), transactions)
