"""`python -m tests.bench`: the benchmarks of design 6, as a table on the screen and as JSON in bench-results/.

Numbers are ratios within one run wherever they can be: machines differ, and one machine differs from hour to hour.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import fastavro
import psutil
from tests.bench import endtoend, steps
from tests.bench.report import table


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rounds: int
    batches: int
    reports: int
    rate: int
    seconds: float


FULL = Size(rounds=25, batches=50, reports=20_000, rate=200, seconds=25)
QUICK = Size(rounds=3, batches=4, reports=400, rate=50, seconds=3)


def machine() -> dict[str, object]:
    """What it ran on, and how busy that was with other things."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "fastavro": fastavro.__version__,
        "system": f"{platform.system()} {platform.release()}",
        "load": [round(value, 1) for value in os.getloadavg()],
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def measure(size: Size) -> dict[str, object]:
    """Everything, in order: steps, store, then what needs a broker."""
    found: dict[str, object] = {
        "machine": machine(),
        "size": asdict(size),
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    with tempfile.TemporaryDirectory() as folder:
        _say("steps")
        pure = steps.pure_steps(size.rounds)
        _say("store")
        stored = asyncio.run(steps.store_steps(Path(folder), size.batches))
        _say("broker, end to end, latency")
        ends = asyncio.run(endtoend.run(Path(folder), size.reports, size.rate, size.seconds))
    cost = pure | stored | {"produce (client)": ends.produce_us, "consume (client)": ends.consume_us}
    ceiling = {name: cost[name] for name in steps.CEILING}
    found["steps_us"] = cost
    found["end_to_end"] = asdict(ends)
    found["ceiling_us"] = ceiling
    found["ceiling_per_second"] = 1e6 / sum(ceiling.values())
    found["aims"] = _aims(pure, ends, 1e6 / sum(ceiling.values()))
    return found


def _aims(pure: dict[str, float], ends: endtoend.Results, ceiling: float) -> list[dict[str, object]]:
    bare, node = ends.latency_ms["bare"], ends.latency_ms["node"]
    whole = pure["verify + decide + seal"] / pure["unit"]
    return [
        {"what": "verify + decide + seal, in units", "value": whole, "aim": 9.0, "reached": whole <= 9},
        {
            "what": "end to end / ceiling",
            "value": ends.per_second / ceiling,
            "aim": 0.6,
            "reached": ends.per_second / ceiling >= 0.6,
        },
        {
            "what": "p50 / bare p50",
            "value": node["p50"] / bare["p50"],
            "aim": 3.0,
            "reached": node["p50"] / bare["p50"] <= 3,
        },
        {
            "what": "p99 / bare p99",
            "value": node["p99"] / bare["p99"],
            "aim": 10.0,
            "reached": node["p99"] / bare["p99"] <= 10,
        },
    ]


def _say(what: str) -> None:
    print(f"measuring: {what} …", file=sys.stderr, flush=True)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small counts: shows that everything runs, measures nothing"
    )
    parser.add_argument("--reports", type=int, help="reports of the end-to-end run (default 20000)")
    parser.add_argument("--out", type=Path, default=Path("bench-results"), help="folder of the JSON files")
    asked = parser.parse_args()
    size = QUICK if asked.quick else FULL
    if asked.reports:
        size = Size(**(asdict(size) | {"reports": asked.reports}))
    found = measure(size)
    asked.out.mkdir(parents=True, exist_ok=True)
    file = asked.out / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.json"
    file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(table(found))
    print(f"\n{file}")


if __name__ == "__main__":
    main()
