"""Generated policies and questions: one generator, driven by hypothesis (to find and shrink) or by a seeded random."""

import json
import random
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from tocsin.flow.decide import UNREADABLE, WITHHELD, Incident, Question
from tocsin.policy.language import parse_policy
from tocsin.report.schema import load_schema
from tocsin.wire.header import Stage, Tlp
from tocsin.wire.hop import EMPTY, NEVER, AudienceKind, HopBody, Limit
from tocsin.wire.keys import PartyKind


def _field(name, of, cls, **more):
    return {"name": name, "type": ["null", of], "default": None, "class": cls} | more


_SET = {"type": "array", "items": "string"}
SCHEMA_TEXT = json.dumps(
    {
        "type": "record",
        "name": "Test",
        "fields": [
            _field("title", "string", "narrative"),
            _field("day", {"type": "int", "logicalType": "date"}, "identity"),
            _field("month", {"type": "int", "logicalType": "date"}, "harm", rung={"of": "day", "by": "month/1"}),
            _field("severity", "int", "harm"),
            _field(
                "band",
                {"type": "enum", "name": "Band", "symbols": ["NONE", "LOW", "MEDIUM", "HIGH"]},
                "harm",
                rung={"of": "severity", "by": "band/1"},
            ),
            _field("countries", _SET, "identity", set=True),
            _field("regions", _SET, "harm", set=True, rung={"of": "countries", "by": "region/1"}),
            _field("critical", "boolean", "technical"),
            _field("deaths", "long", "people"),
            _field("deaths_magnitude", "int", "harm", rung={"of": "deaths", "by": "magnitude/1"}),
        ],
    }
)
SCHEMA = load_schema("test/1.0", SCHEMA_TEXT.encode())
NAMES = [f.name for f in SCHEMA.fields]
TESTS = {
    "severity": ['">= 4"', '"<= 4"', '">= 1"', '"<= 0"'],
    "band": ['["HIGH"]', '["NONE", "LOW"]', '["MEDIUM", "HIGH"]'],
    "countries": ['["KZ"]', '["KG", "KZ", "TJ", "TM", "UZ"]', '["BM", "CA", "GL", "PM", "US", "KZ"]'],
    "regions": ['["143"]', '["021", "143"]', '["000"]'],
    "critical": ["true", "false"],
    "deaths": ['">= 1"', '">= 10"', '"<= 99"'],
    "deaths_magnitude": ['">= 1"', '"<= 0"'],
}
PARTIES = {
    "gb": (PartyKind.MEMBER, "GB"),
    "jp": (PartyKind.MEMBER, "JP"),
    "ke": (PartyKind.MEMBER, "KE"),
    "fr": (PartyKind.MEMBER, "FR"),
    "jp-regulator": (PartyKind.AUTHORITY, "JP"),
    "gb-regulator": (PartyKind.AUTHORITY, "GB"),
    "world": (PartyKind.BODY, ""),
    "lab": (PartyKind.LAB, "JP"),
}
AUDIENCES = {
    "gb": "MEMBER",
    "jp": "MEMBER",
    "ke": "MEMBER",
    "jp-regulator": "AUTHORITY",
    "gb-regulator": "AUTHORITY",
    "world": "BODY",
    "public": "PUBLIC",
    "community-a": "COMMUNITY",
    "community-b": "COMMUNITY",
}
COUNTRIES = ["KZ", "KG", "CA", "US", "AQ", "XX"]
HOUR = 60
DAY = 1_440


class Dice:
    """What the generator asks: `draw` picks one of a list of choices."""

    def __init__(self, draw):
        self.pick = draw

    def chance(self, percent):
        return self.pick(range(100)) < percent

    def some(self, choices, most=3):
        return sorted({self.pick(choices) for _ in range(self.pick(range(1, most + 1)))})


def random_dice(seed):
    return Dice(random.Random(seed).choice)


@st.composite
def dice(draw):
    return Dice(lambda choices: draw(st.sampled_from(choices)))


@dataclass
class RuleText:
    """A rule before it is written."""

    id: str
    to: list
    verb: str
    fields: list
    end: str = ""
    when: dict = field(default_factory=dict)
    reveals: list = field(default_factory=list)

    def lines(self):
        yield "[[rule]]"
        yield f'id = "{self.id}"'
        yield f"to = {json.dumps(self.to)}"
        yield f"{self.verb} = {json.dumps(self.fields)}"
        if self.end:
            yield self.end
        if self.when:
            yield "when = { " + ", ".join(f"{k} = {v}" for k, v in self.when.items()) + " }"
        if self.reveals:
            yield f"reveals = {json.dumps(self.reveals)}"


@dataclass
class PolicyText:
    """A policy before it is written."""

    rules: list
    exercises: list
    onward: dict
    effective: str = "1970-01-01T00:00:00Z"
    audiences: dict = field(default_factory=lambda: dict(AUDIENCES))

    def text(self):
        lines = ['policy = "p"', "version = 1", 'schema = "test/1.0"', 'jurisdiction = "JP"']
        lines.append(f"effective_from = {self.effective}")
        for name, kind in self.audiences.items():
            lines += [f"[audience.{name}]", f'kind = "{kind}"']
            lines += ["accepts_exercises = true"] if name in self.exercises else []
        lines += ["[sets]", 'network = ["gb", "jp", "ke"]', "[onward]"]
        lines += [f"{kind} = {json.dumps(fields)}" for kind, fields in self.onward.items()]
        for rule in self.rules:
            lines += rule.lines()
        return "\n".join(lines) + "\n"

    def policy(self):
        return parse_policy(self.text(), SCHEMA)


SINGLE = ["network", "gb", "jp", "ke", "jp-regulator", "gb-regulator", "world"]
GROUPS = ["public", "community-a", "community-b"]


def policy_text(dice):
    """A policy that passes the leak check, by construction: what is tested unrevealed is shown to all of its readers."""
    shown = {"single": _chosen(dice), "group": _chosen(dice)}
    rules = []
    for number in range(dice.pick(range(1, 7))):
        whom = dice.pick(["single", "group"][number : number + 1] or ["single", "single", "group", "group", "all"])
        to = ["*"] if whom == "all" else dice.some(SINGLE if whom == "single" else GROUPS, 3)
        given = {n for group in shown if whom in (group, "all") for n in shown[group]}
        tested = set.intersection(*(set(shown[group]) for group in shown if whom in (group, "all")))
        grants = number < 2 or dice.chance(40)
        fields = dice.some(["*", "@harm", "@identity", *NAMES], 4)
        if grants:
            end = dice.pick(["", "", 'after = "PT1H"', 'after = "PT5H"', 'after = "P1D"'])
            rule = RuleText(f"r{number}", to, "disclose", sorted({*fields, *given}), end)
        else:
            fields = [name for name in fields if name in NAMES and not _takes(name, given)] or ["*"]
            end = dice.pick(["", 'embargo = "PT3H"', 'embargo = "P1D"', "hold = true", "hold = true"])
            rule = RuleText(f"r{number}", to, "withhold", fields, end)
        rule.when, rule.reveals = _when(dice, tested, grants=grants)
        rules.append(rule)
    onward = {str(k): dice.some(["*", "@harm", *NAMES], 3) for k in AudienceKind if dice.chance(20)}
    effective = dice.pick(["1970-01-01T00:00:00Z"] * 14 + ["1970-01-11T02:00:00Z"])
    exercises = dice.pick([[], list(AUDIENCES), ["ke", "gb-regulator", "public"]])
    return PolicyText(rules, exercises, onward, effective)


def _chosen(dice):
    return [name for name in TESTS if dice.chance(30)]


def _takes(name, shown):
    """Whether a restriction of `name` takes one of the fields that all are shown."""
    index = SCHEMA.index(name)
    return any(NAMES[i] in shown for i in (index, *SCHEMA.finer(index)))


def _when(dice, shown, *, grants):
    when, reveals = {}, []
    if dice.chance(20):
        when["tlp"] = '"<= GREEN"' if grants else '">= AMBER"'
    if dice.chance(10):
        when["origin"] = dice.pick(['["gb"]', '["jp", "ke"]'])
    if dice.chance(10):
        when["stage"] = '["INITIAL", "RETRACTION"]'
    if dice.chance(5):
        when["exercise"] = "true"
    for name in dice.some([*TESTS, *sorted(shown), *sorted(shown)], 2) if dice.chance(60) else []:
        when[name] = dice.pick(TESTS[name])
        if name not in shown:
            reveals.append(name)
    return when, reveals


def slots(dice, *, own):
    """The slots of a report whose rungs agree; a copy may lack some, and some may be unreadable."""
    day = dice.pick([0, 40, None])
    severity = dice.pick([0, 1, 3, 4, 7, None])
    countries = dice.pick([None, []] + [sorted(dice.some(COUNTRIES, 2)) for _ in range(3)])
    deaths = dice.pick([0, 1, 9, 10, 120, None])
    values = {
        "title": dice.pick(["t", None]),
        "day": day,
        "month": dice.pick([0, None]) if day is None else {0: 0, 40: 31}[day],
        "severity": severity,
        "band": dice.pick(["LOW", "HIGH", None]) if severity is None else _apply("band/1", severity),
        "countries": countries,
        "regions": dice.pick([None, ["021"], ["000"], ["021", "143"]])
        if countries is None
        else _apply("region/1", countries),
        "critical": dice.pick([True, False, None]),
        "deaths": deaths,
        "deaths_magnitude": dice.pick([-1, 0, 2, None]) if deaths is None else _apply("magnitude/1", deaths),
    }
    if not own:
        for name in NAMES:
            if dice.chance(20):
                values[name] = WITHHELD
            elif dice.chance(5):
                values[name] = UNREADABLE
    return tuple(values[name] for name in NAMES)


def _apply(function, value):
    from tocsin.report.ladders import FUNCTIONS  # noqa: PLC0415 - the values are made by the registered functions

    return FUNCTIONS[function].apply(value)


@dataclass(frozen=True)
class Head:
    """The part of a header that decisions read."""

    origin: str
    stage: Stage
    tlp: Tlp
    exercise: bool
    schema: str = "test/1.0"
    created_day: int = 10


def question(dice, text):
    """Any question to a policy: most are sane, each part is odd now and then."""
    policy = text.policy()
    reached = [
        a for a, rules in policy.rules_for.items() if a not in ("gb", "jp") and any(r.effect == "GRANT" for r in rules)
    ]
    own = dice.chance(40)
    node = dice.pick(["jp"] * 29 + ["lab"])
    start = 10 * DAY + dice.pick([0, 30, HOUR])
    tlp = dice.pick([Tlp.CLEAR] * 10 + list(Tlp))
    stage = dice.pick([*Stage])
    hops = () if own else chain(dice, tlp, start)
    origin = hops[0].releaser if hops else dice.pick(["jp"] * 19 + ["gb"])
    now = 10 * DAY + dice.pick([-2 * DAY, HOUR, 3 * HOUR, 6 * HOUR, 2 * DAY, 4 * DAY])
    parties = PARTIES if dice.chance(90) else PARTIES | {dice.pick(sorted(PARTIES)): (PartyKind.BODY, "")}
    everyone = (1 << len(NAMES)) - 1
    return Question(
        policy=policy if dice.chance(98) else None,
        node=node,
        audience=dice.pick(reached if reached and dice.chance(75) else [*AUDIENCES, "fr", "nobody"]),
        parties=parties,
        header=Head(origin, stage, tlp, dice.chance(8), dice.pick(["test/1.0"] * 29 + ["test/2.0"])),
        schema=SCHEMA,
        slots=slots(dice, own=own),
        chain=hops,
        prev=bytes(32),
        incident=Incident(dice.pick([Tlp.CLEAR] * 15 + list(Tlp)), dice.chance(40), dice.chance(5), dice.chance(5)),
        now_minute=now,
        first_accepted_minute=start + dice.pick([0, 30, 2 * HOUR]),
        approvals=_approvals(dice, text),
        officer_withheld=dice.pick(range(everyone)) if dice.chance(10) else 0,
    )


def _approvals(dice, text):
    """Each hold: open, approved for all, refused for all, or approved for the groups alone."""
    answers = {}
    for rule in text.rules:
        if rule.end == "hold = true":
            whom, answer = dice.pick([([], True), (AUDIENCES, True), (AUDIENCES, False), (GROUPS, True)])
            answers |= {(rule.id, audience): answer for audience in whom}
    return answers


def chain(dice, tlp, start):
    """Hops that lead to jp, mostly."""
    length = dice.pick([1] * 12 + [2] * 7 + [8])
    releasers = ["gb", *(f"n{i}" for i in range(1, length))]
    if dice.chance(5):
        releasers[0] = dice.pick(["lab", "jp"])  # a submission; a report that came back
    hops = []
    for i, releaser in enumerate(releasers):
        last = i == length - 1
        kind = dice.pick([AudienceKind.MEMBER] * 15 + [AudienceKind.PUBLIC] * 2 + [AudienceKind.COMMUNITY])
        if not last:
            audience, kind = releasers[i + 1], AudienceKind.MEMBER
        elif kind.one_reader:
            audience = dice.pick(["jp"] * 19 + ["ke"])
        else:
            audience = "public" if kind is AudienceKind.PUBLIC else "community-a"
        tlp = Tlp(max(tlp, dice.pick([Tlp.CLEAR] * 15 + list(Tlp))))
        start += dice.pick([0, 10, 5 * HOUR])
        limits = [
            Limit(kind, dice.pick(range(1, 1 << len(NAMES))), dice.pick([start + HOUR, start + DAY, NEVER]))
            for kind in (dice.some(list(AudienceKind), 2) if dice.chance(60) else [])
        ]
        hops.append(HopBody(releaser, bytes(32), 0, tlp, kind, audience, tuple(limits), EMPTY, (), start))
    return tuple(hops)


def knowing_less(dice, q):
    """The same question with some slots withheld."""
    lost = {i for i in range(len(NAMES)) if dice.chance(30)}
    return replace(q, slots=tuple(WITHHELD if i in lost else v for i, v in enumerate(q.slots)))


def otherwise(dice, q, kept):
    """The same question with other values in the readable slots that are not in `kept` (mask bits); nulls too."""
    other = slots(dice, own=True)
    return replace(
        q,
        slots=tuple(
            value if kept >> i & 1 or value is WITHHELD or value is UNREADABLE else other[i]
            for i, value in enumerate(q.slots)
        ),
    )
