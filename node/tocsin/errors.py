"""What can go wrong, said so that the reader can act: the thing, the place, the remedy."""


class TocsinError(Exception):
    """An expected failure, shown to a person without a traceback.

    `thing` says what is wrong, `place` where (a file, a field, a topic), `remedy` what to do about it.
    No payload of a report goes into any of them.
    """

    def __init__(self, thing: str, *, place: str = "", remedy: str = "") -> None:
        """`thing` is one sentence without a final full stop; `place` and `remedy` may be empty."""
        super().__init__(thing)
        self.thing = thing
        self.place = place
        self.remedy = remedy

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        then = f". {self.remedy}" if self.remedy else ""
        return f"{where}{self.thing}{then}"


class ConfigError(TocsinError):
    """The configuration file breaks a rule."""


class TrustError(TocsinError):
    """A trust view breaks a sentence of protocol section 1 and is not loaded."""


class SchemaError(TocsinError):
    """A schema breaks a rule of protocol section 7 and counts as not known."""


class PolicyError(TocsinError):
    """A disclosure policy is not loaded; `place` is line and column where there is one."""


class InputError(TocsinError):
    """Something that a person gave (a report, an id, a command) cannot be used as it is."""


class AdapterError(TocsinError):
    """A broker, a store, a disk or a signer failed: ours to retry, never a peer's fault."""


class StoreDamaged(TocsinError):
    """The store contradicts itself: nothing may be decided or signed over it, so the process ends."""
