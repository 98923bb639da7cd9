"""Administration of the node's own cluster: topics, access, users, quotas (kafka-python, each call in a thread).

Every answer's error codes are looked at: a refused `create_topics` raises nothing by itself.
"""

import asyncio
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

import aiokafka.errors

from tocsin.kafka.connection import Connection, explain
from tocsin.kafka.faults import BrokerError, Cause, as_fault
from tocsin.kafka.plan import Acl, Change, Found, FoundTopic, Plan, Wanted, WantedTopic

with warnings.catch_warnings():
    # kafka-python 3.0 reads its own files in a way that Python deprecates, and says so at import.
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka import KafkaAdminClient, errors
    from kafka.admin import (
        ACL,
        ACLFilter,
        ACLOperation,
        ACLPermissionType,
        ACLResourcePatternType,
        ConfigResource,
        ConfigResourceType,
        ResourcePattern,
        ResourcePatternFilter,
        ResourceType,
        UserScramCredentialDeletion,
        UserScramCredentialUpsertion,
    )
    from kafka.protocol.admin import AlterClientQuotasRequest, DescribeClientQuotasRequest

T = TypeVar("T")

_MECHANISM = "SCRAM-SHA-512"
_ITERATIONS = 8192
_USER = "User:"


class Admin:
    """One cluster, as a principal that may administer it (or, for `find`, as the node itself).

    Each call connects, does its work and disconnects; none takes longer than about two times `call_s`.
    """

    def __init__(self, connection: Connection, *, call_s: float = 15.0) -> None:
        self._connection = connection
        self._call_s = call_s

    async def find(self, wanted: Wanted) -> Found:
        """What is there of the wanted topics, and all entries about topics and cluster. Raises BrokerError."""
        return await self._call(lambda client: _find(client, wanted))

    async def apply(self, plan: Plan, *, revoke: bool = False) -> None:
        """Do what the plan says, and what `unknown` says where `revoke` is given; it may be done again.

        Raises BrokerError at the first refusal, in the broker's words.
        """
        await self._call(lambda client: _apply(client, plan, revoke=revoke))

    async def set_password(self, user: str, password: str) -> None:
        """Create a SCRAM user, or give it another password. Raises BrokerError."""
        wish = UserScramCredentialUpsertion(user, _MECHANISM, password, iterations=_ITERATIONS)
        await self._alter_user(wish)

    async def remove_user(self, user: str) -> None:
        """Delete a SCRAM user. Raises BrokerError; also where there is none."""
        await self._alter_user(UserScramCredentialDeletion(user, _MECHANISM))

    async def users(self) -> list[str]:
        """The SCRAM users. Raises BrokerError."""
        return await self._call(lambda client: sorted(client.describe_user_scram_credentials()))

    async def set_quota(self, user: str, limits: Mapping[str, float | None]) -> None:
        """Set quotas of one user, such as producer_byte_rate in bytes a second; None removes one. Raises BrokerError."""
        await self._call(lambda client: _set_quota(client, user, limits))

    async def quotas(self, user: str) -> dict[str, float]:
        """The quotas of one user as they are. Raises BrokerError."""
        return await self._call(lambda client: _quotas(client, user))

    async def _alter_user(self, wish: UserScramCredentialUpsertion | UserScramCredentialDeletion) -> None:
        answer = await self._call(lambda client: client.alter_user_scram_credentials([wish]))
        for user, error in answer.items():
            if error is not None:
                raise BrokerError(Cause.REFUSED, f"The user was not changed ({error})", place=user)

    async def _call(self, work: Callable[[KafkaAdminClient], T]) -> T:
        settings = self._connection.settings()
        timeout_ms = int(self._call_s * 1000)

        def run() -> T:
            client = KafkaAdminClient(**settings, bootstrap_timeout_ms=timeout_ms, request_timeout_ms=timeout_ms)
            try:
                return work(client)
            finally:
                with suppress(errors.KafkaError, OSError):
                    client.close()

        try:
            # The thread ends by the client's own timeouts; nobody waits for one that does not.
            async with asyncio.timeout(2 * self._call_s):
                return await asyncio.to_thread(run)
        except (errors.KafkaError, OSError, TimeoutError) as error:
            raise await explain(self._connection, _fault(error, self._connection.bootstrap)) from error


def _fault(error: Exception, place: str) -> BrokerError:
    """kafka-python's error as ours: by Kafka's code where it has one."""
    code = getattr(error, "errno", None)
    if isinstance(error, errors.BrokerResponseError) and isinstance(code, int) and code > 0:
        fault = as_fault(aiokafka.errors.for_code(code)(place), place)
        return BrokerError(fault.cause, str(error), place=place)
    cause = Cause.STALLED if isinstance(error, (errors.KafkaTimeoutError, TimeoutError)) else Cause.UNREACHABLE
    return BrokerError(cause, f"{type(error).__name__}: {error}", place=place)


def _find(client: KafkaAdminClient, wanted: Wanted) -> Found:
    topics = {}
    for about in client.describe_topics([topic.name for topic in wanted.topics]):
        error = errors.for_code(about["error_code"])
        if error is errors.UnknownTopicOrPartitionError:
            continue
        if error is not errors.NoError:
            raise _fault(error(about["name"]), about["name"])
        topics[about["name"]] = FoundTopic(len(about["partitions"]), {})
    if topics:
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
        answer = client.describe_configs(asked, config_filter="all").get("topic", {})
        for name, topic in topics.items():
            settings = {key: str(value["value"]) for key, value in answer.get(name, {}).items()}
            if not settings:
                # The client drops the error code of this answer; a topic that one may see has dozens of settings.
                raise BrokerError(Cause.FORBIDDEN, "The topic's settings may not be read", place=name)
            topics[name] = FoundTopic(topic.partitions, settings)
    return Found(topics=topics, acls=_find_acls(client))


def _find_acls(client: KafkaAdminClient) -> frozenset[Acl] | None:
    found = set()
    for kind in (ResourceType.TOPIC, ResourceType.CLUSTER):
        pattern = ResourcePatternFilter(kind, None, ACLResourcePatternType.ANY)
        try:
            entries, _ = client.describe_acls(
                ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, resource_pattern=pattern)
            )
        except errors.SecurityDisabledError:
            return None
        found |= {_acl(entry) for entry in entries}
    return frozenset(found)


def _apply(client: KafkaAdminClient, plan: Plan, *, revoke: bool) -> None:
    if plan.create:
        _create(client, plan.create)
    if plan.change:
        _change(client, plan.change)
    if plan.grant:
        for failed in client.create_acls([_entry(ACL, acl) for acl in plan.grant])["failed"]:
            raise _fault(failed("An access control entry was refused"), "access control")
    if revoke and plan.unknown:
        for _, _, error in client.delete_acls([_entry(ACLFilter, acl) for acl in plan.unknown]):
            if error is not errors.NoError:
                raise _fault(error("An access control entry was not removed"), "access control")


def _change(client: KafkaAdminClient, changes: tuple[Change, ...]) -> None:
    settings: dict[str, dict[str, str]] = {}
    for change in changes:
        settings.setdefault(change.topic, {})[change.setting] = change.new
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, wish) for name, wish in settings.items()]
    for name, said in client.alter_configs(asked).get("topic", {}).items():
        if said != "OK":
            raise BrokerError(Cause.REFUSED, f"The settings were not changed ({said})", place=name)


def _create(client: KafkaAdminClient, topics: tuple[WantedTopic, ...]) -> None:
    asked = {
        topic.name: {"num_partitions": 1, "replication_factor": topic.replicas, "configs": dict(topic.settings)}
        for topic in topics
    }
    answer = client.create_topics(asked, raise_errors=False)
    for said in answer["topics"]:
        error = errors.for_code(said["error_code"])
        # Two operators at once, or the same one again: what is there is compared at the next look.
        if error not in (errors.NoError, errors.TopicAlreadyExistsError):
            raise _fault(error(said.get("error_message") or said["name"]), said["name"])
    client.wait_for_topics(list(asked))


def _set_quota(client: KafkaAdminClient, user: str, limits: Mapping[str, float | None]) -> None:
    entry = AlterClientQuotasRequest.EntryData
    ops = [entry.OpData(key=key, value=limit or 0.0, remove=limit is None) for key, limit in sorted(limits.items())]
    entity = entry.EntityData(entity_type="user", entity_name=user)
    request = AlterClientQuotasRequest(entries=[entry(entity=[entity], ops=ops)], validate_only=False)
    # The client has no method of its own for quotas.
    for said in client._manager.run(client._manager.send, request).entries:  # noqa: SLF001
        error = errors.for_code(said.error_code)
        if error is not errors.NoError:
            raise _fault(error(said.error_message), user)


def _quotas(client: KafkaAdminClient, user: str) -> dict[str, float]:
    exact = DescribeClientQuotasRequest.ComponentData(entity_type="user", match_type=0, match=user)
    request = DescribeClientQuotasRequest(components=[exact], strict=True)
    answer = client._manager.run(client._manager.send, request)  # noqa: SLF001
    error = errors.for_code(answer.error_code)
    if error is not errors.NoError:
        raise _fault(error(answer.error_message), user)
    return {value.key: value.value for entry in answer.entries or () for value in entry.values}


def _acl(entry: ACL) -> Acl:
    pattern = entry.resource_pattern
    return Acl(
        name=pattern.resource_name,
        principal=entry.principal.removeprefix(_USER),
        operation=entry.operation.name,
        resource=pattern.resource_type.name,
        pattern=pattern.pattern_type.name,
        permission=entry.permission_type.name,
        host=entry.host,
    )


def _entry(kind: type[T], acl: Acl) -> T:
    """kafka-python's ACL, or the filter that finds exactly that one."""
    exact = ResourcePattern if kind is ACL else ResourcePatternFilter
    pattern = exact(ResourceType[acl.resource], acl.name, ACLResourcePatternType[acl.pattern])
    operation, permission = ACLOperation[acl.operation], ACLPermissionType[acl.permission]
    return kind(_USER + acl.principal, acl.host, operation, permission, pattern)  # type: ignore[call-arg]
