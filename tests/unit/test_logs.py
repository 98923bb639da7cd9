"""Logs: one line per outcome, and nothing in it but what the closed list of keys names."""

import io
import json
import logging
import re

import pytest

from tocsin.errors import AdapterError
from tocsin.flow.loops import State, Watch
from tocsin.flow.outcome import Outcome, What
from tocsin.flow.recover import Recovered
from tocsin.flow.release import Done
from tocsin.flow.send import Sent
from tocsin.kafka.plan import Acl, Change, Operation, Plan
from tocsin.logs import Log
from tocsin.wire.reasons import Note, Reason
from tocsin.wire.stream import StreamState

LEAF = bytes(range(32))


class Lines(io.StringIO):
    def read_lines(self):
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def stream():
    return Lines()


@pytest.fixture
def log(stream):
    return Log(stream, strict=True)


def test_a_rejected_record_is_one_warning_with_its_reason_and_coordinates(log, stream):
    watch: Watch = log
    watch.outcome(Outcome(What.REJECTED, "jp", "tocsin.jp.out.gb", 7, reason=Reason.HOP_PREV))
    (line,) = stream.read_lines()
    assert line.pop("time").endswith("Z")
    assert line == {
        "event": "rejected", "level": "warning", "source": "jp", "topic": "tocsin.jp.out.gb", "offset": 7,
        "reason": "HOP_PREV",
    }  # fmt: skip


def test_an_accepted_record_is_one_line_and_a_note_makes_it_a_warning(log, stream):
    log.outcome(Outcome(What.ACCEPTED, "jp", "t", 0, leaf=LEAF, origin="jp"))
    log.outcome(Outcome(What.ACCEPTED, "jp", "t", 1, leaf=LEAF, origin="jp", notes=(Note.GAP, Note.EPOCH)))
    log.outcome(Outcome(What.STATEMENT, "jp", "t", 2, notes=(Note.HEALED,)))
    lines = stream.read_lines()
    assert [line["level"] for line in lines] == ["info", "warning", "info"]
    assert (lines[0]["leaf"], lines[0]["offset"]) == (LEAF.hex(), 0)
    assert lines[1]["notes"] == ["GAP", "EPOCH"]


def test_a_key_that_is_not_in_the_list_raises_in_tests_and_is_left_out_otherwise(log, stream):
    with pytest.raises(TypeError, match="title"):
        log.info("x", title="canary in a report")
    Log(stream).info("x", leaf=LEAF, title="canary in a report", text="canary")
    (line,) = stream.read_lines()
    assert "canary" not in stream.getvalue()
    assert (line["left_out"], line["leaf"]) == (2, LEAF.hex())


def test_a_value_is_cut_before_it_could_carry_a_report(log, stream):
    log.info("x", error="e" * 10_000, leaf=b"x" * 10_000, notes=["n" * 10_000] * 100)
    assert len(stream.getvalue()) < 6_000


def test_a_value_never_breaks_the_line(log, stream):
    log.info("x", origin='a\nb"}\x1b[31m', topic="\u2028")
    (line,) = stream.read_lines()
    assert line["origin"] == 'a\nb"}\x1b[31m'


def test_a_bug_says_its_kind_and_place_and_never_its_words(log, stream):
    def deep(value):
        raise ValueError(f"canary {value}")

    try:
        deep("canary")
    except ValueError as error:
        log.bug("receive", error)
    (line,) = stream.read_lines()
    assert (line["task"], line["error"]) == ("receive", "ValueError")
    assert line["at"].partition(" < ")[0].endswith("deep")
    assert "canary" not in stream.getvalue()


def test_however_deep_in_a_library_a_bug_shows_its_place_is_our_innermost_frame(log, stream):
    try:
        StreamState.from_json('{"canary":', "jp", "gb")
    except ValueError as error:
        log.bug("receive", ExceptionGroup("canary", [error]))
    (line,) = stream.read_lines()
    assert line["error"] == "JSONDecodeError"
    assert re.fullmatch(r"stream\.py:[0-9]+ from_json", line["at"])
    assert "canary" not in stream.getvalue()


def test_a_fault_says_thing_place_and_remedy(log, stream):
    log.fault("tocsin.jp.out.gb", AdapterError("the port is closed", place="jp:9093", remedy="Look at it"), 10.0)
    (line,) = stream.read_lines()
    assert line["level"] == "error"
    assert (line["error"], line["place"], line["remedy"]) == ("the port is closed", "jp:9093", "Look at it")


def test_of_decisions_and_sending_only_identifiers_are_said(log, stream):
    log.done(Done("jp", LEAF, "NEW", 0, (), "NO_SLOT"))
    log.sent(Sent({"t": 5}, {}))
    log.sent(Sent({}, {"tocsin.gb.out.jp": "refused"}, skew_ms=31_000))
    log.recovered("jp", Recovered.LOST)
    log.recovered("ke", Recovered.EQUAL)
    log.state(State.READY)
    log.state(State.STOPPED_BY_CLOCK)
    lines = stream.read_lines()
    assert [(line["event"], line["level"]) for line in lines] == [
        ("nothing", "info"), ("not-sent", "error"), ("clock", "error"), ("recovered", "error"), ("recovered", "info"),
        ("state", "info"), ("state", "error"),
    ]  # fmt: skip
    assert lines[2]["seconds"] == 31.0


def test_what_a_comparison_with_the_cluster_finds_is_said_once_and_again_when_it_comes_back(log, stream):
    def said(**found):
        before = len(stream.read_lines())
        log.compared(Plan(**found))
        return [(line["event"], line["error"], line["level"]) for line in stream.read_lines()[before:]]

    stranger = Acl("tocsin.gb.out.jp", "mallory", Operation.READ)
    gzip, zstd = (Change("t", "compression.type", codec, "uncompressed") for codec in ("gzip", "zstd"))
    right = ("unknown-right", "allow mallory READ on topic tocsin.gb.out.jp", "error")
    setting = ("topic-drift", "set compression.type of t: gzip -> uncompressed", "error")
    problem = ("topic-problem", "no authorizer", "error")
    everything = {"unknown": (stranger,), "change": (gzip,), "problems": ("no authorizer",)}
    assert said(**everything) == sorted([right, setting, problem])
    assert said(**everything) == []
    assert said(change=(zstd,)) == [("topic-drift", "set compression.type of t: zstd -> uncompressed", "error")]
    assert said(**everything) == sorted([right, setting, problem])


def test_below_the_level_nothing_is_written(stream):
    log = Log(stream, "warning")
    log.info("x")
    log.debug("x")
    log.warning("y")
    assert [line["event"] for line in stream.read_lines()] == ["y"]


def test_a_terminal_gets_text_for_people(stream):
    Log(stream, human=True).info("ready", node="gb")
    assert "ready" in stream.getvalue()
    assert "gb" in stream.getvalue()
    with pytest.raises(ValueError, match="Expecting"):
        stream.read_lines()


def test_what_libraries_log_is_a_line_without_payload(log, stream):
    before = logging.root.handlers[:], logging.root.level
    try:
        log.take_over_libraries()
        logging.getLogger("aiokafka.conn").warning("no connection to %s", "jp:9093")
        logging.getLogger("uvicorn.error").error("failed with %s", "canary")
        logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: canary")
        try:
            {}["canary"]
        except KeyError:
            logging.getLogger("x").exception("oops")
        logging.getLogger("x").info("not heard")
    finally:
        logging.root.handlers[:], logging.root.level = before[0], before[1]
    assert [line["error"] for line in stream.read_lines()] == [
        "no connection to jp:9093", "failed with", "Task exception was never retrieved", "oops KeyError",
    ]  # fmt: skip
    assert "canary" not in stream.getvalue()


def test_who_reads_the_log_no_more_stops_nothing(log, stream):
    """A pipe that was closed, or a full disk: the node runs on, and ends when it is told to."""

    def broken(text):
        raise BrokenPipeError

    stream.write = broken
    log.state(State.READY)
    stream.close()
    log.state(State.READY)


def test_a_library_that_repeats_itself_is_heard_once_a_minute(log, stream):
    handler = log.take_over_libraries()
    try:
        for message in ["Topic t not found", "Topic t not found", "Unable to connect"]:
            logging.getLogger("aiokafka").warning(message)
        assert len(stream.read_lines()) == 2
        later = logging.getLogger("aiokafka").makeRecord(
            "aiokafka", logging.WARNING, "", 1, "Topic t not found", (), None
        )
        later.created += 61
        handler.emit(later)
        assert len(stream.read_lines()) == 3
    finally:
        logging.getLogger().removeHandler(handler)
