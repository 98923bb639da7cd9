"""A store copied and put back: whole, of its owner alone, and never mixed with the log of another time."""

from __future__ import annotations

import asyncio
import dataclasses
import fcntl
import shutil
import sqlite3

import pytest

from tocsin.errors import StoreDamaged
from tocsin.flow.outbox import new_outlet, require_one_store
from tocsin.flow.rows import NoteRow, Outgoing
from tocsin.memory import Disk, MemoryStore
from tocsin.store.backup import require_whole


def noted(node, count, *, since=0):
    """So many rows more, of a page each."""
    node.put(*(NoteRow("tocsin.jp.out.gb", i, 0, "GAP", "x" * 3000, i) for i in range(since, since + count)))


def offsets(node):
    return sorted(row.offset for row in node.rows(NoteRow))


@pytest.fixture
def killed(gb):
    """A node's folder as kill -9 leaves it, its log beside the store; and a backup from before the last checkpoint."""
    noted(gb, 50)
    gb.json("store", "backup", gb.path / "backup.db")
    store = gb.path / "data" / "tocsin.db"
    running = sqlite3.connect(store, isolation_level=None)
    for i in range(50, 1500):
        running.execute("INSERT INTO note SELECT topic, ?, ordinal, note, subject, at_ms FROM note LIMIT 1", (i,))
    for end in ("", "-wal"):
        shutil.copyfile(f"{store}{end}", gb.path / f"killed{end}")
    running.close()
    for end in ("", "-wal"):
        shutil.copyfile(gb.path / f"killed{end}", f"{store}{end}")
    assert (gb.path / "killed-wal").stat().st_size
    return gb


def test_a_backup_is_the_store_of_that_moment_in_one_file_of_its_owner_alone(gb):
    noted(gb, 3)
    told = gb.json("store", "backup", "backup.db").line
    file = gb.path / "backup.db"
    assert (told["backup"], told["bytes"]) == ("backup.db", file.stat().st_size)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in gb.path.glob("backup.db*")] == ["backup.db"]
    noted(gb, 2, since=3)
    said = gb.run("store", "backup", "backup.db")
    assert (said.code, "Nothing is overwritten" in said.err) == (1, True)
    told = gb.json("store", "restore", "backup.db").line
    assert offsets(gb) == [0, 1, 2]
    assert (gb.path / "data" / "tocsin.db").stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(told["kept"]) as kept:
        assert kept.execute("SELECT count(*) FROM note").fetchone() == (5,)


def test_a_restore_takes_the_log_of_a_killed_node_away_with_its_store(killed):
    told = killed.json("store", "restore", "backup.db").line
    assert offsets(killed) == list(range(50))
    with sqlite3.connect(told["kept"]) as kept:
        assert kept.execute("SELECT count(*) FROM note").fetchone() == (1500,)


def test_no_node_starts_over_a_backup_that_was_put_beside_another_log(killed):
    shutil.copyfile(killed.path / "backup.db", killed.path / "data" / "tocsin.db")
    said = killed.run("run")
    assert (said.code, "the store is not whole" in said.err) == (1, True)
    assert "tocsin store restore" in " ".join(said.err.split())
    killed.json("store", "restore", "backup.db")
    assert offsets(killed) == list(range(50))


def test_a_damaged_backup_and_a_running_node_are_refused_and_nothing_is_changed(gb):
    noted(gb, 3)
    (gb.path / "torn.db").write_bytes(b"no database")
    said = gb.run("store", "restore", "torn.db")
    assert (said.code, "no whole backup" in said.err, "torn.db" in said.err) == (1, True, True)
    gb.json("store", "backup", "backup.db")
    with (gb.path / "data" / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = gb.run("store", "restore", "backup.db")
    assert (said.code, "a node is running" in said.err) == (1, True)
    assert offsets(gb) == [0, 1, 2]
    assert [p.name for p in (gb.path / "data").iterdir() if "." in p.name and p.name.startswith("tocsin.db.")] == []


def test_a_server_is_backed_up_by_its_own_tools(gb):
    gb.config.write_text(gb.config.read_text().replace('#url = "postgresql://', 'url = "postgresql://'))
    said = gb.run("store", "backup", "backup.db")
    assert (said.code, "pg_dump" in said.err) == (1, True)


def test_a_file_that_is_cut_short_is_not_whole(gb):
    noted(gb, 50)
    gb.json("store", "backup", "backup.db")
    file = gb.path / "backup.db"
    require_whole(file)
    file.write_bytes(file.read_bytes()[:-8192])
    with pytest.raises(StoreDamaged, match="not whole"):
        require_whole(file)


@pytest.mark.parametrize(("rows", "acked", "there"), [(2, 1, {1}), (2, 2, {1}), (2, 1, {2})])
def test_a_stream_whose_last_rows_are_not_in_the_store_is_not_signed_on(rows, acked, there):
    """What the pages of two stores can show that are whole each: the place of the one, the rows of the other."""

    async def look(keep):
        store = MemoryStore(Disk())
        outlet = new_outlet("tocsin.gb.out.jp", "gb", "jp", 1, "gb-1", 0)
        outlet = dataclasses.replace(outlet, rows=rows, acked=acked)
        async with store.begin() as tx:
            await tx.add([Outgoing(outlet.topic, i, 1, i, False, b"", b"", b"", 0) for i in keep])
            await require_one_store(tx, outlet)

    asyncio.run(look({1, 2}))
    with pytest.raises(StoreDamaged, match="contradicts itself"):
        asyncio.run(look(there))
