# ruff: noqa: INP001 - scripts beside their data
"""Reject vectors with two faults each: the check that comes first in protocol section 6 gives the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.vectors.make_accept import LAB
from schemas.vectors.make_reject import put
from schemas.vectors.make_reject_late import flipped
from schemas.vectors.make_report import ALL, NEVER, Plan, Step, vector
from schemas.vectors.make_world import MINUTE, NOW, VALUES, encoded, trust

if TYPE_CHECKING:
    from collections.abc import Iterator

Named = tuple[str, dict[str, Any]]
JP = {"releaser": "jp", "audience": "ke"}


def orders() -> Iterator[Named]:
    """Two faults each, named by the two steps."""
    for name, reason, plan, options in (*_bytes(), *_keys(), *_schemas()):
        about = f"two faults: {name.replace('-', ' ')}"
        yield f"order-{name}", vector(about, plan, reason, **options)


def _bytes() -> Iterator[tuple[str, str, Plan, dict[str, Any]]]:
    odd = put(digests=bytes(31))
    yield (
        "frame-before-header",
        "ENVELOPE_MALFORMED",
        Plan(header_bytes=lambda h: h + b"\0", framed=lambda f: f + b"\0"),
        {},
    )
    yield "header-before-shape", "HEADER_MALFORMED", Plan(header_bytes=lambda h: h + b"\0", envelope=odd), {}
    yield (
        "header-form-before-rule",
        "HEADER_MALFORMED",
        Plan(header={"revision": -1}, header_bytes=lambda h: h + b"\0"),
        {},
    )
    yield "header-rule-before-shape", "HEADER_INVALID", Plan(header={"created_day": -1}, envelope=odd), {}
    yield "shape-before-hops", "SHAPE", Plan((), envelope=odd), {}
    short = Step(fields=put(minute=-1, policy={"id": "GB", "version": 1, "sha256": bytes(32)}), body=lambda b: b[:-1])
    yield "hop-form-before-rule", "HOP_MALFORMED", Plan((short,)), {}
    many = tuple(Step(body=lambda b: b[:-1]) for _ in range(9))
    yield "hops-count-before-form", "HOPS_COUNT", Plan(many), {}
    other = Step(releaser="jp", audience="ke", fields=put(mask_out=b"\xff"))
    yield "releaser-before-mask", "HOP_RELEASER", Plan((other,), {"origin": "gb"}), {}
    bare = Step(mask=ALL & ~1, reasons=(), tlp="CLEAR")
    yield "reasons-before-tlp", "HOP_REASONS", Plan((bare,)), {}
    limited = Step(limits=(("PUBLIC", ALL, NEVER),))
    public = Step(releaser="jp", kind="PUBLIC", audience="public")
    yield "handling-before-limit", "HOP_HANDLING", Plan((limited, public)), {}
    yield "time-before-last-mask", "HOP_TIME", Plan((Step(minute=-1),), mask=ALL & ~1), {}
    yield "last-mask-before-source", "HOP_MASK", Plan(mask=ALL & ~1), {"came_by": ("gb", "ke")}
    early = (Step(), Step(**JP, minute=MINUTE - 1))
    yield "time-before-source", "HOP_TIME", Plan(early), {"came_by": ("gb", "ke")}


def _keys() -> Iterator[tuple[str, str, Plan, dict[str, Any]]]:
    wrong = Plan((Step(sign=flipped("gb", "relay")),))
    revoked = trust(gb={"relay": {"revoked_at_ms": NOW}})
    yield "revoked-before-signature", "HOP_KEY_REVOKED", wrong, {"parties": revoked}
    late = trust(gb={"relay": {"not_after_ms": MINUTE * 60_000}})
    yield "window-before-signature", "HOP_KEY_WINDOW", wrong, {"parties": late}
    yield "hop-key-before-report-key", "HOP_KEY_UNKNOWN", Plan(), {"parties": trust(gb={"relay": None, "event": None})}
    yield "report-key-before-earlier-key", "KEY_UNKNOWN", Plan((Step(), Step(**JP))), {"parties": trust(gb=None)}
    lab = Step(releaser="acme-labs", audience="ke")
    yield "reader-before-lab", "HOP_READER_UNKNOWN", Plan((lab,)), {"parties": trust(ke=None)}
    followed = (Step(releaser="acme-labs", audience="gb", policy=LAB.policy), Step(audience="fr"))
    yield "lab-before-later-reader", "HOP_HANDLING", Plan(followed), {"parties": trust(fr=None)}
    soon = {"now": (MINUTE - 6) * 60_000 - 1}
    yield "reader-before-minute", "HOP_READER_UNKNOWN", Plan(), {"parties": trust(jp=None)} | soon
    yield "policy-before-minute", "HOP_HANDLING", Plan((Step(policy=LAB.policy),)), soon
    yield "minute-before-schema", "NOT_YET_VALID", Plan(), {"schemas": ()} | soon
    yield "signature-before-schema", "SIGNATURE_INVALID", Plan(sign=flipped("gb", "event")), {"schemas": ()}


def _schemas() -> Iterator[tuple[str, str, Plan, dict[str, Any]]]:
    raw = encoded(VALUES)
    other = {"schema_sha256": bytes(32)}
    yield "mismatch-before-count", "SCHEMA_MISMATCH", Plan(header=other, raw_values=raw[:-1]), {}
    yield "count-before-slots", "SLOT_COUNT", Plan(raw_values=[b"", *raw[1:-1]]), {}
    gone = Step(mask=ALL & ~2, reasons=((2, "WITHHELD", 0, ""),))
    bare = Step(**JP, mask=ALL & ~3, reasons=((1, "COARSENED", 0, ""),))
    yield "slots-before-rungs", "SLOT_MALFORMED", Plan((gone, bare), raw_values=[*raw[:13], b"\x02"]), {}
