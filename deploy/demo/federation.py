"""The running federation: brokers, nodes, officers, labs and readers, and the order in which they begin and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.demo.brokers import Brokers
from deploy.demo.clusters import Clusters, download
from deploy.demo.countries import Country, countries
from deploy.demo.labs import Lab
from deploy.demo.nodes import NodeProcess
from deploy.demo.officers import Officer
from deploy.demo.prepare import Prepared
from deploy.demo.readers import Reader
from deploy.demo.screen import Screen

from tocsin.config import check_files, load
from tocsin.desk import desk, make_signer, read_setting
from tocsin.lab import Reporter
from tocsin.reader import Subscriber
from tocsin.signer import FileSigner
from tocsin.wire.hop import PolicyRef
from tocsin.wire.keys import TrustView


@dataclass
class Federation:
    """Everything that runs."""

    screen: Screen
    prepared: Prepared
    clusters: Clusters
    nodes: dict[str, NodeProcess] = field(default_factory=dict)
    officers: dict[str, Officer] = field(default_factory=dict)
    labs: dict[str, Lab] = field(default_factory=dict)
    readers: list[Reader] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def trust(self) -> TrustView:
        """The pinned view, as gb has it."""
        return self.officers["gb"].desk.setting.trust

    def country(self, name: str) -> Country:
        """A country by its id."""
        return next(country for country in self.prepared.countries if country.id == name)

    def reader(self, country: str, audience: str) -> Reader:
        """The reader of a stream."""
        return next(r for r in self.readers if (r.country, r.audience) == (country, audience))

    def policy_of(self, country: str) -> PolicyRef:
        """The policy of a country, as its hops name it."""
        policy = self.officers[country].desk.setting.policies[0]
        return PolicyRef(policy.id, policy.version, policy.sha256)

    async def relay_signer(self, country: str) -> FileSigner:
        """The real keys of a country's node, in other hands."""
        signer = make_signer(load(self.prepared.node_file(country)))
        await signer.open()
        return signer

    def shown(self, shown: bool) -> None:
        """Whether each report is shown as it moves."""
        for officer in self.officers.values():
            officer.shown = shown
        for reader in self.readers:
            reader.shown = shown

    def all_accepted(self) -> bool:
        """Whether every submission has its receipt."""
        return all(lab.submitted and lab.accepted == set(lab.submitted) for lab in self.labs.values())

    async def all_issued(self) -> bool:
        """Whether every lab has been told of every submission that it was issued."""
        return not [left for lab in self.labs.values() for left in await lab.without_issue()]

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that goes on until the end; where it fails, `failed` says so."""
        self.tasks.append(asyncio.create_task(work))

    async def end_tasks(self) -> None:
        """Nobody reads, issues or submits any more."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def end_nodes(self) -> None:
        """Every node sends what it has sealed, and ends."""
        await asyncio.gather(*(node.stop() for node in self.nodes.values()))

    async def failed(self) -> None:
        """Ends, with its exception, when something that should go on for ever does not."""
        done, _ = await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


@asynccontextmanager
async def federation(folder: Path, brokers: Brokers, screen: Screen) -> AsyncIterator[Federation]:
    """Begin everything; end it all when the block ends, however it ends."""
    prepared, clusters = Prepared(folder, countries()), Clusters(brokers)
    fed = Federation(screen, prepared, clusters)
    try:
        await _begin_clusters(fed)
        async with AsyncExitStack() as stack:
            try:
                await asyncio.gather(*(_begin_country(fed, stack, country) for country in prepared.countries))
                yield fed
            finally:
                await fed.end_tasks()
        await fed.end_nodes()
        await asyncio.to_thread(clusters.learn, screen)
    finally:
        await fed.end_nodes()
        await asyncio.to_thread(brokers.end)


async def _begin_clusters(fed: Federation) -> None:
    await download(fed.screen)
    fed.screen.line("demo", f"makes keys, certificates and policies in {near(fed.prepared.folder)}")
    fed.clusters.brokers.begin()
    fed.prepared.keys()
    await fed.clusters.started()
    fed.screen.line("kafka", "three clusters run: mutual TLS between countries, SCRAM for labs")
    fed.prepared.configurations(fed.clusters)


async def _begin_country(fed: Federation, stack: AsyncExitStack, country: Country) -> None:
    """The node's process; its topics and rights; its officer's desk; its lab and its readers."""
    config = load(fed.prepared.node_file(country.id))
    check_files(config)
    node = fed.nodes[country.id] = NodeProcess(
        country.id, fed.prepared.node_file(country.id), fed.prepared.http[country.id]
    )
    node.start()
    passwords = {country.lab: fed.prepared.passwords[country.lab]}
    lines = await fed.clusters.apply(config, read_setting(config).audiences(), passwords)
    created, granted = (sum(line.startswith(word) for line in lines) for word in ("create", "grant"))
    fed.screen.line(country.id, f"{created} topics, {granted} rights; whoever has none is refused")
    await node.ready()
    fed.screen.line(country.id, f"node runs as process {node.pid}, {node.url}/metrics")
    opened = await stack.enter_async_context(desk(config))
    officer = fed.officers[country.id] = Officer(country, opened, await opened.issue(), fed.screen)
    reporter = await stack.enter_async_context(Reporter.from_file(fed.prepared.lab_file(country.id)))
    fed.labs[country.id] = Lab(country.lab, reporter, fed.screen)
    fed.begin(officer.work())
    for audience in country.readers:
        file = fed.prepared.reader_file(country.id, audience.id)
        subscriber = await stack.enter_async_context(Subscriber.from_file(file))
        reader = Reader(country.id, audience.id, subscriber, fed.screen)
        fed.readers.append(reader)
        fed.begin(reader.read())


def near(path: Path) -> str:
    """A path as it is written from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
