"""The acts of the demonstration, in order; each ends with claims about what was observed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from deploy.demo import INSTITUTES, trace, view
from deploy.demo.assessments import assessed_records, other_records
from deploy.demo.attacks import Attack, Attacker
from deploy.demo.federation import Federation
from deploy.demo.officers import SYMBOLS, counts
from deploy.demo.readers import Reader
from deploy.demo.screen import Screen, until

from tocsin.reader import Seen

FLAGSHIP, AMBER = "INC-07051", "INC-04730"
"""The record that is followed from end to end; one that may not be relayed."""
_PAUSE_S = 0.3
_BURST = 6
_QUIET_S = 15.0


class Story:
    """Told over a running federation."""

    def __init__(self, federation: Federation, screen: Screen) -> None:
        self.federation = federation
        self.screen = screen
        records = {country: list(found) for country, found in assessed_records().items()}
        self._first = {country: found[0] for country, found in records.items()}
        amber = next(record for record in records["gb"] if record["id"] == AMBER)
        self._rest = {country: [r for r in found[1:] if r is not amber] for country, found in records.items()}
        self._rest["gb"].insert(0, amber)

    @property
    def flagship(self) -> str:
        """The leaf of the report that is followed, in hex."""
        return self._leaf(FLAGSHIP).hex()

    async def tell(self) -> None:
        """All acts. `Unmet` where something that was waited for did not come."""
        await self.reports_cross_borders()
        labs = self.federation.labs
        # Meanwhile the labs go on; gb's keeps some for the moment at which its node is killed.
        rest = {country: found[:-_BURST] if country == "gb" else found for country, found in self._rest.items()}
        submitting = asyncio.gather(*(labs[country].submit_all(found, _PAUSE_S) for country, found in rest.items()))
        try:
            self.everybody_sees_what_policy_allows(await self._views())
            await self.why_not_more()
            self.traced_to_its_origin()
            await self.attacks_are_stopped()
            await submitting
            self._meanwhile()
        finally:
            submitting.cancel()
            await asyncio.gather(submitting, return_exceptions=True)
        await self.a_killed_node_loses_nothing()
        await self.all_that_was_seen()

    async def go_on(self) -> None:
        """Records that nobody assessed, slowly, for ever."""
        lab = self.federation.labs["gb"]
        self.federation.shown(True)
        for record in other_records(500):
            await lab.submit(record)
            await asyncio.sleep(_QUIET_S)

    # -- the acts --------------------------------------------------------------------------------------------------------

    async def reports_cross_borders(self) -> None:
        """One report of each lab, from its submission to the last reader."""
        screen, fed = self.screen, self.federation
        screen.act("1. Labs report, institutes issue, and reports cross borders")
        screen.say(f"{SYMBOLS}   gb→jp: by way of", style="dim")
        await asyncio.gather(*(fed.labs[country].submit(record) for country, record in self._first.items()))
        await self._views()
        screen.claim("each lab holds its institute's signed receipt for its report", fed.all_accepted())
        fed.shown(False)

    def everybody_sees_what_policy_allows(self, views: Mapping[str, Seen]) -> None:
        """The same report, field by field, for six readers."""
        screen = self.screen
        screen.act(f"2. One report ({FLAGSHIP}, of gb), as everybody sees it")
        screen.show(view.table(views))
        screen.say(view.LEGEND, style="dim")
        jp, public, relayed = views["jp"], views["gb public"], views["jp public"]
        regulator, kenya = views["gb regulator"], views["ke public"]
        screen.claim("gb's regulator sees every field", not regulator.withheld)
        screen.claim(
            "jp never had what gb withholds from it, and its digest alone arrived",
            {withheld.name for withheld in jp.withheld} >= {"deployer", "sources"}
            and not {"deployer", "sources"} & set(jp.fields),
        )
        screen.claim(
            "no public reader is told more than gb tells its own public now",
            set(relayed.fields) | set(kenya.fields) <= set(public.fields),
            sorted((set(relayed.fields) | set(kenya.fields)) - set(public.fields)),
        )
        screen.claim(
            "to all of them the same report: one leaf, one signature of gb",
            len({seen.leaf for seen in views.values()}) == 1,
        )

    async def why_not_more(self) -> None:
        """The reasons: on the wire, and for an officer."""
        screen, fed = self.screen, self.federation
        screen.say()
        screen.say("Why not more? The wire says, signed by whoever withheld:")
        for reader in ("gb public", "ke public"):
            seen = (await self._views())[reader]
            for line in view.reasons(reader, seen):
                screen.say(line, style="dim", indent=2)
        screen.say("An officer of jp is told on the node, about the title for jp's public:")
        for question, explanation in await fed.officers["jp"].explain(self._leaf(FLAGSHIP), "public"):
            title = next(line for line in explanation.fields if line.field == "title")
            came = " → ".join(hop.releaser for hop in question.chain)
            screen.say(f"by {came}: {view.why(title)}", style="dim", indent=2)

    def traced_to_its_origin(self) -> None:
        """Every signature between a reader far away and the origin."""
        screen, fed = self.screen, self.federation
        screen.act("3. Traced: from a public reader in Kenya back to gb's signature")
        seen = fed.reader("ke", "public").copy_of(self._leaf(FLAGSHIP))
        assert seen is not None  # noqa: S101 - `_views` waited for it
        found = list(trace.steps(seen.framed, fed.trust))
        for step in found:
            for i, line in enumerate(step.lines):
                screen.say(line, style="" if i == 0 else "dim", indent=6 if i else 2)
        chain = [hop.releaser for hop in seen.hops]
        screen.claim(f"{' → '.join(chain)} → public: every signature is good", all(step.good for step in found))
        screen.claim("gb's public key alone verifies exactly the fields that ke's public sees", found[-1].good)

    async def attacks_are_stopped(self) -> None:
        """Bytes that must not pass, through the real brokers to the real nodes."""
        screen, fed = self.screen, self.federation
        screen.act("4. What must be stopped, is stopped, and is named")

        async def at_jp() -> bool:
            amber = fed.officers["gb"].issued.get(AMBER)
            return amber is not None and await fed.officers["jp"].holds(amber)

        await until("jp holds the AMBER report", at_jp)
        attacker = Attacker(fed.clusters, await fed.relay_signer("jp"), fed.policy_of("jp"))
        for attack in await attacker.prepare(self._leaf(FLAGSHIP), self._leaf(AMBER)):
            await self._one_attack(attacker, attack)

    async def a_killed_node_loses_nothing(self) -> None:
        """A node dies while it works, and comes back; the signed heads prove that all arrived once."""
        screen, fed = self.screen, self.federation
        screen.act("5. SIGKILL of gb's node in the middle of its work")
        lab, officer, node = fed.labs["gb"], fed.officers["gb"], fed.nodes["gb"]
        burst = asyncio.create_task(lab.submit_all(self._rest["gb"][-_BURST:], 0.0))
        try:
            before = len(officer.issued)
            await until("gb is at work", lambda: _more_than(officer.issued, before + 1))
            pid = node.pid
            node.kill()
            sealed = await officer.sealed("public")
            screen.line("gb", f"node {pid} gets SIGKILL; its public stream stands at seq {sealed.seq}", "bold red")
            node.start()
            screen.line("gb", f"node {node.pid} starts over the same store")
            await node.ready()
            await burst
        finally:
            burst.cancel()
        await until("every lab is told that its reports are issued", fed.all_issued)
        screen.line("gb", f"is back; {len(lab.submitted)} reports submitted, all issued")
        await self._complete()

    async def all_that_was_seen(self) -> None:
        """Totals."""
        screen = self.screen
        screen.act("6. What each reader has")
        for reader in self.federation.readers:
            last = reader.seen[-1] if reader.seen else None
            said = f"last: {counts(last)}" if last else ""
            screen.line(reader.name, f"{len(reader.seen):3} copies   {said}")
        for country, officer in self.federation.officers.items():
            screen.line(country, f"{len(await officer.open_holds()):3} releases wait until an officer approves")

    # -- parts of them ---------------------------------------------------------------------------------------------------

    async def _views(self) -> Mapping[str, Seen]:
        """What each was given of the flagship, once it is there for all of them."""
        fed = self.federation

        async def look() -> dict[str, Seen] | None:
            leaf = fed.officers["gb"].issued.get(FLAGSHIP)
            if leaf is None:
                return None
            found = {
                "gb regulator": fed.reader("gb", "gb-regulator").copy_of(leaf),
                "gb public": fed.reader("gb", "public").copy_of(leaf),
                "jp": fed.officers["jp"].copy_of(leaf),
                "jp public": fed.reader("jp", "public").copy_of(leaf),
                "ke": fed.officers["ke"].copy_of(leaf),
                "ke public": fed.reader("ke", "public").copy_of(leaf),
            }
            whole = {name: seen for name, seen in found.items() if seen is not None}
            return whole if len(whole) == len(found) else None

        return await until("gb's report is with everybody", look, 60.0)

    def _meanwhile(self) -> None:
        fed = self.federation
        self.screen.say("Meanwhile:")
        for country, lab in fed.labs.items():
            issued, relayed = len(fed.officers[country].issued), len(fed.officers[country].arrived)
            self.screen.line(
                country, f"{len(lab.submitted)} submissions, {issued} issued, {relayed} copies from others"
            )

    def _leaf(self, record: str) -> bytes:
        return self.federation.officers["gb"].issued[record]

    async def _one_attack(self, attacker: Attacker, attack: Attack) -> None:
        screen, fed = self.screen, self.federation
        officer, node = fed.officers[attack.reader], fed.nodes[attack.reader]
        labels = {"source": attack.writer, "reason": attack.reason.value}
        counted = await node.metric("tocsin_records_rejected_total", **labels)
        held = await officer.holds(attack.leaf)
        await attacker.carry_out(attack)
        row = await until(f"{attack.reader} refuses {attack.what}", lambda: officer.rejected(attack.digest))
        now = await node.metric("tocsin_records_rejected_total", **labels)
        said = f"{attack.what}, in {attack.writer}'s stream for {attack.reader}: {row.reason}"
        right = row.reason == attack.reason.value and now > counted and await officer.holds(attack.leaf) == held
        screen.claim(said, right, f"expected {attack.reason}; counted {counted:g}, then {now:g}")

    async def _complete(self) -> None:
        """Every stream, by its signed heads: no gap, nothing twice; and between the institutes as well."""
        screen, fed = self.screen, self.federation
        lines = []
        for reader in fed.readers:
            await until(f"{reader.name} has read all", partial(_caught_up, fed, reader), 60.0)
            lines.append(await self._proven(reader))
        good = sum(good for good, _ in lines)
        screen.claim(
            f"{good} of {len(lines)} readers' streams are complete by their signed heads: no gap, nothing twice",
            good == len(lines),
            "; ".join(said for good, said in lines if not good),
        )
        broken = []
        for reader_of in INSTITUTES:
            for peer in fed.country(reader_of).peers:
                await until(f"{reader_of} has read all of {peer}", partial(_in_step, fed, reader_of, peer), 60.0)
                broken += [f"{peer} → {reader_of}"] if (await fed.officers[reader_of].read_from(peer))[1] else []
        screen.claim("the six streams between the institutes are complete as well", not broken, broken)

    async def _proven(self, reader: Reader) -> tuple[bool, str]:
        sealed = await self.federation.officers[reader.country].sealed(reader.audience)
        health = reader.subscriber.health()
        copies = [(seen.leaf, seen.chain) for seen in reader.seen]
        troubles = await reader.troubles()
        good = (
            health.position is not None
            and health.position.head == sealed.head
            and len(copies) == len(set(copies)) == sealed.seq
            and not health.open
            and not troubles
            and not await reader.subscriber.quarantine()
        )
        return good, f"{reader.name}: {len(copies)} seen, seq {sealed.seq}, open {len(health.open)}, {troubles}"


async def _more_than(found: Mapping[str, Any] | Sequence[Any], count: int) -> bool:
    return len(found) > count


async def _caught_up(fed: Federation, reader: Reader) -> bool:
    """The reader's position is the head that the node sealed last."""
    sealed = await fed.officers[reader.country].sealed(reader.audience)
    position = reader.subscriber.health().position
    return position is not None and (position.epoch, position.seq) == (sealed.epoch, sealed.seq)


async def _in_step(fed: Federation, reader: str, writer: str) -> bool:
    sealed = await fed.officers[writer].sealed(reader)
    position, _ = await fed.officers[reader].read_from(writer)
    return position is not None and (position.epoch, position.seq, position.head) == (
        sealed.epoch,
        sealed.seq,
        sealed.head,
    )
