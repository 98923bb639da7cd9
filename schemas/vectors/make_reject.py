# ruff: noqa: INP001 - scripts beside their data
"""Reject vectors of steps 1 to 4: what the bytes alone show, and which of two faults is the verdict."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from schemas.vectors.make_accept import RETRACTION, largest, long_hop
from schemas.vectors.make_report import ALL, NEVER, Plan, Step, slots, vector
from schemas.vectors.make_world import DAY, MINUTE, encoded

from tocsin.wire import records
from tocsin.wire.avro import Codec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.vectors.make_report import Bytes, Edit, Fields

Named = tuple[str, dict[str, Any]]


def put(**fields: Any) -> Edit:
    """Replace fields of a record before it is encoded."""
    return lambda record: record.update(fields)


def swap(old: bytes, new: bytes, count: int = 1) -> Any:
    """Replace bytes in what is encoded; they must be there."""

    def change(data: bytes) -> bytes:
        if old not in data:
            raise ValueError("the bytes to replace are not there")
        return data.replace(old, new, count)

    return change


def rejects() -> Iterator[Named]:
    """Every reject vector of steps 1 to 4, by name of its file."""
    yield from _frames()
    yield from _headers()
    yield from _shapes()
    yield from _hops_strict()
    yield from _hops_invalid()
    yield from _chains()
    yield from _masks_and_reasons()
    yield from _handling()
    yield from _limits_and_times()


def _frames() -> Iterator[Named]:
    yield "size", vector("262,145 bytes", Plan(framed=lambda _: bytes(262_145)), "SIZE")
    yield (
        "size-greatest",
        vector("262,144 bytes are no fault by themselves", Plan(framed=lambda _: bytes(262_144)), "FRAMING"),
    )
    statement = Codec(records.STATEMENT).fingerprint
    for name, about, change in (
        ("framing-empty", "no bytes", lambda _: b""),
        ("framing-short", "nine bytes of a good frame", lambda f: f[:9]),
        ("framing-marker", "another version of the marker", lambda f: b"\xc3\x02" + f[2:]),
        ("framing-statement", "a Statement's frame", lambda f: f[:2] + statement + f[10:]),
        ("framing-big-endian", "the fingerprint in the wrong order", lambda f: f[:2] + f[9:1:-1] + f[10:]),
    ):
        yield name, vector(about, Plan(framed=change), "FRAMING")
    plain = b"\x02\x02x"  # one value, in one block
    values = {"raw_values": [b"x"], "schema": "one/1.0"}
    for name, about, change in (
        ("envelope-empty", "a frame and nothing else", lambda f: f[:10]),
        ("envelope-trailing", "one byte too many", lambda f: f + b"\0"),
        ("envelope-truncated", "the last byte is missing", lambda f: f[:-1]),
        ("envelope-block-negative", "a block of negative count with its size", swap(plain + b"\0", b"\x01\x04\x02x\0")),
        ("envelope-block-overlong", "a count in two bytes where one does", swap(plain + b"\0", b"\x82\0\x02x\0")),
        ("envelope-block-unended", "an array that another block follows", swap(plain + b"\0", plain + b"\x02\x02y\0")),
        ("envelope-count-huge", "a count of 2^62", swap(plain, b"\x80" * 9 + b"\x01" + b"\x02x")),
        ("envelope-length-huge", "a length of 2^62", swap(plain, b"\x02" + b"\x80" * 9 + b"\x01x")),
        ("envelope-length-negative", "a length of -1", swap(plain, b"\x02\x01x")),
        (
            "envelope-varint-65-bits",
            "a varint of more than 64 bits",
            swap(plain, b"\x02" + b"\x82" + b"\x80" * 8 + b"\x02x"),
        ),
        ("envelope-varint-11-bytes", "a varint of 11 bytes", swap(plain, b"\x02" + b"\x82" + b"\x80" * 9 + b"\x00x")),
    ):
        yield name, vector(about, Plan(framed=change, **values), "ENVELOPE_MALFORMED")


def _headers() -> Iterator[Named]:
    for name, about, change in (
        ("header-trailing", "one byte too many", lambda h: h + b"\0"),
        ("header-empty", "no bytes", lambda _: b""),
        ("header-boolean", "a boolean of 2", lambda h: h[:-1] + b"\x02"),
        ("header-enum", "an index beyond TLP", lambda h: h[:-2] + b"\x0a\0"),
        ("header-enum-negative", "a negative index", lambda h: h[:-2] + b"\x01\0"),
        ("header-utf8", "an origin that is not UTF-8", swap(b"\x04gb", b"\x04\xff\xfe")),
        ("header-surrogate", "a surrogate in the origin", swap(b"\x04gb", b"\x06\xed\xa0\x80")),
        ("header-nul-overlong", "an overlong form in the origin", swap(b"\x04gb", b"\x04\xc0\x80")),
    ):
        yield name, vector(about, Plan(header_bytes=change), "HEADER_MALFORMED")
    day = Plan(header={"created_day": 64})
    day.header_bytes = swap(b"\x80\x01\x10test", b"\x80\x81\0\x10test")
    yield "header-int-overlong", vector("an int in three bytes where two do", day, "HEADER_MALFORMED")
    day = Plan(header={"created_day": 64})
    day.header_bytes = swap(b"\x80\x01\x10test", b"\x80\x80\x80\x80\x10\x10test")
    yield "header-int-33-bits", vector("an int of 2^31", day, "HEADER_MALFORMED")
    for size, reason in ((1_025, "HEADER_MALFORMED"), (1_024, "HEADER_INVALID")):
        plan = Plan(header={"origin": "g" * (size - 114)}, signer=("gb", "event"), header_bytes=_sized(size))
        yield f"header-{size}-bytes", vector(f"{size} bytes of which the origin is most", plan, reason)
    later = {"revision": 1, "stage": "UPDATE", "prev": b"\x01" * 32}
    for name, about, fields in (
        ("origin-capitals", "an origin with capitals", {"origin": "GB"}),
        ("origin-public", "a reserved origin", {"origin": "public"}),
        ("origin-community", "an origin that begins as a community", {"origin": "community-x"}),
        ("origin-newline", "an origin with a newline at its end", {"origin": "gb\n"}),
        ("origin-dot", "an origin with a dot", {"origin": "g.b"}),
        ("origin-hyphen", "an origin that ends in a hyphen", {"origin": "gb-"}),
        ("origin-empty", "no origin", {"origin": ""}),
        ("origin-long", "an origin of 33 characters", {"origin": "g" * 33}),
        ("origin-digit", "a digit that is not ASCII", {"origin": "gb٣"}),
        ("revision-negative", "revision -1", later | {"revision": -1}),
        ("stage-initial-later", "INITIAL at revision 1", later | {"stage": "INITIAL"}),
        ("stage-update-first", "UPDATE at revision 0", {"stage": "UPDATE"}),
        ("prev-first", "a prev at revision 0", {"prev": b"\x01" * 32}),
        ("prev-missing", "no prev at revision 1", later | {"prev": bytes(32)}),
        ("day-negative", "a day before 1970", {"created_day": -1}),
        ("schema-capital", "a schema name with a capital", {"schema": "Test/1.0"}),
        ("schema-zero", "a leading zero", {"schema": "test/01.0"}),
        ("schema-no-minor", "no minor version", {"schema": "test/1"}),
        ("schema-five-digits", "a minor of five digits", {"schema": "test/1.10000"}),
        ("schema-newline", "a newline at its end", {"schema": "test/1.0\n"}),
        ("schema-long", "a name of 33 characters", {"schema": "t" * 33 + "/1.0"}),
    ):
        plan = Plan(header=fields, signer=("gb", "event"))
        yield f"header-{name}", vector(about, plan, "HEADER_INVALID", came_by=("gb", "jp"))


def _sized(size: int) -> Bytes:
    """The bytes as they are, of that size."""

    def check(header: bytes) -> bytes:
        if len(header) != size:
            raise ValueError(f"the header has {len(header)} bytes, not {size}")
        return header

    return check


def _shapes() -> Iterator[Named]:
    def cut(name: str, end: int | None, more: bytes = b"") -> Edit:
        return lambda record: record.update({name: record[name][:end] + more})

    nothing = put(mask=b"", salts=b"", values=[], digests=b"")
    for name, about, change in (
        ("mask-short", "a mask of one byte for 14 slots", cut("mask", 1)),
        ("mask-long", "a mask of three bytes for 14 slots", cut("mask", None, b"\0")),
        ("mask-padding", "an unused bit in place of a used one", put(mask=b"\xfe\x7f")),
        ("mask-counts", "a bit fewer than values", put(mask=b"\xfe\x3f")),
        ("salts-short", "a salt is one byte short", cut("salts", -1)),
        ("salts-missing", "a salt is missing", cut("salts", -16)),
        ("digests-odd", "digests of 31 bytes", put(digests=bytes(31))),
        ("no-slots", "n = 0", nothing),
        ("257-slots", "n = 257", put(digests=bytes(32 * 243), mask=b"\xff\x3f" + bytes(31))),
        ("value-too-long", "a value of 65,536 bytes", lambda r: r["values"].__setitem__(13, bytes(65_536))),
    ):
        yield f"shape-{name}", vector(about, Plan(envelope=change), "SHAPE")
    more = Plan(envelope=put(digests=bytes(32)))
    yield "hop-prev-digest", vector("a digest more makes another n and another leaf", more, "HOP_PREV")
    plan = Plan(schema="wide/1.0", raw_values=largest(65_286, encoded({}, "wide/1.0")))
    yield "shape-values-too-long", vector("values of 196,609 bytes together", plan, "SHAPE")


def _hops_strict() -> Iterator[Named]:
    yield "hops-none", vector("no hop", Plan(()), "HOPS_COUNT")
    names = ["gb", "jp", "ke", "fr", "m1", "m2", "m3", "m4", "m5", "eu"]
    nine = tuple(Step(releaser=a, audience=b, key_id=bytes(16), signer=("gb", "relay")) for a, b in pairwise(names))
    yield "hops-nine", vector("nine hops in a strict envelope", Plan(nine), "HOPS_COUNT")
    yield "hop-too-long", vector("a body of 4,097 bytes", long_hop(4_097), "HOP_MALFORMED")
    for name, about, change in (
        ("trailing", "one byte too many", lambda b: b + b"\0"),
        ("truncated", "the last byte is missing", lambda b: b[:-1]),
        ("empty", "no bytes", lambda _: b""),
        ("kind", "a kind beyond PUBLIC", swap(b"\0\x04jp", b"\x0a\x04jp")),
        ("minute-33-bits", "a minute of 2^31", lambda b: b[:-4] + b"\x80\x80\x80\x80\x10"),
        ("minute-overlong", "a minute in five bytes where four do", lambda b: b[:-1] + bytes([b[-1] | 0x80, 0])),
    ):
        yield f"hop-{name}", vector(about, Plan((Step(body=change),)), "HOP_MALFORMED")


def _hops_invalid() -> Iterator[Named]:
    def bad(name: str, about: str, **step: Any) -> Named:
        return f"hop-{name}", vector(about, Plan((Step(**step),)), "HOP_INVALID", came_by=("gb", "jp"))

    def limit(kind: str, mask: bytes, until: int = NEVER) -> Fields:
        return {"kind": kind, "slots": mask, "until": until}

    yield bad("releaser-form", "a releaser that is no party id, nor the origin", fields=put(releaser="gb "))
    yield bad("audience-form", "an audience that is no party id", audience="jp.")
    yield bad("audience-reserved", "a MEMBER with a reserved name", audience="public")
    yield bad("audience-community-member", "a MEMBER with a community's name", audience="community-x")
    yield bad("audience-public", "PUBLIC is exactly public", kind="PUBLIC", audience="public-2")
    yield bad("audience-community", "a COMMUNITY without its prefix", kind="COMMUNITY", audience="x")
    yield bad("audience-community-empty", "a COMMUNITY without a name", kind="COMMUNITY", audience="community-")
    yield bad("audience-community-long", "a name of 33", kind="COMMUNITY", audience="community-" + "x" * 33)
    yield bad("audience-community-newline", "a newline", kind="COMMUNITY", audience="community-x\n")
    one, two = b"\x01\0", b"\x02\0"
    for name, about, limits in (
        ("limit-empty", "an empty mask", [limit("PUBLIC", b"\0\0")]),
        ("limit-short", "a mask of one byte", [limit("PUBLIC", b"\x01")]),
        ("limit-padding", "an unused bit", [limit("PUBLIC", b"\x01\x40")]),
        ("limit-overlap", "one slot twice for a kind", [limit("PUBLIC", one, 1), limit("PUBLIC", b"\x03\0", 2)]),
        ("limit-kind-order", "kinds out of order", [limit("PUBLIC", one), limit("MEMBER", one)]),
        ("limit-until-order", "minutes out of order", [limit("PUBLIC", one, 2), limit("PUBLIC", two, 1)]),
        ("limit-pair-twice", "a pair (kind, until) twice", [limit("PUBLIC", one), limit("PUBLIC", two)]),
    ):
        yield bad(name, about, fields=put(limits=limits))
    for name, about, policy in (
        ("policy-form", "a policy id that is none", ("GB", 1, bytes(32))),
        ("policy-version", "version 0 with an id", ("gb", 0, bytes(32))),
        ("policy-version-negative", "version -1", ("gb", -1, bytes(32))),
        ("policy-no-id", "a version without an id", ("", 1, bytes(32))),
        ("policy-half-empty", "a hash without an id", ("", 0, b"\x01" * 32)),
    ):
        yield bad(name, about, policy=policy)
    about = "two faults: the form of a field comes before prev"
    yield bad("invalid-before-prev", about, audience="", fields=put(prev=bytes(32)))


def _chains() -> Iterator[Named]:
    def bad(name: str, about: str, reason: str, *steps: Step, **plan: Any) -> Named:
        return name, vector(about, Plan(steps, **plan), reason)

    jp = Step(releaser="jp", audience="ke")
    yield bad("hop-prev-leaf", "hop 0's prev is not the leaf", "HOP_PREV", Step(fields=put(prev=bytes(32))))
    yield bad(
        "hop-prev-hop",
        "hop 1's prev is not hop 0",
        "HOP_PREV",
        Step(),
        Step(releaser="jp", audience="ke", fields=put(prev=bytes(32))),
    )
    yield bad(
        "hop-releaser-origin",
        "hop 0 is not the origin's",
        "HOP_RELEASER",
        Step(releaser="jp", audience="ke"),
        header={"origin": "gb"},
    )
    yield bad("hop-releaser-audience", "hop 1 is not the audience's of hop 0", "HOP_RELEASER", Step(audience="fr"), jp)
    community = Step(kind="COMMUNITY", audience="community-x")
    yield bad("hop-releaser-community", "nobody may follow COMMUNITY", "HOP_RELEASER", community, jp)
    again = (Step(kind="PUBLIC", audience="public"), Step(audience="ke"))
    yield bad(
        "hop-releaser-twice", "a releaser occurs twice, through PUBLIC", "HOP_RELEASER", *again, header={"tlp": "CLEAR"}
    )
    again = (Step(), Step(releaser="jp", audience="gb"), Step(audience="ke"))
    yield bad("hop-releaser-returns", "a releaser occurs twice, as an audience", "HOP_RELEASER", *again)
    two = (Step(mask=ALL & ~1, reasons=()), Step(releaser="jp", audience="ke", fields=put(prev=bytes(32))))
    yield bad("order-hop-by-hop", "hop 0's reasons come before hop 1's prev", "HOP_REASONS", *two)
    both = Step(releaser="jp", audience="ke", fields=put(prev=bytes(32)))
    yield bad("order-prev-releaser", "prev comes before the releaser", "HOP_PREV", both, header={"origin": "gb"})


def _masks_and_reasons() -> Iterator[Named]:
    narrow = (Step(mask=ALL & ~1), Step(releaser="jp", audience="ke", mask=ALL, reasons=()))
    yield "hop-mask-wider", vector("hop 1 gives what hop 0 withheld", Plan(narrow), "HOP_MASK")
    for name, about, raw in (
        ("short", "one byte", b"\xff"),
        ("long", "three bytes", b"\xff\x3f\0"),
        ("padding", "an unused bit", b"\xff\x7f"),
    ):
        yield f"hop-mask-{name}", vector(f"mask_out: {about}", Plan((Step(fields=put(mask_out=raw)),)), "HOP_MASK")
    yield (
        "hop-mask-envelope",
        vector("the envelope shows less than the last hop let through", Plan(mask=ALL & ~1), "HOP_MASK"),
    )
    about = "every hop passes step 4 before the last mask_out is compared"
    yield "order-time-mask", vector(about, Plan((Step(minute=0),), mask=ALL & ~1), "HOP_TIME")

    def bad(name: str, about: str, *why: tuple[int, str, int, str], mask: int = ALL & ~3, **step: Any) -> Named:
        return f"reasons-{name}", vector(about, Plan((Step(mask=mask, reasons=why, **step),)), "HOP_REASONS")

    yield bad("none", "no reasons for what is withheld")
    yield bad("part", "a withheld slot without a reason", (1, "WITHHELD", 0, ""))
    yield bad("more", "a reason for a disclosed slot", (7, "WITHHELD", 0, ""))
    yield bad("overlap", "two reasons for one slot", (3, "WITHHELD", 0, ""), (2, "COARSENED", 0, ""))
    yield bad("empty", "an empty mask", (3, "WITHHELD", 0, ""), (0, "WITHHELD", 0, ""))
    yield bad("until-withheld", "WITHHELD with a minute", (3, "WITHHELD", MINUTE, ""))
    yield bad("until-coarsened", "COARSENED with a minute", (3, "COARSENED", 1, ""))
    yield bad("until-embargo", "EMBARGOED without a minute", (3, "EMBARGOED", 0, ""))
    yield bad("until-embargo-negative", "EMBARGOED until before 1970", (3, "EMBARGOED", -1, ""))
    yield bad("rule-long", "a rule of 65 characters", (3, "WITHHELD", 0, "r" * 65))
    yield bad("rule-capital", "a rule with a capital", (3, "WITHHELD", 0, "Rule"))
    yield bad("rule-newline", "a rule with a newline at its end", (3, "WITHHELD", 0, "r\n"))
    short = [{"slots": b"\x03", "code": "WITHHELD", "until": 0, "rule": ""}]
    yield bad("mask-short", "a mask of one byte", fields=put(reasons=short))
    unused = [{"slots": b"\x03\x80", "code": "WITHHELD", "until": 0, "rule": ""}]
    yield bad("mask-padding", "an unused bit", fields=put(reasons=unused))
    two = (Step(mask=ALL & ~1), Step(releaser="jp", audience="ke", mask=ALL & ~3, reasons=((3, "WITHHELD", 0, ""),)))
    yield "reasons-earlier", vector("a reason for what an earlier hop withheld", Plan(two), "HOP_REASONS")
    about = "mask_out comes before reasons"
    yield (
        "order-mask-reasons",
        vector(about, Plan((Step(fields=put(mask_out=b"\xff\xff", reasons=unused)),)), "HOP_MASK"),
    )


def _handling() -> Iterator[Named]:
    jp, ke = Step(releaser="jp", audience="ke"), Step(releaser="ke", audience="fr")
    public, community = {"kind": "PUBLIC", "audience": "public"}, {"kind": "COMMUNITY", "audience": "community-x"}
    authority = {"kind": "AUTHORITY", "audience": "jp-regulator"}
    yield "hop-tlp-header", vector("hop 0 is less strict than the header", Plan((Step(tlp="CLEAR"),)), "HOP_TLP")
    looser = (Step(tlp="AMBER"), Step(releaser="jp", tlp="GREEN", **authority))
    yield "hop-tlp-hop", vector("hop 1 is less strict than hop 0", Plan(looser), "HOP_TLP")
    looser = (Step(kind="PUBLIC", audience="public", tlp="CLEAR"),)
    yield "order-tlp-handling", vector("TLP comes before handling", Plan(looser), "HOP_TLP")
    for name, tlp, steps in (
        ("green-public", "GREEN", (Step(**public),)),
        ("green-public-hop-1", "GREEN", (Step(), Step(releaser="jp", **public))),
        ("amber-community", "AMBER", (Step(**community),)),
        ("amber-public", "AMBER", (Step(**public),)),
        ("amber-hop-1-member", "AMBER", (Step(), jp)),
        ("amber-hop-1-body", "AMBER", (Step(), Step(releaser="jp", kind="BODY", audience="world-body"))),
        (
            "amber-hop-2",
            "AMBER",
            (
                Step(),
                Step(releaser="jp", **authority),
                Step(releaser="jp-regulator", kind="AUTHORITY", audience="eu-office"),
            ),
        ),
        ("amber-strict-community", "AMBER_STRICT", (Step(**community),)),
        ("amber-strict-hop-1", "AMBER_STRICT", (Step(), Step(releaser="jp", **authority))),
        ("red-public", "RED", (Step(**public),)),
        ("red-hop-1", "RED", (Step(), Step(releaser="jp", **authority))),
    ):
        yield f"handling-{name}", vector(f"{tlp} forbids this hop", Plan(steps, {"tlp": tlp}), "HOP_HANDLING")
    tightened = (Step(), Step(releaser="jp", audience="ke", tlp="AMBER"), ke)
    yield "handling-tightened", vector("hop 1 tightened GREEN to AMBER", Plan(tightened), "HOP_HANDLING")
    about = "a retraction that shows a slot is bound by the table"
    yield "handling-retraction-full", vector(about, Plan((Step(mask=1, **public),), RETRACTION), "HOP_HANDLING")
    update = RETRACTION | {"stage": "UPDATE"}
    about = "an empty mask does not free another stage"
    yield "handling-empty-update", vector(about, Plan((Step(mask=0, **public),), update), "HOP_HANDLING")


def _limits_and_times() -> Iterator[Named]:
    ke = Step(releaser="ke", audience="fr")
    for name, about, limits, minute in (
        ("minute", "a minute before the limit's end", (("MEMBER", 1, MINUTE + 1),), MINUTE),
        ("slots", "one of its slots is enough", (("MEMBER", slots(13), NEVER),), MINUTE),
        ("second", "the second limit of a kind", (("MEMBER", 1, MINUTE), ("MEMBER", 2, MINUTE + 1)), MINUTE),
        ("never", "2^31 - 1 binds the minute 2^31 - 1 too", (("MEMBER", 1, NEVER),), NEVER),
    ):
        plan = Plan((Step(limits=limits), Step(releaser="jp", audience="ke", minute=minute)))
        yield f"limit-{name}", vector(about, plan, "HOP_LIMIT")
    steps = (
        Step(limits=(("PUBLIC", 1, NEVER),)),
        Step(releaser="jp", audience="ke"),
        Step(releaser="ke", kind="PUBLIC", audience="public"),
    )
    yield "limit-hop-2", vector("hop 0's limit binds hop 2", Plan(steps, {"tlp": "CLEAR"}), "HOP_LIMIT")
    early = (Step(limits=(("MEMBER", 1, NEVER),)), Step(releaser="jp", audience="ke", minute=MINUTE - 1))
    yield "order-limit-time", vector("limits come before the minute", Plan(early), "HOP_LIMIT")
    yield "time-day", vector("hop 0 is a minute before created_day", Plan((Step(minute=DAY * 1_440 - 1),)), "HOP_TIME")
    yield (
        "time-hop",
        vector(
            "hop 1 is before hop 0",
            Plan((Step(), Step(releaser="jp", audience="ke", minute=MINUTE - 1), ke)),
            "HOP_TIME",
        ),
    )
    about = "created_day · 1,440 takes more than 32 bits"
    yield "time-64-bits", vector(about, Plan(header={"created_day": 2_982_617}), "HOP_TIME")
    yield "time-negative", vector("a negative minute", Plan((Step(minute=-1),), {"created_day": 0}), "HOP_TIME")
