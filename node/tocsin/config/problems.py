"""Reading and checking a configuration file: all that is wrong with it at once, each with place and remedy."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from tocsin.errors import ConfigError

M = TypeVar("M", bound=BaseModel)


class Wrong(ValueError):
    """A value breaks a rule; pydantic collects these. No secret goes into the words."""

    def __init__(self, thing: str, remedy: str = "") -> None:
        """As in `TocsinError`."""
        super().__init__(thing)
        self.thing = thing
        self.remedy = remedy


class BadConfigError(ConfigError):
    """A configuration that cannot be used, with all its problems."""

    def __init__(self, problems: Iterable[ConfigError]) -> None:
        """`problems` is not empty."""
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"the configuration has {count} problem{'s' if count > 1 else ''}:{lines}")


def validated(model: type[M], path: Path) -> M:
    """The file as that tree; `BadConfigError` otherwise. Only this one file is read."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        remedy = "Name the configuration file, or write one by `tocsin init` (`tocsin lab init`, `tocsin reader init`)"
        raise BadConfigError(
            [ConfigError(f"cannot be read ({error.strerror})", place=str(path), remedy=remedy)]
        ) from error
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, a number of thousands of digits, nesting
        raise BadConfigError([ConfigError(f"this is no TOML ({error})", place=str(path))]) from error
    for name, field in model.model_fields.items():
        if field.annotation is _table_of(field):
            document.setdefault(name, {})  # so that a table that is left out has its defaults, or says what it lacks
    problems = list(_across(document))
    tree = None
    try:
        tree = model.model_validate(document, context={"folder": path.absolute().parent})
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        # A default that follows from a wrong value is no problem of its own.
        problems += [_said(model, document, one) for one in found if one["type"] != "default_factory_not_called"]
    if tree is None or problems:
        raise BadConfigError(ConfigError(p.thing, place=f"{path}: {p.place}", remedy=p.remedy) for p in problems)
    return tree


def _across(document: Mapping[str, Any]) -> Iterator[ConfigError]:
    """What no single table can know. It looks at the raw document, so that it is said together with all else."""
    node = document.get("node")
    own = node.get("id") if isinstance(node, dict) else None
    seen: dict[Any, str] = {own: "node"} if isinstance(own, str) else {}
    for table in ("peer", "lab"):
        for identity in _values(document, table, "id"):
            if identity in seen:
                remedy = f"A party is listed once; this one is in [{seen[identity]}] already"
                yield ConfigError("the id is used twice", place=f"{table}[{identity}].id", remedy=remedy)
            seen.setdefault(identity, table)
    readers = list(_values(document, "reader", "id"))
    for identity in sorted({identity for identity in readers if readers.count(identity) > 1}):
        yield ConfigError("the id is used twice", place=f"reader[{identity}].id", remedy="Give each entry its own")
    labs = set(_values(document, "lab", "id"))
    ruled = list(_values(document, "issue", "lab"))
    for lab in dict.fromkeys(ruled):
        if lab not in labs:
            yield ConfigError(
                f"no lab {lab!r}", place="issue.lab", remedy=_nearest(lab, labs) or "Enrol it in [[lab]] first"
            )
        if ruled.count(lab) > 1:
            yield ConfigError(f"two rules for {lab!r}", place="issue.lab", remedy="Keep one")


def _values(document: Mapping[str, Any], table: str, key: str) -> Iterator[str]:
    entries = document.get(table)
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get(key), str):
            yield entry[key]


def _said(model: type[BaseModel], document: Mapping[str, Any], details: ErrorDetails) -> ConfigError:
    """One problem that pydantic found, in our words."""
    steps = details["loc"]
    place, kind = _place(document, steps), details["type"]
    holder, field = _at(model, steps)
    wrong = details.get("ctx", {}).get("error")
    about = (field.description or "").replace("\n", " ") if field is not None else ""
    if isinstance(wrong, Wrong):
        return ConfigError(wrong.thing, place=place, remedy=wrong.remedy)
    if kind == "extra_forbidden" and holder is not None:
        known = [field.alias or name for name, field in holder.model_fields.items()]
        name = str(steps[-1])
        remedy = _nearest(name, known) or "Known: " + ", ".join(known)
        return ConfigError(f"no key {name!r}", place=place, remedy=remedy)
    if kind == "missing":
        return ConfigError("the key is missing", place=place, remedy=about)
    if kind == "model_type":
        return ConfigError("this is no table", place=place, remedy=f"Write [{steps[0]}]")
    if kind == "tuple_type":
        table = field is not None and _table_of(field) is not None
        remedy = f"Write [[{steps[-1]}]]" if table else "Write a list: [ … ]"
        return ConfigError("this is no list", place=place, remedy=remedy)
    return ConfigError(details["msg"][:1].lower() + details["msg"][1:], place=place, remedy=about)


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}?" if near else ""


def _place(document: Mapping[str, Any], steps: Sequence[int | str]) -> str:
    """table.key, an entry of a list by its id, or else by its number from 1."""
    place = ""
    here: Any = document
    for step in steps:
        if isinstance(step, int):
            here = here[step] if isinstance(here, list) and step < len(here) else None
            identity = here.get("id") if isinstance(here, dict) else None
            place += f"[{identity if isinstance(identity, str) else step + 1}]"
        else:
            here = here.get(step) if isinstance(here, dict) else None
            place += f".{step}" if place else step
    return place


def _at(model: type[BaseModel], steps: Sequence[int | str]) -> tuple[type[BaseModel] | None, FieldInfo | None]:
    """The table that holds the last step, and its field there, where it has one."""
    holder: type[BaseModel] | None = model
    field: FieldInfo | None = None
    names = [step for step in steps if isinstance(step, str)]
    for count, name in enumerate(names, start=1):
        if holder is None:
            return None, None
        field = next((f for n, f in holder.model_fields.items() if name == (f.alias or n)), None)
        if count < len(names):
            holder = _table_of(field) if field is not None else None
    return holder, field


def _table_of(field: FieldInfo) -> type[BaseModel] | None:
    """The table that a field holds: itself, one of a list, or one that may be left out."""
    return _first_table(field.annotation)


def _first_table(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _first_table(inner)) is not None), None)
