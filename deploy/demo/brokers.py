"""One broker a country, each in its own folder. They begin before the rest of the demonstration is even imported."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from deploy.demo import INSTITUTES

from tocsin.errors import AdapterError
from tocsin.kafka.dev import DevKafka, cache_folder, deploy_folder
from tocsin.kafka.jars import Jar, is_there, read_lock

SUPERUSER = "broker"
_AGAIN_S = 0.1


def broker_jars() -> list[Jar]:
    """What Apache Kafka consists of."""
    return read_lock((deploy_folder() / "jars.lock").read_text())


def missing_jars() -> list[Jar]:
    """What of it is still to be downloaded."""
    return [jar for jar in broker_jars() if not is_there(jar, cache_folder() / "jars")]


class Brokers:
    """The brokers of the countries, tied to this process: none outlives it."""

    def __init__(self, folder: Path) -> None:
        # One is enough to learn how all of them start sooner.
        self.kafkas = {
            country: DevKafka(folder / country / "kafka", secured=True, learns=country == INSTITUTES[0])
            for country in INSTITUTES
        }
        self._pool = ThreadPoolExecutor(len(self.kafkas), thread_name_prefix="demo-kafka")
        self.starting: list[Future[None]] = []

    def begin(self) -> None:
        """Start all at once, if they have not begun; the certificate authority of each is made first."""
        if self.starting:
            return
        for kafka in self.kafkas.values():
            assert kafka.pki.ca.exists()  # noqa: S101 - asking for it makes it
            kafka.pki.client(SUPERUSER)
        self.starting = [self._pool.submit(kafka.start) for kafka in self.kafkas.values()]

    def end(self) -> None:
        """End every broker, also one that is only starting; nothing is left. Its data is made anew by the next run."""
        for future in self.starting:
            future.cancel()
        # One that is being formatted starts after it was told to end: so it is told until nobody starts any more.
        while not all(future.done() for future in self.starting):
            self._kill()
            time.sleep(_AGAIN_S)
        self._kill()
        self._pool.shutdown()

    def _kill(self) -> None:
        for kafka in self.kafkas.values():
            with suppress(AdapterError):
                kafka.kill()
