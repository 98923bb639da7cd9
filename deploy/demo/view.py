"""One report, field by field, as everybody sees it; and why not more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from tocsin.policy.explain import FieldLine
from tocsin.reader.seen import Seen, Withheld
from tocsin.wire.hop import Code

FIELDS = (
    "title",
    "severity",
    "severity_band",
    "severity_axes",
    "harm_types",
    "occurred_day",
    "occurred_month",
    "countries",
    "regions",
    "sectors",
    "deployer",
    "failure_modes",
    "description",
    "sources",
)
LEGEND = "● shown   ◐ only coarser   ◷ embargoed till then   ○ withheld   ∅ “not known”"


def table(views: Mapping[str, Seen]) -> Table:
    """A row a field, a column a reader; `views` are what each was given, by its name."""
    found = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    found.add_column("field", no_wrap=True)
    for name in views:
        found.add_column(name.replace(" ", "\n"), justify="center", no_wrap=True)
    for field in FIELDS:
        found.add_row(field, *(_cell(seen, field) for seen in views.values()))
    return found


def reasons(name: str, seen: Seen) -> Iterator[str]:
    """What the wire says of why: one sentence for each word, releaser and rule."""
    groups: dict[tuple[str, Code, datetime | None, str], list[str]] = {}
    for withheld in seen.withheld:
        groups.setdefault((withheld.by, withheld.code, withheld.until, withheld.rule), []).append(withheld.name)
    for (by, code, until, rule), fields in groups.items():
        when = f" until {until:%d %b %Y}" if until else ""
        named = f" by rule {rule}" if rule else ""
        yield f"{name}: {by} says {code.value}{when}{named}: {_few(fields)}"


def why(line: FieldLine) -> str:
    """What an officer on the node is told about one field: it is more than the wire says."""
    rules = ", ".join(f"{because.effect.lower()} by {because.rule}" for because in line.because)
    found = [line.barrier, rules or "no rule names it", _since(line)]
    return f"{line.field}: " + "; ".join(part for part in found if part)


def _since(line: FieldLine) -> str:
    if line.given:
        return "given"
    if line.since is None:
        return "never by time alone"
    return f"from {datetime.fromtimestamp(line.since * 60, UTC):%d %b %Y}"


def _cell(seen: Seen, field: str) -> Text:
    if field in seen.fields:
        return Text("∅", style="dim") if seen.fields[field] is None else Text("●", style="green")
    withheld = next((one for one in seen.withheld if one.name == field), None)
    return _withheld(withheld)


def _withheld(withheld: Withheld | None) -> Text:
    if withheld is not None and withheld.code is Code.COARSENED:
        return Text("◐", style="yellow")
    if withheld is not None and withheld.until is not None:
        return Text(f"◷ {withheld.until:%d %b}", style="blue")
    return Text("○", style="red")


def _few(fields: Sequence[str], most: int = 4) -> str:
    more = f" and {len(fields) - most} more" if len(fields) > most else ""
    return ", ".join(fields[:most]) + more
