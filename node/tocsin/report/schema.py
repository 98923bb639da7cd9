"""Schemas of reports (protocol section 7): load and lint them, read slots by them, and judge a report (section 6 step 7)."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from tocsin import strict_json
from tocsin.errors import InputError, SchemaError
from tocsin.report.ladders import FUNCTIONS, UNDEFINED, compose
from tocsin.report.types import Type, TypeReader, field_name, full_name, misfits
from tocsin.wire.avro import Codec, Malformed
from tocsin.wire.header import Header
from tocsin.wire.hop import Code, HopBody
from tocsin.wire.reasons import Reason
from tocsin.wire.verify import Judged

MAX_VALUE: Final = 65_535
"""Bytes of one slot's value: u16 everywhere, and a report stays one small record (protocol section 2)."""

CLASSES: Final = frozenset({"identity", "harm", "system", "people", "narrative", "technical", "restricted"})

_NULL = b"\0"
_ID = re.compile(r"([a-z][a-z0-9-]{0,31})/(0|[1-9][0-9]{0,3})\.(0|[1-9][0-9]{0,3})")
HEADER_NAMES = frozenset(Header.__dataclass_fields__)
_NOT_CROSSWALK = frozenset({"name", "type", "default", "doc", "order", "aliases", "class", "set", "rung"})


@dataclass(frozen=True, slots=True)
class Rung:
    """This field is the coarser rung of field `of` (its index), by the registered function `by`."""

    of: int
    by: str


@dataclass(frozen=True, slots=True)
class Field:
    """One slot of a schema. `type` is T of `["null", T]`; `cls` is the property `class`."""

    index: int
    name: str
    type: Type
    cls: str | None
    is_set: bool
    rung: Rung | None
    crosswalk: Mapping[str, str] = field(compare=False)
    doc: str
    _codec: Codec = field(repr=False, compare=False)
    _item_codec: Codec | None = field(repr=False, compare=False)

    @property
    def logical(self) -> str | None:
        """The logical type of T: date, timestamp-millis or None."""
        return self.type.logical

    def decode(self, data: bytes) -> Any:
        """The value (None for a disclosed null); `Malformed` if not strict, or if a set is not one."""
        return None if data == _NULL else self._codec.decode(data)  # most slots of most reports are null

    def in_order(self, value: Any) -> Any:
        """A fitting value as the wire has it: a set's items by their encodings as unsigned bytes, the rest as it is."""
        if self._item_codec is None or value is None:
            return value
        return sorted(value, key=self._item_codec.encode)

    def encode(self, value: Any) -> bytes:
        """The slot's value; a set may come in any order. `InputError` where it does not fit or is too large."""
        if value is not None:
            for misfit in misfits(self.type, value):
                raise InputError(
                    "this value does not fit", place=self.name + misfit.place, remedy=f"Give {misfit.expected}"
                )
        ordered = self.in_order(value)
        if self.is_set and any(a == b for a, b in pairwise(ordered or ())):
            raise InputError("a member occurs twice", place=self.name, remedy="Give each member once")
        data = self._codec.encode(ordered)
        if len(data) > MAX_VALUE:
            raise InputError(
                f"{len(data):,} bytes are more than a slot holds ({MAX_VALUE:,})",
                place=self.name,
                remedy="Shorten it, or put the text where readers can fetch it and name it in evidence with its digest",
            )
        return data


@dataclass(frozen=True)
class Schema:
    """One published schema as read from its bytes. Field i is slot i."""

    name: str
    major: int
    minor: int
    text: bytes = field(repr=False)
    sha256: bytes
    fields: tuple[Field, ...] = field(repr=False, compare=False)
    _index: Mapping[str, int] = field(repr=False, compare=False)
    _coarser: tuple[tuple[int, ...], ...] = field(repr=False, compare=False)
    _finer: tuple[tuple[int, ...], ...] = field(repr=False, compare=False)
    _finer_bits: Mapping[int, int] = field(repr=False, compare=False)
    _paths: Mapping[int, Mapping[int, tuple[str, ...]]] = field(repr=False, compare=False)

    @property
    def id(self) -> str:
        """As in a header: `incident/1.0`."""
        return f"{self.name}/{self.major}.{self.minor}"

    def index(self, name: str) -> int:
        """The slot of the field of that name; KeyError if there is none."""
        return self._index[name]

    def named(self, name: str) -> Field | None:
        """The field of that name, if there is one."""
        i = self._index.get(name)
        return None if i is None else self.fields[i]

    def decode_slot(self, i: int, data: bytes) -> Any:
        """As `Field.decode`."""
        return self.fields[i].decode(data)

    def encode_slot(self, i: int, value: Any) -> bytes:
        """As `Field.encode`."""
        return self.fields[i].encode(value)

    def coarser(self, i: int) -> tuple[int, ...]:
        """The coarser rungs of slot i, nearest first."""
        return self._coarser[i]

    def finer(self, i: int) -> tuple[int, ...]:
        """The finer rungs of slot i, nearest first."""
        return self._finer[i]

    def finer_than(self, slots: int) -> int:
        """All finer rungs of the slots; mask bits."""
        finer = 0
        for rung, below in self._finer_bits.items():
            if slots >> rung & 1:
                finer |= below
        return finer

    def path(self, finer: int, coarser: int) -> tuple[str, ...]:
        """The functions that lead from slot `finer` to slot `coarser` of its ladder, finest first."""
        return self._paths[finer][coarser]

    def disagreements(self, values: Mapping[int, Any]) -> Iterator[tuple[int, int]]:
        """Pairs (finer, coarser) of disclosed rungs that disagree. `values`: slot to value, None for a null.

        Also for a union of several copies (protocol section 7). Only the nearest disclosed coarser rung is compared
        with each finer one; a further one is then compared with that.
        """
        for i, paths in self._paths.items():
            value = values.get(i)
            if value is None:
                continue
            for step, path in paths.items():  # nearest first
                if step in values:
                    expected = compose(path, value)
                    if expected is UNDEFINED or values[step] != expected:
                        yield i, step
                    break


def _walk(start: int, step: Mapping[int, int]) -> Iterator[int]:
    while (found := step.get(start)) is not None:
        yield found
        start = found


def _paths(i: int, coarser: Mapping[int, int], fields: Sequence[Field]) -> dict[int, tuple[str, ...]]:
    """Each coarser rung of slot i, nearest first → the functions that lead to it."""
    found: dict[int, tuple[str, ...]] = {}
    path: tuple[str, ...] = ()
    for step in _walk(i, coarser):
        rung = fields[step].rung
        path = (*path, rung.by) if rung else path
        found[step] = path
    return found


def load_schema(schema_id: str, text: bytes) -> Schema:
    """The schema of that id from the bytes of its file; `SchemaError` where it breaks a rule of protocol section 7."""
    matched = _ID.fullmatch(schema_id)
    if not matched:
        raise SchemaError(f"{schema_id!r} is no id of a schema", remedy="Ids look like incident/1.0")
    record = _parse(schema_id, text)
    full = full_name(record, "", schema_id)
    specs = record.get("fields")
    if record.get("type") != "record" or not isinstance(specs, list):
        raise SchemaError("not one flat Avro record", place=schema_id)
    reader = TypeReader(full)
    namespace = full.rpartition(".")[0]
    names = [field_name(spec, schema_id) for spec in specs]
    index = {name: i for i, name in enumerate(names)}
    if len(index) != len(names):
        raise SchemaError("two fields have one name", place=schema_id)
    fields = tuple(_field(i, spec, reader, namespace, index) for i, spec in enumerate(specs))
    coarser = _ladders(fields)
    finer = {b: a for a, b in coarser.items()}
    return Schema(
        name=matched[1],
        major=int(matched[2]),
        minor=int(matched[3]),
        text=text,
        sha256=hashlib.sha256(text).digest(),
        fields=fields,
        _index=index,
        _coarser=tuple(tuple(_walk(i, coarser)) for i in range(len(fields))),
        _finer=tuple(tuple(_walk(i, finer)) for i in range(len(fields))),
        _finer_bits={rung: sum(1 << i for i in _walk(rung, finer)) for rung in finer},
        _paths={i: _paths(i, coarser, fields) for i in sorted(coarser)},
    )


def _parse(schema_id: str, text: bytes) -> dict[str, Any]:
    try:
        record = strict_json.loads(text.decode())
    except (ValueError, RecursionError) as fault:
        raise SchemaError(f"not JSON in UTF-8: {fault}", place=schema_id) from fault
    if not isinstance(record, dict):
        raise SchemaError("not one flat Avro record", place=schema_id)
    return record


def _field(i: int, spec: dict[str, Any], reader: TypeReader, namespace: str, index: Mapping[str, int]) -> Field:
    name = spec["name"]
    if name in HEADER_NAMES:
        raise SchemaError("a field has the name of a header field", place=name)
    if "default" not in spec or spec["default"] is not None:
        raise SchemaError("the default is not null", place=name)
    of = reader.slot(spec.get("type"), namespace, name)
    cls, is_set = spec.get("class"), spec.get("set", False)
    if "class" in spec and (not isinstance(cls, str) or cls not in CLASSES):
        raise SchemaError("no such class", place=name, remedy="Classes: " + ", ".join(sorted(CLASSES)))
    if "set" in spec and (is_set is not True or of.kind != "array"):
        raise SchemaError("set is true, and only on arrays", place=name)
    avro = of.avro() | {"set": True} if is_set else of.avro()
    return Field(
        index=i,
        name=name,
        type=of,
        cls=cls,
        is_set=is_set,
        rung=_rung(spec, index),
        crosswalk={key: value for key, value in spec.items() if key not in _NOT_CROSSWALK and isinstance(value, str)},
        doc=spec.get("doc", "") if isinstance(spec.get("doc", ""), str) else "",
        _codec=Codec(["null", avro]),
        _item_codec=Codec(of.items.avro()) if is_set and of.items is not None else None,
    )


def _rung(spec: dict[str, Any], index: Mapping[str, int]) -> Rung | None:
    if "rung" not in spec:
        return None
    rung, name = spec["rung"], spec["name"]
    if not isinstance(rung, dict) or set(rung) != {"of", "by"} or not all(isinstance(v, str) for v in rung.values()):
        raise SchemaError('a rung is {"of": <field>, "by": "<function>/<version>"}', place=name)
    if rung["of"] not in index:
        raise SchemaError(f"a rung of {rung['of']!r}, which is no field", place=name)
    if rung["by"] not in FUNCTIONS:
        raise SchemaError(f"no rung function {rung['by']!r}", place=name, remedy="Registered: " + ", ".join(FUNCTIONS))
    return Rung(index[rung["of"]], rung["by"])


def _ladders(fields: tuple[Field, ...]) -> dict[int, int]:
    """Finer to coarser; each field has at most one of each, so that only a cycle can go on for ever."""
    coarser: dict[int, int] = {}
    for rung_field in fields:
        rung = rung_field.rung
        if rung is None:
            continue
        finer = fields[rung.of]
        if rung.of in coarser:
            raise SchemaError(f"{finer.name} has two coarser rungs", place=rung_field.name)
        if not FUNCTIONS[rung.by].fits(finer.type, finer.is_set, rung_field.type, rung_field.is_set):
            raise SchemaError(
                f"{rung.by} does not lead from the type of {finer.name} to this one", place=rung_field.name
            )
        coarser[rung.of] = rung_field.index
    finest = {i for i in coarser if fields[i].rung is None}
    reached = {step for i in finest for step in _walk(i, coarser)}
    if len(reached) != len(coarser):
        raise SchemaError("a ladder is a cycle", place=fields[min(set(coarser.values()) - reached)].name)
    return coarser


class KnownSchemas:
    """The schemas that a verifier knows; it is the `Schemas` port of `tocsin.wire.verify`."""

    def __init__(self, schemas: Iterable[Schema]) -> None:
        """Published files never change, so of two schemas with one id either would do."""
        self._exact = {schema.id: schema for schema in schemas}
        self._latest: dict[tuple[str, int], Schema] = {}
        for schema in self._exact.values():
            key = (schema.name, schema.major)
            if key not in self._latest or self._latest[key].minor < schema.minor:
                self._latest[key] = schema

    def __iter__(self) -> Iterator[Schema]:
        return iter(self._exact.values())

    def exact(self, schema_id: str) -> Schema | None:
        """The schema of that very id."""
        return self._exact.get(schema_id)

    def latest(self, name: str, major: int) -> Schema | None:
        """The latest minor known of that major."""
        return self._latest.get((name, major))

    def judge(self, header: Header, n: int, disclosed: Mapping[int, bytes], hops: Sequence[HopBody]) -> Judged | Reason:
        """The whole of protocol section 6 step 7, in its order. `disclosed`: slot to value bytes; `n` slots in all."""
        found = self._reading(header)
        if isinstance(found, Reason):  # SCHEMA_UNKNOWN, SCHEMA_MISMATCH
            return found
        schema, later = found
        if n < len(schema.fields) or (n > len(schema.fields) and not later):
            return Reason.SLOT_COUNT
        values, unreadable = _decode(schema, disclosed)
        if unreadable and not later:
            return Reason.SLOT_MALFORMED
        # a later minor may have added the rung that was let through, so this is not decided there
        if not later and any(_lacks_rung(schema, hop) for hop in hops):
            return Reason.LADDER_MISSING
        if any(schema.disagreements(values)):
            return Reason.LADDER_MISMATCH
        return Judged(schema=schema, values=values, unreadable=unreadable)

    def _reading(self, header: Header) -> tuple[Schema, bool] | Reason:
        """The schema to read by, and whether the report's own is a later minor than all known."""
        exact = self._exact.get(header.schema)
        if exact is not None:
            return (exact, False) if header.schema_sha256 == exact.sha256 else Reason.SCHEMA_MISMATCH
        name, _, version = header.schema.partition("/")
        major, _, minor = version.partition(".")
        latest = self._latest.get((name, int(major)))
        return (latest, True) if latest is not None and int(minor) > latest.minor else Reason.SCHEMA_UNKNOWN


def _decode(schema: Schema, disclosed: Mapping[int, bytes]) -> tuple[dict[int, Any], frozenset[int]]:
    """Values by slot, and the slots that this schema cannot read."""
    values: dict[int, Any] = {}
    unreadable: set[int] = set()
    for i, data in disclosed.items():
        try:
            values[i] = schema.fields[i].decode(data)
        except (Malformed, IndexError):  # IndexError: a slot that only a later minor has
            unreadable.add(i)
    return values, frozenset(unreadable)


def _lacks_rung(schema: Schema, hop: HopBody) -> bool:
    """Some slot is said to be coarsened, and no coarser rung of its ladder is let through."""
    coarsened = sum(why.slots for why in hop.reasons if why.code is Code.COARSENED)  # disjoint, by step 4
    return bool(coarsened) and coarsened & ~schema.finer_than(hop.mask_out) != 0
