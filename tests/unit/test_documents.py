"""What documents and messages say of the code is so."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest
from typer.main import get_command

from tocsin.cli.main import app

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "node" / "tocsin").rglob("*.py"))
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(file for top in ("node", "deploy", "schemas") for file in (ROOT / top).rglob("*.md")),
]


def test_the_map_of_the_code_has_every_file():
    mapped = (ROOT / "node" / "README.md").read_text(encoding="utf-8").partition("## Files")[2]
    files = [path.name for path in SOURCES if path.name != "__init__.py" and path.parent.name != "versions"]
    assert Counter(re.findall(r"(\w+\.py)`", mapped)) == Counter(files)


def long_without_a_reason(text):
    """Whether source has more than 400 lines, and no line of its docstring begins with why."""
    return text.count("\n") > 400 and not re.search(
        r"^Long(er)? ", ast.get_docstring(ast.parse(text)) or "", re.MULTILINE
    )


def test_a_file_of_more_than_400_lines_says_why():
    everything = [path for top in ("node", "tests", "deploy", "schemas") for path in (ROOT / top).rglob("*.py")]
    assert len(everything) > 150
    assert [str(path) for path in everything if long_without_a_reason(path.read_text(encoding="utf-8"))] == []


def test_a_long_file_without_a_reason_is_found():
    long = "x = 1\n" * 400
    assert long_without_a_reason(f'"""Much."""\n{long}')
    assert not long_without_a_reason(f'"""Much.\n\nLonger than 400 lines: it is one table."""\n{long}')
    assert not long_without_a_reason(long)


def texts(file):
    """The texts of a file; of source every string, with X for what is filled in."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        yield text
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def require_command(words):
    """The words name a command or a group, and its options; `a | b` names both."""
    above = here = get_command(app)
    for word in words:
        if word == "|":
            here = above
        elif word.startswith("-"):
            assert word in {name for one in here.params for name in one.opts}, words
        elif hasattr(here, "commands") and word != "…":
            assert word in here.commands, words
            above, here = here, here.commands[word]


@pytest.mark.parametrize("files", [SOURCES, DOCUMENTS], ids=["messages", "documents"])
def test_every_command_that_is_named_exists_with_its_options(files):
    named = [found.split() for file in files for text in texts(file) for found in re.findall(r"`tocsin ([^`]+)`", text)]
    assert len(named) > 30
    for words in named:
        require_command(words)


def test_a_command_that_does_not_exist_is_found():
    for words in (["store", "migrate"], ["peer", "add", "--no-such"], ["policy", "explain", "|", "no-such"]):
        with pytest.raises(AssertionError):
            require_command(words)
