"""The commented file that `tocsin init` writes: every setting that there is, drawn from the tree itself."""

from __future__ import annotations

import inspect
import json
import textwrap
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tocsin.config.tree import Config
from tocsin.wire.header import Tlp

_HEAD = """\
# The configuration of a Tocsin node. A line that begins with # and a space is a comment; a line that begins with # alone
# is a setting at its default, or an example: take the # away to set it. Relative paths are relative to this folder.
# No secret stands here: write { file = "..." } (mode 0600) or { env = "..." }.
"""
_WIDTH = 118


def example(node_id: str, jurisdiction: str) -> str:
    """The text; it loads as it stands, and so does any line of it whose # is taken away."""
    written = {
        "node": {"id": node_id, "jurisdiction": jurisdiction},
        "keys": {"event": "keys/event.pem"},
        "kafka": {"bootstrap": "127.0.0.1:9092"},
    }
    blocks = [_HEAD]
    for name, field in Config.model_fields.items():
        key, many = field.alias or name, get_origin(field.annotation) is tuple
        table: Any = get_args(field.annotation)[0] if many else field.annotation
        blocks.append(_block(key, table, written.get(key, {}), many=many))
    return "\n".join(blocks)


def _block(key: str, table: type[BaseModel], written: dict[str, Any], *, many: bool) -> str:
    lines = textwrap.wrap(inspect.getdoc(table) or "", _WIDTH)
    out = [f"# {line}" for line in lines] + [f"#[[{key}]]" if many else f"[{key}]"]
    # The name comes first, then what every entry must say, whatever class of the tree a setting is defined in.
    fields = sorted(table.model_fields.items(), key=lambda item: (item[0] != "id", not item[1].is_required()))
    for name, field in fields:
        out += [f"# {line}" for line in textwrap.wrap(field.description or "", _WIDTH)]
        if name in written:
            out.append(f"{name} = {_literal(written[name])}")
        else:
            out.append(f"#{name} = {_shown(field)}")
    return "\n".join(out) + "\n"


def _shown(field: FieldInfo) -> str:
    """What stands there as an example, or else the default."""
    return str(field.examples[0]) if field.examples else _literal(field.default)


def _literal(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, Tlp):
        return json.dumps(value.name)
    if isinstance(value, Path):
        return json.dumps(str(value))
    return json.dumps(list(value) if isinstance(value, tuple) else value)
