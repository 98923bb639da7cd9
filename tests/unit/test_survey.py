"""What the gauges say of peers, from the store alone."""

from __future__ import annotations

import asyncio

from tests.crash.running import Federation, Process, warped

from tocsin.flow import topics
from tocsin.flow.ports import Outbound
from tocsin.survey import survey
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
            return (await survey(jp.store, inlets, federation.clock(), begun_ms, {})).sources["gb"].head_age_s

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
