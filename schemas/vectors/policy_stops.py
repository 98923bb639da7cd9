# ruff: noqa: INP001 - scripts beside their data
"""Policy vectors of why nothing is sent, and of the hop's TLP (design 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.vectors.policy_world import (
    ALL,
    BOTH,
    DAY,
    HEAD,
    HOUR,
    JP,
    KE,
    NO,
    PUBLIC,
    RELAY,
    SINGLE,
    START,
    TO_KE,
    TWO,
    UNREADABLE,
    Named,
    audience,
    given,
    hop,
    never,
    nothing,
    policy,
    rule,
    schema,
    vector,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


def stopped() -> Iterator[Named]:
    """Each reason but NO_SLOT, and the order in which they are asked."""
    yield from policies()
    yield from chains()
    yield from audiences()
    yield from stops()
    yield from handling()


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
        own: list[dict[str, Any]] = [] if to in ("public", "community-a") else never(["title", "critical"], SINGLE)
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
