"""What a node holds true while it handles one batch: its name, its trust view, schemas, policies and limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tocsin.errors import PolicyError
from tocsin.policy.invariants import is_stranger
from tocsin.policy.language import Policy
from tocsin.report.schema import KnownSchemas
from tocsin.wire.keys import PartyKind, TrustView

MS_PER_MINUTE = 60_000


def minute_up(ms: int) -> int:
    """The minute of an instant, rounded up (protocol section 3: a hop's minute)."""
    return -(-ms // MS_PER_MINUTE)


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits on what one source may cost; each is a setting with its reason in the configuration."""

    chains_per_leaf: int = 16
    quarantined_values: int = 1_000
    hold_due_ms: int = 24 * 60 * MS_PER_MINUTE


@dataclass(frozen=True)
class Setting:
    """Replaced as a whole when trust, schemas or policies change; never altered."""

    node: str
    trust: TrustView
    schemas: KnownSchemas
    policies: tuple[Policy, ...] = ()
    caps: Caps = field(default_factory=Caps)

    def policy_for(self, schema: str, minute: int) -> Policy | None:
        """The policy that serves name and major of `schema` (design 3): the highest version in force at `minute`.

        Where none is yet, the first that will be: what is asked of it then says when it begins.
        """
        name, version = schema.split("/")
        serving = [p for p in self.policies if p.serves(name, version.split(".")[0])]
        in_force = [p for p in serving if p.effective_minute <= minute]
        if in_force:
            return max(in_force, key=lambda p: p.version)
        return min(serving, key=lambda p: p.effective_minute, default=None)

    def audiences(self) -> frozenset[str]:
        """Every audience that any loaded policy names: whom a report may be owed to."""
        return frozenset(a for p in self.policies for a in p.audiences)

    def strangers(self) -> frozenset[str]:
        """Audiences that a policy names and the trust view does not know with that kind: nothing is sent to them."""
        return frozenset(a for p in self.policies for a in p.audiences if is_stranger(p, a, self.parties))

    def unserved(self, minute: int) -> frozenset[str]:
        """Known schemas that no policy in force at `minute` serves: none of their reports is sent to anybody."""
        serving = {schema.id: self.policy_for(schema.id, minute) for schema in self.schemas}
        return frozenset(name for name, p in serving.items() if p is None or p.effective_minute > minute)

    def require_new_versions(self, said: Iterable[tuple[str, int, bytes]]) -> None:
        """`PolicyError` where a policy changed and its version did not: two texts of one are evidence against the node.

        `said`: id, version and SHA-256 of what was in force or published before.
        """
        texts: dict[tuple[str, int], set[bytes]] = {}
        for id_, version, digest in said:
            texts.setdefault((id_, version), set()).add(digest)
        for policy in self.policies:
            if policy.sha256 not in texts.get((policy.id, policy.version), {policy.sha256}):
                place = f"{policy.id} {policy.version}"
                raise PolicyError(
                    "the text changed under the same version", place=place, remedy="Raise version with it."
                )

    @cached_property
    def parties(self) -> Mapping[str, tuple[PartyKind, str]]:
        """Kind and jurisdiction of every party of the trust view."""
        return {p.id: (p.kind, p.jurisdiction) for p in self.trust.parties.values()}

    @cached_property
    def labs(self) -> frozenset[str]:
        """The labs of the trust view: their reports are submissions, and go to nobody as they are."""
        return frozenset(party for party, (kind, _) in self.parties.items() if kind is PartyKind.LAB)
