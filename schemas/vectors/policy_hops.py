# ruff: noqa: INP001 - scripts beside their data
"""Policy vectors of what no policy can override, and of what a hop says beside its mask (design 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.vectors.policy_world import (
    COARSER,
    DAY,
    HEAD,
    HOUR,
    JP,
    KINDS,
    NEVER,
    NO,
    SINGLE,
    START,
    UNREADABLE,
    WITHHELD,
    Named,
    audience,
    embargoed,
    given,
    hop,
    limit,
    never,
    no,
    nothing,
    policy,
    rule,
    schema,
    vector,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

KE = audience("ke")
PUBLIC = audience("public", "PUBLIC")
TWO = {"title": "t", "critical": None}
ALL = rule("all", to='["*"]', disclose='["*"]')
BOTH = given(["title", "critical"])
RELAY: dict[str, Any] = {"node": "jp", "audience": "ke", "chain": [hop()]}
TO_KE = policy(ALL, audiences=KE)
RETRACTION = {"stage": "RETRACTION"}
WEEK = START + 7 * DAY


def hops() -> Iterator[Named]:
    """Everything of design 3."""
    yield from policies()
    yield from chains()
    yield from audiences()
    yield from stops()
    yield from handling()
    yield from masks()
    yield from corrections()
    yield from reasons()
    yield from limits()
    yield from long_bodies()


def policies() -> Iterator[Named]:
    """POLICY."""
    yield (
        "policy-not-loaded",
        vector("a policy that is refused is none", policy(ALL, "[[rule]]"), TWO, nothing("POLICY")),
    )
    later = HEAD.replace("2020-01-01T00:00:00Z", "2025-02-19T21:20:00Z")  # START
    yield (
        "policy-in-force",
        vector(
            "in force from its very minute",
            policy(ALL, head=later),
            TWO,
            given(["title", "critical"], minute=START),
            now_minute=START,
        ),
    )
    yield (
        "policy-not-yet",
        vector(
            "not yet in force; by time alone it will be",
            policy(ALL, head=later),
            TWO,
            nothing("POLICY", START),
            now_minute=START - 1,
            first_accepted_minute=START - 9,
        ),
    )
    yield (
        "policy-not-yet-nor-then",
        vector(
            "when it comes into force the embargo still runs",
            policy(ALL, rule("b", withhold='["*"]', embargo='"P1D"'), head=later),
            TWO,
            nothing("POLICY", START - 9 + DAY),
            now_minute=START - 1,
            first_accepted_minute=START - 9,
        ),
    )
    schemas = {
        "test/1.0": schema(*TWO),
        "test/2.0": schema(*TWO),
        "other/1.0": schema(*TWO),
        "test/1.1": schema(*TWO, "note"),
    }
    yield (
        "policy-other-major",
        vector(
            "a policy serves one major",
            policy(ALL),
            TWO,
            nothing("POLICY"),
            header={"schema": "test/2.0"},
            schemas=schemas,
        ),
    )
    yield (
        "policy-other-name",
        vector(
            "a policy serves one schema name",
            policy(ALL),
            TWO,
            nothing("POLICY"),
            header={"schema": "other/1.0"},
            schemas=schemas,
        ),
    )
    yield (
        "policy-later-minor",
        vector(
            "what the policy's own version lacks is granted by nothing",
            policy(ALL),
            TWO | {"note": "n"},
            given(["title", "critical"], {"note": NO}),
            header={"schema": "test/1.1"},
            schemas=schemas,
        ),
    )
    yield (
        "policy-earlier-minor",
        vector(
            "a report of an earlier minor lacks what the policy's version has: its tests are unknown",
            policy(
                rule("a", disclose='["title"]'),
                rule("b", disclose='["critical"]', when='{ mode = ["LIVE"] }', reveals='["mode"]'),
                head=HEAD.replace("1.0", "1.1"),
            ),
            TWO,
            given(["title"], {"critical": NO}),
            schemas={"test/1.0": schema(*TWO), "test/1.1": schema(*TWO, "mode")},
        ),
    )
    yield (
        "schema-later-than-known",
        vector(
            "a minor later than all known is read by the latest known",
            policy(ALL),
            {"title": "t", "critical": UNREADABLE},
            given(["title"], {"critical": NO}),
            header={"schema": "test/1.7"},
            schemas={"test/1.0": schema(*TWO)},
        ),
    )


def chains() -> Iterator[Named]:
    """CHAIN: what cannot be continued."""
    eight = [hop(f"n{i}" if i else "gb", f"n{i + 1}" if i < 7 else "jp", minute=START + i) for i in range(8)]
    seven = [hop(f"n{i}" if i else "gb", f"n{i + 1}" if i < 6 else "jp", minute=START + i) for i in range(7)]
    relay = {"node": "jp", "audience": "ke"}
    group = hop(to="public", kind="PUBLIC")
    community = hop(to="community-a", kind="COMMUNITY")
    for name, about, expect, changes in [
        ("relayed", "a chain that leads here goes on", BOTH, {"chain": [hop()]}),
        ("eight", "eight hops are the most", BOTH, {"chain": seven}),
        ("nine", "there is no ninth", nothing("CHAIN"), {"chain": eight}),
        ("other-reader", "the last hop names another reader", nothing("CHAIN"), {"chain": [hop(to="fr")]}),
        ("public", "anybody may follow PUBLIC", BOTH, {"chain": [group]}),
        ("community", "nobody may follow COMMUNITY", nothing("CHAIN"), {"chain": [community]}),
        ("twice", "no releaser occurs twice", nothing("CHAIN"), {"chain": [hop("jp", "gb"), hop("gb", "jp")]}),
        (
            "submission",
            "nothing follows the hop of a lab",
            nothing("CHAIN"),
            {"chain": [hop("lab", "jp")], "header": {"origin": "lab"}},
        ),
    ]:
        yield f"chain-{name}", vector(about, TO_KE, TWO, expect, **relay | changes)
    yield "chain-not-own", vector("only the origin makes hop 0", TO_KE, TWO, nothing("CHAIN"), **relay)
    yield (
        "chain-before-audience",
        vector("CHAIN is asked before AUDIENCE", TO_KE, TWO, nothing("CHAIN"), node="jp", audience="fr", chain=eight),
    )
    yield (
        "policy-before-chain",
        vector(
            "POLICY is asked before CHAIN",
            policy(ALL, "[[rule]]"),
            TWO,
            nothing("POLICY"),
            node="jp",
            audience="ke",
            chain=eight,
        ),
    )
    yield (
        "minute-of-previous-hop",
        vector(
            "a hop is not before the previous one: the decision is made at that minute",
            policy(rule("a", to='["ke"]', disclose='["title"]', after='"PT1H"'), audiences=KE),
            TWO,
            given(["title"], {"critical": NO}, minute=START + HOUR),
            node="jp",
            audience="ke",
            chain=[hop(), hop("n1", "jp", minute=START + HOUR)],
        ),
    )


def audiences() -> Iterator[Named]:
    """AUDIENCE."""
    everybody = JP + KE + PUBLIC + audience("gb") + audience("world", "BODY")
    text = policy(ALL, audiences=everybody)
    public = {"limits": []}
    yield (
        "audience-unnamed",
        vector("an audience that the policy does not name", policy(ALL), TWO, nothing("AUDIENCE"), audience="ke"),
    )
    yield (
        "audience-unknown",
        vector(
            "a reader that the trust view does not know",
            policy(ALL, audiences=audience("fr")),
            TWO,
            nothing("AUDIENCE"),
            audience="fr",
        ),
    )
    yield (
        "audience-other-kind",
        vector("a reader of another kind", policy(ALL, audiences=audience("jp", "BODY")), TWO, nothing("AUDIENCE")),
    )
    yield (
        "audience-lab",
        vector("a lab is no reader", policy(ALL, audiences=audience("lab")), TWO, nothing("AUDIENCE"), audience="lab"),
    )
    yield "audience-public", vector("a group is in no trust view", text, TWO, BOTH | public, audience="public")
    yield "audience-itself", vector("a node sends nothing to itself", text, TWO, nothing("AUDIENCE"), audience="gb")
    yield (
        "audience-releaser",
        vector(
            "nothing goes back to a releaser of the chain",
            text,
            TWO,
            nothing("AUDIENCE"),
            node="jp",
            audience="gb",
            chain=[hop()],
        ),
    )


def stops() -> Iterator[Named]:
    """STOPPED and EXERCISE."""
    yield (
        "retracted",
        vector(
            "a retracted incident's other revisions are not released",
            policy(ALL),
            TWO,
            nothing("STOPPED"),
            incident={"retracted": True},
        ),
    )
    yield (
        "forked",
        vector(
            "a revision in a fork is released to nobody",
            policy(ALL),
            TWO,
            nothing("STOPPED"),
            incident={"forked": True},
        ),
    )
    yield (
        "exercise-refused",
        vector(
            "a drill goes only to those who accept drills",
            policy(ALL),
            TWO,
            nothing("EXERCISE"),
            header={"exercise": True},
        ),
    )
    yield (
        "exercise-accepted",
        vector(
            "who does gets it",
            policy(ALL, audiences=audience("jp", exercises=True)),
            TWO,
            BOTH,
            header={"exercise": True},
        ),
    )
    yield (
        "stopped-before-exercise",
        vector(
            "STOPPED is asked before EXERCISE",
            policy(ALL),
            TWO,
            nothing("STOPPED"),
            header={"exercise": True},
            incident={"forked": True},
        ),
    )
    yield (
        "exercise-before-handling",
        vector(
            "EXERCISE is asked before HANDLING",
            policy(ALL, audiences=PUBLIC),
            TWO,
            nothing("EXERCISE"),
            audience="public",
            header={"exercise": True, "tlp": "RED"},
        ),
    )


def handling() -> Iterator[Named]:
    """HANDLING, and the TLP of the hop."""
    who = {
        "jp": "MEMBER",
        "ke": "MEMBER",
        "world": "BODY",
        "jp-regulator": "AUTHORITY",
        "ke-regulator": "AUTHORITY",
        "public": "PUBLIC",
        "community-a": "COMMUNITY",
    }
    text = policy(ALL, audiences="".join(audience(name, kind) for name, kind in who.items()))
    two = [hop(), hop("n1", "jp", minute=START + 1)]
    for name, tlp, to, chain, allowed in [
        ("green-public", "GREEN", "public", None, False),
        ("green-community", "GREEN", "community-a", None, True),
        ("green-late", "GREEN", "world", two, True),
        ("amber-member", "AMBER", "jp", None, True),
        ("amber-community", "AMBER", "community-a", None, False),
        ("amber-relay-own-authority", "AMBER", "jp-regulator", [hop()], True),
        ("amber-relay-other-authority", "AMBER", "ke-regulator", [hop()], False),
        ("amber-relay-member", "AMBER", "ke", [hop()], False),
        ("amber-late-authority", "AMBER", "jp-regulator", two, False),
        ("amber-strict", "AMBER_STRICT", "world", None, True),
        ("amber-strict-relay", "AMBER_STRICT", "jp-regulator", [hop()], False),
        ("red", "RED", "jp", None, True),
        ("red-public", "RED", "public", None, False),
        ("red-relay", "RED", "jp-regulator", [hop()], False),
    ]:
        marked = [h | {"tlp": tlp} for h in chain] if chain else None
        own: list[dict[str, Any]] = [] if to in ("public", "community-a") else _group_free(["title", "critical"])
        expect = given(["title", "critical"], tlp=tlp, limits=own) if allowed else nothing("HANDLING")
        node = "jp" if chain else "gb"
        yield (
            f"handling-{name}",
            vector(
                f"{tlp}, hop {len(chain or [])}, to {to}",
                text,
                TWO,
                expect,
                node=node,
                audience=to,
                chain=marked,
                header={"tlp": tlp},
            ),
        )
    yield (
        "tlp-of-chain",
        vector(
            "TLP never loosens below a chain",
            TO_KE,
            TWO,
            BOTH | {"tlp": "GREEN"},
            **RELAY | {"chain": [hop(tlp="GREEN")]},
        ),
    )
    yield (
        "tlp-of-newest",
        vector(
            "the newest word binds the older ones",
            TO_KE,
            TWO,
            nothing("HANDLING"),
            **RELAY,
            incident={"latest_tlp": "RED"},
        ),
    )
    yield (
        "tlp-of-newest-loosens-nothing",
        vector(
            "and loosens none",
            TO_KE,
            TWO,
            BOTH | {"tlp": "GREEN"},
            **RELAY | {"chain": [hop(tlp="GREEN")]},
            header={"tlp": "GREEN"},
            incident={"latest_tlp": "CLEAR"},
        ),
    )


def _group_free(slots: list[str]) -> list[dict[str, Any]]:
    """Limits where the own groups get the very slots now, handling and exercises apart."""
    return never(slots, SINGLE)


def masks() -> Iterator[Named]:
    """What goes on only along its chain, within limits, and readable."""
    yield (
        "not-in-the-copy",
        vector(
            "a slot goes on only along the chain that brought it",
            TO_KE,
            {"title": "t", "critical": WITHHELD},
            given(["title"]),
            **RELAY,
        ),
    )
    yield (
        "unreadable",
        vector(
            "unreadable slots never go on",
            TO_KE,
            {"title": "t", "mode": UNREADABLE},
            given(["title"], {"mode": NO}),
            **RELAY,
        ),
    )
    yield (
        "unreadable-finer",
        vector(
            "nor are they said to be coarsened",
            TO_KE,
            {"severity": UNREADABLE, "band": "LOW"},
            given(["band"], {"severity": NO}),
            **RELAY,
        ),
    )
    for name, about, kind, until, expect in [
        ("never", "a limit without end binds every minute", "MEMBER", NEVER, given(["critical"], {"title": NO})),
        (
            "until",
            "a limit binds until its minute",
            "MEMBER",
            WEEK,
            given(["critical"], {"title": embargoed(WEEK)}, next=WEEK),
        ),
        ("past", "and no later", "MEMBER", START + 10, BOTH),
        ("other-kind", "and only hops of its kind", "AUTHORITY", WEEK, BOTH),
    ]:
        asked = [limit(kind, until, "title")]
        yield f"limit-{name}", vector(about, TO_KE, TWO, expect, **RELAY | {"chain": [hop(limits=asked)]})
    early = hop(limits=[limit("MEMBER", WEEK, "title")])
    yield (
        "limit-of-earlier-hop",
        vector(
            "the limits of every earlier hop bind",
            TO_KE,
            TWO,
            given(["critical"], {"title": embargoed(WEEK)}, next=WEEK),
            **RELAY | {"chain": [early, hop("n1", "jp", minute=START + 1)]},
        ),
    )
    yield (
        "limit-on-everything",
        vector(
            "where nothing passes, nothing is sent",
            TO_KE,
            TWO,
            nothing("NO_SLOT", WEEK),
            **RELAY | {"chain": [hop(limits=[limit("MEMBER", WEEK, "title", "critical")])]},
        ),
    )


def corrections() -> Iterator[Named]:
    """Whoever was sent any revision is sent its retraction."""
    sent = {"incident": {"sent": True}, "header": RETRACTION}
    empty = given([], {"title": NO, "critical": NO})
    held = policy(ALL, rule("b", withhold='["*"]'))
    yield "correction", vector("with what the policy gives", policy(ALL), TWO, BOTH, **sent)
    yield (
        "correction-empty",
        vector("at least with an empty mask, and no reason but WITHHELD", held, TWO, empty, **sent),
    )
    yield (
        "correction-embargoed",
        vector(
            "an empty mask says no minute, even where there is one",
            policy(ALL, rule("b", withhold='["*"]', embargo='"P1D"')),
            TWO,
            empty | {"next": START + DAY},
            **sent,
        ),
    )
    yield (
        "retraction-not-sent",
        vector("who was sent nothing is owed no correction", held, TWO, nothing("NO_SLOT"), header=RETRACTION),
    )
    yield (
        "correction-not-retraction",
        vector(
            "a further revision is no correction",
            held,
            TWO,
            nothing("NO_SLOT"),
            incident={"sent": True},
            header={"stage": "FINAL"},
        ),
    )
    past = {"incident": {"sent": True, "latest_tlp": "RED"}, "header": RETRACTION | {"tlp": "RED"}}
    yield (
        "correction-past-handling",
        vector(
            "past the handling table the mask is empty",
            TO_KE,
            TWO,
            empty | {"tlp": "RED"},
            **RELAY | {"chain": [hop(tlp="RED")]} | past,
        ),
    )
    yield (
        "correction-past-public",
        vector(
            "for the public too", policy(ALL, audiences=PUBLIC), TWO, empty | {"tlp": "RED"}, audience="public", **past
        ),
    )
    yield (
        "correction-past-audience",
        vector("past a policy that names the audience no longer", policy(audiences=KE), TWO, empty, **sent),
    )
    yield (
        "correction-past-trust",
        vector(
            "past another kind in the trust view", policy(ALL, audiences=audience("jp", "BODY")), TWO, empty, **sent
        ),
    )
    yield (
        "correction-past-releaser",
        vector(
            "to a releaser of this chain who was sent another revision",
            policy(ALL, audiences=audience("gb")),
            TWO,
            empty,
            node="jp",
            audience="gb",
            chain=[hop()],
            **sent,
        ),
    )
    yield (
        "correction-past-retraction",
        vector(
            "past a second retraction",
            policy(ALL),
            TWO,
            empty,
            header=RETRACTION,
            incident={"sent": True, "retracted": True},
        ),
    )
    yield (
        "correction-past-fork",
        vector("past a fork", policy(ALL), TWO, empty, header=RETRACTION, incident={"sent": True, "forked": True}),
    )
    yield (
        "correction-past-exercise",
        vector(
            "past exercises", policy(ALL), TWO, empty, header=RETRACTION | {"exercise": True}, incident={"sent": True}
        ),
    )
    eight = [hop(f"n{i}" if i else "gb", f"n{i + 1}" if i < 7 else "jp", minute=START + i) for i in range(8)]
    yield (
        "correction-not-past-chain",
        vector(
            "not past a chain that cannot be continued", TO_KE, TWO, nothing("CHAIN"), **RELAY | {"chain": eight} | sent
        ),
    )
    later = HEAD.replace("2020-01-01T00:00:00Z", "2025-02-20T21:20:00Z")  # START + DAY
    yield (
        "correction-not-past-policy",
        vector(
            "not past a policy that is not in force; nothing and an empty mask differ",
            policy(rule("b", withhold='["*"]'), head=later),
            TWO,
            nothing("POLICY", START + DAY),
            **sent,
        ),
    )
    yield (
        "correction-schema",
        vector(
            "of a report that the policy does not serve nothing is sent",
            policy(ALL),
            TWO,
            nothing("POLICY"),
            incident={"sent": True},
            header=RETRACTION | {"schema": "test/2.0"},
            schemas={"test/1.0": schema(*TWO), "test/2.0": schema(*TWO)},
        ),
    )


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


_BAND = {
    "type": {"type": "enum", "name": "Band", "symbols": ["NONE", "LOW", "MEDIUM", "HIGH"]},
    "class": "harm",
    "rung": {"of": "severity", "by": "band/1"},
}
