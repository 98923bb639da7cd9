"""An independent count: another client library (librdkafka) and the second verifier; nothing of the node's own code."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from hashlib import sha256

from confluent_kafka import Consumer, TopicPartition
from tests.conformance.second.main import run_vector
from tests.crash.world import SCHEMA, trust_document

STATEMENT = bytes.fromhex("c301efa37906ace93581")


@dataclass
class Count:
    """What one reader of a stream saw, by the releaser's own numbers."""

    lost: int = 0
    twice: int = 0
    disordered: int = 0
    leaves: list[str] = field(default_factory=list)
    epochs: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    open: list[list[int]] = field(default_factory=list)


def read_all(bootstrap: str, topic: str) -> list[tuple[bytes, bytes | None]]:
    """Every record of partition 0: value and `tocsin-seq`."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "checker", "enable.auto.commit": False})
    try:
        first, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)
        consumer.assign([TopicPartition(topic, 0, first)])
        found, position = [], first
        while position < end:
            for message in consumer.consume(min(500, end - position), timeout=5):  # it waits for so many
                assert message.error() is None, message.error()
                position = message.offset() + 1
                found.append((message.value(), dict(message.headers() or []).get("tocsin-seq")))
    finally:
        consumer.close()
    return found


def count(bootstrap: str, releaser: str, audience: str, now_ms: int, expected: int) -> Count:
    """What a reader of that stream has: each report once, in the order of its numbers, and no hole between heads."""
    records = read_all(bootstrap, f"tocsin.{releaser}.out.{audience}")
    result, by_seq, order = Count(), {}, []
    for value, hint in records:
        if value.startswith(STATEMENT):
            continue
        at = (int.from_bytes(hint[:8]), int.from_bytes(hint[8:]))
        result.epochs.add(at[0])
        if by_seq.setdefault(at, value) != value:
            result.twice += 1  # one number with two texts
        if at not in order:
            order.append(at)
    result.disordered = sum(a > b for a, b in itertools.pairwise(order))
    for value in by_seq.values():
        verdict = _verify(value, releaser, audience, now_ms)
        assert "leaf_hex" in verdict, verdict
        result.leaves.append(verdict["leaf_hex"])
    result.twice += len(result.leaves) - len(set(result.leaves))
    result.lost = expected - len(set(result.leaves))
    steps = _stream(records, releaser, audience, now_ms)
    result.notes = [note for step in steps for note in step["notes"]]
    result.open = steps[-1]["open"]
    return result


def _verify(value: bytes, releaser: str, audience: str, now_ms: int) -> dict:
    return run_vector(
        {
            "trust": trust_document()["parties"],
            "schemas": {SCHEMA.id: SCHEMA.text.decode()},
            "now_ms": now_ms,
            "came_by": {"releaser": releaser, "audience": audience},
            "held": [],
            "envelope_hex": value.hex(),
        }
    )


def _stream(records: list, releaser: str, audience: str, now_ms: int) -> list[dict]:
    items = [
        {"statement_hex": value.hex()}
        if value.startswith(STATEMENT)
        else {"record_hex": value.hex(), "hint_hex": hint.hex()}
        for value, hint in records
    ]
    vector = {
        "stream": {"releaser": releaser, "audience": audience},
        "trust": trust_document()["parties"],
        "now_ms": now_ms,
        "items": items,
    }
    return run_vector(vector)["steps"]


def digest(value: bytes) -> str:
    """To name a record in a message."""
    return sha256(value).hexdigest()[:12]
