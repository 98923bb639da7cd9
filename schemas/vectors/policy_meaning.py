# ruff: noqa: INP001 - scripts beside their data
"""Policy vectors of meaning: grants, restrictions, ladders (design 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schemas.vectors.policy_world import (
    COARSER,
    DAY,
    HOUR,
    JP,
    KE,
    NO,
    START,
    TWO,
    Named,
    embargoed,
    given,
    hop,
    no,
    nothing,
    policy,
    rule,
    vector,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

BANDS = {"severity": 5, "band": "HIGH"}
GIVE = rule("give", disclose='["title"]')


def meaning() -> Iterator[Named]:
    """Vectors of rules without conditions."""
    yield from grants()
    yield from restrictions()
    yield from ladders()


def grants() -> Iterator[Named]:
    """What is given, and from when."""
    yield "default-deny", vector("without a rule nothing is given", policy(), TWO, nothing("NO_SLOT"))
    yield "grant", vector("a grant gives what it names", policy(GIVE), TWO, given(["title"], {"critical": NO}))
    yield (
        "grant-star",
        vector('"*" is every field', policy(rule("a", disclose='["*"]')), TWO, given(["title", "critical"])),
    )
    yield (
        "grant-class",
        vector(
            "@class is every field of the class",
            policy(rule("a", disclose='["@technical"]')),
            TWO,
            given(["critical"], {"title": NO}),
        ),
    )
    yield (
        "grant-set",
        vector(
            "a set stands for its audiences",
            policy(
                "[sets]", 'network = ["jp", "ke"]', rule("a", to='["network"]', disclose='["title"]'), audiences=JP + KE
            ),
            TWO,
            given(["title"], {"critical": NO}),
        ),
    )
    yield (
        "grant-to-star",
        vector(
            '"*" in `to` is every audience',
            policy(rule("a", to='["*"]', disclose='["title"]'), audiences=JP + KE),
            TWO,
            given(["title"], {"critical": NO}),
        ),
    )
    yield (
        "grant-to-another",
        vector(
            "what another audience is given is not for this one",
            policy(rule("a", to='["ke"]', disclose='["title"]'), audiences=JP + KE),
            TWO,
            nothing("NO_SLOT"),
        ),
    )
    after = policy(rule("a", disclose='["title"]', after='"PT1H"'), rule("b", disclose='["critical"]'))
    yield (
        "after-not-yet",
        vector(
            "a grant counts from issue; until then the slot is embargoed, under that grant",
            after,
            TWO,
            given(["critical"], {"title": embargoed(START + HOUR, "a")}, next=START + HOUR),
        ),
    )
    yield (
        "after-to-the-minute",
        vector(
            "it is given from that very minute",
            after,
            TWO,
            given(["title", "critical"], minute=START + HOUR),
            now_minute=START + HOUR,
        ),
    )
    yield (
        "after-nothing-yet",
        vector(
            "nothing until then, and the minute from which there is something",
            policy(rule("a", disclose='["title"]', after='"P1D"')),
            TWO,
            nothing("NO_SLOT", START + DAY),
        ),
    )
    yield (
        "after-earliest",
        vector(
            "of two grants the earlier counts",
            policy(
                rule("a", disclose='["title"]', after='"P9D"'),
                rule("b", disclose='["title", "critical"]', after='"PT1H"'),
            ),
            TWO,
            nothing("NO_SLOT", START + HOUR),
        ),
    )
    yield (
        "after-from-hop-0",
        vector(
            "of a relayed report grants count from hop 0, not from its acceptance here",
            policy(rule("a", to='["ke"]', disclose='["title"]', after='"P2D"'), audiences=KE),
            TWO,
            given(["title"], {"critical": NO}, minute=START + 2 * DAY),
            node="jp",
            audience="ke",
            chain=[hop()],
            now_minute=START + 2 * DAY,
            first_accepted_minute=START + 2 * DAY,
        ),
    )


def restrictions() -> Iterator[Named]:
    """What is taken, and until when."""
    yield (
        "withhold",
        vector(
            "a restriction without end takes, and is named",
            policy(rule("a", disclose='["*"]'), rule("b", withhold='["title"]')),
            TWO,
            given(["critical"], {"title": no("b")}),
        ),
    )
    yield (
        "withhold-smallest-id",
        vector(
            "of several restrictions without end that name a slot, the smallest id is told",
            policy(
                rule("c", withhold='["*"]', when='{ tlp = ">= RED" }'),
                rule("z", withhold='["title"]'),
                rule("b2", withhold='["title"]'),
                rule("b10", withhold='["title"]'),
                rule("a", disclose='["*"]'),
            ),
            TWO,
            given(["critical"], {"title": no("b10")}),
        ),
    )
    yield (
        "embargo",
        vector(
            "an embargo takes until its end, and is named",
            policy(rule("a", disclose='["*"]'), rule("b", withhold='["title"]', embargo='"P1D"')),
            TWO,
            given(["critical"], {"title": embargoed(START + DAY, "b")}, next=START + DAY),
        ),
    )
    yield (
        "embargo-latest",
        vector(
            "of two embargoes the later counts, against the grant's own wait too",
            policy(
                rule("a", disclose='["title"]', after='"P3D"'),
                rule("b", withhold='["title"]', embargo='"P1D"'),
                rule("c", withhold='["title"]', embargo='"P5D"'),
                rule("d", disclose='["critical"]'),
            ),
            TWO,
            given(["critical"], {"title": embargoed(START + 5 * DAY, "c")}, next=START + 5 * DAY),
        ),
    )
    yield (
        "embargo-and-grant-at-one-minute",
        vector(
            "where grant and embargo end at one minute, the smaller id is told",
            policy(
                rule("b", disclose='["title"]', after='"P1D"'),
                rule("a", withhold='["title"]', embargo='"PT24H"'),
                rule("d", disclose='["critical"]'),
            ),
            TWO,
            given(["critical"], {"title": embargoed(START + DAY, "a")}, next=START + DAY),
        ),
    )
    yield (
        "embargo-nothing-granted",
        vector(
            "an embargo over what nobody grants is none: it is withheld",
            policy(rule("a", disclose='["critical"]'), rule("b", withhold='["title"]', embargo='"P1D"')),
            TWO,
            given(["critical"], {"title": NO}),
        ),
    )
    yield (
        "embargo-without-end",
        vector(
            "a restriction without end outlasts every embargo",
            policy(
                rule("a", disclose='["*"]'),
                rule("b", withhold='["title"]', embargo='"P1D"'),
                rule("c", withhold='["title"]'),
            ),
            TWO,
            given(["critical"], {"title": no("c")}),
        ),
    )
    relayed: dict[str, Any] = {"node": "jp", "audience": "ke", "chain": [hop()]}
    embargo = policy(
        rule("a", to='["ke"]', disclose='["*"]'),
        rule("b", to='["ke"]', withhold='["title"]', embargo='"P1D"'),
        audiences=KE,
    )
    yield (
        "embargo-from-acceptance",
        vector(
            "an embargo counts from the first acceptance of the chain where that is later than hop 0",
            embargo,
            TWO,
            given(
                ["critical"],
                {"title": embargoed(START + 3 * DAY, "b")},
                minute=START + 2 * DAY + 1,
                next=START + 3 * DAY,
            ),
            now_minute=START + 2 * DAY + 1,
            first_accepted_minute=START + 2 * DAY,
            **relayed,
        ),
    )
    yield (
        "embargo-from-hop-0",
        vector(
            "and from hop 0 where the clock of the releaser is ahead",
            embargo,
            TWO,
            given(["critical"], {"title": embargoed(START + DAY, "b")}, next=START + DAY),
            first_accepted_minute=START - 3,
            **relayed,
        ),
    )
    held = policy(rule("a", disclose='["*"]'), rule("b", withhold='["title"]', hold="true"))
    shut = given(["critical"], {"title": no("b")})
    yield "hold-open", vector("an open hold is a restriction without end", held, TWO, shut)
    yield (
        "hold-not-by-time",
        vector(
            "nothing is released by time alone",
            held,
            TWO,
            shut | {"minute": START + 999 * DAY},
            now_minute=START + 999 * DAY,
        ),
    )
    yield (
        "hold-approved",
        vector("an approval lifts it", held, TWO, given(["title", "critical"]), approvals=[_answer("b")]),
    )
    yield "hold-refused", vector("a refusal does not", held, TWO, shut, approvals=[_answer("b", approved=False)])
    yield (
        "hold-approved-for-another",
        vector("an approval is for one audience", held, TWO, shut, approvals=[_answer("b", to="ke")]),
    )
    yield "hold-approved-of-another", vector("and of one rule", held, TWO, shut, approvals=[_answer("a")])
    yield (
        "hold-approved-embargo-stays",
        vector(
            "an approval lifts no embargo",
            policy(
                rule("a", disclose='["*"]'),
                rule("b", withhold='["title"]', hold="true"),
                rule("c", withhold='["title"]', embargo='"P1D"'),
            ),
            TWO,
            given(["critical"], {"title": embargoed(START + DAY, "c")}, next=START + DAY),
            approvals=[_answer("b")],
        ),
    )
    parts = [
        rule("a", disclose='["title"]', after='"PT1H"'),
        rule("b", withhold='["*"]', embargo='"PT2H"', when='{ stage = ["FINAL"] }'),
        rule("c", withhold='["critical"]'),
        rule("d", disclose='["critical", "title"]', after='"PT3H"'),
    ]
    ordered = nothing("NO_SLOT", START + HOUR)
    yield "order", vector("the order of rules has no meaning", policy(*parts), TWO, ordered)
    yield "order-reversed", vector("the same rules the other way round", policy(*reversed(parts)), TWO, ordered)


def _answer(rule_id: str, to: str = "jp", *, approved: bool = True) -> dict[str, Any]:
    return {"rule": rule_id, "audience": to, "approved": approved}


def ladders() -> Iterator[Named]:
    """Finer and coarser rungs."""
    yield (
        "grant-finer",
        vector(
            "granting a finer rung grants its coarser ones",
            policy(rule("a", disclose='["severity"]')),
            BANDS,
            given(["severity", "band"]),
        ),
    )
    yield (
        "grant-coarser",
        vector(
            "granting a coarser rung does not grant the finer: it is coarsened",
            policy(rule("a", disclose='["band"]')),
            BANDS,
            given(["band"], {"severity": COARSER}),
        ),
    )
    yield (
        "withhold-coarser",
        vector(
            "a restriction on a rung binds every finer one",
            policy(rule("a", disclose='["*"]'), rule("b", withhold='["band"]')),
            BANDS | {"critical": True},
            given(["critical"], {"severity": no("b"), "band": no("b")}),
        ),
    )
    yield (
        "withhold-finer",
        vector(
            "a restriction on a finer rung leaves the coarser; the reason names the restriction",
            policy(rule("a", disclose='["*"]'), rule("b", withhold='["severity"]')),
            BANDS,
            given(["band"], {"severity": ("COARSENED", 0, "b")}),
        ),
    )
    dates = {"began": 1_760_000_000_000, "day": 20_370, "month": 20_362}
    yield (
        "ladder-of-three",
        vector(
            "a ladder closes over all its rungs",
            policy(rule("a", disclose='["began"]'), rule("b", withhold='["day"]', embargo='"P1D"')),
            dates,
            given(
                ["month"], {"began": embargoed(START + DAY, "b"), "day": embargoed(START + DAY, "b")}, next=START + DAY
            ),
        ),
    )
    yield (
        "coarsened-far",
        vector(
            "any coarser rung makes it coarsened, however far",
            policy(rule("a", disclose='["month"]')),
            dates,
            given(["month"], {"began": COARSER, "day": COARSER}),
        ),
    )
    yield (
        "coarsened-by-null",
        vector(
            "a disclosed null is disclosed",
            policy(rule("a", disclose='["band"]')),
            {"severity": None, "band": None},
            given(["band"], {"severity": COARSER}),
        ),
    )
