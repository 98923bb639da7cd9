"""What a source may cost: it rests after each failure, longer each time, and after what it was read of."""

from __future__ import annotations

import asyncio

from tests.crash.running import Federation, Process, warped

from tocsin.flow.follow import BackOff
from tocsin.flow.rows import Source

TOPIC = "tocsin.gb.out.jp"


def test_a_peer_that_is_away_is_asked_ever_more_seldom_also_by_the_next_process():
    async def story():
        federation = Federation(nodes=("gb", "jp"))
        federation.brokers["gb"].down = True

        def rests(process):
            return [rest_s for task, _, rest_s in process.watch.faults if task == TOPIC]

        jp = Process(federation, "jp").start()
        await jp.until(lambda: len(rests(jp)) == 3, "three failures")
        assert rests(jp) == [1.0, 2.0, 4.0]
        await jp.kill()
        jp = Process(federation, "jp").start()
        await jp.until(lambda: len(rests(jp)) == 2, "two more")
        assert rests(jp) == [8.0, 8.0]
        federation.brokers["gb"].down = False
        await jp.until(lambda: federation.disks["jp"].rows[Source][(TOPIC,)].failures == 0, "contact")

    warped(story())


def test_a_source_rests_by_its_records_and_its_bytes_and_by_what_its_open_ranges_cost():
    """The state of a stream is read and written with every batch, and its peer decides how large it is."""

    async def story():
        federation = Federation(nodes=("gb", "jp"))
        gb, jp = Process(federation, "gb").start(), Process(federation, "jp")
        for _ in range(3):
            federation.submit()
        await gb.until(lambda: len(federation.brokers["gb"].records(TOPIC)) >= 4, "gb has sent")
        [(inlet, _)] = federation.inlets("jp")
        asked = []

        def pace(records, size):
            asked.append((records, size))
            return 3600.0

        jp.start(follow=False)
        follow = jp.loops.follow(inlet, jp._reader(federation.brokers["gb"], TOPIC), BackOff(), 2, pace)
        reading = asyncio.create_task(follow)
        await jp.until(lambda: len(asked) == 2, "two batches", 3 * 3600.0)
        reading.cancel()
        taken = federation.brokers["gb"].records(TOPIC)[:4]
        sizes = [sum(len(record.value) for record in part) for part in (taken[:2], taken[2:])]
        weight = len(federation.disks["jp"].rows[Source][(TOPIC,)].stream)
        assert weight > 0
        assert [records for records, _ in asked] == [2, 2]
        assert asked[1][1] == sizes[1] + weight
        assert asked[0][1] > sizes[0]

    warped(story())
