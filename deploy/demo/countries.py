"""Who takes part: three institutes, and whoever the policy pack of each names as an audience."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from deploy.demo import INSTITUTES

from tocsin.packaged import packaged, published_schemas
from tocsin.policy.language import parse_policy
from tocsin.report.schema import Schema
from tocsin.wire.hop import AudienceKind


@dataclass(frozen=True, slots=True)
class Audience:
    """One reader or one group of readers, with its own stream."""

    id: str
    kind: AudienceKind

    @property
    def is_group(self) -> bool:
        """Whether anybody admitted to the cluster's topic reads it, rather than one party."""
        return self.kind in {AudienceKind.PUBLIC, AudienceKind.COMMUNITY}


@dataclass(frozen=True, slots=True)
class Country:
    """One institute with its lab, and the audiences of its policy besides the other institutes."""

    id: str
    policy: bytes
    readers: tuple[Audience, ...]

    @property
    def jurisdiction(self) -> str:
        """Two capitals."""
        return self.id.upper()

    @property
    def lab(self) -> str:
        """The party id of its lab."""
        return f"{self.id}-lab"

    @property
    def peers(self) -> tuple[str, ...]:
        """The other institutes."""
        return tuple(other for other in INSTITUTES if other != self.id)


@cache
def incident_schema() -> Schema:
    """The published schema that everybody in the demonstration uses."""
    schema = published_schemas().exact("incident/1.0")
    if schema is None:
        raise AssertionError("incident/1.0 is published")
    return schema


@cache
def countries() -> tuple[Country, ...]:
    """The three countries, each with its policy pack."""
    found = []
    for institute in INSTITUTES:
        text = packaged(f"packs/{institute}/incident.toml")
        policy = parse_policy(text, incident_schema())
        audiences = [Audience(name, named.kind) for name, named in sorted(policy.audiences.items())]
        found.append(Country(institute, text, tuple(a for a in audiences if a.id not in INSTITUTES)))
    return tuple(found)
