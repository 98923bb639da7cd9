"""Logs: one JSON line per outcome on the standard error, identifiers only.

What may stand in a line is a closed list of keys with short values, so that no payload of a report can get in. A
library's own words are taken over where they can hold none, and else only their fixed part.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePath
from typing import Any, Literal, TextIO, TypedDict, Unpack

import structlog

from tocsin.errors import TocsinError
from tocsin.flow.loops import State
from tocsin.flow.outcome import Outcome, What
from tocsin.flow.receive import Inlet
from tocsin.flow.recover import Recovered
from tocsin.flow.release import INTERNAL, Done
from tocsin.flow.send import SKEW_ALARM_MS, Sent
from tocsin.kafka.plan import Plan
from tocsin.wire.reasons import Note

Level = Literal["debug", "info", "warning", "error"]

_LONGEST = 300
"""Characters of one value: enough for an identifier or an error's words, too few to carry a report."""
_FRAMES = 8
_PACKAGE = PurePath(__file__).parent
_OUTSPOKEN = ("aiokafka", "kafka")
"""Libraries whose warnings name brokers and topics, and never what a record holds."""
_QUIET_S, _MOST_SAID = 60.0, 256
"""A library that says the same thing again is heard once a minute: of a missing topic they speak five times a second."""
_CALM = frozenset({Note.HEALED, Note.REVISION_MISSING})


class Fields(TypedDict, total=False):
    """Everything that a line may hold besides its time, level and event."""

    node: str
    trust: int
    policies: list[str]
    task: str
    source: str
    topic: str
    offset: int
    epoch: int
    seq: int
    leaf: bytes
    origin: str
    audience: str
    outcome: str
    reason: str
    notes: list[str]
    cause: str
    sealed: int
    disclosed: int
    withheld: int
    nothing: str
    found: str
    state: str
    officer: str
    policy: str
    version: str
    listen: str
    rows: int
    seconds: float
    error: str
    place: str
    remedy: str
    at: str
    library: str


_KEYS = frozenset(Fields.__annotations__)


class Log:
    """Writes lines, and is a `flow.loops.Watch`: each outcome is logged once, here."""

    def __init__(
        self, stream: TextIO, level: Level = "info", *, human: bool | None = None, strict: bool = False
    ) -> None:
        """JSON lines; for people (`human`, by default where the stream is a terminal) coloured text.

        A key that is not in `Fields` is left out and counted in `left_out`; with `strict`, which tests set, it raises.
        """
        colours = stream.isatty() if human is None else human
        renderer = structlog.dev.ConsoleRenderer(pad_event_to=0) if colours else structlog.processors.JSONRenderer()
        self._strict = strict
        self._was_ready = False
        self._compared: set[tuple[str, str, str]] = set()
        self._lines = structlog.wrap_logger(
            structlog.PrintLogger(stream),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
                renderer,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
        ).bind()  # now, and not at every line

    def debug(self, event: str, **fields: Unpack[Fields]) -> None:
        """What helps to find a fault."""
        self._write("debug", event, fields)

    def info(self, event: str, **fields: Unpack[Fields]) -> None:
        """What happened, as it should."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Unpack[Fields]) -> None:
        """What somebody should look at, in time."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Unpack[Fields]) -> None:
        """What somebody should look at now."""
        self._write("error", event, fields)

    def bug(self, task: str, error: BaseException) -> None:
        """A failure that nobody expected: its kind and the way to it, without its words, which may hold payload.

        `at` begins with our innermost frame, so that a line that is cut keeps what names the bug.
        """
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if PurePath(frame.filename).is_relative_to(_PACKAGE)] or frames
        way = [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in ours[-_FRAMES:]]
        self.error("bug", task=task, error=type(error).__name__, at=" < ".join(reversed(way)))

    def take_over_libraries(self) -> logging.Handler:
        """From here on what libraries log as a warning or worse is a line like any other; returns the handler."""
        handler = _Libraries(self)
        logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
        return handler

    def outcome(self, outcome: Outcome) -> None:
        """One record was dealt with."""
        alarming = outcome.what is What.REJECTED or any(note not in _CALM for note in outcome.notes)
        fields = Fields(
            source=outcome.party, topic=outcome.topic, offset=outcome.offset, leaf=outcome.leaf, origin=outcome.origin
        )
        if outcome.reason is not None:
            fields["reason"] = outcome.reason.value
        if outcome.notes:
            fields["notes"] = [note.value for note in outcome.notes]
        self._write("warning" if alarming else "info", outcome.what.value.lower(), fields)

    def done(self, done: Done) -> None:
        """One due decision was dealt with."""
        about = Fields(audience=done.audience, leaf=done.leaf, cause=done.cause)
        if not done.sealed:
            level: Level = "error" if done.nothing == INTERNAL else "info"
            self._write(level, "nothing", {**about, "nothing": done.nothing})
        for decision in done.sealed:
            given = decision.body.mask_out.bit_count()
            kept = decision.mask_in.bit_count() - given
            self._write("info", "released", {**about, "disclosed": given, "withheld": kept})

    def sent(self, sent: Sent) -> None:
        """One round of sending: only what went wrong, since `released` has been said."""
        for topic, error in sent.failed.items():
            self.error("not-sent", topic=topic, error=error)
        if sent.skew_ms >= SKEW_ALARM_MS:
            self.error("clock", seconds=sent.skew_ms / 1000)

    def lag(self, inlet: Inlet, records: int) -> None:
        """How many records of a source are not read yet: a metric, not a line."""

    def recovered(self, audience: str, found: Recovered) -> None:
        """A stream was compared with its topic."""
        calm = found in {Recovered.NEW, Recovered.EQUAL}
        self._write("info" if calm else "error", "recovered", Fields(audience=audience, found=found.value))

    def fault(self, task: str, fault: TocsinError, rest_s: float) -> None:
        """Something outside failed; the loop rests so many seconds and goes on."""
        self.error("fault", task=task, error=fault.thing, place=fault.place, remedy=fault.remedy, seconds=rest_s)

    def state(self, state: State) -> None:
        """The node's state changed."""
        at_start = state is State.RECOVERING and not self._was_ready
        calm = at_start or state in {State.STARTING, State.READY, State.DRAINING}
        self._was_ready |= state is State.READY
        self._write("info" if calm else "error", "state", Fields(state=state.value))

    def compared(self, plan: Plan) -> None:
        """The node's cluster was compared with what the node wants: what was not so at the last look is a line each."""
        found = {
            ("unknown-right", str(acl), "`tocsin topics apply --revoke-unknown` takes it away") for acl in plan.unknown
        }
        found |= {("topic-drift", str(change), "tocsin topics apply does that") for change in plan.change}
        found |= {("topic-problem", problem, "Ask whoever runs the broker") for problem in plan.problems}
        for event, error, remedy in sorted(found - self._compared):
            self.error(event, error=error, remedy=remedy)
        self._compared = found

    def _write(self, level: Level, event: str, fields: Mapping[str, Any]) -> None:
        unknown = fields.keys() - _KEYS
        if unknown and self._strict:
            raise TypeError(f"no log field {', '.join(sorted(unknown))}")
        line: dict[str, Any] = {
            key: _plain(value) for key, value in fields.items() if key in _KEYS and value not in ("", b"", None)
        }
        if unknown:
            line["left_out"] = len(unknown)
        with suppress(OSError, ValueError):  # who reads no more, or a full disk: no reason to stop
            getattr(self._lines, level)(event, **line)


class _Libraries(logging.Handler):
    """What libraries log, as lines of ours."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self._quiet_until: dict[tuple[str, str], float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        # Elsewhere an argument may be anything, so only the fixed part is kept, and of several lines the first.
        outspoken = record.name.partition(".")[0] in _OUTSPOKEN
        words = record.getMessage() if outspoken else str(record.msg).partition("%")[0]
        first = words.strip().partition("\n")[0]
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        error = f"{first} {kind}".strip()
        if record.created < self._quiet_until.get((record.name, error), 0.0):
            return
        if len(self._quiet_until) >= _MOST_SAID:
            self._quiet_until.clear()
        self._quiet_until[record.name, error] = record.created + _QUIET_S
        level = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        level("library", library=record.name, error=error)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value[:_LONGEST]
    if isinstance(value, bytes):
        return value[:32].hex()
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list):
        return [_plain(item) for item in value[:16]]
    return str(value)[:_LONGEST]
