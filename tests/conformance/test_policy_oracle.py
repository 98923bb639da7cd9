"""A policy means the same to the node and to an oracle that was written from the design alone."""

import csv
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conformance.policy_oracle import decide_vector

from tocsin.flow.vector import run_policy_vector

ROOT = Path(__file__).parents[2]
REGIONS = {
    row["alpha2"]: row["m49_subregion"]
    for row in csv.DictReader((ROOT / "schemas/region-1.csv").read_text().splitlines())
}
COMMITTED = sorted((ROOT / "schemas/vectors/policy").glob("*.json"))

FIELDS: list[tuple[str, Any, dict[str, Any]]] = [
    ("severity", "int", {"class": "harm"}),
    ("band", {"type": "enum", "name": "Band", "symbols": ["NONE", "LOW", "MEDIUM", "HIGH"]}, {}),
    ("at", {"type": "long", "logicalType": "timestamp-millis"}, {"class": "identity"}),
    ("day", {"type": "int", "logicalType": "date"}, {"class": "identity"}),
    ("month", {"type": "int", "logicalType": "date"}, {"class": "harm"}),
    ("countries", {"type": "array", "items": "string"}, {"class": "identity", "set": True}),
    ("regions", {"type": "array", "items": "string"}, {"class": "harm", "set": True}),
    ("deaths", "long", {"class": "people"}),
    ("digits", "int", {"class": "harm"}),
    ("toll", "Band", {"class": "harm"}),
    ("kind", {"type": "enum", "name": "Kind", "symbols": ["A", "B", "C"]}, {"class": "technical"}),
    ("tags", {"type": "array", "items": {"type": "enum", "name": "Tag", "symbols": ["X", "Y"]}}, {"set": True}),
    ("critical", "boolean", {"class": "technical"}),
    ("note", "string", {"class": "narrative"}),
]
RUNGS = {
    "band": ("severity", "band/1"),
    "day": ("at", "day/1"),
    "month": ("day", "month/1"),
    "regions": ("countries", "region/1"),
    "digits": ("deaths", "magnitude/1"),
    "toll": ("digits", "band/1"),
}
LATER = [("late", "boolean", {"class": "harm"}), ("hour", "int", {})]
NAMES = [name for name, _, _ in FIELDS]
NEVER = 2**31 - 1
START = 29_800_020  # a minute of 2026; all moments are this and some hours
MONTH = 20_666  # 2026-08-01
PARTIES = {
    "gb": ["MEMBER", "GB"],
    "jp": ["MEMBER", "JP"],
    "ke": ["MEMBER", "KE"],
    "reg": ["AUTHORITY", "GB"],
    "jp-reg": ["AUTHORITY", "JP"],
    "un": ["BODY", ""],
    "lab": ["LAB", "GB"],
}
KINDS = ["MEMBER", "AUTHORITY", "BODY", "COMMUNITY", "PUBLIC"]
TLPS = ["CLEAR", "GREEN", "AMBER", "AMBER_STRICT", "RED"]
AUDIENCES = {
    "jp": "MEMBER",
    "ke": "MEMBER",
    "reg": "AUTHORITY",
    "jp-reg": "AUTHORITY",
    "un": "BODY",
    "public": "PUBLIC",
    "community-ai": "COMMUNITY",
    "community-ops": "COMMUNITY",
}
CODES = ["AQ", "BM", "PM", "AU", "NZ", "NF", "GB", "JP", "CX", "CC", "HM"]  # of a few small regions, or of 000
OCEANIA = ["AU", "CC", "CX", "HM", "NF", "NZ"]  # all of region 053
LABELS = {
    "band": ["NONE", "LOW", "MEDIUM", "HIGH"],
    "toll": ["NONE", "LOW", "MEDIUM", "HIGH"],
    "kind": ["A", "B", "C"],
    "tags": ["X", "Y"],
    "countries": CODES,
    "regions": sorted({REGIONS[code] for code in CODES}),
    "origin": ["gb", "jp", "ke"],
    "stage": ["INITIAL", "UPDATE", "FINAL", "RETRACTION"],
}
TESTABLE = ["severity", "band", "countries", "regions", "deaths", "digits", "toll", "kind", "tags", "critical"]
COUNTS = [0, 1, 2, 5, 9, 10, 99, 100, 999, 1000, 10**5, 10**8 - 1]
FINER = ["severity", "countries", "deaths", "digits"]
RULE_IDS = ["a", "b-1", "b-2", "c.x", "d", "0", "zz"]


def avsc(fields: list[tuple[str, Any, dict[str, Any]]]) -> str:
    record: list[dict[str, Any]] = []
    for name, avro, properties in fields:
        entry = {"name": name, "type": ["null", avro], "default": None, **properties}
        if name in RUNGS:
            entry["rung"] = dict(zip(("of", "by"), RUNGS[name], strict=True))
        record.append(entry)
    return json.dumps({"type": "record", "name": "Test", "fields": record})


SCHEMAS = {"test/1.0": avsc(FIELDS), "test/1.1": avsc(FIELDS + LATER)}


class Draw:
    """Random choices, by a source that hypothesis can shrink."""

    def __init__(self, source: Random) -> None:
        self._source = source

    def one(self, of: Any) -> Any:
        return self._source.choice(list(of))

    def some(self, of: Any, low: int = 0, high: int = 3) -> list[Any]:
        items = list(of)
        return self._source.sample(items, min(len(items), self._source.randint(low, high)))

    def once_in(self, times: int) -> bool:
        return self._source.randrange(times) == times - 1

    def moment(self) -> int:
        return START + 60 * self._source.randint(0, 100) + self.one([0, 0, 0, 0, -1, 1])


# -- policies -------------------------------------------------------------------------------------------------------


def condition(draw: Draw, grant: bool) -> tuple[str, Any]:
    """One member of `when`."""
    key = draw.one([*TESTABLE, *FINER * 2, "origin", "stage", "tlp", "exercise"])
    if key in ("severity", "deaths", "digits"):
        small = [-1, 0, 1, 2, 3, 4, 5, 7, 8]
        return key, f"{draw.one(['>=', '<='])} {draw.one([*small, *COUNTS] if key == 'deaths' else small)}"
    if key in ("critical", "exercise"):
        return key, draw.one([True, False])
    if key == "tlp":
        return key, ("<= " if grant else ">= ") + draw.one(TLPS[1:4])
    if key == "countries" and draw.once_in(2):
        return key, draw.one([OCEANIA, [*OCEANIA, "AQ", "TW"], ["AQ", "TW"]])  # whole regions
    return key, draw.some(LABELS[key], 1, 5)


def rule(draw: Draw, rule_id: str, audiences: list[str], late: list[str], apart: bool) -> list[str]:
    """One [[rule]] as lines of TOML; what it tests it mostly reveals, or else it would be refused.

    `apart`: what is for groups gives or takes everything, and may so test without telling.
    """
    grant, blunt = not draw.once_in(3), apart and draw.once_in(2)
    groups = [name for name in audiences if AUDIENCES[name] in ("COMMUNITY", "PUBLIC")]
    to = draw.one([["*"], draw.some([*audiences, "network"], 1, 3)])
    wide = draw.one([["*"], ["@harm"], ["@identity", "@harm"], ["@technical", "@people", "band"]])
    if apart:
        to = draw.some([name for name in audiences if (name in groups) is blunt], 1, 2) or ["*"]
    names = ["*"] if blunt else wide if draw.once_in(2) else draw.some([*NAMES, *late], 1, 5)
    tests = 0 if apart and not blunt else draw.one([0, 1, 1, 2])
    when = dict(condition(draw, grant) for _ in range(tests))
    lines = ["[[rule]]", f'id = "{rule_id}"', f"to = {json.dumps(to)}"]
    lines.append(f"{'disclose' if grant else 'withhold'} = {json.dumps(names)}")
    delay = draw.one(["P0D", "P1D", "P2D", "PT1H", "PT12H", "PT24H", "PT40H", "P9999D"])
    end = draw.one([0, 1, 2] if grant else [0, 0, 1, 2])
    if grant:
        lines += [f'after = "{delay}"'] if end else []
    else:
        lines += [[f'embargo = "{delay}"'], ["hold = true"], []][end]
    if when:
        lines.append("when = { " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in when.items()) + " }")
    tested = [key for key in when if key in TESTABLE and not draw.once_in(2 if blunt else 60)]
    reveals = [RUNGS[key][0] if key in RUNGS and draw.once_in(6) else key for key in tested]
    lines += [f"reveals = {json.dumps(reveals)}"] if reveals else []
    return lines


def policy(draw: Draw, audiences: list[str]) -> str:
    schema = draw.one(["test/1.0"] * 24 + ["test/1.1"] * 8 + ["test/2.0"])
    late = ["late"] if schema == "test/1.1" else []
    day = draw.one(["2026-08-01T00:00:00Z"] * 16 + ["2026-08-30T08:00:00+01:00", "2026-08-31T21:00:00Z"])
    lines = ['policy = "gb"', f"version = {draw.one([1, 3, 64, 9000])}", f'schema = "{schema}"']
    lines += ['jurisdiction = "GB"', f"effective_from = {day}"]
    for name in audiences:
        lines += [f"[audience.{name}]", f'kind = "{"BODY" if name == "ke" and draw.once_in(9) else AUDIENCES[name]}"']
        lines += ["accepts_exercises = true"] if draw.once_in(2) else []
    lines += ["[sets]", f"network = {json.dumps(draw.some(audiences, 1, 2))}", "[onward]"]
    for kind in draw.some(KINDS, 0, 2):
        lines.append(f"{kind} = {json.dumps(draw.some([*NAMES, '@harm', '*'], 1, 3))}")
    if draw.once_in(2):
        lines += ["[[rule]]", 'id = "base"', 'to = ["*"]', 'disclose = ["*"]']
        lines += [f'after = "{draw.one(["PT9H", "P1D"])}"'] if draw.once_in(3) else []
    apart = draw.once_in(3)
    for rule_id in draw.some(RULE_IDS, 1, 7):
        lines += rule(draw, rule_id, audiences, late, apart)
    return "\n".join(lines) + "\n"


# -- reports, chains, vectors ---------------------------------------------------------------------------------------


def magnitude(count: int) -> int:
    return len(str(count)) - 1 if count else -1


def band(severity: int) -> str:
    return ["NONE", "LOW", "LOW", "MEDIUM", "MEDIUM", "HIGH", "HIGH", "HIGH"][severity]


def slot_values(draw: Draw, late: bool) -> dict[str, Any]:
    """The values of a report whose rungs agree; any value may be null whose finer rungs are null."""
    severity, deaths = draw.one(range(8)), draw.one(COUNTS)
    countries = sorted(draw.some([*CODES, "ZZ"], 0, 4))
    values = {
        "severity": severity,
        "band": band(severity),
        "at": (MONTH + 9) * 86_400_000 + 5,
        "day": MONTH + 9,
        "month": MONTH,
        "countries": countries,
        "regions": sorted({REGIONS.get(code, "000") for code in countries}),
        "deaths": deaths,
        "digits": magnitude(deaths),
        "toll": band(magnitude(deaths)) if deaths else None,
        "kind": draw.one(["A", "B", "C"]),
        "tags": sorted(draw.some(["X", "Y"])),
        "critical": draw.one([True, False]),
        "note": "free text",
        **({"late": draw.one([True, False]), "hour": 4} if late else {}),
    }
    for name in values:
        if draw.once_in(12):
            finer: str | None = name
            while finer:
                values[finer] = None
                finer = RUNGS.get(finer, (None,))[0]
    return values


def chain_to_gb(draw: Draw) -> list[dict[str, Any]]:
    """One to three hops that end at gb or at a group; sometimes one that nobody may continue."""
    releasers = [*draw.some(["jp", "ke"], 2, 2), "un"][: draw.one([1, 1, 1, 2, 3])]
    releasers = draw.one([releasers] * 30 + [["lab"], ["gb", "jp"]])
    hops: list[dict[str, Any]] = []
    minute, tlp = draw.moment(), draw.one([0, 0, 0, 1, 2, 3])
    for place, releaser in enumerate(releasers):
        reader = releasers[place + 1] if place + 1 < len(releasers) else draw.one(["gb"] * 15 + ["ke"])
        audience = draw.one([reader] * 12 + ["public", "community-ai"])
        limits = [
            {
                "kind": draw.one([*KINDS, "MEMBER", "COMMUNITY", "PUBLIC"]),
                "slots": sorted({*draw.some(NAMES, 0, 4), *draw.some(TESTABLE, 1, 3)}),
                "until": draw.one([NEVER, draw.moment(), draw.moment()]),
            }
            for _ in range(draw.one([0, 1, 2, 4]))
        ]
        kind = {**AUDIENCES, "gb": "MEMBER"}[audience]
        hop = {"releaser": releaser, "audience": audience, "kind": kind, "tlp": TLPS[tlp], "minute": minute}
        hops.append({**hop, "limits": limits})
        minute, tlp = minute + draw.one([0, 60, 61, 1440]), min(4, tlp + draw.once_in(10))
    return hops


def vector(draw: Draw) -> dict[str, Any]:
    chain = draw.one([None, chain_to_gb(draw)])
    schema = draw.one(["test/1.0"] * 24 + ["test/1.1"] * 8 + ["test/1.4"] * 6 + ["other/1.0"])
    slots = slot_values(draw, late=schema in ("test/1.1", "test/1.4"))
    for name in list(slots):
        if chain and draw.once_in(2 if name in FINER else 5):
            slots[name] = {"unreadable": True} if draw.once_in(8) else {"withheld": True}
    accepted = draw.moment()
    if chain is not None:  # a hop's minute may be some minutes ahead of the clock
        accepted = max(chain[-1]["minute"] + draw.one([-5, 0]), accepted)
    header = {
        "origin": chain[0]["releaser"] if chain else draw.one(["gb"] * 19 + ["jp"]),
        "stage": draw.one(["INITIAL", "UPDATE", "FINAL", "RETRACTION"]),
        "tlp": chain[0]["tlp"] if chain else draw.one(["CLEAR"] * 10 + TLPS),
        "exercise": draw.once_in(10),
        "schema": schema,
    }
    audiences = sorted({*draw.some(["public", "community-ai"]), *draw.some(AUDIENCES, 2, 6)})
    incident = {"latest_tlp": draw.one(["CLEAR"] * 24 + TLPS), "sent": draw.one([True, False])}
    incident |= {"retracted": draw.once_in(25), "forked": draw.once_in(25)}
    audience = draw.one([*audiences * 12, *AUDIENCES, "gb"])
    return {
        "about": "generated",
        "policy": policy(draw, audiences),
        "schemas": SCHEMAS,
        "node": "gb",
        "audience": audience,
        "parties": {name: party for name, party in PARTIES.items() if name == "gb" or not draw.once_in(40)},
        "report": {"header": header, "slots": slots},
        "chain": chain,
        "incident": {} if draw.once_in(9) else incident,
        "now_minute": accepted + draw.one([0, 1, 60, 719, 720, 1440, 2880, 4000, 9000]),
        "first_accepted_minute": accepted,
        "approvals": [
            {"rule": rule_id, "audience": draw.one([audience, audience, *audiences]), "approved": not draw.once_in(4)}
            for rule_id in draw.some(RULE_IDS, 0, 3)
        ],
    }


def wide_vector(slots: int, letters: int, to: str) -> dict[str, Any]:
    """Half of many slots is under embargoes of different lengths; `letters` are shared out among the rules' ids."""
    names = [f"f{place:03d}" for place in range(slots)]
    record = {"type": "record", "name": "Wide", "fields": []}
    record["fields"] = [{"name": name, "type": ["null", "boolean"], "default": None} for name in names]
    lines = ['policy = "gb"', "version = 1", 'schema = "wide/1.0"', 'jurisdiction = "GB"']
    lines += ["effective_from = 2026-08-01T00:00:00Z", "[audience.jp]", 'kind = "MEMBER"', "[audience.public]"]
    lines += ['kind = "PUBLIC"', "[[rule]]", 'id = "all"', 'to = ["*"]', 'disclose = ["*"]']
    taken = names[::2]
    for place, name in enumerate(taken):
        rule_id = name + "x" * (letters // len(taken) + (place < letters % len(taken)))
        lines += [
            "[[rule]]",
            f'id = "{rule_id}"',
            f"to = [{to}]",
            f'withhold = ["{name}"]',
            f'embargo = "PT{place + 1}H"',
        ]
    header = {"origin": "gb", "stage": "INITIAL", "tlp": "CLEAR", "exercise": False, "schema": "wide/1.0"}
    return {
        "about": "generated",
        "policy": "\n".join(lines),
        "schemas": {"wide/1.0": json.dumps(record)},
        "node": "gb",
        "audience": "jp",
        "parties": PARTIES,
        "report": {"header": header, "slots": dict.fromkeys(names, True)},
        "chain": None,
        "now_minute": START,
        "first_accepted_minute": START,
    }


# -- laws -----------------------------------------------------------------------------------------------------------


def test_there_are_committed_vectors():
    """The folder of policy vectors is not empty."""
    assert COMMITTED


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_vector(path):
    """Every committed policy vector says what the oracle says."""
    vector = json.loads(path.read_text())
    assert decide_vector(vector, REGIONS) == vector["expect"]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False))
def test_node_and_oracle_agree(source):
    """Node and oracle give one answer to any policy, report, chain and incident."""
    case = vector(Draw(source))
    assert run_policy_vector(case) == decide_vector(case, REGIONS)


def test_seeded_cases_agree():
    """Node and oracle give one answer to a fixed crowd of cases, whose choices are spread evenly."""
    for seed in range(500):
        case = vector(Draw(Random(seed)))
        assert run_policy_vector(case) == decide_vector(case, REGIONS), seed


def test_a_body_too_long_loses_its_rule_names_first():
    """At the very byte at which a body grows too long all rule names go, on the node as in the oracle."""
    told = []
    for letters in range(2371, 2379):
        case = wide_vector(118, letters, '"jp"')
        answer = decide_vector(case, REGIONS)
        assert run_policy_vector(case) == answer, letters
        told.append(any(reason["rule"] for reason in answer["withheld"].values()))
    assert True in told
    assert False in told
    assert told == sorted(told, reverse=True)


@pytest.mark.parametrize("to", ['"jp"', '"public"', '"jp", "public"'])
@pytest.mark.parametrize("slots", [100, 222, 234])
def test_a_body_still_too_long_loses_its_minutes(slots, to):
    """Where dropping rule names is not enough, embargoes and minutes of limits go, on the node as in the oracle."""
    case = wide_vector(slots, 0, to)
    assert run_policy_vector(case) == decide_vector(case, REGIONS)
