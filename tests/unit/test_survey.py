"""What the gauges say of peers, from the store alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.crash.running import Federation, Process, warped
from tests.crash.world import SCHEMAS, trust_document

from tocsin.flow import topics
from tocsin.flow.ports import Outbound, Record
from tocsin.flow.receive import Inlet, InletKind
from tocsin.flow.rejects import row_of
from tocsin.flow.rows import Source
from tocsin.flow.setting import Setting, minute_up
from tocsin.memory import MemoryStore
from tocsin.survey import survey
from tocsin.trust import load_trust
from tocsin.wire.keys import PartyKind
from tocsin.wire.reasons import Reason, Rejected
from tocsin.wire.statement import is_statement

ALARM_S = 180
"""TocsinPeerSilent in deploy/prometheus/tocsin.rules.yml."""


def test_a_quiet_peer_is_not_silent_and_one_that_is_down_is_whatever_is_played_back_of_it():
    """A head that repeats the stream's state writes no row, but it is what tells a gap from quiet."""

    async def story():
        federation = Federation(nodes=("gb", "jp"))
        gb, jp = Process(federation, "gb").start(), Process(federation, "jp").start()
        begun_ms = federation.clock()

        async def age_s():
            inlets = [inlet for inlet, _ in federation.inlets("jp")]
            seen = await survey(jp.store, jp.setting_now, inlets, federation.clock(), begun_ms, {})
            return max(gauges.head_age_s for _, gauges in seen.sources if gauges.head_age_s is not None)

        federation.submit()
        for _ in range(40):
            await asyncio.sleep(30.0)
            assert await age_s() <= ALARM_S / 2
        await gb.kill()
        stream = topics.stream("gb", "jp")
        old = [r for r in federation.brokers["gb"].records(stream) if is_statement(r.value)][-3]
        for minute in range(6):
            federation.brokers["gb"].append(Outbound(stream, old.key, old.value, old.headers))
            await asyncio.sleep(60.0)
            assert await age_s() >= 60 * minute
        assert await age_s() > ALARM_S

    warped(story())


def test_whom_nothing_is_sent_to_and_of_what_is_said_as_soon_as_the_setting_says_so():
    async def story():
        federation = Federation(nodes=("gb", "jp"))
        gb = Process(federation, "gb").start()
        known, now_ms = gb.setting_now, federation.clock()

        async def look():
            seen = await survey(gb.store, gb.setting_now, [], federation.clock(), now_ms, {})
            return seen.unknown_audiences, seen.unserved_schemas

        assert await look() == (0, 0)
        parties = known.trust.parties
        without_jp = replace(known.trust, parties={name: party for name, party in parties.items() if name != "jp"})
        gb.setting_now = replace(known, trust=without_jp)
        assert await look() == (1, 0)
        another_kind = replace(parties["jp"], kind=PartyKind.AUTHORITY)
        gb.setting_now = replace(known, trust=replace(known.trust, parties={**parties, "jp": another_kind}))
        assert await look() == (1, 0)
        gb.setting_now = replace(known, policies=())
        assert await look() == (0, 1)
        later = replace(known.policies[0], effective_minute=minute_up(now_ms) + 1)
        gb.setting_now = replace(known, policies=(later,))
        assert await look() == (0, 1)
        await asyncio.sleep(60.0)
        assert await look() == (0, 0)

    warped(story())


async def test_what_rests_is_counted_whatever_topic_it_came_by_and_of_sources_no_longer_read_as_well():
    """Or an officer who looks at the gauges would never learn of it."""
    store, now_ms = MemoryStore(), 1_000_000
    streams = [Inlet("tocsin.jp.out.gb", InletKind.STREAM, "jp"), Inlet("tocsin.jp.info", InletKind.INFO, "jp")]
    record = Record("", 0, b"", b"rubbish", (), 0)
    async with store.begin() as tx:
        for topic in ("tocsin.jp.out.gb", "tocsin.jp.info", "tocsin.fr.out.gb"):
            rejected = row_of(replace(record, topic=topic), "jp", Rejected(Reason.FRAMING), now_ms - 60_000, kept=False)
            await tx.put([Source(topic, 1, "", "gb-1", 0), rejected])
    setting = Setting("gb", load_trust(trust_document()), SCHEMAS)
    seen = (await survey(store, setting, streams, now_ms, 0, {})).sources
    assert sorted((party, one.quarantine_rows, one.unkept_age_s) for party, one in seen) == [
        ("", 1, 60.0),
        ("jp", 1, 60.0),
        ("jp", 1, 60.0),
    ]
