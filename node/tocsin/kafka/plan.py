"""What a node wants of its own cluster, compared with what is there: pure, so that it can be shown before it is done."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tocsin.errors import ConfigError
from tocsin.flow import topics as names

_DAY_MS = 86_400_000
LARGEST_RECORD = 1024 * 1024
SMALLEST_LIMIT = 300_000
"""An envelope has up to 262,144 bytes; with its key, headers and a batch's own bytes it must fit (design section 5)."""
_LIMIT = "max.message.bytes"


class Operation(StrEnum):
    """What an access control entry allows. READ and WRITE include DESCRIBE."""

    READ = "READ"
    WRITE = "WRITE"
    DESCRIBE = "DESCRIBE"
    DESCRIBE_CONFIGS = "DESCRIBE_CONFIGS"


class Resource(StrEnum):
    """What an access control entry is about."""

    TOPIC = "TOPIC"
    CLUSTER = "CLUSTER"


CLUSTER_NAME = "kafka-cluster"


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """One access control entry as Kafka has it; what a node wants is literal, for every host, and allows.

    `principal` is without its type, "gb" for User:gb. `operation`, `pattern` and `permission` are Kafka's words.
    """

    name: str
    principal: str
    operation: str
    resource: str = Resource.TOPIC
    pattern: str = "LITERAL"
    permission: str = "ALLOW"
    host: str = "*"

    def __str__(self) -> str:
        """One line for people."""
        about = f"{self.resource.lower()} {self.name}" + (" (prefix)" if self.pattern == "PREFIXED" else "")
        return f"{self.permission.lower()} {self.principal} {self.operation} on {about}"


@dataclass(frozen=True, slots=True)
class WantedTopic:
    """A topic of one partition; `settings` are Kafka's topic settings, as text."""

    name: str
    settings: Mapping[str, str]
    replicas: int = -1


@dataclass(frozen=True, slots=True)
class FoundTopic:
    """A topic as it is."""

    partitions: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Everything a node wants: its topics, and who may do what with them.

    `operators` are principals that may hold any right besides; they raise no alarm.
    """

    topics: tuple[WantedTopic, ...]
    acls: frozenset[Acl]
    operators: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is there: the wanted topics that exist, and every entry about topics; None where no authorizer is on."""

    topics: Mapping[str, FoundTopic]
    acls: frozenset[Acl] | None


@dataclass(frozen=True, slots=True)
class Change:
    """One setting of one topic that is to change."""

    topic: str
    setting: str
    old: str
    new: str

    def __str__(self) -> str:
        """One line for people."""
        return f"set {self.setting} of {self.topic}: {self.old or 'unset'} -> {self.new}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done, what nobody but an operator can do, and whom the node does not know.

    `unknown` are entries that let somebody at a topic of the node whom its configuration does not name: an alarm.
    They are revoked only on request.
    """

    create: tuple[WantedTopic, ...] = ()
    change: tuple[Change, ...] = ()
    grant: tuple[Acl, ...] = ()
    unknown: tuple[Acl, ...] = ()
    problems: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The plan for people; empty where there is nothing to do and nothing to say."""
        return [
            *(f"create topic {topic.name}" for topic in self.create),
            *map(str, self.change),
            *(f"grant: {acl}" for acl in self.grant),
            *(f"unknown: {acl}" for acl in self.unknown),
            *(f"problem: {problem}" for problem in self.problems),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who takes part, by principal (the CN of a certificate, or a SCRAM user).

    `labs` is lab id to its principal; `streams` audience to the principals that read it (one for a named reader, any
    number for `public` and communities); `node_principal` is the node itself.
    """

    node_principal: str
    labs: Mapping[str, str] = field(default_factory=dict)
    streams: Mapping[str, frozenset[str]] = field(default_factory=dict)
    operators: frozenset[str] = frozenset()


def want(
    node: str, access: Access, *, retention_days: int = 90, max_bytes: int = LARGEST_RECORD, replicas: int = -1
) -> Wanted:
    """What `node` wants for these labs and readers. Raises ConfigError for a record limit that is too small."""
    _require_room(max_bytes, place=_LIMIT, remedy=f"Set at least {SMALLEST_LIMIT}")
    stream = {
        "cleanup.policy": "delete",
        # Compression by a writer would let a small batch unpack into a very large one at the reader.
        "compression.type": "uncompressed",
        _LIMIT: str(max_bytes),
        # The broker's clock: a writer's own stamp could make the topic drop or keep what it should not.
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": str(retention_days * _DAY_MS),
    }
    info = {**stream, "cleanup.policy": "compact"}
    topics = [WantedTopic(names.info(node), info, replicas)]
    acls = set()
    for lab, principal in access.labs.items():
        topics += [WantedTopic(name(node, lab), stream, replicas) for name in (names.submissions, names.receipts)]
        acls.add(Acl(names.submissions(node, lab), principal, Operation.WRITE))
        acls.add(Acl(names.receipts(node, lab), principal, Operation.READ))
    for audience, readers in access.streams.items():
        topics.append(WantedTopic(names.stream(node, audience), stream, replicas))
        for reader in readers:
            acls.add(Acl(names.stream(node, audience), reader, Operation.READ))
            acls.add(Acl(names.info(node), reader, Operation.READ))
    for lab_principal in access.labs.values():
        acls.add(Acl(names.info(node), lab_principal, Operation.READ))
    acls |= _own(node, topics, access)
    ordered = tuple(sorted(topics, key=lambda topic: topic.name))
    return Wanted(topics=ordered, acls=frozenset(acls), operators=access.operators | {access.node_principal})


def _own(node: str, topics: Iterable[WantedTopic], access: Access) -> set[Acl]:
    """What the node itself needs: to write what is its own, to read all of it (recovery), to see rights and settings."""
    me = access.node_principal
    incoming = {names.submissions(node, lab) for lab in access.labs}
    acls = {Acl(CLUSTER_NAME, me, Operation.DESCRIBE, Resource.CLUSTER)}
    for topic in topics:
        acls.add(Acl(topic.name, me, Operation.READ))
        acls.add(Acl(topic.name, me, Operation.DESCRIBE_CONFIGS))
        if topic.name not in incoming:
            acls.add(Acl(topic.name, me, Operation.WRITE))
    return acls


def compare(node: str, wanted: Wanted, found: Found) -> Plan:
    """The plan that leads from what is there to what is wanted."""
    create, change, problems = [], [], []
    for topic in wanted.topics:
        is_now = found.topics.get(topic.name)
        if is_now is None:
            create.append(topic)
            continue
        if is_now.partitions != 1:
            problems.append(f"{topic.name} has {is_now.partitions} partitions; it must have one")
        for setting, new in sorted(topic.settings.items()):
            old = is_now.settings.get(setting, "")
            if old != new:
                change.append(Change(topic.name, setting, old, new))
    if found.acls is None:
        problems.append("the broker has no authorizer: anybody who reaches it may read and write everything")
    acls = found.acls if found.acls is not None else wanted.acls
    unknown = [acl for acl in acls - wanted.acls if _concerns(node, acl) and acl.principal not in wanted.operators]
    return Plan(
        create=tuple(create),
        change=tuple(change),
        grant=tuple(sorted(wanted.acls - acls)),
        unknown=tuple(sorted(unknown)),
        problems=tuple(problems),
    )


def require_room(plan: Plan) -> None:
    """Raise ConfigError where a topic, as it was found, cannot carry every report: it would be refused when it is sent."""
    for change in plan.change:
        if change.setting == _LIMIT and change.old:
            _require_room(int(change.old), place=change.topic, remedy="tocsin topics apply sets what it must take")


def _require_room(limit: int, *, place: str, remedy: str) -> None:
    if limit < SMALLEST_LIMIT:
        thing = f"Topics that take {limit} bytes a record cannot carry every report"
        raise ConfigError(thing, place=place, remedy=remedy)


def _concerns(node: str, acl: Acl) -> bool:
    """Whether an entry reaches a topic of the node: by name, by a prefix (which a node never uses) or by "*"."""
    if acl.resource != Resource.TOPIC:
        return False
    own = f"tocsin.{node}."
    return acl.name == "*" or acl.name.startswith(own) or (acl.pattern == "PREFIXED" and own.startswith(acl.name))
