"""The results as a table for people, at most 80 columns wide."""

from __future__ import annotations

from typing import Any


def table(found: dict[str, Any]) -> str:
    """Everything that was measured, with the aims at the end."""
    machine, ends = found["machine"], found["end_to_end"]
    unit = found["steps_us"]["unit"]
    lines = [
        f"{machine['cpu'][:48]}, {machine['cores']} cores, {machine['memory_gib']:g} GiB",
        f"Python {machine['python']}, fastavro {machine['fastavro']}, load at the start {machine['load'][0]}",
        f"unit: one fastavro decode of the frozen report (25 fields, 1.5 kB) = {unit:.1f} µs",
        "",
        f"{'Per report, one core':<44}{'µs':>10}{'units':>10}{'in ceiling':>14}",
    ]
    for name, cost in found["steps_us"].items():
        if name != "unit":
            mark = "yes" if name in found["ceiling_us"] else ""
            lines.append(f"{name:<44}{cost:>10.1f}{cost / unit:>10.2f}{mark:>14}")
    lines += [
        "",
        f"{'End to end, one node process, one audience':<48}{ends['per_second']:>10.0f} reports/s",
        f"{'Ceiling composed of this run (one core)':<48}{found['ceiling_per_second']:>10.0f} reports/s",
        f"{'CPU of the node':<48}{ends['node_cpu_us']:>10.0f} µs a report",
    ]
    lines.append(f"{'Slowest /metrics page meanwhile':<48}{ends['page_ms']:>10.0f} ms")
    for count, mib in ends["rss_mib"].items():
        lines.append(f"{f'Memory of the node after {int(count):,} reports':<48}{mib:>10.0f} MiB")
    per_second, reports = ends["latency_per_second"], ends["latency_reports"]
    lines += [
        "",
        f"{f'Latency at {per_second}/s, {reports:,} reports, ms':<40}{'p50':>10}{'p90':>10}{'p99':>10}{'max':>10}",
    ]
    for name, title in (("bare", "bare produce and consume"), ("node", "through the node")):
        at = ends["latency_ms"][name]
        lines.append(f"{title:<40}{at['p50']:>10.1f}{at['p90']:>10.1f}{at['p99']:>10.1f}{at['p100']:>10.1f}")
    lines += ["", f"{'Aims':<44}{'measured':>10}{'aim':>10}{'':>14}"]
    for aim in found["aims"]:
        sign = "≥" if aim["what"].startswith("end to end") else "≤"
        mark = "reached" if aim["reached"] else "not reached"
        lines.append(f"{aim['what']:<44}{aim['value']:>10.2f}{sign + format(aim['aim'], 'g'):>10}{mark:>14}")
    return "\n".join(lines)
