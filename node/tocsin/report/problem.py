"""A problem of a report, said to the person who wrote it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from tocsin.errors import InputError

_SHORT: Final = 40
"""Characters of a value that are shown: enough to find it, too few to carry a payload."""


@dataclass(frozen=True, slots=True)
class Problem:
    """`field` names the place (`loss[0].currency`), `value` shows what stands there, `expected` what would be right."""

    field: str
    value: str
    expected: str

    def __str__(self) -> str:
        return f"{self.field}: {self.value}. Right would be: {self.expected}"


class VocabularyError(InputError):
    """A report that breaks the vocabulary, with all its problems."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """`problems` is not empty."""
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(
            f"the report has {count} problem{'s' if count > 1 else ''}:\n" + "\n".join(f"  {p}" for p in self.problems),
        )


def shortened(value: Any) -> str:
    """The value as it would be written in Python, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"
