"""The life cycle of a report's revisions (protocol section 6, note LIFECYCLE), as a table."""

from collections.abc import Mapping
from typing import Final

from tocsin.errors import InputError
from tocsin.wire.header import Stage

NEXT: Final[Mapping[Stage, frozenset[Stage]]] = {
    Stage.INITIAL: frozenset({Stage.UPDATE, Stage.FINAL, Stage.RETRACTION}),
    Stage.UPDATE: frozenset({Stage.UPDATE, Stage.FINAL, Stage.RETRACTION}),
    Stage.FINAL: frozenset({Stage.UPDATE, Stage.RETRACTION}),  # an update after it is a reopening
    Stage.RETRACTION: frozenset(),
}
"""Which stages may follow each. INITIAL follows nothing: it is revision 0."""


def can_follow(previous: Stage, following: Stage) -> bool:
    """Whether the revision after one of stage `previous` may have stage `following`."""
    return following in NEXT[previous]


def require_following(previous: Stage, following: Stage, place: str) -> None:
    """`InputError` with the stages that may, where this one cannot follow."""
    if not can_follow(previous, following):
        may = ", ".join(stage for stage in Stage if can_follow(previous, stage))
        remedy = f"After {previous}: {may}" if may else "Nothing does: make a report of its own"
        raise InputError(f"{following} cannot follow {previous}", place=place, remedy=remedy)
