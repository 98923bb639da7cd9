"""What a broker says about topics before they are used: the client library waits for ever where it should say no."""

from collections.abc import Iterable

from aiokafka import errors
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.metadata import MetadataRequest

from tocsin.kafka.connection import within
from tocsin.kafka.faults import BrokerError, Cause, as_fault


async def topic_faults(client: AIOKafkaClient, topics: Iterable[str], seconds: float) -> dict[str, BrokerError]:
    """The topics that cannot be used, each with why: missing, forbidden, or not of one partition with a leader.

    A topic that is missing is not made by asking. Raises BrokerError where the broker does not answer.
    """
    request = MetadataRequest(sorted(topics), allow_auto_topic_creation=False)
    answer = await within(seconds, client.send(client.get_random_node(), request), "Metadata", "the broker")
    faults = {}
    for code, topic, _, partitions in answer.topics:
        error = errors.for_code(code)
        if error is not errors.NoError:
            faults[topic] = as_fault(error(topic), topic)
        elif len(partitions) != 1:
            words = f"The topic has {len(partitions)} partitions; a stream has one"
            faults[topic] = BrokerError(Cause.REFUSED, words, place=topic, remedy="Ask the operator of that cluster")
        elif partitions[0][2] < 0:
            faults[topic] = BrokerError(Cause.UNREACHABLE, "The topic has no leader at the moment", place=topic)
    return faults
