"""Measuring: what a call costs one core, in rounds among the other calls, so that noise of the machine meets all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

ROUND_S = 0.02


def cpu_us(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Microseconds of CPU (user and system) of one call of each: the median of `rounds` rounds.

    Each round measures every call once, for about 20 ms, so that what slows the machine for a while slows all of them.
    """
    times = {name: _times(call) for name, call in calls.items()}
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(_cpu_of(call, times[name]) / times[name] * 1e6)
    return {name: statistics.median(values) for name, values in found.items()}


def _times(call: Callable[[], object]) -> int:
    """How many calls make a round."""
    count = 1
    while (spent := _cpu_of(call, count)) < ROUND_S / 4:
        count *= 4
    return max(1, round(count * ROUND_S / spent))


def _cpu_of(call: Callable[[], object], times: int) -> float:
    begin = time.process_time()
    for _ in range(times):
        call()
    return time.process_time() - begin


def percentile(values: list[float], percent: float) -> float:
    """The value below which so many percent lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
