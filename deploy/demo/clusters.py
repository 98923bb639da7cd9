"""One real Apache Kafka cluster a country: mutual TLS between countries, SCRAM for labs, every right by ACL."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from deploy.demo.brokers import SUPERUSER, Brokers, broker_jars, missing_jars
from deploy.demo.screen import Screen

from tocsin.config import Config
from tocsin.kafka.admin import Admin
from tocsin.kafka.configured import wanted
from tocsin.kafka.connection import Connection
from tocsin.kafka.dev import cache_folder
from tocsin.kafka.jars import fetch_jars
from tocsin.kafka.plan import compare

_PROGRESS_S = 2.0
_MB = 1_000_000


class Clusters:
    """What is done with the brokers, and the ways to reach them."""

    def __init__(self, brokers: Brokers) -> None:
        self.brokers = brokers
        self.kafkas = brokers.kafkas

    async def started(self) -> None:
        """Every broker takes connections. `AdapterError` with the end of a broker's log where one does not."""
        await asyncio.gather(*(asyncio.wrap_future(future) for future in self.brokers.starting))

    def as_superuser(self, country: str) -> Connection:
        """The way of whoever runs that country's brokers: past every right, as a broker's operator can."""
        return self.as_party(country, SUPERUSER)

    def as_party(self, country: str, name: str) -> Connection:
        """The way to a country's cluster with the certificate that it gave to `name`."""
        kafka = self.kafkas[country]
        pair = kafka.pki.client(name)
        return Connection(
            bootstrap=kafka.bootstrap, tls=True, ca=kafka.pki.ca, certificate=pair.certificate, key=pair.key
        )

    async def apply(self, config: Config, audiences: frozenset[str], passwords: Mapping[str, str]) -> Sequence[str]:
        """Topics and rights as `tocsin topics apply` makes them, and the labs' passwords; the lines of the plan."""
        node = config.node.id
        admin = Admin(self.as_superuser(node))
        want = wanted(config, audiences)
        plan = compare(node, want, await admin.find(want))
        await admin.apply(plan)
        for user, password in passwords.items():
            await admin.set_password(user, password)
        return plan.lines()

    def learn(self, screen: Screen) -> None:
        """Stop the broker that learned from this run, and keep what it learned; it takes some seconds, once."""
        for kafka in self.kafkas.values():
            if kafka.is_learning:
                screen.line("kafka", "keeps what lets it start sooner next time; once, for some seconds", style="dim")
                kafka.stop()


async def download(screen: Screen) -> None:
    """Apache Kafka's jars, once; with progress where they are not there yet."""
    jars, cache = broker_jars(), cache_folder() / "jars"
    total, missing = sum(jar.size for jar in jars), missing_jars()
    work = asyncio.create_task(asyncio.to_thread(fetch_jars, jars, cache))
    if missing:
        screen.line("kafka", f"downloads {len(missing)} jars of Apache Kafka 4.3 into {cache}")
    while not work.done():
        done, _ = await asyncio.wait([work], timeout=_PROGRESS_S)
        if missing and not done:
            have = sum((cache / jar.path).stat().st_size for jar in jars if (cache / jar.path).is_file())
            screen.line("kafka", f"{have / _MB:.0f} of {total / _MB:.0f} MB")
    await work
