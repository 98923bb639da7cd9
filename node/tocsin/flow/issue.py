"""Issue: make the national report, by an officer's act or by a rule of the configuration (design 2).

A submission never goes onward as it is. The national report is a new report with the institute as its origin, bound to
its sources by the withholdable slot `sources`; many submissions may become one.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tocsin.errors import InputError
from tocsin.flow import holds
from tocsin.flow.admit import report_row
from tocsin.flow.opened import Opened
from tocsin.flow.owed import owe, told
from tocsin.flow.ports import Between, Clock, Entropy, Signer, Store, Tx
from tocsin.flow.rows import Copy, Report, Submission
from tocsin.flow.setting import Setting
from tocsin.report.lifecycle import require_following
from tocsin.report.schema import Schema
from tocsin.report.vocabulary import encode_slots
from tocsin.wire.envelope import Draft, frame_envelope, sign_draft
from tocsin.wire.header import Header, Stage, Tlp, encode_header
from tocsin.wire.keys import KeyUse
from tocsin.wire.slots import mask_bytes
from tocsin.wire.verify import Verified

DAY_MS = 86_400_000
ZEROS = bytes(32)
BATCH = 16
"""Submissions of one lab that a rule deals with in one transaction: some milliseconds each, and nothing else runs."""
MOST_ITEMS = 256
"""Items of all lists of a submission that a rule issues by itself: checking a crafted 60,000 takes seconds."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an officer wants issued. `follows` is the leaf of the revision before, or None for a new incident.

    `values` are slot values by field name; `sources` the leaves of the submissions that it rests on; `basis` the legal
    basis for a TLP less strict than a source's.
    """

    values: Mapping[str, Any]
    tlp: Tlp
    stage: Stage = Stage.INITIAL
    sources: Sequence[bytes] = ()
    follows: bytes | None = None
    exercise: bool = False
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A lab whose submissions are issued without an officer, up to a severity that is known; at least at `tlp`."""

    max_severity: int
    tlp: Tlp


def draft(
    wanted: Wanted,
    *,
    origin: str,
    key_id: bytes,
    schema: Schema,
    previous: Report | None,
    now_ms: int,
    entropy: Entropy,
) -> tuple[Header, Draft]:
    """Header and unsigned report; pure but for the entropy that is handed in.

    `InputError` with all problems at once where the values break the vocabulary (`report/vocabulary.py`).
    """
    slots = encode_slots(wanted.values, schema)
    header = Header(
        origin=origin,
        key_id=key_id,
        incident=previous.incident if previous else entropy(16),
        revision=previous.revision + 1 if previous else 0,
        stage=wanted.stage,
        prev=previous.leaf if previous else ZEROS,
        created_day=now_ms // DAY_MS,
        schema=schema.id,
        schema_sha256=schema.sha256,
        tlp=wanted.tlp,
        exercise=wanted.exercise,
    )
    salts = tuple(entropy(16) for _ in slots)
    return header, Draft(encode_header(header), slots, salts)


@dataclass(slots=True)
class _Left:
    """What of one lab's inbox waits for an officer: everything received before `since_ms`, and these leaves after it."""

    since_ms: int = 0
    leaves: set[bytes] = field(default_factory=set)


class Issue:
    """Issues national reports into the store; what then goes to whom is decided like any other report."""

    def __init__(
        self,
        setting: Callable[[], Setting],
        store: Store,
        signer: Signer,
        clock: Clock,
        entropy: Entropy,
        opened: Opened | None = None,
    ) -> None:
        """`signer` must hold the event key; it may live off the node (design 2)."""
        self._opened = opened or Opened()
        self._left: dict[str, _Left] = {}
        self._setting = setting
        self._store = store
        self._signer = signer
        self._clock = clock
        self._entropy = entropy

    async def issue(self, wanted: Wanted, schema: Schema) -> bytes:
        """Sign and store one national report; returns its leaf. Nothing is stored where anything is wrong."""
        async with self._store.begin() as tx:
            return await self._issue(tx, wanted, schema)

    async def by_rule(self, rules: Mapping[str, Rule]) -> list[bytes]:
        """Issue what a rule lets out without an officer, one report per submission; returns the leaves.

        A severity that is unknown, or graver than the rule says, waits for an officer, and so does what breaks the
        vocabulary or has uncommonly long lists. One lab's inbox holds up no other's.
        """
        issued: list[bytes] = []
        for lab, rule in sorted(rules.items()):
            left = self._left.setdefault(lab, _Left())
            async with self._store.begin() as tx:
                fresh = await self._fresh(tx, lab, left)
                made, waits = await self._by_rule(tx, rule, fresh)
            issued += made
            left.leaves.update(waits)
            await asyncio.sleep(0)
        return issued

    async def _fresh(self, tx: Tx, lab: str, left: _Left) -> list[Submission]:
        """A lab's oldest submissions that were not left for an officer yet; what was left is not read each time."""
        if self._clock() < left.since_ms:
            left.since_ms, left.leaves = 0, set()  # the clock was set back: what came since may seem older
        while True:
            since = {"state": "NEW", "lab": lab, "received_ms": Between(low=left.since_ms)}
            waiting = await tx.find(Submission, since, order=("received_ms",), limit=len(left.leaves) + BATCH)
            fresh = [submission for submission in waiting if submission.leaf not in left.leaves]
            last_ms = waiting[-1].received_ms if waiting else left.since_ms
            if fresh or last_ms == left.since_ms:
                return fresh[:BATCH]
            left.since_ms, left.leaves = last_ms, {s.leaf for s in waiting if s.received_ms == last_ms}

    async def _by_rule(self, tx: Tx, rule: Rule, fresh: Sequence[Submission]) -> tuple[list[bytes], list[bytes]]:
        """The leaves that were issued, and the submissions that wait for an officer."""
        setting, now_ms = self._setting(), self._clock()
        issued: list[bytes] = []
        waits: list[bytes] = []
        copies = {copy.leaf: copy for copy in await tx.find(Copy, {"leaf": [s.leaf for s in fresh]})}
        for submission in fresh:
            copy = copies.get(submission.leaf)
            verified = self._opened.open(copy, setting, now_ms) if copy is not None else None
            wanted = _by_rule(rule, verified) if verified is not None else None
            if verified is None or wanted is None:
                waits.append(submission.leaf)
                continue
            try:
                issued.append(await self._issue(tx, wanted, verified.judged.schema))
            except InputError:
                waits.append(submission.leaf)
        return issued, waits

    async def _issue(self, tx: Tx, wanted: Wanted, schema: Schema) -> bytes:
        setting, now_ms = self._setting(), self._clock()
        # 1. What it follows and what it rests on.
        previous = await self._previous(tx, setting.node, wanted)
        sources = await self._sources(tx, wanted, previous)
        # 2. The signed report.
        if wanted.sources and schema.named("sources"):
            bound = {**wanted.values, "sources": sorted(wanted.sources)}
            wanted = dataclasses.replace(wanted, values=bound)
        header, unsigned = draft(
            wanted,
            origin=setting.node,
            key_id=self._signer.key_id(KeyUse.EVENT),
            schema=schema,
            previous=previous,
            now_ms=now_ms,
            entropy=self._entropy,
        )
        envelope = sign_draft(unsigned, await self._signer.sign(KeyUse.EVENT, unsigned.entry))
        # 3. Known, owed to every audience, and the submissions answered, together.
        report = report_row(unsigned.leaf, header, now_ms)
        mask = mask_bytes(envelope.mask, envelope.n)
        await tx.put(await holds.retracted(tx, report, now_ms))
        await tx.add([report, Copy(report.leaf, b"", setting.node, mask, frame_envelope(envelope), now_ms)])
        corrected = (await told(tx, [header] if header.stage is Stage.RETRACTION else [])).values()
        await tx.put(owe([report.leaf], setting.audiences().union(*corrected), now_ms, "ISSUED"))
        await tx.put([dataclasses.replace(s, state="ISSUED", report=report.leaf, basis=wanted.basis) for s in sources])
        return report.leaf

    async def _previous(self, tx: Tx, node: str, wanted: Wanted) -> Report | None:
        """The revision before, if any; a stage that cannot follow it is refused here, before anybody sees it."""
        if wanted.follows is None:
            if wanted.stage is not Stage.INITIAL:
                raise InputError(
                    f"a report of stage {wanted.stage} needs the revision that it follows",
                    remedy="Name the report that it updates or retracts.",
                )
            return None
        previous = (await tx.get(Report, [(wanted.follows,)])).get((wanted.follows,))
        if previous is None or previous.origin != node:
            raise InputError(
                "only the node's own report can be continued",
                place=wanted.follows.hex()[:16],
                remedy="`tocsin list --own` shows the reports that this node issued.",
            )
        _require_drills_apart(wanted, [previous])
        require_following(Stage(previous.stage), wanted.stage, place=wanted.follows.hex()[:16])
        later = {"origin": node, "incident": previous.incident, "revision": previous.revision + 1}
        if await tx.count(Report, later):
            raise InputError(
                f"revision {previous.revision} is not the newest of its incident",
                place=wanted.follows.hex()[:16],
                remedy="Continue the newest revision: two leaves for one revision are a fork, and are released to nobody.",
            )
        return previous

    async def _sources(self, tx: Tx, wanted: Wanted, previous: Report | None) -> list[Submission]:
        """The submissions; the TLP is at least as strict as every source's, unless a legal basis is recorded.

        Also as every source's of the revisions before, since an update may say the same; a basis that was given for
        one of them counts as long as the TLP does not become wider still.
        """
        found = await tx.get(Submission, [(leaf,) for leaf in wanted.sources])
        missing = [leaf.hex()[:16] for leaf in wanted.sources if (leaf,) not in found]
        if missing:
            raise InputError("no such submission", place=", ".join(missing), remedy="`tocsin inbox` lists them.")
        await _require_unissued(tx, found.values(), previous)
        earlier = await self._earlier(tx, wanted, previous) if previous else []
        reports = await tx.get(Report, [(s.leaf,) for s in [*found.values(), *earlier]])
        _require_drills_apart(wanted, reports.values())
        stricter = {leaf for (leaf,), report in reports.items() if wanted.tlp < report.tlp}
        if stricter and not wanted.basis:
            strictest = max(Tlp(report.tlp) for report in reports.values())
            raise InputError(
                f"TLP {wanted.tlp.name} is wider than a source's {strictest.name}",
                remedy="Issue at the source's TLP, or record the legal basis for issuing wider (--basis).",
            )
        await tx.put([dataclasses.replace(s, basis=wanted.basis) for s in earlier if s.leaf in stricter])
        return list(found.values())

    async def _earlier(self, tx: Tx, wanted: Wanted, previous: Report) -> list[Submission]:
        """The sources of the revisions before, but for those with a basis for a TLP as wide as this."""
        incident = await tx.find(Report, {"incident": previous.incident, "origin": previous.origin})
        sources = await tx.find(Submission, {"report": [report.leaf for report in incident]})
        return [s for s in sources if not s.basis or wanted.tlp < previous.tlp]


async def _require_unissued(tx: Tx, sources: Collection[Submission], previous: Report | None) -> None:
    """One submission is of one incident, however often and by whomever it is issued; a retracted one does not count."""
    reports = await tx.get(Report, [(source.report,) for source in sources if source.state == "ISSUED"])
    for source in sources:
        report = reports.get((source.report,))
        if report is None or (previous is not None and report.incident == previous.incident):
            continue  # not issued, or not held since the store was restored; or an update by what it rests on
        if not await tx.count(Report, {"origin": report.origin, "retracts": report.incident}):
            raise InputError(
                "the submission is issued already",
                place=source.leaf.hex()[:16],
                remedy=f"Continue its report (--follows {report.leaf.hex()[:16]}), or leave the submission out.",
            )


def _require_drills_apart(wanted: Wanted, reports: Iterable[Report]) -> None:
    """A drill stays a drill, and never mixes with what happened (protocol section 6)."""
    mixed = [report for report in reports if report.exercise != wanted.exercise]
    if mixed:
        kind = "a drill" if mixed[0].exercise else "no drill"
        place = mixed[0].leaf.hex()[:16]
        raise InputError(f"the report rests on {kind}", place=place, remedy="A drill and a real report do not mix.")


def _by_rule(rule: Rule, verified: Verified) -> Wanted | None:
    """The national report that repeats one submission; None where the rule does not let it out.

    An update or a retraction waits for an officer: as a new report it would tell of a second incident.
    """
    if verified.header.stage is not Stage.INITIAL:
        return None
    names = [f.name for f in verified.judged.schema.fields]
    values = {names[i]: value for i, value in verified.judged.values.items() if value is not None}
    severity = values.get("severity")
    if severity is None or severity > rule.max_severity:
        return None
    if sum(len(value) for value in values.values() if isinstance(value, list)) > MOST_ITEMS:
        return None
    header = verified.header
    tlp = max(rule.tlp, header.tlp)
    return Wanted(values=values, tlp=tlp, sources=(verified.leaf,), exercise=header.exercise)
