"""What a decision depends on, read from the store: the same for a release and for an officer who asks beforehand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tocsin.flow.decide import UNREADABLE, WITHHELD, Incident, Question
from tocsin.flow.owed import told
from tocsin.flow.ports import Between, Tx
from tocsin.flow.rows import ANSWERED, APPROVED, Copy, Decided, Hold, Report, Withholding
from tocsin.flow.setting import Setting, minute_up
from tocsin.wire.header import Stage, Tlp
from tocsin.wire.slots import mask_bits
from tocsin.wire.verify import Verified


@dataclass(slots=True)
class _Revisions:
    """What the reports of one incident say together."""

    newest: tuple[int, int] = (-1, 0)
    """The newest revision, and the strictest TLP of those that claim to be it."""
    leaves: dict[int, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    retractions: set[bytes] = field(default_factory=set)


@dataclass
class Facts:
    """Everything that the decisions of one batch depend on, read in a few queries.

    The origin decides how many revisions an incident has. So of an incident only those are read that a decision of the
    batch depends on: the retractions, and from the batch's oldest revision on.
    """

    reports: dict[bytes, Report] = field(default_factory=dict)
    copies: dict[bytes, list[Copy]] = field(default_factory=lambda: defaultdict(list))
    decided: dict[tuple[str, bytes], list[Decided]] = field(default_factory=lambda: defaultdict(list))
    holds: dict[tuple[bytes, int, str, str], Hold] = field(default_factory=dict)
    _incidents: dict[tuple[str, bytes], _Revisions] = field(default_factory=lambda: defaultdict(_Revisions))
    _sent: set[tuple[str, str, bytes]] = field(default_factory=set)
    _withheld: list[Withholding] = field(default_factory=list)
    _asked: tuple[Setting, Copy, Verified, Question] | None = field(default=None, repr=False, compare=False)

    @classmethod
    async def load(cls, tx: Tx, about: Iterable[tuple[bytes, str]]) -> Facts:
        """The facts about these reports (leaves), each for an audience."""
        facts, pairs = cls(), list(about)
        leaves, audiences = sorted({leaf for leaf, _ in pairs}), sorted({audience for _, audience in pairs})
        facts.reports = {r.leaf: r for r in (await tx.get(Report, [(leaf,) for leaf in leaves])).values()}
        await facts._load_incidents(tx)
        for copy in await tx.find(Copy, {"leaf": leaves}, order=("accepted_ms", "chain")):
            facts.copies[copy.leaf].append(copy)
        for row in await tx.find(Decided, {"audience": audiences, "leaf": leaves}):
            facts.add(row)
        for hold in await tx.find(Hold, {"leaf": leaves}):
            facts.holds[hold.leaf, hold.policy_version, hold.rule, hold.audience] = hold
        facts._withheld = await tx.find(Withholding, {"leaf": leaves})
        return facts

    async def _load_incidents(self, tx: Tx) -> None:
        oldest: dict[tuple[str, bytes], int] = {}
        for report in self.reports.values():
            at = report.origin, report.incident
            oldest[at] = min(report.revision, oldest.get(at, report.revision))
        for low in sorted(set(oldest.values())):
            same = [incident for incident, revision in oldest.items() if revision == low]
            await self._load_of(tx, "incident", same, {"revision": Between(low=low)})
        await self._load_of(tx, "retracts", list(oldest), {})
        # Whom a correction is owed. To an ordinary report it makes no difference who was sent another one.
        retractions = [report for report in self.reports.values() if report.stage == Stage.RETRACTION]
        for (origin, incident), audiences in (await told(tx, retractions)).items():
            self._sent.update((audience, origin, incident) for audience in audiences)

    async def _load_of(
        self, tx: Tx, column: str, incidents: Sequence[tuple[str, bytes]], which: Mapping[str, object]
    ) -> None:
        of = {column: sorted({i for _, i in incidents}), "origin": sorted({o for o, _ in incidents})}
        for report in await tx.find(Report, {**of, **which}):
            self.know(report)

    def know(self, report: Report) -> None:
        """Know of a report of an incident; knowing it already changes nothing."""
        revisions = self._incidents[report.origin, report.incident]
        revisions.newest = max(revisions.newest, (report.revision, report.tlp))
        revisions.leaves[report.revision].add(report.leaf)
        if report.stage == Stage.RETRACTION:
            revisions.retractions.add(report.leaf)

    def add(self, row: Decided) -> None:
        """Know of a decision that this batch itself has sealed."""
        self.decided[row.audience, row.leaf].append(row)
        self._sent.add((row.audience, row.origin, row.incident))

    def question(self, setting: Setting, copy: Copy, verified: Verified, audience: str, now_ms: int) -> Question:
        """What is asked of `decide`: this copy of a report, for that audience, now.

        A report is mostly asked about for one audience after the other, and most of the answer is the same for all.
        """
        report, minute = self.reports[copy.leaf], minute_up(now_ms)
        sent = (audience, report.origin, report.incident) in self._sent
        if self._asked is not None:
            under, of, as_verified, question = self._asked
            if under is setting and of is copy and as_verified is verified and question.now_minute == minute:
                return question.to(audience, sent=sent)
        policy = setting.policy_for(report.schema, minute)
        answered = {
            (hold.rule, hold.audience): hold.state == APPROVED
            for hold in self.holds.values()
            if policy is not None
            and (hold.leaf, hold.policy_version) == (report.leaf, policy.version)
            and hold.state in ANSWERED
        }
        n = verified.envelope.n
        officer: dict[str, int] = {}
        for row in self._withheld:
            if row.leaf == report.leaf:
                officer[row.audience] = officer.get(row.audience, 0) | mask_bits(row.slots, n)
        question = Question(
            policy=policy,
            node=setting.node,
            audience=audience,
            parties=setting.parties,
            header=verified.header,
            schema=verified.judged.schema,
            slots=slot_states(verified),
            chain=verified.hops,
            prev=verified.chain or verified.leaf,
            incident=self._state(report, sent=sent),
            now_minute=minute,
            first_accepted_minute=minute_up(copy.accepted_ms),
            approvals=answered,
            officer_withheld=officer.get(audience, 0),
            officer_withheld_elsewhere=officer,
        )
        self._asked = setting, copy, verified, question
        return question

    def _state(self, report: Report, *, sent: bool) -> Incident:
        """Design 3: the newest word binds the older ones; retraction; fork; whom a correction is owed."""
        held = self._incidents[report.origin, report.incident]
        return Incident(
            latest_tlp=Tlp(held.newest[1]),
            sent=sent,
            retracted=bool(held.retractions - {report.leaf}),
            forked=len(held.leaves[report.revision]) > 1,
        )


def slot_states(verified: Verified) -> tuple[object, ...]:
    """Per slot: its value, None for a disclosed null, WITHHELD or UNREADABLE."""
    values = dict(verified.judged.values)
    values.update(dict.fromkeys(verified.judged.unreadable, UNREADABLE))
    return tuple([values.get(i, WITHHELD) for i in range(verified.envelope.n)])
