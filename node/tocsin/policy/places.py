"""Where each key and list item of a TOML text stands. `tomllib` reads the values but keeps no places.

Only texts that `tomllib` accepts are scanned, so this scanner knows just enough TOML to tell keys from values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Path = tuple[str | int, ...]
Place = tuple[int, int]
"""Line and column in characters, both from 1."""

_TOKEN = re.compile(
    r"(?P<skip>[ \t\r]+|\#[^\n]*)"
    r"|(?P<newline>\n)"
    r'|(?P<text>"""(?:\\.|[^\\])*?"{3,5}(?!")|\'\'\'.*?\'{3,5}(?!\')|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\')'
    r"|(?P<mark>[\[\]{}=,.])"
    r"|(?P<word>[^\s\[\]{}=,.\"'\#]+)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    place: Place


def places(text: str) -> dict[Path, Place]:
    """Path of each table, key and list item → where it begins. A `[[rule]]` has the path ("rule", its number from 0)."""
    return _Scan(_tokens(text)).document()


def place_of(found: dict[Path, Place], path: Path) -> Place:
    """The place of `path`, or of the nearest table or key around it; the beginning of the text as a last resort."""
    while path and path not in found:
        path = path[:-1]
    return found.get(path, (1, 1))


def _tokens(text: str) -> list[_Token]:
    made: list[_Token] = []
    line, line_start = 1, 0
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind != "skip":
            made.append(_Token(kind, match.group(), (line, match.start() - line_start + 1)))
        if newlines := match.group().count("\n"):
            line += newlines
            line_start = match.start() + match.group().rindex("\n") + 1
    return made


class _Scan:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._found: dict[Path, Place] = {}
        self._counts: dict[Path, int] = {}

    def document(self) -> dict[Path, Place]:
        table: Path = ()
        while self._at < len(self._tokens):
            if self._peek().kind == "newline":
                self._at += 1
            elif self._peek().text == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._found

    def _peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _Token("end", "", (1, 1))

    def _take(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def _header(self) -> Path:
        self._take()
        many = self._peek().text == "["
        if many:
            self._take()
        place = self._peek().place
        path = self._within(self._key("]"))
        if many:
            self._take()
            number = self._counts.get(path, 0)
            self._counts[path] = number + 1
            path = (*path, number)
        self._keep(path, place)
        return path

    def _keep(self, path: Path, place: Place) -> None:
        """The place of a table or a key, and of those around it that stand nowhere by themselves."""
        for length in range(1, len(path) + 1):
            self._found.setdefault(path[:length], place)

    def _within(self, path: Path) -> Path:
        """A header below an array of tables belongs to the last of them."""
        real: Path = ()
        for key in path:
            if real in self._counts:
                real = (*real, self._counts[real] - 1)
            real = (*real, key)
        return real

    def _key(self, end: str) -> Path:
        """A dotted key up to and with the token `end`."""
        parts: list[str] = []
        while (token := self._take()).text != end and token.kind != "end":
            if token.kind == "word":
                parts.append(token.text)
            elif token.kind == "text":
                parts.append(token.text[1:-1])
        return tuple(parts)

    def _pair(self, table: Path) -> None:
        place = self._peek().place
        path = table + self._key("=")
        self._keep(path, place)
        self._value(path)

    def _value(self, path: Path) -> None:
        opened = self._peek().text
        if opened == "{":
            self._take()
            while self._peek().text != "}" and self._peek().kind != "end":
                if self._peek().text == "," or self._peek().kind == "newline":
                    self._take()
                else:
                    self._pair(path)
            self._take()
        elif opened == "[":
            self._take()
            number = 0
            while self._peek().text != "]" and self._peek().kind != "end":
                if self._peek().text == "," or self._peek().kind == "newline":
                    self._take()
                    continue
                self._found.setdefault((*path, number), self._peek().place)
                self._value((*path, number))
                number += 1
            self._take()
        else:
            while self._peek().kind in {"word", "text"} or self._peek().text == ".":
                self._take()
