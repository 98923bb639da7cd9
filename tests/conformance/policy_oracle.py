"""An independent oracle of what a disclosure policy means: design sections 3 and 4, protocol sections 3 and 7.

Obvious rather than fast. A condition on a slot that cannot be seen is judged by writing down finer
values, and asking each; the next moment of change by asking every moment at which anything could change.
Nothing of `tocsin` is imported, so that two readings of the design are compared.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.policy_reading import (
    HEADER_FIELDS,
    KINDS,
    TLPS,
    Policy,
    Refused,
    Rule,
    Schema,
    read_policy,
    read_schema,
)
from tests.conformance.policy_truth import judge

NEVER = 2**31 - 1
MAX_BODY = 4096
MAX_HOPS = 8
NAMED = ["MEMBER", "AUTHORITY", "BODY"]


def decide_vector(vector: Mapping[str, Any], regions: Mapping[str, str]) -> dict[str, Any]:
    """What the design answers to a policy vector, in the form of its `expect`.

    `regions` is the table region-1.csv: alpha-2 code to M49 sub-region.
    """
    schemas = {name: read_schema(name, text) for name, text in vector.get("schemas", {}).items()}
    try:
        policy: Policy | None = read_policy(vector["policy"], schemas, regions)
    except Refused:
        policy = None
    if vector.get("report") is None:
        return {"valid": policy is not None}
    if policy is None or _major(policy.schema.id) != _major(vector["report"]["header"]["schema"]):
        return {"nothing": "POLICY", "next": None}
    case = _case(vector, policy, schemas, regions)
    now: int = vector["now_minute"]
    answer = case.answer(now)
    later = (minute for minute in sorted(case.moments()) if minute > now)
    answer["next"] = next((minute for minute in later if case.mask(minute) != case.mask(now)), None)
    return answer


def _major(schema_id: str) -> str:
    return schema_id.split(".", maxsplit=1)[0]


def _case(
    vector: Mapping[str, Any], policy: Policy, schemas: Mapping[str, Schema], regions: Mapping[str, str]
) -> "_Case":
    """The case of a vector: the report is read by its own schema, or by the latest minor that is known."""
    header = vector["report"]["header"]
    known = [schema for schema in schemas.values() if _major(schema.id) == _major(header["schema"])]
    latest = max(known, key=lambda schema: int(schema.id.split(".")[1]))
    names = list(schemas.get(header["schema"], latest).fields)
    given = vector["report"]["slots"]
    names += [name for name in given if name not in names]  # extra slots of a later minor
    slots = {name: given.get(name) for name in names}
    values = {name: value for name, value in slots.items() if value not in ({"withheld": True}, {"unreadable": True})}
    incident = {"latest_tlp": header["tlp"], "sent": False, "retracted": False, "forked": False}
    chain = vector.get("chain") or []
    accepted = vector.get("first_accepted_minute", 0)
    start = chain[0]["minute"] if chain else accepted
    approved = {(row["rule"], row["audience"]) for row in vector.get("approvals", []) if row["approved"]}
    return _Case(
        policy=policy,
        regions=regions,
        node=vector["node"],
        audience=vector["audience"],
        parties=vector.get("parties", {}),
        header=header,
        names=names,
        mask_in=frozenset(name for name in names if slots[name] != {"withheld": True}),
        values=values,
        chain=chain,
        incident={**incident, **vector.get("incident", {})},
        grant_start=start,
        embargo_start=max(start, accepted),
        approved=approved,
    )


@dataclass(frozen=True)
class _Case:
    """One report, one chain, one audience, one policy that is loaded and serves the report's schema."""

    policy: Policy
    regions: Mapping[str, str]
    node: str
    audience: str
    parties: Mapping[str, Any]
    header: Mapping[str, Any]
    names: list[str]  # slots in order
    mask_in: frozenset[str]
    values: Mapping[str, Any]  # of slots in mask_in that can be read
    chain: list[Mapping[str, Any]]
    incident: Mapping[str, Any]
    grant_start: int
    embargo_start: int
    approved: set[tuple[str, str]]
    answered: dict[Any, int | None] = field(default_factory=dict)

    # -- the outcome at one minute of the clock ---------------------------------------------------------------

    @property
    def tlp(self) -> int:
        """The strictest of the chain's TLP and of the header TLP of the highest revision held."""
        words = [self.header["tlp"], *(hop["tlp"] for hop in self.chain), self.incident["latest_tlp"]]
        return max(TLPS.index(word) for word in words)

    def minute(self, clock: int) -> int:
        """A hop's minute: the clock's, but never before the previous hop's."""
        return max([clock, *(int(hop["minute"]) for hop in self.chain)])

    def mask(self, clock: int) -> frozenset[str] | None:
        """The slots of mask_out; None is nothing."""
        why, mask_out = self._outcome(self.minute(clock))
        return None if why else mask_out

    def answer(self, clock: int) -> dict[str, Any]:
        """The answer without `next`."""
        minute = self.minute(clock)
        why, mask_out = self._outcome(minute)
        if why:
            return {"nothing": why}
        reasons, limits = self._fitting(mask_out, minute)
        return {
            "disclosed": [name for name in self.names if name in mask_out],
            "withheld": {
                name: dict(zip(("code", "until", "rule"), reasons[name], strict=True))
                for name in self.names
                if name in reasons
            },
            "tlp": TLPS[self.tlp],
            "minute": minute,
            "limits": [
                {"kind": kind, "until": until, "slots": [name for name in self.names if name in slots]}
                for (kind, until), slots in _grouped(limits)
            ],
        }

    def _outcome(self, minute: int) -> tuple[str, frozenset[str]]:
        """(why nothing is sent or "", mask_out)."""
        if minute < self.policy.effective:
            return "POLICY", frozenset()
        if not self._chain_goes_on():
            return "CHAIN", frozenset()
        why, mask_out = self._by_the_rules(minute)
        correction = self.header["stage"] == "RETRACTION" and self.incident["sent"]
        return ("", frozenset()) if why and correction else (why, mask_out)

    def _by_the_rules(self, minute: int) -> tuple[str, frozenset[str]]:
        nothing: frozenset[str] = frozenset()
        if not self._audience_is_known():
            return "AUDIENCE", nothing
        if self.incident["retracted"] or self.incident["forked"]:
            return "STOPPED", nothing
        if self.header["exercise"] and self.audience not in self.policy.exercises:
            return "EXERCISE", nothing
        if not self._handling_allows():
            return "HANDLING", nothing
        look = self._look_at_everything(self.policy.kinds[self.audience], minute)
        moments = {name: self._given_from(name, self.audience, look) for name in self.names}
        mask_out = frozenset(name for name, moment in moments.items() if moment is not None and moment <= minute)
        return ("", mask_out) if mask_out else ("NO_SLOT", nothing)

    def moments(self) -> set[int]:
        """Every minute of the clock at which anything could change, and its neighbours."""
        delays = {rule.delay for rule in self.policy.rules if rule.delay is not None}
        found = {self.policy.effective, *(hop["minute"] for hop in self.chain)}
        found |= {start + delay for start in (self.grant_start, self.embargo_start) for delay in delays}
        found |= {limit["until"] for hop in self.chain for limit in hop.get("limits", []) if limit["until"] != NEVER}
        return {minute + step for minute in found for step in (-1, 0, 1)}

    # -- invariants -------------------------------------------------------------------------------------------

    def _chain_goes_on(self) -> bool:
        if not self.chain:
            return bool(self.header["origin"] == self.node)
        releasers = [hop["releaser"] for hop in self.chain]
        last = self.chain[-1]
        return (
            len(self.chain) < MAX_HOPS
            and self.node not in releasers
            and all(self.parties.get(releaser, [""])[0] != "LAB" for releaser in releasers)
            and (last["kind"] == "PUBLIC" or (last["kind"] in NAMED and last["audience"] == self.node))
        )

    def _audience_is_known(self) -> bool:
        kind = self.policy.kinds.get(self.audience)
        taken = {self.node, *(hop["releaser"] for hop in self.chain)}
        trusted = kind not in NAMED or self.parties.get(self.audience, [""])[0] == kind
        return kind is not None and trusted and self.audience not in taken

    def _handling_allows(self) -> bool:
        """The table of protocol section 3."""
        kind, index, tlp = self.policy.kinds[self.audience], len(self.chain), TLPS[self.tlp]
        if tlp == "CLEAR":
            return True
        if tlp == "GREEN":
            return kind != "PUBLIC"
        if index == 0:
            return kind in NAMED
        if tlp == "AMBER" and index == 1 and kind == "AUTHORITY":
            return bool(self.parties.get(self.node, ["", ""])[1] == self.parties[self.audience][1] != "")
        return False

    def _passes_from(self, name: str, kind: str) -> int | None:
        """The minute from which the limits of earlier hops let a slot pass to a kind; None is never."""
        untils = [
            limit["until"]
            for hop in self.chain
            for limit in hop.get("limits", [])
            if limit["kind"] == kind and name in limit["slots"]
        ]
        return None if NEVER in untils else max(untils, default=0)

    # -- rules ------------------------------------------------------------------------------------------------

    def _look_at_everything(self, kind: str, minute: int) -> "_Look":
        """Conditions see what the chain's limits let pass to that kind at that minute."""
        passing = {name: self._passes_from(name, kind) for name in self.values}
        open_ = frozenset(name for name, since in passing.items() if since is not None and since <= minute)
        return _Look(open_, None)

    def _truth(self, rule: Rule, look: "_Look") -> bool | None:
        """A conjunction: false if any member is, else unknown (None) if any is."""
        header = {**{name: self.header[name] for name in HEADER_FIELDS}, "tlp": self.tlp}
        visible = look.open if look.mask_out is None else look.open & (look.mask_out | rule.reveals)
        seen = {name: self.values[name] for name in visible}
        found = [
            test.holds(header[name]) if name in header else judge(test, name, seen, self.policy.schema, self.regions)
            for name, test in rule.when.items()
        ]
        return False if False in found else None if None in found else True

    def _given_from(self, name: str, audience: str, look: "_Look") -> int | None:
        """The minute from which rules, approvals and earlier limits give a slot to an audience; None is never."""
        question = (name, audience, look)
        if question not in self.answered:
            self.answered[question] = self._ask_rules(*question)
        return self.answered[question]

    def _ask_rules(self, name: str, audience: str, look: "_Look") -> int | None:
        if name not in self.values or name not in self.policy.schema.fields:
            return None
        rules = [rule for rule in self.policy.rules if audience in rule.to and name in rule.names]
        grants = [rule for rule in rules if rule.grant and self._truth(rule, look) is True]
        restrictions = [rule for rule in rules if not rule.grant and self._truth(rule, look) is not False]
        restrictions = [rule for rule in restrictions if not (rule.hold and (rule.id, audience) in self.approved)]
        passes = self._passes_from(name, self.policy.kinds[audience])
        if not grants or passes is None or any(rule.delay is None for rule in restrictions):
            return None
        earliest = min(self._own_moment(rule) for rule in grants)
        return max([earliest, passes, *(self._own_moment(rule) for rule in restrictions)])

    def _own_moment(self, rule: Rule) -> int:
        assert rule.delay is not None
        return (self.grant_start if rule.grant else self.embargo_start) + rule.delay

    # -- reasons and limits: the same evaluation, but conditions see only mask_out and what their rule reveals ---

    def _fitting(self, mask_out: frozenset[str], minute: int) -> tuple[dict[str, Any], list[tuple[str, int, str]]]:
        """Reasons by slot, and limits as (kind, until, slot); told more coarsely where the body grows too long."""
        reasons = {name: self._reason(name, mask_out, minute) for name in self.mask_in - mask_out}
        limits = self._limits(mask_out, minute)
        if self._size(reasons, limits, minute) > MAX_BODY:
            reasons = {name: (code, until, "") for name, (code, until, _) in reasons.items()}
        if self._size(reasons, limits, minute) > MAX_BODY:
            for name, (code, _, _) in reasons.items():
                reasons[name] = (self._without_embargo(name, mask_out) if code == "EMBARGOED" else code, 0, "")
            limits = [(kind, NEVER, name) for kind, _, name in limits]
        return reasons, limits

    def _without_embargo(self, name: str, mask_out: frozenset[str]) -> str:
        return "COARSENED" if mask_out & set(self.policy.schema.coarser(name)) else "WITHHELD"

    def _reason(self, name: str, mask_out: frozenset[str], minute: int) -> tuple[str, int, str]:
        if not mask_out or name not in self.values or name not in self.policy.schema.fields:
            return "WITHHELD", 0, ""
        kind = self.policy.kinds[self.audience]
        look = _Look(self._look_at_everything(kind, minute).open, mask_out)
        until = self._given_from(name, self.audience, look)
        rules = [rule for rule in self.policy.rules if self.audience in rule.to and name in rule.names]
        true = [rule for rule in rules if self._truth(rule, look) is True]
        true = [rule for rule in true if not (rule.hold and (rule.id, self.audience) in self.approved)]
        if until is not None and until > minute:
            named = [rule.id for rule in true if rule.delay is not None and self._own_moment(rule) == until]
            return "EMBARGOED", until, min(named, default="")
        named = [rule.id for rule in true if not rule.grant and rule.delay is None]
        return self._without_embargo(name, mask_out), 0, min(named, default="")

    def _limits(self, mask_out: frozenset[str], minute: int) -> list[tuple[str, int, str]]:
        """What this hop asks, as (kind, until, slot)."""
        found: list[tuple[str, int, str]] = []
        if not mask_out or self.policy.kinds[self.audience] not in NAMED:
            return found
        for kind in KINDS:
            looks = [] if kind in NAMED else self._looks_of_a_group(kind, mask_out, minute)
            for name in mask_out - self.policy.onward.get(kind, frozenset()):
                until = NEVER if kind in NAMED else self._group_given_from(name, kind, looks)
                if until > minute:
                    found.append((kind, until, name))
        return found

    def _looks_of_a_group(self, kind: str, mask_out: frozenset[str], minute: int) -> list[tuple[int, "_Look"]]:
        """What conditions see for a group, from this minute on: never more than this hop's own reader may see now."""
        ours = self._look_at_everything(self.policy.kinds[self.audience], minute).open
        moments = [minute, *(later for later in sorted(self.moments()) if later > minute)]
        theirs = [(moment, self._look_at_everything(kind, moment).open) for moment in moments]
        return [(moment, _Look(ours & open_, mask_out)) for moment, open_ in theirs]

    def _group_given_from(self, name: str, kind: str, looks: list[tuple[int, "_Look"]]) -> int:
        """The latest of the minutes from which the policy gives a slot to the audiences of a kind that it names."""
        found = []
        for audience in [audience for audience, its_kind in self.policy.kinds.items() if its_kind == kind]:
            given = [(moment, self._given_from(name, audience, look)) for moment, look in looks]
            found.append(min((m for m, since in given if since is not None and since <= m), default=NEVER))
        return max(found, default=NEVER)

    def _size(self, reasons: Mapping[str, Any], limits: list[tuple[str, int, str]], minute: int) -> int:
        """Bytes of the HopBody in Avro: fixed parts, and one entry for every different reason and limit."""
        mask = _bytes_size((len(self.names) + 7) // 8)
        enum = 1
        asked = [mask + enum + _int_size(until) for _, until in {(kind, until) for kind, until, _ in limits}]
        told = [mask + enum + _int_size(until) + _bytes_size(len(rule)) for _, until, rule in set(reasons.values())]
        policy = _bytes_size(len(self.policy.id)) + _int_size(self.policy.version) + 32
        names = _bytes_size(len(self.node)) + _bytes_size(len(self.audience))
        return names + 32 + mask + 2 * enum + _array_size(asked) + policy + _array_size(told) + _int_size(minute)


@dataclass(frozen=True)
class _Look:
    """What conditions may see: slots that pass; for reasons and limits only those of mask_out or revealed."""

    open: frozenset[str]
    mask_out: frozenset[str] | None


def _grouped(limits: Iterable[tuple[str, int, str]]) -> list[tuple[tuple[str, int], set[str]]]:
    """Limits in the order of the wire: by (kind, until)."""
    groups: dict[tuple[str, int], set[str]] = {}
    for kind, until, name in limits:
        groups.setdefault((kind, until), set()).add(name)
    return sorted(groups.items(), key=lambda item: (KINDS.index(item[0][0]), item[0][1]))


def _int_size(value: int) -> int:
    """Bytes of a zigzag varint of a number that is not negative."""
    return max(1, -(-(2 * value).bit_length() // 7))


def _bytes_size(length: int) -> int:
    return _int_size(length) + length


def _array_size(items: list[int]) -> int:
    return _int_size(len(items)) + sum(items) + 1 if items else 1
