"""The edge: whatever happened is told once to whoever counts, and once to whoever logs."""

from __future__ import annotations

from tocsin.errors import AdapterError
from tocsin.flow.loops import State
from tocsin.flow.outcome import Outcome
from tocsin.flow.receive import Inlet
from tocsin.flow.recover import Recovered
from tocsin.flow.release import Done
from tocsin.flow.send import Sent
from tocsin.kafka.plan import Plan
from tocsin.logs import Log
from tocsin.metrics import Metrics


class Edge:
    """A `flow.loops.Watch` that tells a log and the metrics."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        """Both outlive the loops."""
        self._log = log
        self._metrics = metrics

    def outcome(self, outcome: Outcome) -> None:
        """One record was dealt with."""
        self._log.outcome(outcome)
        self._metrics.outcome(outcome)

    def done(self, done: Done) -> None:
        """One due decision was dealt with."""
        self._log.done(done)
        self._metrics.done(done)

    def sent(self, sent: Sent) -> None:
        """One round of sending."""
        self._log.sent(sent)
        self._metrics.sent(sent)

    def lag(self, inlet: Inlet, records: int) -> None:
        """How many records of a source are not read yet."""
        self._metrics.lag(inlet, records)

    def recovered(self, audience: str, found: Recovered) -> None:
        """A stream was compared with its topic."""
        self._log.recovered(audience, found)
        self._metrics.recovered(audience, found)

    def fault(self, task: str, fault: AdapterError, rest_s: float) -> None:
        """Something outside failed."""
        self._log.fault(task, fault, rest_s)
        self._metrics.fault(task, fault, rest_s)

    def bug(self, task: str, error: BaseException) -> None:
        """A bug of ours on one record or decision, which is counted by its outcome as INTERNAL: where it is."""
        self._log.bug(task, error)

    def state(self, state: State) -> None:
        """The node's state changed."""
        self._log.state(state)
        self._metrics.state(state)

    def compared(self, plan: Plan) -> None:
        """The node's cluster was compared with what the node wants of it."""
        self._log.compared(plan)
        self._metrics.compared(plan)
