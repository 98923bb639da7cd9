# ruff: noqa: INP001 - scripts beside their data
"""Build vectors: inputs, and every intermediate on the way to the bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.vectors.make_accept import LAB
from schemas.vectors.make_report import ALL, NEVER, Plan, Step, build, slots
from schemas.vectors.make_statement import BODIES, signed
from schemas.vectors.make_stream import EPOCH, record
from schemas.vectors.make_world import TEXTS, id_of, public, seed

from tocsin.wire.stream import encode_hint, head_zero, next_head

if TYPE_CHECKING:
    from collections.abc import Iterator

Named = tuple[str, dict[str, Any]]


def builds() -> Iterator[Named]:
    """Every build vector, by name of its file."""
    limits = (("COMMUNITY", slots(1), 1), ("PUBLIC", slots(0), 30_000_000), ("PUBLIC", slots(1, 2), NEVER))
    why = (
        (slots(13), "WITHHELD", 0, "gb-evidence"),
        (slots(6), "COARSENED", 0, ""),
        (slots(0), "EMBARGOED", 30_000_000, "r"),
    )
    step = Step(mask=ALL & ~slots(0, 6, 13), tlp="AMBER", limits=limits, reasons=why)
    onward = Step(releaser="jp", kind="AUTHORITY", audience="jp-regulator", mask=slots(3, 5, 7))
    yield "report", _report("a report of 14 slots, and two hops", Plan((step, onward)))
    yield "one-slot", _report("a report of one slot", Plan(schema="one/1.0", values={"only": "x"}))
    yield "eight-slots", _report("a mask without unused bits", Plan((Step(mask=0x81),), schema="eight/1.0"))
    yield "submission", _report("a lab's submission", Plan((LAB,)))
    yield "stream", _stream()
    for name in BODIES:
        framed, kind, body = signed(name)
        inputs = {key: _plain(value) for key, value in BODIES[name].items()}
        made = {"type": kind, "body_hex": body.hex(), "key_id_hex": id_of("gb", "relay").hex()}
        yield (
            name,
            {
                "about": f"a {name}, signed by gb",
                "keys": _keys("gb"),
                "body": inputs,
                "expect": made | {"statement_hex": framed.hex()},
            },
        )


def _report(about: str, plan: Plan) -> dict[str, Any]:
    built = build(plan)
    made = built.steps
    return {
        "about": about,
        "keys": _keys(*dict.fromkeys(step.releaser for step in plan.steps)),
        "schemas": {plan.schema: TEXTS[plan.schema]},
        "header": {key: _plain(value) for key, value in made["fields"].items()},
        "values_hex": _plain(made["values"]),
        "salts_hex": _plain(made["salts"]),
        "hops": [
            {"body_hex": hop["body"].hex(), "releaser": step.releaser}
            for hop, step in zip(made["hops"], plan.steps, strict=True)
        ],
        "expect": {
            "header_hex": made["header"].hex(),
            "ctx_hex": made["ctx"].hex(),
            "slots_hex": _plain(made["slots"]),
            "slots_root_hex": made["slots_root"].hex(),
            "entry_hex": made["entry"].hex(),
            "leaf_hex": built.leaf.hex(),
            "signature_hex": made["signature"].hex(),
            "hop_signatures_hex": [hop["signature"].hex() for hop in made["hops"]],
            "envelope_hex": built.framed.hex(),
        },
    }


def _keys(*parties: str) -> dict[str, Any]:
    return {
        f"{party}/{use}": {
            "seed_hex": seed(party, use).hex(),
            "public_hex": public(party, use).hex(),
            "key_id_hex": id_of(party, use).hex(),
        }
        for party in parties
        for use in ("event", "relay")
    }


def _stream() -> dict[str, Any]:
    head = head_zero("gb", "jp", EPOCH)
    heads, hints = [head.hex()], []
    texts = [record(seq, EPOCH) for seq in range(1, 5)]
    for seq, text in enumerate(texts, 1):
        head = next_head(head, seq, text)
        heads.append(head.hex())
        hints.append(encode_hint(EPOCH, seq).hex())
    return {
        "about": "the heads of a stream, from head 0, and the hints of its records",
        "stream": {"releaser": "gb", "audience": "jp", "epoch": EPOCH},
        "records_hex": [text.hex() for text in texts],
        "expect": {"heads_hex": heads, "hints_hex": hints},
    }


def _plain(value: Any) -> Any:
    """As JSON has it: bytes in hexadecimal."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
