"""What documents and messages say of the code is so."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_map_of_the_code_has_every_file():
    mapped = (ROOT / "node" / "README.md").read_text(encoding="utf-8").partition("## Files")[2]
    files = [path for path in (ROOT / "node" / "tocsin").rglob("*.py") if path.name != "__init__.py"]
    there = Counter(path.name for path in files if path.parent.name != "versions")
    assert Counter(re.findall(r"(\w+\.py)`", mapped)) == there
