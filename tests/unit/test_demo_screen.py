"""What the demo claims: a false claim is shown as false and is not forgotten; what is waited for in vain is named."""

import io

import pytest
from deploy.demo.screen import WIDTH, Screen, Unmet, until
from rich.console import Console


def screen():
    return Screen(Console(file=io.StringIO(), width=WIDTH, highlight=False, markup=False))


def test_a_false_claim_is_shown_with_what_was_seen_and_makes_the_run_fail():
    shown = screen()
    assert shown.claim("two and two are four", True)
    assert not shown.claim("nothing is lost", False, "2 lost")
    assert shown.failed() == ["nothing is lost"]
    out = shown.console.file.getvalue()
    assert "✓ two and two are four" in out
    assert "✗ nothing is lost (seen: 2 lost)" in out


def test_no_line_is_wider_than_the_screen():
    shown = screen()
    shown.line("gb", "x" * 200)
    shown.say("word " * 60, indent=6)
    shown.claim("word " * 60, True)
    assert max(len(line) for line in shown.console.file.getvalue().splitlines()) <= WIDTH


async def test_what_never_comes_is_named():
    async def look():
        return None

    with pytest.raises(Unmet, match="the sun rises: not within"):
        await until("the sun rises", look, 0.0)
