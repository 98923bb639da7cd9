# ruff: noqa: INP001 - scripts beside their data
"""Accept vectors: one for every rule with a choice in it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from schemas.vectors.make_report import ALL, NEVER, NO_POLICY, Plan, Step, build, slots, vector
from schemas.vectors.make_world import DAY, DAY_MS, MINUTE, NOW, TEST, encoded, fixed_bytes, trust

from tocsin.wire.avro import Codec

if TYPE_CHECKING:
    from collections.abc import Iterator

Fields = dict[str, Any]
Named = tuple[str, Fields]
LAB = Step(releaser="acme-labs", audience="gb", policy=NO_POLICY)
RETRACTION = {"revision": 2, "stage": "RETRACTION", "prev": fixed_bytes("revision 1")}


def accepts() -> Iterator[Named]:
    """Every accept vector, by name of its file."""
    yield from _masks()
    yield from _kinds()
    yield from _chains()
    yield from _limits()
    yield from _retractions()
    yield from _times()
    yield from _headers()
    yield from _schemas()
    yield from _sizes()


def _masks() -> Iterator[Named]:
    yield "none-withheld", vector("every slot is disclosed", Plan())
    yield "all-but-one", vector("every slot but one is withheld", Plan((Step(mask=slots(6)),)))
    yield "all-withheld", vector("an empty mask, k = 0", Plan((Step(mask=0),)))
    yield "first-and-last", vector("the first and the last slot", Plan((Step(mask=slots(0, 13)),)))
    why = (
        (slots(0), "WITHHELD", 0, "z.rule_9-a"),
        (slots(2), "WITHHELD", 0, ""),
        (slots(1), "EMBARGOED", NEVER, "a" * 64),
    )
    yield (
        "reasons",
        vector("reasons in any order, rules of any form", Plan((Step(mask=ALL & ~slots(0, 1, 2), reasons=why),))),
    )
    why = ((slots(1, 2), "COARSENED", 0, "coarse"), (slots(6), "COARSENED", 0, "coarse"))
    about = "finer rungs withheld, coarser ones disclosed; through a withheld middle rung too"
    yield "coarsened-ladder", vector(about, Plan((Step(mask=ALL & ~slots(1, 2, 6), reasons=why),)))
    embargo = ((slots(0, 1), "EMBARGOED", MINUTE + 60, "gb-later"),)
    yield "embargo-before", vector("two slots under embargo", Plan((Step(mask=ALL & ~slots(0, 1), reasons=embargo),)))
    later = Plan((Step(minute=MINUTE + 60),))
    about = "the same leaf as embargo-before, with a wider mask, after the embargo"
    yield "embargo-lifted", vector(about, later, now=NOW + 60 * 60_000)


def _kinds() -> Iterator[Named]:
    for kind, audience, tlp in (
        ("MEMBER", "jp", "RED"),
        ("AUTHORITY", "jp-regulator", "AMBER_STRICT"),
        ("BODY", "world-body", "AMBER"),
        ("COMMUNITY", "community-red-team-2", "GREEN"),
        ("PUBLIC", "public", "CLEAR"),
    ):
        plan = Plan((Step(kind=kind, audience=audience),), {"tlp": tlp})
        yield f"kind-{kind.lower()}", vector(f"hop 0 to {kind} under {tlp}", plan)
    about = "a community's name may be hyphens, and 32 characters"
    yield "kind-community-name", vector(about, Plan((Step(kind="COMMUNITY", audience="community-" + "-" * 32),)))
    yield "submission", vector("a lab's submission: kind MEMBER, the empty policy", Plan((LAB,)))
    yield (
        "policy-reserved-id",
        vector(
            "a policy's id may be a reserved one, with a hash of zeros", Plan((Step(policy=("public", 1, bytes(32))),))
        ),
    )
    yield "own-audience", vector("nothing forbids a hop to its own releaser", Plan((Step(audience="gb"),)))


def _chains() -> Iterator[Named]:
    jp = Step(releaser="jp", kind="PUBLIC", audience="public", mask=slots(3, 5, 7), tlp="CLEAR")
    yield "two-hops", vector("gb to jp to jp's public", Plan((Step(mask=ALL & ~1), jp), {"tlp": "CLEAR"}))
    after = Step(releaser="ke", audience="fr", mask=slots(3))
    yield (
        "after-public",
        vector("any party may follow PUBLIC", Plan((Step(kind="PUBLIC", audience="public"), after), {"tlp": "CLEAR"})),
    )
    names = ["gb", "jp", "ke", "fr", "m1", "m2", "m3", "m4", "m5"]
    eight = tuple(Step(releaser=a, audience=b) for a, b in pairwise(names))
    yield "eight-hops", vector("the longest chain", Plan(eight), parties=trust(everybody=True))
    tighter = (Step(tlp="AMBER"), Step(releaser="jp", kind="AUTHORITY", audience="jp-regulator"))
    about = "hop 1 of AMBER goes to the AUTHORITY of the releaser's own jurisdiction; hop 0 tightened GREEN to it"
    yield "amber-own-authority", vector(about, Plan(tighter))
    green = (Step(), Step(releaser="jp", kind="COMMUNITY", audience="community-jp"))
    yield "green-community-hop-1", vector("GREEN goes on to every kind but PUBLIC", Plan(green))
    wide = (Step(), Step(releaser="jp", audience="ke"), Step(releaser="ke", kind="AUTHORITY", audience="eu-office"))
    yield "green-hop-2", vector("GREEN goes on at hop 2, to any jurisdiction", Plan(wide))
    yield "loose-file", vector("came by no stream", Plan(), came_by=None)
    dated = (Step(), Step(releaser="jp", audience="ke", minute=MINUTE))
    yield "same-minute", vector("two hops in one minute", Plan(dated))


def _limits() -> Iterator[Named]:
    hop = Step(releaser="jp", audience="ke")
    for name, about, limits, change in (
        ("limit-over", "a limit ends at its minute", (("MEMBER", ALL, MINUTE),), {}),
        ("limit-other-kind", "a limit binds its kind only", (("AUTHORITY", ALL, NEVER), ("PUBLIC", ALL, NEVER)), {}),
        ("limit-kept", "the next hop withholds what is limited", (("MEMBER", slots(0, 1), NEVER),), {"mask": ALL & ~3}),
        ("limit-two-minutes", "one kind twice, disjoint, ordered", (("MEMBER", 1, -5), ("MEMBER", 2, MINUTE)), {}),
    ):
        plan = Plan((Step(limits=limits), Step(**(vars(hop) | change))))
        yield name, vector(about, plan)
    about = "a hop's limits do not bind itself"
    yield "limit-own-hop", vector(about, Plan((Step(limits=(("MEMBER", ALL, NEVER),)),)))
    yield (
        "limit-of-withheld",
        vector("a limit may name slots not let through", Plan((Step(mask=6, limits=(("PUBLIC", 1, 9),)),))),
    )


def _retractions() -> Iterator[Named]:
    for tlp in ("GREEN", "AMBER", "RED"):
        plan = Plan((Step(kind="PUBLIC", audience="public", mask=0),), RETRACTION | {"tlp": tlp})
        yield f"retraction-public-{tlp.lower()}", vector(f"an empty retraction of {tlp} goes to the public", plan)
    hops = (Step(mask=0), Step(releaser="jp", kind="AUTHORITY", audience="eu-office"))
    about = "an empty retraction past the jurisdiction of hop 1"
    yield "retraction-jurisdiction", vector(about, Plan(hops, RETRACTION | {"tlp": "AMBER"}))
    hops = (Step(mask=1), Step(releaser="jp", audience="ke", mask=0), Step(releaser="ke", audience="fr"))
    yield (
        "retraction-later-hops",
        vector("the hop that empties it, and the next", Plan(hops, RETRACTION | {"tlp": "RED"})),
    )


def _times() -> Iterator[Named]:
    zero = Step(minute=DAY * 1_440)
    yield "minute-of-day", vector("hop 0 at the first minute of created_day", Plan((zero,)))
    yield "minute-ahead", vector("a minute of exactly now + 6 min", Plan(), now=(MINUTE - 6) * 60_000)
    for name, about, window in (
        (
            "event-window-begins",
            "the event key begins at the last ms of created_day",
            {"not_before_ms": (DAY + 1) * DAY_MS - 1},
        ),
        ("event-window-ends", "the event key ends 1 ms after created_day began", {"not_after_ms": DAY * DAY_MS + 1}),
        ("event-revoked-later", "revoked_at_ms is after now", {"revoked_at_ms": NOW + 1}),
    ):
        yield name, vector(about, Plan(), parties=trust(gb={"event": window}))
    yield (
        "event-revoked-held",
        vector(
            "the event key is revoked, and the leaf is held",
            Plan(),
            parties=trust(gb={"event": {"revoked_at_ms": 0}}),
            held=True,
        ),
    )
    for name, about, window in (
        ("relay-window-begins", "not_before_ms is the hop's minute", {"not_before_ms": MINUTE * 60_000}),
        ("relay-window-ends", "not_after_ms is 1 ms after the hop's minute", {"not_after_ms": MINUTE * 60_000 + 1}),
        ("relay-revoked-later", "revoked_at_ms is after now", {"revoked_at_ms": NOW + 1}),
    ):
        yield name, vector(about, Plan(), parties=trust(gb={"relay": window}))
    far = 2**31 - 1
    plan = Plan((Step(minute=far),), {"created_day": far // 1_440})
    long_keys = {"event": {"not_after_ms": 2**53}, "relay": {"not_after_ms": 2**53}}
    about = "the last minute of 32 bits; its products need 64"
    yield "minute-greatest", vector(about, plan, parties=trust(gb=long_keys), now=far * 60_000)


def _headers() -> Iterator[Named]:
    yield "exercise", vector("a drill", Plan(header={"exercise": True}))
    update = {"revision": 2**31 - 1, "stage": "UPDATE", "prev": b"\x01" * 32}
    yield "revision-greatest", vector("the greatest revision", Plan(header=update))
    first = {"created_day": 0}
    old = {"event": {"not_before_ms": -1}, "relay": {"not_before_ms": -1}}
    plan = Plan((Step(minute=0),), first)
    yield "day-zero", vector("day 0, minute 0", plan, parties=trust(gb=old))
    final = {"revision": 1, "stage": "FINAL", "prev": fixed_bytes("revision 0"), "tlp": "CLEAR"}
    yield "final", vector("a final report", Plan(header=final))


def _schemas() -> Iterator[Named]:
    later = Plan(schema="test/1.1", values={"severity": 5, "severity_band": "HIGH", "added": "more"})
    about = "a later minor, read by the latest known one: the added slot is unreadable, and listed as received"
    yield "later-minor", vector(about, later, schemas=("test/1.0",))
    later = Plan(schema="test/1.1", values={"severity": None, "severity_band": "UNCLEAR"})
    yield "later-minor-symbol", vector("a later minor's new symbol is unreadable", later, schemas=("test/1.0",))
    gone = Plan((Step(mask=0, reasons=((slots(*range(15)), "COARSENED", 0, ""),)),), schema="test/1.1")
    yield "later-minor-rungs", vector("LADDER_MISSING is not decided for a later minor", gone, schemas=("test/1.0",))
    yield (
        "minor-known",
        vector(
            "both minors are known: the very version counts", Plan(schema="test/1.1"), schemas=("test/1.0", "test/1.1")
        ),
    )
    nulls = Plan(values=dict.fromkeys(("title", "occurred_at", "countries", "severity", "affected")))
    yield "null-finer", vector("a null finer rung binds nothing", nulls)
    middle = Plan((Step(mask=ALL & ~slots(2)),))
    yield "ladder-composes", vector("through an undisclosed middle rung the functions compose", middle)
    empty = Plan(
        values={
            "countries": [],
            "region": [],
            "affected": 0,
            "affected_magnitude": -1,
            "severity": 0,
            "severity_band": "NONE",
        }
    )
    yield "ladder-edges", vector("no countries, nobody affected, severity 0", empty)
    early = Plan(values={"occurred_at": -1, "occurred_day": -1, "occurred_month": -31})
    yield "ladder-before-1970", vector("a time before 1970 is rounded down", early)
    unknown = Plan(values={"countries": ["AQ", "ZZ"], "region": ["000"]})
    yield "ladder-region-000", vector("codes that the table lacks map to 000", unknown)
    broken = TEST.replace("band/1", "band/9")
    other = {"one/1.0": broken}
    yield (
        "schema-not-loaded",
        vector("a schema that breaks a rule is not loaded; others are", Plan(), texts={"test/1.0": TEST} | other),
    )


def _sizes() -> Iterator[Named]:
    yield "one-slot", vector("n = 1", Plan(schema="one/1.0", values={"only": "x"}))
    yield "eight-slots", vector("n = 8: a mask without unused bits", Plan((Step(mask=0x80),), schema="eight/1.0"))
    wide = encoded({}, "wide/1.0")
    yield "most-slots", vector("n = 256", Plan((Step(mask=1 << 255),), schema="wide/1.0", raw_values=wide))
    values = largest(65_285, wide)
    yield (
        "largest-values",
        vector("values of 65,535 bytes, 196,608 together", Plan(schema="wide/1.0", raw_values=values)),
    )
    yield "largest-hop", vector("a hop body of 4,096 bytes", long_hop(4_096))


def long_hop(size: int) -> Plan:
    """A report of wide/1.0 whose hop has a body of that size."""

    def plan(*rules: str) -> Plan:
        reasons = tuple((1 << i, "WITHHELD", 0, rule) for i, rule in enumerate(rules))
        return Plan((Step(mask=(1 << 256) - (1 << len(rules)), reasons=reasons),), schema="wide/1.0")

    full = ["r" * 64] * 39
    base = len(build(plan(*full, "")).steps["hops"][0]["body"])
    return plan(*full, "r" * (size - base))


def largest(third: int, wide: list[bytes]) -> list[bytes]:
    """Values of wide/1.0: two of the greatest size, one of `third` bytes, nulls; 131,323 bytes and the third."""
    codec = Codec(["null", "bytes"])
    return [*(codec.encode(bytes(size - 4)) for size in (65_535, 65_535, third)), *wide[3:]]
