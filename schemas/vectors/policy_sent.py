# ruff: noqa: INP001 - scripts beside their data
"""Policy vectors of the mask that no policy can widen, and of corrections (design 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.vectors.policy_world import (
    ALL,
    BOTH,
    DAY,
    HEAD,
    KE,
    NEVER,
    NO,
    PUBLIC,
    RELAY,
    START,
    TO_KE,
    TWO,
    UNREADABLE,
    WEEK,
    WITHHELD,
    Named,
    audience,
    embargoed,
    given,
    hop,
    limit,
    nothing,
    policy,
    rule,
    schema,
    vector,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

RETRACTION = {"stage": "RETRACTION"}


def sent() -> Iterator[Named]:
    """What goes on, and what is owed."""
    yield from masks()
    yield from corrections()


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
