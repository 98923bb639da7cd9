# ruff: noqa: INP001 - scripts beside their data
"""Policy vectors of what a hop says beside its mask: reasons and limits (design 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.vectors.policy_world import (
    ALL,
    COARSER,
    DAY,
    HOUR,
    JP,
    KE,
    KINDS,
    NEVER,
    NO,
    PUBLIC,
    RELAY,
    SINGLE,
    START,
    TWO,
    WEEK,
    Named,
    audience,
    embargoed,
    given,
    hop,
    limit,
    never,
    no,
    policy,
    rule,
    schema,
    vector,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_BAND = {
    "type": {"type": "enum", "name": "Band", "symbols": ["NONE", "LOW", "MEDIUM", "HIGH"]},
    "class": "harm",
    "rung": {"of": "severity", "by": "band/1"},
}


def told() -> Iterator[Named]:
    """Reasons, limits, and bodies that grow too long."""
    yield from reasons()
    yield from limits()
    yield from long_bodies()


def reasons() -> Iterator[Named]:
    """Reasons tell no more than the mask."""
    sees = rule("s", disclose='["critical"]')
    three = {"title": "t", "note": "n", "critical": True}
    yield (
        "rule-told-if-true",
        vector(
            "a restriction that is true of what is disclosed is named",
            policy(rule("a", disclose='["*"]'), rule("b", withhold='["title"]', when="{ critical = true }")),
            TWO | {"critical": True},
            given(["critical"], {"title": no("b")}),
        ),
    )
    yield (
        "rule-not-told-if-unknown",
        vector(
            "one that matches by being unknown is not",
            policy(rule("a", disclose='["*"]'), rule("b", withhold='["title"]', when="{ critical = true }")),
            TWO,
            given(["critical"], {"title": NO}),
        ),
    )
    hidden = [
        rule("a", disclose='["title", "note"]'),
        rule("b", withhold='["title"]', when="{ critical = true }", reveals='["critical"]'),
    ]
    yield (
        "rule-told-if-revealed",
        vector(
            "what a rule reveals may be told",
            policy(*hidden),
            three,
            given(["note"], {"title": no("b"), "critical": NO}),
        ),
    )
    yield (
        "embargo-told-if-revealed",
        vector(
            "an embargo whose test is revealed tells its minute",
            policy(
                rule("a", disclose='["title", "note"]'),
                rule("b", withhold='["title"]', embargo='"P1D"', when="{ critical = true }", reveals='["critical"]'),
            ),
            three,
            given(["note"], {"title": embargoed(START + DAY, "b"), "critical": NO}, next=START + DAY),
        ),
    )
    yield (
        "grant-unknown-embargo-told",
        vector(
            "an embargo that matches by being unknown gives the minute, not its name",
            policy(
                rule("a", disclose='["*"]'),
                rule("b", withhold='["title"]', embargo='"P1D"', when="{ critical = true }"),
            ),
            TWO,
            given(["critical"], {"title": embargoed(START + DAY)}, next=START + DAY),
        ),
    )
    yield (
        "coarsened-under-embargo",
        vector(
            "EMBARGOED comes before COARSENED",
            policy(rule("a", disclose='["severity"]', after='"P1D"'), rule("b", disclose='["band"]')),
            {"severity": 5, "band": "HIGH"},
            given(["band"], {"severity": embargoed(START + DAY, "a")}, next=START + DAY),
        ),
    )
    yield (
        "reasons-relayed-revealed-limit",
        vector(
            "what earlier limits keep from this reader is not told by a rule that reveals it",
            policy(
                rule("a", to='["ke"]', disclose='["title", "note"]'),
                rule(
                    "b",
                    to='["ke"]',
                    withhold='["title"]',
                    embargo='"P9D"',
                    when="{ critical = true }",
                    reveals='["critical"]',
                ),
                audiences=KE,
            ),
            three | {"critical": False},
            given(["note"], {"title": embargoed(START + 9 * DAY), "critical": NO}, next=WEEK),
            **RELAY | {"chain": [hop(limits=[limit("MEMBER", WEEK, "critical")])]},
        ),
    )
    yield (
        "reasons-coarsened-and-withheld",
        vector(
            "one rule, two codes",
            policy(rule("a", disclose='["band", "critical"]'), rule("b", withhold='["severity", "title"]'), sees),
            {"title": "t", "severity": 5, "band": "HIGH", "critical": None},
            given(["band", "critical"], {"title": no("b"), "severity": ("COARSENED", 0, "b")}),
        ),
    )
    yield (
        "reasons-coarsened",
        vector(
            "no rule: coarsened, without a name",
            policy(rule("a", disclose='["band"]')),
            {"severity": 5, "band": "HIGH"},
            given(["band"], {"severity": COARSER}),
        ),
    )


def limits() -> Iterator[Named]:
    """What a hop asks of relays."""
    slots = ["title", "critical"]
    text = policy(ALL, audiences=JP + PUBLIC)
    yield (
        "limits-none-named",
        vector("for ever, where the policy names no group", policy(ALL), TWO, given(slots, limits=never(slots, KINDS))),
    )
    yield (
        "limits-to-a-group",
        vector("a hop to a group asks nothing", text, TWO, given(slots, limits=[]), audience="public"),
    )
    yield (
        "limits-public-now",
        vector(
            "what the own public gets now, others may give",
            text,
            TWO,
            given(slots, limits=never(slots, (*SINGLE, "COMMUNITY"))),
        ),
    )
    waits = policy(
        rule("a", to='["jp"]', disclose='["*"]'),
        rule("b", to='["public"]', disclose='["title"]', after='"P1D"'),
        rule("c", to='["public"]', withhold='["title"]', embargo='"P7D"'),
        audiences=JP + PUBLIC,
    )
    yield (
        "limits-public-later",
        vector(
            "no sooner than the own public; never what it never gets",
            waits,
            TWO,
            given(
                slots,
                limits=[
                    *never(slots, (*SINGLE, "COMMUNITY")),
                    limit("PUBLIC", WEEK, "title"),
                    limit("PUBLIC", NEVER, "critical"),
                ],
            ),
        ),
    )
    yield (
        "limits-public-reached",
        vector(
            "a minute not after the hop's is left out",
            waits,
            TWO,
            given(
                slots, minute=WEEK, limits=[*never(slots, (*SINGLE, "COMMUNITY")), limit("PUBLIC", NEVER, "critical")]
            ),
            now_minute=WEEK,
        ),
    )
    communities = audience("community-a", "COMMUNITY") + audience("community-b", "COMMUNITY")
    yield (
        "limits-latest-of-groups",
        vector(
            "the latest of all audiences of the kind; never, if one never gets it",
            policy(
                rule("a", to='["jp"]', disclose='["*"]'),
                rule("b", to='["community-a"]', disclose='["*"]', after='"P1D"'),
                rule("c", to='["community-b"]', disclose='["title"]', after='"P7D"'),
                audiences=JP + communities,
            ),
            TWO,
            given(
                slots,
                limits=[
                    *never(slots, SINGLE),
                    limit("COMMUNITY", WEEK, "title"),
                    limit("COMMUNITY", NEVER, "critical"),
                    *never(slots, ("PUBLIC",)),
                ],
            ),
        ),
    )
    held = policy(ALL, rule("h", to='["public"]', withhold='["title"]', hold="true"), audiences=JP + PUBLIC)
    yield (
        "limits-hold",
        vector(
            "an open hold for the public keeps it from others' public",
            held,
            TWO,
            given(slots, limits=[*never(slots, (*SINGLE, "COMMUNITY")), limit("PUBLIC", NEVER, "title")]),
        ),
    )
    yield (
        "limits-hold-approved",
        vector(
            "an approval for the public opens it to others' public",
            held,
            TWO,
            given(slots, limits=never(slots, (*SINGLE, "COMMUNITY"))),
            approvals=[{"rule": "h", "audience": "public", "approved": True}],
        ),
    )
    yield (
        "limits-handling-apart",
        vector(
            "handling and exercises apart",
            text,
            TWO,
            given(slots, tlp="RED", limits=never(slots, (*SINGLE, "COMMUNITY"))),
            header={"tlp": "RED"},
        ),
    )
    ladder = {"severity": 5, "band": "HIGH", "title": "t"}
    yield (
        "limits-onward",
        vector(
            "what `[onward]` names for a kind, with its coarser rungs, has no entry",
            policy("[onward]", 'MEMBER = ["severity"]', 'BODY = ["*"]', 'PUBLIC = ["@narrative"]', ALL),
            ladder,
            given(
                ["severity", "band", "title"],
                limits=[
                    limit("MEMBER", NEVER, "title"),
                    *never(["severity", "band", "title"], ("AUTHORITY", "COMMUNITY")),
                    limit("PUBLIC", NEVER, "severity", "band"),
                ],
            ),
        ),
    )
    relayed = policy("[onward]", 'MEMBER = ["*"]', rule("a", to='["*"]', disclose='["*"]'), audiences=KE + PUBLIC)
    asked = [limit("PUBLIC", WEEK, "title"), limit("PUBLIC", NEVER, "critical")]
    yield (
        "limits-earlier",
        vector(
            "what earlier limits keep from the own public is asked of others as well",
            relayed,
            TWO,
            given(slots, limits=[*never(slots, ("AUTHORITY", "BODY", "COMMUNITY")), *asked]),
            **RELAY | {"chain": [hop(limits=asked)]},
        ),
    )
    tests = [
        rule("a", to='["jp"]', disclose='["title"]'),
        rule("b", to='["public"]', disclose='["title", "critical"]', when="{ critical = true }"),
    ]
    yield (
        "limits-tell-no-more",
        vector(
            "limits for the public do not tell a field that this reader is not shown",
            policy(*tests, audiences=JP + PUBLIC),
            {"title": "t", "critical": True},
            given(["title"], {"critical": NO}, limits=never(["title"])),
        ),
    )
    yield (
        "limits-tell-what-is-shown",
        vector(
            "they do where it is shown",
            policy(*tests, rule("c", to='["jp"]', disclose='["critical"]'), audiences=JP + PUBLIC),
            {"title": "t", "critical": True},
            given(slots, limits=never(slots, (*SINGLE, "COMMUNITY"))),
        ),
    )
    yield (
        "limits-merged",
        vector(
            "entries of one kind and minute are one, in the order of kind and minute",
            policy(
                rule("a", to='["jp"]', disclose='["*"]'),
                rule("b", to='["public"]', disclose='["note"]', after='"P7D"'),
                rule("c", to='["public"]', disclose='["critical"]', after='"P1D"'),
                rule("d", to='["public"]', disclose='["title"]', after='"PT168H"'),
                audiences=JP + PUBLIC,
            ),
            {"title": "t", "note": "n", "critical": True},
            given(
                ["title", "note", "critical"],
                limits=[
                    *never(["title", "note", "critical"], (*SINGLE, "COMMUNITY")),
                    limit("PUBLIC", START + DAY, "critical"),
                    limit("PUBLIC", WEEK, "title", "note"),
                ],
            ),
        ),
    )


def long_bodies() -> Iterator[Named]:
    """A body holds 4,096 bytes."""
    names = [f"f{i:03}" for i in range(80)]
    more = {name: {"type": "int", "class": "harm"} for name in names}
    long_ids = {name: f"{name}-{'x' * 59}" for name in names[1:]}
    yield (
        "body-without-names",
        vector(
            "if a body grows too long, all rule names are dropped",
            policy(ALL, *(rule(rule_id, withhold=f'["{name}"]') for name, rule_id in long_ids.items())),
            dict.fromkeys(names, 1),
            given(names[:1], dict.fromkeys(names[1:], NO)),
            schemas={"test/1.0": schema(*names, more=more)},
        ),
    )
    short = names[:30]
    yield (
        "body-with-names",
        vector(
            "and only then",
            policy(ALL, *(rule(long_ids[name], withhold=f'["{name}"]') for name in short[1:])),
            dict.fromkeys(short, 1),
            given(short[:1], {name: no(long_ids[name]) for name in short[1:]}),
            schemas={"test/1.0": schema(*short, more=more)},
        ),
    )
    many = [f"f{i:03}" for i in range(200)]
    fields = {name: {"type": "int", "class": "harm"} for name in many}
    groups = {name: {"type": "int", "class": "harm"} for name in ("open", "severity")} | {"band": _BAND}
    order = ["open", *many, "severity", "band"]
    waits = [rule(name, withhold=f'["{name}"]', embargo=f'"PT{i + 1}H"') for i, name in enumerate(many)]
    yield (
        "body-without-minutes",
        vector(
            "if that is not enough, no minute is told: COARSENED or WITHHELD, and limits for ever",
            policy(
                rule("a", to='["jp"]', disclose='["*"]'),
                rule("p", to='["public"]', disclose='["open"]', after='"P7D"'),
                rule("q", to='["jp"]', withhold='["severity"]', embargo='"P9D"'),
                *waits,
                audiences=JP + PUBLIC,
            ),
            dict.fromkeys(order, 1) | {"band": "LOW"},
            given(["open", "band"], dict.fromkeys(many, NO) | {"severity": COARSER}, next=START + HOUR),
            schemas={"test/1.0": schema(*order, more=fields | groups)},
        ),
    )
