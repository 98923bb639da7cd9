"""The whole flow over a real PostgreSQL: killed under it, shared by two processes, and fed with what it cannot hold."""

from __future__ import annotations

import asyncio
import dataclasses

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.crash.running import Federation, Process
from tests.crash.world import SIGNER, sign
from tests.integration.postgres import running_postgres, skip_or_fail
from tests.property.test_receive import PLACES, REPORTS, SIZES, STATEMENTS, receives_all, records_of

from tocsin.flow.leases import claim_outlet, claim_source
from tocsin.flow.loops import State
from tocsin.flow.outbox import Item, Outbox
from tocsin.flow.ports import LeaseLost, Record
from tocsin.flow.rows import Outgoing, Outlet, Report, Source, Submission
from tocsin.store.store import SqlStore
from tocsin.store.tables import METADATA
from tocsin.wire.keys import KeyUse, pae
from tocsin.wire.statement import PolicyText, encode_statement, frame_statement

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def server():
    skip_or_fail()
    with running_postgres() as running:
        yield running


@pytest.fixture(scope="module")
def url(server):
    found = server.new_database()
    asyncio.run(migrated(found))
    return found


async def migrated(url):
    store = SqlStore(url)
    await store.migrate()
    await store.close()


@pytest.fixture
def empty(url):
    """The URL of a database whose tables are empty."""
    wipe(url)
    return url


def wipe(url):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE " + ", ".join(METADATA.tables))


async def rows(store, kind, **where):
    async with store.begin() as tx:
        return await tx.find(kind, where)


async def test_the_server_killed_under_load_loses_and_doubles_nothing(server, empty):
    """SIGKILL of PostgreSQL three times while reports flow: all arrive once, in order, and no stream forks."""
    federation = Federation()
    store = SqlStore(empty)
    gb = Process(federation, "gb", store=store).start()
    others = [Process(federation, node).start() for node in ("jp", "ke")]
    try:
        await gb.until(lambda: gb.loops.state is State.READY, "ready", 60)
        reports = 0
        for _ in range(3):
            for _ in range(8):
                federation.submit()
                reports += 1
                await asyncio.sleep(0.05)  # under load: some are sealed, some in the middle, some not read
            recovered = len(gb.watch.found)
            server.kill()
            await gb.until(lambda: gb.loops.troubles, "the node says so", 60)
            server.start()
            await gb.until(lambda n=recovered: len(gb.watch.found) >= n + 2, "both streams were compared again", 60)
        await gb.until(lambda: federation.complete(reports), "all reports everywhere", 120)
        assert store.connections > 3
        for audience in ("jp", "ke"):
            _, notes, seen = federation.look("gb", audience)
            assert (notes, len(seen)) == ([], reports)
        assert len([row for row in await rows(store, Report) if row.origin == "gb"]) == reports
        assert {row.state for row in await rows(store, Submission)} == {"ISSUED"}
        assert not any(process.dead() for process in (gb, *others))
    finally:
        for process in (gb, *others):
            await process.kill()
        await store.close()


async def test_two_processes_share_one_server(empty):
    """Two nodes over one store: both are ready, each stream has one writer, and every report goes out once."""
    federation = Federation()
    stores = [SqlStore(empty), SqlStore(empty)]
    pair = [Process(federation, "gb", number, store=store).start() for number, store in enumerate(stores, 1)]
    others = [Process(federation, node).start() for node in ("jp", "ke")]
    try:
        for process in pair:
            await process.until(lambda p=process: p.loops.state is State.READY, "both are ready", 60)
        for _ in range(20):
            federation.submit()
        await pair[0].until(lambda: federation.complete(20), "all reports everywhere", 120)
        for audience in ("jp", "ke"):
            _, notes, seen = federation.look("gb", audience)
            assert (notes, len(seen)) == ([], 20)
        assert len([row for row in await rows(stores[0], Report) if row.origin == "gb"]) == 20
        assert not any(process.dead() for process in (*pair, *others))
    finally:
        for process in (*pair, *others):
            await process.kill()
        for store in stores:
            await store.close()


async def test_who_does_not_hold_it_neither_seals_nor_moves_a_place(empty):
    """The second process can claim nothing that is held, seal nothing into it, and move no place of it."""
    federation = Federation()
    mine, yours = SqlStore(empty), SqlStore(empty)
    one, two = Process(federation, "gb", 1, store=mine), Process(federation, "gb", 2, store=yours)
    try:
        await one.parts.recover.stream("jp")
        now_ms, [[inlet, _]] = federation.clock(), [pair for pair in federation.inlets("gb") if pair[1] == "jp"]
        assert await claim_source(mine, inlet.topic, one.me, now_ms) is not None
        assert await claim_source(yours, inlet.topic, two.me, now_ms) is None
        assert not await claim_outlet(yours, "tocsin.gb.out.jp", two.me, now_ms)
        with pytest.raises(LeaseLost):
            await two.parts.receive.take(inlet, [Record(inlet.topic, 0, b"", b"x", (), 0)])
        with pytest.raises(LeaseLost):
            await two.parts.receive.lost(inlet, 7, now_ms)
        assert await two.parts.tell.heads() == 0
        # It read the outlet while that was free, and seals too late: the holder has another name by then.
        [outlet] = await rows(yours, Outlet)
        box = Outbox(dataclasses.replace(outlet, holder=two.me), now_ms)
        box.envelope(Item(b"framed", b"key"))
        with pytest.raises(LeaseLost):
            async with yours.begin() as tx:
                await box.close(tx)
        assert [(row.row, row.seq) for row in await rows(mine, Outgoing)] == [(1, 0)]
        assert [(row.holder, row.offset) for row in await rows(mine, Source)] == [(one.me, -1)]
    finally:
        await mine.close()
        await yours.close()


@settings(deadline=None, max_examples=12, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_no_column_holds_stops_no_stream(url, data):
    """Whatever a peer or a lab writes (NUL in an id, an id that no index holds) is dealt with over PostgreSQL, too."""
    place = data.draw(st.sampled_from(PLACES))
    run = data.draw(records_of(place, st.one_of(STATEMENTS, REPORTS)))
    sizes = data.draw(SIZES)

    async def check():
        store = SqlStore(url)
        try:
            await receives_all(place, run, sizes, store)
        finally:
            await store.close()

    wipe(url)
    asyncio.run(check())


async def test_a_policy_that_no_hop_may_name_is_taken_and_not_kept(empty):
    """A signed policy with NUL, or with 60,000 random letters, for its id: its topic goes on."""
    [place] = [p for p in PLACES if p.inlet.topic == "tocsin.gb.info"]
    letters = "".join(chr(33 + byte % 90) for byte in range(256)) * 200
    records = []
    for offset, name in enumerate(["a\0b", letters, "gb"]):
        kind, raw = encode_statement(PolicyText("gb", name, 1, "incident/1.0", b"text", 1_790_000_000_000))
        signature = sign("gb", KeyUse.RELAY, pae(kind, raw))
        framed = frame_statement(kind, raw, SIGNER["gb"].key_id(KeyUse.RELAY), signature)
        records.append((Record(place.inlet.topic, offset, b"", framed, (), 0), True))
    store = SqlStore(empty)
    try:
        await receives_all(place, records, [3], store)
    finally:
        await store.close()
