"""Metrics: the answers to an operator's first questions, in Prometheus' words. Counted once, here, from the outcome.

Label values are bounded: parties and audiences of the configuration, members of closed enumerations, and "other". What
costs a look into the store is brought by a task elsewhere (`set_gauges`); drawing the page looks at nothing and lets
other tasks run in between.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, ProcessCollector, generate_latest
from prometheus_client import disable_created_metrics as _no_created_series
from prometheus_client.registry import Collector

from tocsin.errors import AdapterError
from tocsin.flow.decide import Decision, Why
from tocsin.flow.loops import State
from tocsin.flow.outbox import StoreBehind
from tocsin.flow.outcome import Outcome, What
from tocsin.flow.ports import Clock
from tocsin.flow.receive import Inlet, InletKind
from tocsin.flow.recover import Recovered
from tocsin.flow.release import Done
from tocsin.flow.send import Sent
from tocsin.kafka.faults import Cause
from tocsin.kafka.plan import Plan
from tocsin.wire.hop import Code
from tocsin.wire.keys import KeyUse
from tocsin.wire.reasons import Note, Reason

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "other"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
"""From a fast disk's commit to what a duty officer would call late."""
_SLICE = 64
"""Series that are drawn before other tasks have their turn: about a millisecond."""
_SAID = "SAID"  # flow/release: what is due was said before
_FORKS = frozenset({Note.FORK, Note.STATEMENT_FORK, Note.REVISION_FORK})

_no_created_series()  # type: ignore[no-untyped-call]  # they double every counter and nobody asks for them


@dataclass(frozen=True, slots=True)
class SourceGauges:
    """One topic of a source as the store knows it.

    `head_age_s`: since the last signed head, or since the node began to wait for the first one; None for what shows
    none (a lab). `unkept_age_s`: age of the oldest quarantined record whose bytes only the topic has, 0 without any.
    """

    head_age_s: float | None = None
    open_ranges: int = 0
    quarantine_rows: int = 0
    unkept_age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a task finds out every few seconds, mostly from the store. `sources`: the party and gauges of each topic."""

    outbox_rows: int = 0
    outbox_oldest_s: float = 0.0
    sources: Sequence[tuple[str, SourceGauges]] = ()
    holds_open: int = 0
    holds_overdue: int = 0
    submissions_waiting: int = 0
    key_not_after_ms: Mapping[KeyUse, int] = field(default_factory=dict)
    unknown_audiences: int = 0
    unserved_schemas: int = 0


class Metrics:
    """One registry of one process, and a `flow.loops.Watch`."""

    def __init__(
        self, *, clock: Clock, sources: Mapping[str, int], audiences: Iterable[str], version: str, protocol: int = 1
    ) -> None:
        """`sources` are the peers and labs of the configuration, and how many days their topics keep a record.

        `audiences` are those of the policies.
        """
        self._clock = clock
        self._sources = frozenset(sources)
        self._audiences = frozenset(audiences)
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._received = self._counter("records_received", "Records read.", "source")
        self._bytes = self._counter("received_bytes", "Bytes of the records read.", "source")
        self._accepted = self._counter("reports_accepted", "Reports that were not held before.", "source")
        self._merged = self._counter("reports_merged", "Held reports that came by a new chain.", "source")
        self._duplicate = self._counter("reports_duplicate", "Reports whose chain was held already.", "source")
        self._statements = self._counter("statements_taken", "Verified statements taken.", "source")
        self._rejected = self._counter("records_rejected", "Records put into quarantine.", "source", "reason")
        self._notes = self._counter("notes", "What was recorded and refuses no content.", "source", "note")
        self._forks = self._counter("forks", "Two signed words that exclude each other; evidence is kept.", "source")
        self._released = self._counter("decisions_released", "Decisions signed and sealed.", "audience")
        self._slots = self._counter("slots", "Slots of released reports, by what became of them.", "audience", "what")
        self._nothing = self._counter("decisions_nothing", "Decisions that sent nothing.", "audience", "why")
        self._recovered = self._counter("streams_recovered", "Comparisons of a stream with its topic.", "found")
        self._acked = Counter(
            "tocsin_outbox_acked_total", "Sealed rows that the broker keeps.", registry=self._registry
        )
        self._faults = self._counter("faults", "Failures of brokers, store or signer.", "cause")
        seconds = "Seconds from the moment at which a decision became due until it was sealed."
        self._seconds = functools.cache(
            Histogram(
                "tocsin_receipt_to_release_seconds", seconds, ["audience"], buckets=_SECONDS, registry=self._registry
            ).labels
        )
        self._outbox_rows = self._gauge("outbox_rows", "Sealed rows that are not acknowledged.")
        self._outbox_oldest = self._gauge("outbox_oldest_seconds", "Age of the oldest sealed row not acknowledged.")
        self._lag = self._gauge("source_lag_records", "Records of a source that are not read yet.", "source")
        self._head_age = self._gauge("source_head_age_seconds", "Seconds since the last signed head.", "source")
        self._open_ranges = self._gauge("open_ranges", "Ranges between signed heads that lack records.", "source")
        self._quarantine = self._gauge("quarantine_rows", "Rejected records at rest.", "source")
        self._unkept = self._gauge(
            "quarantine_unkept_oldest_seconds",
            "Age of the oldest quarantined record whose bytes only the topic has.",
            "source",
        )
        retention = self._gauge("source_retention_seconds", "How long a source's topic keeps a record.", "source")
        self._holds_open = self._gauge("holds_open", "Releases that wait for an officer.")
        self._holds_overdue = self._gauge("holds_overdue", "Releases that have waited for an officer too long.")
        self._waiting = self._gauge("submissions_waiting", "Submissions of labs that nobody has dealt with.")
        self._not_after = self._gauge("key_not_after_timestamp_seconds", "When a key of this node ends (Unix).", "use")
        self._state = self._gauge("node_state", "1 for the state that the node is in, else 0.", "state")
        self._skew = self._gauge("clock_skew_seconds", "This clock and the broker's, apart, at the last write.")
        self._unknown = self._gauge("unknown_acl_readers", "Rights at this node's topics that nobody configured.")
        self._drift = self._gauge("topic_drift", "Settings of this node's topics that are not as the node wants them.")
        self._problems = self._gauge("topic_problems", "What is wrong with this node's topics and no setting mends.")
        self._strangers = self._gauge("unknown_audiences", "Audiences of policies that the trust view does not know.")
        self._unserved = self._gauge("unserved_schemas", "Known schemas that no policy in force serves.")
        self._updated = self._gauge("gauges_updated_timestamp_seconds", "When the store was last looked at (Unix).")
        build = self._gauge("build_info", "1; the labels say what runs.", "version", "protocol")
        build.labels(version, str(protocol)).set(1)
        for source, days in {**sources, OTHER: min(sources.values(), default=0)}.items():
            retention.labels(source).set(days * 86_400)
        self._bind()

    def outcome(self, outcome: Outcome) -> None:
        """One record was dealt with."""
        source = self._source(outcome.party)
        self._received(source).inc()
        self._bytes(source).inc(outcome.size)
        if outcome.what is What.REJECTED:
            self._rejected(source, (outcome.reason or Reason.INTERNAL).value).inc()
        else:
            self._fates[outcome.what](source).inc()
        for note in outcome.notes:
            self._notes(source, note.value).inc()
            if note in _FORKS:
                self._forks(source).inc()

    def done(self, done: Done) -> None:
        """One due decision was dealt with."""
        audience = self._audience(done.audience)
        if not done.sealed:
            self._nothing(audience, done.nothing if done.nothing in self._whys else OTHER).inc()
            return
        self._released(audience).inc(len(done.sealed))
        self._seconds(audience).observe(max(0, self._clock() - done.since_ms) / 1000)
        for decision in done.sealed:
            for what, count in _slots(decision).items():
                self._slots(audience, what).inc(count)

    def sent(self, sent: Sent) -> None:
        """One round of sending."""
        self._acked.inc(sum(sent.acked.values()))
        self._faults("WRITE").inc(len(sent.failed))
        if sent.acked:
            self._skew.set(sent.skew_ms / 1000)

    def lag(self, inlet: Inlet, records: int) -> None:
        """How many records of a source are not read yet."""
        if inlet.kind is not InletKind.INFO:  # a source's second topic, that would hide the lag of its stream
            self._lag.labels(self._source(inlet.party)).set(records)

    def recovered(self, audience: str, found: Recovered) -> None:  # noqa: ARG002 - a stream's name is in the log line
        """A stream was compared with its topic."""
        self._recovered(found.value).inc()

    def fault(self, task: str, fault: AdapterError, rest_s: float) -> None:  # noqa: ARG002 - these are in the log line
        """Something outside failed."""
        cause = "STORE_BEHIND" if isinstance(fault, StoreBehind) else str(getattr(fault, "cause", OTHER))
        self._faults(cause if cause in self._causes else OTHER).inc()

    def state(self, state: State) -> None:
        """The node's state changed."""
        for one in State:
            self._state.labels(one.value).set(one is state)

    def compared(self, plan: Plan) -> None:
        """The node's cluster was compared with what the node wants of it."""
        self._unknown.set(len(plan.unknown))
        self._drift.set(len(plan.change))
        self._problems.set(len(plan.problems))

    def set_gauges(self, snapshot: Snapshot) -> None:
        """Take over what the store says; sources that are not configured are added up as "other"."""
        self._outbox_rows.set(snapshot.outbox_rows)
        self._outbox_oldest.set(snapshot.outbox_oldest_s)
        self._holds_open.set(snapshot.holds_open)
        self._holds_overdue.set(snapshot.holds_overdue)
        self._waiting.set(snapshot.submissions_waiting)
        self._strangers.set(snapshot.unknown_audiences)
        self._unserved.set(snapshot.unserved_schemas)
        for use, not_after_ms in snapshot.key_not_after_ms.items():
            self._not_after.labels(use.value).set(not_after_ms / 1000)
        for name in [*self._sources, OTHER]:
            those = [gauges for party, gauges in snapshot.sources if self._source(party) == name]
            self._open_ranges.labels(name).set(sum(g.open_ranges for g in those))
            self._quarantine.labels(name).set(sum(g.quarantine_rows for g in those))
            self._unkept.labels(name).set(max((g.unkept_age_s for g in those), default=0.0))
            ages = [g.head_age_s for g in those if g.head_age_s is not None]
            if ages:
                self._head_age.labels(name).set(max(ages))
        self._updated.set(self._clock() / 1000)

    async def page(self) -> bytes:
        """The page that Prometheus reads (`CONTENT_TYPE`), drawn a slice at a time."""
        parts: list[bytes] = []
        for family in self._registry.collect():
            for start in range(0, max(1, len(family.samples)), _SLICE):
                part = generate_latest(_Slice(family, start))
                parts.append(part if start == 0 else part.split(b"\n", 2)[2])  # without HELP and TYPE again
                await asyncio.sleep(0)
        return b"".join(parts)

    def _bind(self) -> None:
        """Every series from the start, at 0: `increase()` never sees the step of a series that begins at 1."""
        self._fates = {
            What.ACCEPTED: self._accepted,
            What.MERGED: self._merged,
            What.DUPLICATE: self._duplicate,
            What.STATEMENT: self._statements,
        }
        self._whys = frozenset({*(why.value for why in Why), _SAID})
        self._causes = frozenset({*(cause.value for cause in Cause), "WRITE", "STORE_BEHIND"})
        for source in [*self._sources, OTHER]:
            for counter in (self._received, self._bytes, self._forks, *self._fates.values()):
                counter(source)
            for reason in Reason:
                self._rejected(source, reason.value)
            for note in Note:
                self._notes(source, note.value)
        for audience in [*self._audiences, OTHER]:
            self._released(audience)
            self._seconds(audience)
            for what in ("disclosed", *(code.value.lower() for code in Code)):
                self._slots(audience, what)
            for why in [*self._whys, OTHER]:
                self._nothing(audience, why)
        for found in Recovered:
            self._recovered(found.value)
        for cause in [*self._causes, OTHER]:
            self._faults(cause)
        self.state(State.STARTING)

    def _counter(self, name: str, help_text: str, *labels: str) -> Callable[..., Counter]:
        """Its series by their labels, each bound once: there are few, and every record counts (design 5)."""
        return functools.cache(Counter(f"tocsin_{name}_total", help_text, labels, registry=self._registry).labels)

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(f"tocsin_{name}", help_text, labels, registry=self._registry)

    def _source(self, party: str) -> str:
        return party if party in self._sources else OTHER

    def _audience(self, audience: str) -> str:
        return audience if audience in self._audiences else OTHER


def _slots(decision: Decision) -> dict[str, int]:
    """How many slots of a copy were disclosed, coarsened, withheld and embargoed."""
    counts = {"disclosed": decision.body.mask_out.bit_count()}
    for why in decision.body.reasons:
        what = why.code.value.lower()
        counts[what] = counts.get(what, 0) + why.slots.bit_count()
    return counts


class _Slice(Collector):
    """Some series of one family, as a registry that can be drawn."""

    def __init__(self, family: Metric, start: int) -> None:
        self._part = Metric(family.name, family.documentation, family.type, family.unit)
        self._part.samples = family.samples[start : start + _SLICE]

    def collect(self) -> Iterator[Metric]:
        yield self._part
