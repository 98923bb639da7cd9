"""What can go wrong with a broker, as a closed set of causes with what to do about each."""

from enum import StrEnum

from aiokafka import errors

from tocsin.errors import AdapterError
from tocsin.flow.ports import RangeLost, TopicMissing


class Cause(StrEnum):
    """Why a broker did not do what was asked; at once a metric label."""

    UNREACHABLE = "UNREACHABLE"
    TLS = "TLS"
    AUTHENTICATION = "AUTHENTICATION"
    FORBIDDEN = "FORBIDDEN"
    MISSING_TOPIC = "MISSING_TOPIC"
    RANGE_LOST = "RANGE_LOST"
    STALLED = "STALLED"
    CORRUPT = "CORRUPT"
    REFUSED = "REFUSED"


_REMEDY = {
    Cause.UNREACHABLE: "Check the address, the network and that the broker runs",
    Cause.TLS: "Check the certificate authority, the certificate and its key on both sides",
    Cause.AUTHENTICATION: "Check the name and the password, and that the broker's operator has created the user",
    Cause.FORBIDDEN: "Ask the operator of that cluster for access to this very topic",
    Cause.MISSING_TOPIC: "Declare the topic, or ask the operator of that cluster for its right name",
    Cause.RANGE_LOST: "Ask the releaser to send the range again, then go on from what the topic still holds",
    Cause.STALLED: "It is tried again; where it stays, look at the broker's log",
    Cause.CORRUPT: "Ask the operator of that cluster to repair the topic, or to have the range sent again",
    Cause.REFUSED: "Read the broker's words above",
}


class BrokerError(AdapterError):
    """A broker failed or refused; `cause` says in what way."""

    def __init__(self, cause: Cause, thing: str, *, place: str = "", remedy: str = "") -> None:
        """`place` is a topic or host:port; without `remedy` the cause's own is given."""
        super().__init__(thing, place=place, remedy=remedy or _REMEDY[cause])
        self.cause = cause


class LostRange(BrokerError, RangeLost):
    """`open` was asked for an offset that the topic does not hold."""

    def __init__(self, thing: str, *, place: str) -> None:
        """`thing` names the offset and what the topic holds."""
        super().__init__(Cause.RANGE_LOST, thing, place=place)


class MissingTopic(BrokerError, TopicMissing):
    """The broker has no topic of that name."""


_CAUSES: tuple[tuple[type[BaseException], Cause], ...] = (
    (errors.TopicAuthorizationFailedError, Cause.FORBIDDEN),
    (errors.ClusterAuthorizationFailedError, Cause.FORBIDDEN),
    (errors.GroupAuthorizationFailedError, Cause.FORBIDDEN),
    (errors.UnknownTopicOrPartitionError, Cause.MISSING_TOPIC),
    (errors.OffsetOutOfRangeError, Cause.RANGE_LOST),
    (errors.CorruptRecordException, Cause.CORRUPT),
    (errors.SaslAuthenticationFailed, Cause.AUTHENTICATION),
    (errors.KafkaConnectionError, Cause.UNREACHABLE),
    (errors.KafkaTimeoutError, Cause.STALLED),
    (errors.RequestTimedOutError, Cause.STALLED),
    (TimeoutError, Cause.STALLED),
    (OSError, Cause.UNREACHABLE),
)


def as_fault(error: BaseException, place: str) -> BrokerError:
    """A library's exception as one of ours; the library's words are kept."""
    if isinstance(error, BrokerError):
        return error
    # What may pass by itself (no leader, node not ready) is worth a look at the way there; the rest is the broker's no.
    other = Cause.STALLED if getattr(error, "retriable", False) else Cause.REFUSED
    cause = next((cause for kind, cause in _CAUSES if isinstance(error, kind)), other)
    said = str(error) or type(error).__name__
    made = MissingTopic if cause is Cause.MISSING_TOPIC else BrokerError
    return made(cause, f"{type(error).__name__}: {said}", place=place)
