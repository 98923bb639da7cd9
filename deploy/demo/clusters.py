"""One real Apache Kafka cluster a country: mutual TLS between countries, SCRAM for labs, every right by ACL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from deploy.demo.screen import Screen

from tocsin.config import Config
from tocsin.errors import AdapterError
from tocsin.kafka.admin import Admin
from tocsin.kafka.configured import wanted
from tocsin.kafka.connection import Connection
from tocsin.kafka.dev import DevKafka, cache_folder, deploy_folder
from tocsin.kafka.jars import fetch_jars, read_lock
from tocsin.kafka.plan import compare

SUPERUSER = "broker"
_PROGRESS_S = 2.0
_AGAIN_S = 0.1
_MB = 1_000_000


class Clusters:
    """The brokers of the countries; each in its own folder, tied to this process: none outlives it."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        # One is enough to learn how all of them start sooner.
        self.kafkas = {
            country: DevKafka(folder, secured=True, learns=i == 0)
            for i, (country, folder) in enumerate(folders.items())
        }
        self._pool = ThreadPoolExecutor(len(self.kafkas), thread_name_prefix="demo-kafka")
        self._starting: list[Future[None]] = []

    def prepare(self) -> None:
        """The certificate authority of each, before anything uses it from several threads."""
        for kafka in self.kafkas.values():
            assert kafka.pki.ca.exists()  # noqa: S101 - asking for it makes it
            kafka.pki.client(SUPERUSER)

    def begin(self) -> None:
        """Start all at once; `started` waits for one of them."""
        self._starting = [self._pool.submit(kafka.start) for kafka in self.kafkas.values()]

    async def started(self) -> None:
        """Every broker takes connections. `AdapterError` with the end of a broker's log where one does not."""
        await asyncio.gather(*(asyncio.wrap_future(future) for future in self._starting))

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

    def end(self) -> None:
        """End every broker, also one that is only starting; nothing is left. Its data is made anew by the next run."""
        for future in self._starting:
            future.cancel()
        # One that is being formatted starts after it was told to end: so it is told until nobody starts any more.
        while not all(future.done() for future in self._starting):
            self._kill()
            time.sleep(_AGAIN_S)
        self._kill()
        self._pool.shutdown()

    def _kill(self) -> None:
        for kafka in self.kafkas.values():
            with suppress(AdapterError):
                kafka.kill()


async def download(screen: Screen) -> None:
    """Apache Kafka's jars, once; with progress where they are not there yet."""
    jars = read_lock((deploy_folder() / "jars.lock").read_text())
    cache = cache_folder() / "jars"
    total = sum(jar.size for jar in jars)
    missing = [jar for jar in jars if not (cache / jar.path).is_file()]
    work = asyncio.create_task(asyncio.to_thread(fetch_jars, jars, cache))
    if missing:
        screen.line("kafka", f"downloads {len(missing)} jars of Apache Kafka 4.3 into {cache}")
    while not work.done():
        done, _ = await asyncio.wait([work], timeout=_PROGRESS_S)
        if missing and not done:
            have = sum((cache / jar.path).stat().st_size for jar in jars if (cache / jar.path).is_file())
            screen.line("kafka", f"{have / _MB:.0f} of {total / _MB:.0f} MB")
    await work
