# ruff: noqa: INP001 - scripts beside their data
"""Reject vectors of steps 5 to 7: place, keys, parties, schemas; and the order between them."""

from __future__ import annotations

from hashlib import sha256, sha512
from typing import TYPE_CHECKING, Any

from schemas.vectors.make_accept import LAB, RETRACTION
from schemas.vectors.make_report import ALL, Plan, Step, build, slots, vector
from schemas.vectors.make_world import (
    DAY,
    DAY_MS,
    MINUTE,
    NOW,
    TEST,
    VALUES,
    encoded,
    id_of,
    private,
    public,
    seed,
    trust,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Named = tuple[str, dict[str, Any]]
ORDER = 2**252 + 27742317777372353535851937790883648493
"""L, the order of the base point of Ed25519."""
JP = Step(releaser="jp", audience="ke")


def late_rejects() -> Iterator[Named]:
    """Every reject vector of steps 5 to 7, by name of its file."""
    yield from _sources()
    yield from _hop_keys()
    yield from _signatures()
    yield from _report_keys()
    yield from _key_order()
    yield from _parties()
    yield from _schemas()
    yield from _slots()
    yield from _ladders()


def _sources() -> Iterator[Named]:
    yield "source-audience", vector("it was made for another reader", Plan(), "STREAM_SOURCE", came_by=("gb", "ke"))
    yield "source-releaser", vector("another releaser sent it", Plan(), "STREAM_SOURCE", came_by=("jp", "jp"))
    about = "a chain cut short: the last hop that is left was made for another reader"
    yield "source-earlier-hop", vector(about, Plan((Step(),)), "STREAM_SOURCE", came_by=("jp", "ke"))
    nobody = trust(gb=None)
    yield (
        "order-source-key",
        vector("the place comes before the key", Plan(), "STREAM_SOURCE", parties=nobody, came_by=("gb", "ke")),
    )


def _hop_keys() -> Iterator[Named]:
    def bad(name: str, about: str, reason: str, **options: Any) -> Named:
        return f"hop-key-{name}", vector(about, Plan((Step(**options.pop("step", {})),)), reason, **options)

    yield bad("party", "the releaser is not in the trust view", "HOP_KEY_UNKNOWN", parties=trust(gb=None))
    yield bad("absent", "its relay key is not listed", "HOP_KEY_UNKNOWN", parties=trust(gb={"relay": None}))
    yield bad("use", "its event key signed", "HOP_KEY_UNKNOWN", step={"signer": ("gb", "event")})
    yield bad("other", "another party's relay key signed", "HOP_KEY_UNKNOWN", step={"signer": ("jp", "relay")})
    yield bad("id", "a key id that nobody has", "HOP_KEY_UNKNOWN", step={"key_id": bytes(16)})
    at = MINUTE * 60_000
    for name, about, window in (
        ("ended", "not_after_ms is the hop's minute", {"not_after_ms": at}),
        ("not-begun", "not_before_ms is 1 ms after the hop's minute", {"not_before_ms": at + 1}),
    ):
        yield bad(name, about, "HOP_KEY_WINDOW", parties=trust(gb={"relay": window}))
    revoked = trust(gb={"relay": {"revoked_at_ms": NOW}})
    yield bad("revoked", "revoked_at_ms is now", "HOP_KEY_REVOKED", parties=revoked)
    yield bad("revoked-held", "a held leaf does not save a hop", "HOP_KEY_REVOKED", parties=revoked, held=True)
    late = {"revoked_at_ms": 0, "not_after_ms": at}
    yield bad(
        "window-revoked", "the window comes before revocation", "HOP_KEY_WINDOW", parties=trust(gb={"relay": late})
    )


def flipped(party: str, use: str) -> Callable[[bytes], bytes]:
    """A signature with S ≥ L."""
    return lambda message: private(party, use).sign(message)[:-1] + b"\x7f"


def _with_order(party: str, use: str) -> Callable[[bytes], bytes]:
    """A signature with S + L in place of S: lax verifiers take it."""

    def sign(message: bytes) -> bytes:
        raw = private(party, use).sign(message)
        return raw[:32] + (int.from_bytes(raw[32:], "little") + ORDER).to_bytes(32, "little")

    return sign


def _identity(party: str, use: str) -> Callable[[bytes], bytes]:
    """A signature whose R is the identity; [S]B = R + [k]A holds."""

    def sign(message: bytes) -> bytes:
        digest = bytearray(sha512(seed(party, use)).digest()[:32])
        digest[0] &= 248
        digest[31] = digest[31] & 63 | 64
        r = b"\x01" + bytes(31)
        k = int.from_bytes(sha512(r + public(party, use) + message).digest(), "little")
        return r + (k * int.from_bytes(digest, "little") % ORDER).to_bytes(32, "little")

    return sign


def _signatures() -> Iterator[Named]:
    for name, about, how in (
        ("wrong", "S ≥ L", flipped),
        ("s-plus-l", "S + L in place of S", _with_order),
        ("identity", "R is the identity, and the equation holds", _identity),
    ):
        hop, report = how("gb", "relay"), how("gb", "event")
        yield f"hop-signature-{name}", vector(about, Plan((Step(sign=hop),)), "HOP_SIGNATURE_INVALID")
        yield f"signature-{name}", vector(about, Plan(sign=report), "SIGNATURE_INVALID")
    step = Step(hop_type="application/vnd.tocsin.receipt.v1+avro")
    yield "hop-signature-type", vector("signed as another type", Plan((step,)), "HOP_SIGNATURE_INVALID")
    about = "the entry is not that of a report"
    yield (
        "signature-type",
        vector(
            about, Plan(report_type="application/vnd.tocsin.hop.v1+avro", steps=(_leaf_step(),)), "SIGNATURE_INVALID"
        ),
    )
    last = Step(sign=lambda m: private("jp", "relay").sign(m))
    yield "hop-signature-other-key", vector("another key signed under this id", Plan((last,)), "HOP_SIGNATURE_INVALID")
    tampered = Plan(envelope=lambda r: r["values"].__setitem__(6, b"\x02\x0c"), steps=(_leaf_step(b"\x02\x0c"),))
    yield (
        "signature-value",
        vector("a value was changed, and a releaser signed the new leaf", tampered, "SIGNATURE_INVALID"),
    )
    changed = Plan(envelope=lambda r: r["values"].__setitem__(6, b"\x02\x0c"))
    yield "hop-prev-value", vector("a value was changed on the way", changed, "HOP_PREV")


def _leaf_step(value: bytes | None = None) -> Step:
    """Hop 0 over the leaf that a reader computes, where that is not the one that was signed."""
    raw = encoded(VALUES)
    if value is not None:
        raw[6] = value
    return Step(fields=lambda record: record.update(prev=build(Plan(raw_values=raw)).leaf))


def _report_keys() -> Iterator[Named]:
    def bad(name: str, about: str, reason: str, **options: Any) -> Named:
        return f"key-{name}", vector(about, Plan(**options.pop("plan", {})), reason, **options)

    yield bad("absent", "the origin's event key is not listed", "KEY_UNKNOWN", parties=trust(gb={"event": None}))
    yield bad("use", "the header names the relay key", "KEY_UNKNOWN", plan={"header": {"key_id": id_of("gb", "relay")}})
    yield bad("id", "the header names no key", "KEY_UNKNOWN", plan={"header": {"key_id": bytes(16)}})
    begin = DAY * DAY_MS
    for name, about, window in (
        ("ended", "not_after_ms is the beginning of created_day", {"not_after_ms": begin}),
        ("not-begun", "not_before_ms is the end of created_day", {"not_before_ms": begin + DAY_MS}),
    ):
        yield bad(name, about, "KEY_WINDOW", parties=trust(gb={"event": window}))
    revoked = trust(gb={"event": {"revoked_at_ms": NOW}})
    yield bad("revoked", "revoked_at_ms is now, and the leaf is not held", "KEY_REVOKED", parties=revoked)
    both = trust(gb={"event": {"revoked_at_ms": 0, "not_after_ms": begin}})
    yield bad("window-revoked", "the window comes before revocation", "KEY_WINDOW", parties=both, held=True)
    yield bad(
        "revoked-signature",
        "revocation comes before the signature",
        "KEY_REVOKED",
        parties=revoked,
        plan={"sign": flipped("gb", "event")},
    )


def _key_order() -> Iterator[Named]:
    def bad(name: str, about: str, reason: str, plan: Plan, **options: Any) -> Named:
        return f"order-{name}", vector(about, plan, reason, **options)

    wrong, report = flipped("gb", "relay"), flipped("gb", "event")
    yield bad(
        "last-hop-first",
        "the last hop comes before the report",
        "HOP_SIGNATURE_INVALID",
        Plan((Step(sign=wrong),), sign=report),
    )
    yield bad(
        "report-second",
        "the report comes before the earlier hops",
        "SIGNATURE_INVALID",
        Plan((Step(sign=wrong), JP), sign=report),
    )
    yield bad("earlier-hop", "an earlier hop's signature", "HOP_SIGNATURE_INVALID", Plan((Step(sign=wrong), JP)))
    three = Plan((Step(), JP, Step(releaser="ke", audience="fr")))
    mixed = trust(gb={"relay": {"revoked_at_ms": 0}}, jp={"relay": None})
    yield bad("last-to-first", "earlier hops go from last to first", "HOP_KEY_UNKNOWN", three, parties=mixed)
    mixed = trust(gb={"relay": {"revoked_at_ms": 0}}, fr=None)
    yield bad("keys-before-readers", "every signature comes before any reader", "HOP_KEY_REVOKED", three, parties=mixed)
    mixed = trust(jp={"kind": "BODY", "jurisdiction": ""}, fr=None)
    yield bad("readers-in-order", "readers go from first to last", "HOP_HANDLING", three, parties=mixed)
    late = Plan((Step(minute=MINUTE + 10), Step(releaser="jp", audience="ke", minute=MINUTE + 10)))
    yield bad(
        "minute-of-hop", "hop 0's minute comes before hop 1's reader", "NOT_YET_VALID", late, parties=trust(ke=None)
    )
    yield bad(
        "reader-schema",
        "readers come before the schema",
        "HOP_READER_UNKNOWN",
        Plan(),
        parties=trust(jp=None),
        schemas=(),
    )


def _parties() -> Iterator[Named]:
    yield (
        "reader-unknown",
        vector("the reader is not in the trust view", Plan(), "HOP_READER_UNKNOWN", parties=trust(jp=None)),
    )
    about = "a reader of another kind"
    yield "reader-kind", vector(about, Plan((Step(kind="AUTHORITY"),)), "HOP_HANDLING")
    yield "reader-lab", vector("a lab is no MEMBER", Plan((Step(audience="acme-labs"),)), "HOP_HANDLING")
    hops = (Step(), Step(releaser="jp", kind="AUTHORITY", audience="gb-regulator"))
    about = "AMBER at hop 1 to the authority of another jurisdiction"
    yield "handling-jurisdiction", vector(about, Plan(hops, {"tlp": "AMBER"}), "HOP_HANDLING")
    body = (
        Step(kind="BODY", audience="world-body"),
        Step(releaser="world-body", kind="AUTHORITY", audience="eu-office"),
    )
    yield "handling-body", vector("a BODY has no authority of its own", Plan(body, {"tlp": "AMBER"}), "HOP_HANDLING")
    full = (Step(), Step(releaser="jp", kind="AUTHORITY", audience="eu-office", mask=1))
    about = "a retraction that shows a slot is bound by jurisdiction"
    yield "handling-retraction-jurisdiction", vector(about, Plan(full, RETRACTION | {"tlp": "AMBER"}), "HOP_HANDLING")
    lab = {"releaser": "acme-labs", "policy": LAB.policy}
    for name, about, steps in (
        ("kind", "a lab's hop to an AUTHORITY", (Step(kind="AUTHORITY", audience="gb-regulator", **lab),)),
        ("community", "a lab's hop to a COMMUNITY", (Step(kind="COMMUNITY", audience="community-x", **lab),)),
        ("policy", "a lab with a policy", (Step(releaser="acme-labs", audience="gb"),)),
        ("followed", "something follows a lab's hop", (Step(audience="gb", **lab), Step())),
    ):
        yield f"lab-{name}", vector(about, Plan(steps), "HOP_HANDLING")
    yield "policy-empty", vector("an institute without a policy", Plan((Step(policy=LAB.policy),)), "HOP_HANDLING")
    empty = Plan((Step(releaser="acme-labs", kind="PUBLIC", audience="public", mask=0, policy=LAB.policy),), RETRACTION)
    yield "lab-retraction", vector("an empty retraction does not free a lab", empty, "HOP_HANDLING")
    yield (
        "not-yet-valid",
        vector("a minute 1 ms beyond now + 6 min", Plan(), "NOT_YET_VALID", now=(MINUTE - 6) * 60_000 - 1),
    )


def _schemas() -> Iterator[Named]:
    def bad(name: str, about: str, reason: str, plan: Plan | None = None, **options: Any) -> Named:
        return f"schema-{name}", vector(about, plan or Plan(), reason, **options)

    yield bad("none", "no schema is known", "SCHEMA_UNKNOWN", schemas=())
    yield bad("name", "another name", "SCHEMA_UNKNOWN", schemas=("one/1.0",))
    yield bad("major", "another major", "SCHEMA_UNKNOWN", texts={"test/2.0": TEST})
    yield bad("earlier-minor", "only a later minor is known", "SCHEMA_UNKNOWN", schemas=("test/1.1",))
    between = Plan(schema="test/1.1", header={"schema": "test/1.5"})
    yield bad(
        "between", "a minor between known ones", "SCHEMA_UNKNOWN", between, texts={"test/1.0": TEST, "test/1.9": TEST}
    )
    for name, about, old, new in (
        ("float", "a field of float", '"int"', '"float"'),
        ("rung", "an unknown rung function", "band/1", "band/2"),
        (
            "cycle",
            "a ladder that is a cycle",
            '"of": "occurred_at", "by": "day/1"',
            '"of": "occurred_month", "by": "month/1"',
        ),
        ("no-field", "a rung of no field", '"of": "severity"', '"of": "gravity"'),
        ("default", "a default that is not null", '"default": null', '"default": ""'),
    ):
        text = TEST.replace(old, new, 1)
        if text == TEST:
            raise ValueError(f"the schema does not have {old}")
        plan = Plan(header={"schema_sha256": sha256(text.encode()).digest()})
        yield bad(name, f"{about}: not loaded", "SCHEMA_UNKNOWN", plan, texts={"test/1.0": text})
    yield bad(
        "mismatch", "the known file has another hash", "SCHEMA_MISMATCH", Plan(header={"schema_sha256": bytes(32)})
    )


def _slots() -> Iterator[Named]:
    raw = encoded(VALUES)
    yield "slot-count-more", vector("a slot more than fields", Plan(raw_values=[*raw, b"\0"]), "SLOT_COUNT")
    yield "slot-count-fewer", vector("a slot fewer than fields", Plan(raw_values=raw[:-1]), "SLOT_COUNT")
    later = Plan(schema="test/1.1", raw_values=raw[:13])
    yield (
        "slot-count-later",
        vector("a later minor with fewer slots than the latest known", later, "SLOT_COUNT", schemas=("test/1.0",)),
    )
    for name, about, index, value in (
        ("empty", "no bytes", 0, b""),
        ("trailing", "a null and another byte", 0, b"\0\0"),
        ("branch", "a union branch beyond T", 0, b"\x04"),
        ("branch-negative", "a negative union branch", 0, b"\x01"),
        ("branch-overlong", "a union branch in two bytes", 0, b"\x82\0\0"),
        ("utf8", "text that is not UTF-8", 0, b"\x02\x02\xff"),
        ("long-65-bits", "a long of more than 64 bits", 1, b"\x02" + b"\x80" * 9 + b"\x02"),
        ("int-33-bits", "an int of 2^31", 6, b"\x02\x80\x80\x80\x80\x10"),
        ("int-overlong", "an int in two bytes where one does", 6, b"\x02\x8a\0"),
        ("enum", "an index beyond the symbols", 7, b"\x02\x08"),
        ("boolean", "a boolean of 2", 10, b"\x02\x02"),
        ("fixed", "a fixed one byte short", 11, b"\x02abc"),
        ("array-block", "a block of negative count", 12, b"\x02\x01\x0c\x08Acme\0\0"),
        ("array-huge", "a count of 2^62", 12, b"\x02" + b"\x80" * 9 + b"\x01"),
        ("set-order", "a set out of order", 4, b"\x02\x04\x04JP\x04GB\0"),
        ("set-twice", "an item of a set twice", 4, b"\x02\x04\x04GB\x04GB\0"),
        ("set-by-text", "a set in the order of its texts, not of their encodings", 4, b"\x02\x04\x06AAA\x04GB\0"),
    ):
        values = [*raw[:index], value, *raw[index + 1 :]]
        hide = slots(*(i for i in range(14) if i != index))
        plan = Plan((Step(mask=ALL & ~hide),), raw_values=values)
        yield f"slot-{name}", vector(about, plan, "SLOT_MALFORMED")
    both = Plan(raw_values=[b"\x04", *raw[1:6], b"\x02\x02", *raw[7:]])
    yield "order-slot-ladder", vector("every slot comes before any ladder", both, "SLOT_MALFORMED")


def _ladders() -> Iterator[Named]:
    def missing(name: str, about: str, mask: int, which: int) -> Named:
        step = Step(mask=mask, reasons=((which, "COARSENED", 0, ""), (ALL & ~mask & ~which, "WITHHELD", 0, "")))
        step.reasons = tuple(reason for reason in step.reasons if reason[0])
        return f"ladder-missing-{name}", vector(about, Plan((step,)), "LADDER_MISSING")

    yield missing("rung", "severity is coarsened, and its band is withheld", ALL & ~slots(6, 7), slots(6))
    yield missing("no-ladder", "a slot without a ladder is coarsened", ALL & ~1, 1)
    yield missing("coarsest", "the coarsest rung is coarsened", ALL & ~slots(3), slots(3))
    early = Step(mask=ALL & ~slots(0), reasons=((1, "COARSENED", 0, ""),))
    about = "the first hop's reasons count too"
    yield "ladder-missing-hop-0", vector(about, Plan((early, JP)), "LADDER_MISSING")
    disagree = Plan((early,), values={"severity_band": "LOW"})
    yield "order-ladder", vector("a missing rung comes before a disagreement", disagree, "LADDER_MISSING")
    for name, about, change, mask in (
        ("day", "a day that is not the time's", {"occurred_day": DAY + 1}, ALL),
        (
            "day-floor",
            "a time before 1970 rounded up",
            {"occurred_at": -1, "occurred_day": 0, "occurred_month": 0},
            ALL,
        ),
        ("day-undefined", "a day that is no int", {"occurred_at": 2**62, "occurred_day": DAY}, ALL & ~slots(3)),
        ("month", "a day that is not its month's first", {"occurred_month": DAY + 1}, ALL),
        ("through", "through a withheld middle rung", {"occurred_month": DAY - 30}, ALL & ~slots(2)),
        ("region", "a region too few", {"region": ["154"]}, ALL),
        ("band", "another band", {"severity_band": "LOW"}, ALL),
        ("band-undefined", "severity 8 has no band", {"severity": 8}, ALL),
        ("band-null", "a null coarser beside a finer", {"severity_band": None}, ALL),
        ("band-undefined-null", "severity 8 and a null band", {"severity": 8, "severity_band": None}, ALL),
        ("magnitude", "another magnitude", {"affected_magnitude": 4}, ALL),
        ("magnitude-zero", "nobody is magnitude -1", {"affected": 0, "affected_magnitude": 0}, ALL),
        ("magnitude-undefined", "a negative count", {"affected": -1, "affected_magnitude": -1}, ALL),
    ):
        yield f"ladder-{name}", vector(about, Plan((Step(mask=mask),), values=change), "LADDER_MISMATCH")
    later = Plan(schema="test/1.1", values={"severity_band": "LOW"})
    about = "a later minor's known rungs are compared"
    yield "ladder-later-minor", vector(about, later, "LADDER_MISMATCH", schemas=("test/1.0",))
