"""What the store promises beyond the port: durability across kill −9, other processes, migrations, errors, secrets."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import quote

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine
from tests.federation.nodes import NodeProcess
from tests.integration.postgres import PASSWORD, Postgres, running_postgres, skip_or_fail

from tocsin.errors import AdapterError, ConfigError, StoreDamaged
from tocsin.flow import rows
from tocsin.flow.ports import Conflict
from tocsin.flow.prune import MS_PER_DAY, Prune
from tocsin.flow.rows import Due, Hold, Outlet, Row
from tocsin.memory import MemoryStore
from tocsin.store import store
from tocsin.store.store import SqlStore
from tocsin.store.tables import METADATA, TABLES


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    skip_or_fail()
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store"
    return str(request.getfixturevalue("postgres").new_database())


@pytest.fixture
async def migrated(url: str) -> AsyncIterator[SqlStore]:
    made = SqlStore(url)
    await made.migrate()
    yield made
    await made.close()


def due(leaf: int, minute: int = 5) -> Due:
    return Due(bytes([leaf]), "jp", minute, "NEW", 0)


async def dues(of: SqlStore) -> list[Due]:
    async with of.begin() as tx:
        return await tx.find(Due, {})


# --- other processes, and their deaths


CHILD = """
import asyncio, dataclasses, sys
from tocsin.flow.ports import Conflict
from tocsin.flow.prune import MS_PER_DAY, Prune
from tocsin.flow.rows import Due, Outlet
from tocsin.store.store import SqlStore

async def open_transaction(store):
    async with store.begin() as tx:
        await tx.add([Due(b"\\x01", "jp", 5, "NEW", 0)])
        print("reached", flush=True)
        await asyncio.Event().wait()

async def committed(store):
    async with store.begin() as tx:
        await tx.add([Due(b"\\x01", "jp", 5, "NEW", 0)])
    print("reached", flush=True)
    await asyncio.Event().wait()

async def counting(store):
    for _ in range(25):
        async with store.begin() as tx:
            (outlet,) = await tx.find(Outlet, {})
            await tx.swap(dataclasses.replace(outlet, seq=outlet.seq + 1), expect={"seq": outlet.seq})
    await store.close()

asyncio.run(globals()[sys.argv[1]](SqlStore(sys.argv[2])))
"""


def child(what: str, url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", CHILD, what, url], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("what", "left"), [("open_transaction", []), ("committed", [due(1)])])
async def test_after_kill_9_what_was_committed_is_there_and_nothing_else(migrated, url, what, left) -> None:
    with child(what, url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reached\n"
        process.kill()
    assert await dues(migrated) == left
    async with migrated.begin() as tx:
        await tx.put([due(1), due(2)])
    assert await dues(migrated) == [due(1), due(2)]


async def test_a_sqlite_file_is_written_by_several_processes_at_once_and_nobody_loses(tmp_path) -> None:
    url = f"sqlite:///{tmp_path}/store"
    mine = SqlStore(url)
    await mine.migrate()
    async with mine.begin() as tx:
        await tx.add([Outlet("t", "jp", 1, 0, b"", 0, 0, -1, 0, "me", 9)])
    with child("counting", url) as first, child("counting", url) as second:
        while first.poll() is None or second.poll() is None:
            async with mine.begin() as tx:
                await tx.put([due(1)])
            await asyncio.sleep(0.001)
    assert (first.returncode, second.returncode) == (0, 0)
    async with mine.begin() as tx:
        assert [outlet.seq for outlet in await tx.find(Outlet, {})] == [50]
    await mine.close()


@pytest.mark.postgres
async def test_postgresql_makes_a_write_skew_a_conflict(postgres) -> None:
    url = postgres.new_database()
    stores = [SqlStore(url), SqlStore(url)]
    await stores[0].migrate()

    async def take(me: int, mine: asyncio.Event, other: asyncio.Event) -> None:
        async with stores[me].begin() as tx:
            assert await tx.count(Hold, {"state": "OPEN"}) == 0
            mine.set()
            await other.wait()
            await tx.add([Hold(b"l", me, "r", "jp", "OPEN", 0, 0, "", "", 0)])

    one, two = asyncio.Event(), asyncio.Event()
    outcomes = await asyncio.gather(take(0, one, two), take(1, two, one), return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "NoneType"]
    await asyncio.gather(*(made.close() for made in stores))


@pytest.mark.postgres
async def test_the_twin_refuses_text_with_a_nul_as_postgresql_does(postgres) -> None:
    real = SqlStore(postgres.new_database())
    await real.migrate()
    try:
        for one in (real, MemoryStore()):
            with pytest.raises(AdapterError) as caught:
                async with one.begin() as tx:
                    await tx.put([Due(b"l", "SECRET\0", 1, "NEW", 0)])
            assert not isinstance(caught.value, Conflict)
            assert "SECRET" not in str(caught.value)
    finally:
        await real.close()


@pytest.mark.postgres
async def test_a_postgresql_server_that_died_costs_an_error_and_no_row_and_its_return_is_seen(postgres) -> None:
    made = SqlStore(postgres.new_database())
    await made.migrate()
    async with made.begin() as tx:
        await tx.add([due(1)])
    before = made.connections
    postgres.kill()
    with pytest.raises(AdapterError) as caught:
        await dues(made)
    assert not isinstance(caught.value, Conflict)
    postgres.start()
    assert await dues(made) == [due(1)]
    assert made.connections > before
    await made.close()


# --- errors and secrets


@pytest.mark.parametrize(
    "text",
    ["", "sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql://u:hunter2@h/d", "postgresql://u:hunter2@h", "hunter2",
     "postgresql+asyncpg://u:hunter2@h/d", "postgresql://u:hunter2@h:port/d"],
)  # fmt: skip
def test_a_url_that_names_no_store_is_a_config_error_that_tells_no_password(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SqlStore(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.postgres
async def test_a_server_that_refuses_or_is_not_there_is_an_adapter_error_that_tells_no_password(postgres) -> None:
    url = postgres.url("postgres")
    quoted = PASSWORD.replace(" ", "%20")
    for wrong in (url.replace(quoted, "hunter2"), url.replace(f":{postgres.port}/", ":1/"), f"{url}-absent"):
        made = SqlStore(wrong)
        with pytest.raises(AdapterError) as caught:
            await made.migrate()
        told = str(caught.value)
        assert "cannot be reached" in told
        assert not any(secret in told for secret in ("hunter2", PASSWORD, quoted))
        await made.close()


@pytest.mark.postgres
async def test_a_server_that_may_lose_what_it_acknowledged_is_refused(postgres, monkeypatch, tmp_path) -> None:
    url = postgres.new_database()
    made = SqlStore(url)
    await made.migrate()
    await made.close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = off")
    with pytest.raises(AdapterError, match="synchronous_commit is off"):
        await made.migrate()
    await made.close()
    monkeypatch.setenv("TOCSIN_STORE", PASSWORD)
    settings = f'[store]\nurl = "postgresql://tocsin@{url.rpartition("@")[2]}"\npassword = {{ env = "TOCSIN_STORE" }}\n'
    gb = NodeProcess(tmp_path / "gb", "gb", {"gb": "127.0.0.1:1"}, extra=settings)
    gb.start()
    assert gb.process.wait(60) == 1
    assert "synchronous_commit is off" in gb.log()


async def test_a_writer_that_does_not_end_is_a_conflict(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(store, "BUSY_S", 0.2)
    made = SqlStore(f"sqlite:///{tmp_path}/store")
    await made.migrate()
    other = sqlite3.connect(tmp_path / "store", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Conflict):
        await dues(made)
    other.execute("ROLLBACK")
    other.close()
    async with made.begin():
        with pytest.raises(Conflict):  # one inside another, in the same process
            await dues(made)
    assert await dues(made) == []
    await made.close()


async def test_pages_that_contradict_each_other_are_no_fault_that_passes(tmp_path) -> None:
    file = tmp_path / "store"
    made = SqlStore(f"sqlite:///{file}")
    await made.migrate()
    async with made.begin() as tx:
        await tx.add([Due(number.to_bytes(2), "jp", 5, "NEW", 0) for number in range(2000)])
    await made.require_whole()
    await made.close()
    raw = bytearray(file.read_bytes())
    for page in range(8, len(raw) // 4096):
        raw[page * 4096 : page * 4096 + 64] = b"\x55" * 64
    file.write_bytes(raw)
    again = SqlStore(f"sqlite:///{file}")
    with pytest.raises(StoreDamaged, match="SQLITE_CORRUPT"):
        await dues(again)
    with pytest.raises(StoreDamaged, match="not whole"):
        await again.require_whole()
    await again.close()


# --- files and migrations


async def test_a_sqlite_store_is_of_its_owner_alone_and_made_by_migrate_only(tmp_path) -> None:
    folder = tmp_path / "a folder %41?"
    made = SqlStore(f"sqlite:///{quote(str(folder))}/store")
    for act in (lambda: dues(made), made.migrate):
        with pytest.raises(AdapterError):
            await act()
    assert list(tmp_path.iterdir()) == []
    folder.mkdir()
    await made.migrate()
    async with made.begin() as tx:
        await tx.add([due(1)])
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == ["store", "store-shm", "store-wal"]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600] * 3
    await made.close()


def sync_engine(url: str) -> Any:
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:"))


async def test_the_migrations_make_exactly_the_tables_of_tables_py(migrated, url) -> None:
    engine = sync_engine(url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), METADATA)
    engine.dispose()
    assert differences == []


async def test_migrating_again_or_twice_at_once_changes_nothing(url) -> None:
    one, two = SqlStore(url), SqlStore(url)
    await asyncio.gather(one.migrate(), two.migrate())
    async with one.begin() as tx:
        await tx.add([due(1)])
    await two.migrate()
    assert await dues(two) == [due(1)]
    await asyncio.gather(one.close(), two.close())


async def test_several_stores_of_one_process_are_migrated_at_once(tmp_path) -> None:
    stores = [SqlStore(f"sqlite:///{tmp_path}/{number}") for number in range(6)]
    await asyncio.gather(*(made.migrate() for made in stores))
    for made in stores:
        assert await dues(made) == []
        await made.close()


async def test_a_store_of_a_newer_version_is_refused_and_left_alone(migrated, url) -> None:
    engine = sync_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(AdapterError, match="newer version of Tocsin wrote the store \\(revision 9999"):
        await migrated.migrate()
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one() == "9999"
    engine.dispose()


# --- rows, tables, indexes


def test_every_row_class_has_a_table() -> None:
    kinds = {kind for kind in vars(rows).values() if isinstance(kind, type) and issubclass(kind, Row)} - {Row}
    assert set(TABLES) == kinds


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
def test_a_table_has_the_columns_of_its_row_in_their_order_with_type_key_and_comment(kind: type[Row]) -> None:
    table, hints = TABLES[kind], get_type_hints(kind)
    assert [(c.name, c.type.python_type) for c in table.c] == [(f.name, hints[f.name]) for f in fields(kind)]
    assert tuple(column.name for column in table.primary_key) == kind.KEY
    assert not any(column.nullable for column in table.c)
    assert table.comment
    assert all(column.comment for column in table.c)


async def test_prune_takes_from_a_database_what_it_takes_from_the_twin(migrated) -> None:
    kept: list[list[Row]] = []
    outbox = [rows.Outgoing("t", i, 1, i, False, b"", b"v", b"", i) for i in range(1, 100)]
    rest = [
        *(rows.Quarantined("t", i, "jp", "SHAPE", state, i % 2 == 1, 150, 0, b"", 1, b"", "[]", b"v" * (i % 2))
          for i, state in enumerate(["HELD", "HELD", "REPLAY", "REPLAYED", "DROPPED"])),
        *(rows.NoteRow("t", i, 0, "GAP", "", i) for i in range(200)),
        rows.Outlet("t", "jp", 1, 99, b"", 99, 80, 99, 0, "me", 9),
        rows.Source("t", 5, "", "me", 9),
    ]  # fmt: skip
    for one in (migrated, MemoryStore()):
        async with one.begin() as tx:
            await tx.add([*outbox, *rest])
        prune = Prune(one, lambda: MS_PER_DAY + 175, 1)
        while await prune.run():
            pass
        async with one.begin() as tx:
            kinds = (rows.Outgoing, rows.Quarantined, rows.NoteRow)
            kept.append([row for kind in kinds for row in await tx.find(kind, {})])
    assert kept[0] == kept[1]
    assert [len([r for r in kept[0] if isinstance(r, k)]) for k in kinds] == [20, 2, 24]


@pytest.mark.postgres
async def test_options_of_a_urls_own_are_added_to_ours_and_have_the_last_word(postgres: Postgres) -> None:
    options = quote("-c work_mem=5MB -c lock_timeout=7s")
    made = SqlStore(f"{postgres.new_database()}?options={options}")
    names = "work_mem", "lock_timeout", "enable_seqscan"

    def shown(connection: Connection) -> list[str]:
        return [str(connection.exec_driver_sql(f"SHOW {name}").scalar()) for name in names]

    assert await made._database.inspect(shown) == ["5MB", "7s", "off"]
    await made.close()
