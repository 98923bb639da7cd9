"""What the loops of a node drive, what they say of it, and what state it is in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from tocsin.errors import AdapterError
from tocsin.flow.outcome import Outcome
from tocsin.flow.ports import Clock, Store
from tocsin.flow.quarantine import Quarantine
from tocsin.flow.receive import Inlet, Receive
from tocsin.flow.recover import Recover, Recovered
from tocsin.flow.release import Done, Release
from tocsin.flow.send import Send, Sent
from tocsin.flow.setting import Setting
from tocsin.flow.tell import Tell


class State(StrEnum):
    """What the node is doing; READY is the only state in which everything is signed and sent."""

    STARTING = "STARTING"
    RECOVERING = "RECOVERING"
    READY = "READY"
    STOPPED_BY_CLOCK = "STOPPED_BY_CLOCK"
    DRAINING = "DRAINING"


class Watch(Protocol):
    """Who counts and logs what the loops did; called once per outcome, at the edge."""

    def outcome(self, outcome: Outcome) -> None:
        """One record was dealt with."""
        ...

    def done(self, done: Done) -> None:
        """One due decision was dealt with."""
        ...

    def sent(self, sent: Sent) -> None:
        """One round of sending."""
        ...

    def lag(self, inlet: Inlet, records: int) -> None:
        """How many records of a source are not read yet."""
        ...

    def recovered(self, audience: str, found: Recovered) -> None:
        """A stream was compared with its topic."""
        ...

    def fault(self, task: str, fault: AdapterError, rest_s: float) -> None:
        """Something outside failed; the loop rests and goes on."""
        ...

    def state(self, state: State) -> None:
        """The node's state changed."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the loops drive; built by `app`, or by a test from the in-memory twins."""

    store: Store
    clock: Clock
    me: str
    setting: Callable[[], Setting]
    receive: Receive
    release: Release
    send: Send
    tell: Tell
    recover: Recover
    quarantine: Quarantine
    watch: Watch
    connections: Callable[[], int] = lambda: 1
    """How many connections to the store were made so far; a new one may lead to another, older server."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One batch at a time is taken or decided: side by side on one processor, each would wait for parts of the others."""
