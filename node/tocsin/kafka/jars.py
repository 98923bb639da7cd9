"""The jars of an Apache Kafka broker, downloaded once into a cache, each checked by size and SHA-256.

For development, tests and the demo (extra `dev`). `deploy/kafka/jars.lock` names every file; nothing is resolved.
"""

import fcntl
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import truststore
from jgo.maven import MavenContext, PythonResolver

from tocsin.errors import AdapterError

_THREADS = 8
_TIMEOUT_S = 60
_REMEDY = "Check the network and its certificate authority, then run the command again"


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock: Maven coordinates, size in bytes and SHA-256 in hex; `kind` is broker or tools."""

    kind: str
    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    @property
    def path(self) -> Path:
        """Where the file lies below the cache: the usual layout of a Maven repository."""
        folder = Path(*self.group.split(".")) / self.artifact / self.version
        return folder / f"{self.artifact}-{self.version}.jar"


def read_lock(text: str, kind: str = "broker") -> list[Jar]:
    """The jars of one set, in the order of the lock."""
    jars = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            jar_kind, coordinates, size, sha256 = line.split("\t")
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(jar_kind, group, artifact, version, int(size), sha256))
    return [jar for jar in jars if jar.kind == kind]


def fetch_jars(jars: list[Jar], cache: Path) -> list[Path]:
    """Every jar as a checked file below `cache`; what is missing or damaged is downloaded.

    Safe for several processes at once. Raises AdapterError where a jar cannot be had as the lock names it.
    """
    cache.mkdir(parents=True, exist_ok=True)
    if any(not _is_good(jar, cache) for jar in jars):
        with _locked(cache / "jars.flock"):
            _download([jar for jar in jars if not _is_good(jar, cache)], cache)
    return [cache / jar.path for jar in jars]


def is_there(jar: Jar, cache: Path) -> bool:
    """Whether a file of its size lies below the cache: without reading it, so it may be damaged."""
    path = cache / jar.path
    return path.is_file() and path.stat().st_size == jar.size


def _is_good(jar: Jar, cache: Path) -> bool:
    return is_there(jar, cache) and hashlib.sha256((cache / jar.path).read_bytes()).hexdigest() == jar.sha256


def _download(jars: list[Jar], cache: Path) -> None:
    if not jars:
        return
    for jar in jars:
        # The downloader takes any file that is already there as good, a truncated one too.
        (cache / jar.path).unlink(missing_ok=True)
    context = MavenContext(repo_cache=cache, local_repos=[], resolver=PythonResolver(), timeout=_TIMEOUT_S)

    def fetch(jar: Jar) -> None:
        component = context.project(jar.group, jar.artifact).at_version(jar.version)
        component.artifact(packaging="jar").resolve()

    # Behind a private certificate authority only the system's trust store knows it. The patch is taken back, since the
    # rest of the process must trust exactly what its own configuration names.
    truststore.inject_into_ssl()
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(fetch, jars))
    except Exception as error:
        raise AdapterError(f"A jar of Apache Kafka cannot be downloaded ({error})", remedy=_REMEDY) from error
    finally:
        truststore.extract_from_ssl()
    for jar in jars:
        if not _is_good(jar, cache):
            (cache / jar.path).unlink(missing_ok=True)
            remedy = "Run the command again; if it stays so, do not trust where the jars come from"
            raise AdapterError(
                "A downloaded jar is not the one that jars.lock names", place=str(jar.path), remedy=remedy
            )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
