"""What abg has to reach, and how the figures are shown against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median

from attrs import frozen

__all__ = ["ROWS", "TARGETS", "Medians", "Rounds", "Row", "Target", "judge", "medians_of", "table"]

Medians = Mapping[str, Mapping[str, float]]
"""By subject, then by figure."""

Rounds = Mapping[str, Mapping[str, list[float]]]
"""The same, of each round."""

STEADY = 0.05
"""A spread up to this is not shown."""


@frozen
class Row:
    """One figure of all subjects."""

    figure: str
    label: str
    unit: str
    scale: float = 1.0
    added: bool = False
    """Shown less what the direct way takes."""


ROWS = (
    Row("json_cpu", "CPU per request, 2 kB JSON, 32 connections", "µs"),
    Row("big_cpu", "CPU per request, 500 kB body", "µs"),
    Row("huge_cpu", "CPU per request, 10 MB body", "ms", 1e-3),
    Row("huge_p50", "time per request, 10 MB body", "ms", 1e-3),
    Row("paced_cpu", "CPU per event, 64 streams paced 10 ms", "µs"),
    Row("unpaced_cpu", "CPU per event, 16 streams unpaced", "µs"),
    Row("paced_p50", "added delay per event, 64 streams, median", "ms", 1e-3, True),
    Row("paced_p99", "added delay per event, 64 streams, p99", "ms", 1e-3, True),
    Row("first_p50", "added time to first event, median", "ms", 1e-3, True),
    Row("thousand_first_p50", "1,000 streams: added time to first event, median", "ms", 1e-3, True),
    Row("thousand_p99", "1,000 streams: added delay per event, p99", "ms", 1e-3, True),
    Row("thousand_cpu", "1,000 streams: CPU per event", "µs"),
    Row("thousand_peak", "1,000 streams: peak memory", "MB", 1e-6),
    Row("idle_resident", "memory, idle", "MB", 1e-6),
    Row("huge_kept", "memory kept after the 10 MB bodies", "MB", 1e-6),
    Row("listen", "start to listening", "s"),
    Row("json_rate", "requests a second on one core, 2 kB JSON", ""),
)


@frozen
class Target:
    """One promise: a value of the medians, and the most that it may be."""

    label: str
    value: Callable[[Medians], float]
    most: float
    unit: str = "×"


def _ratio(figure: str, other: str, subject: str = "abg") -> Callable[[Medians], float]:
    return lambda m: m[subject][figure] / m[other][figure]


def _added(figure: str, other: str = "direct", subject: str = "abg") -> Callable[[Medians], float]:
    return lambda m: (m[subject][figure] - m[other][figure]) / 1_000


def _added_ratio(figure: str) -> Callable[[Medians], float]:
    return lambda m: _added(figure)(m) / _added(figure, subject="bare Twisted")(m)


TARGETS = (
    Target("CPU per request, 2 kB JSON, to bare Twisted", _ratio("json_cpu", "bare Twisted"), 0.35),
    Target("CPU per request, 2 kB JSON, to Portkey", _ratio("json_cpu", "Portkey"), 0.12),
    Target("CPU per request, 2 kB JSON, to mitmproxy", _ratio("json_cpu", "mitmproxy"), 0.12),
    Target("CPU per request, 2 kB JSON, to LiteLLM", _ratio("json_cpu", "LiteLLM"), 0.01),
    Target("CPU per request, 500 kB, to bare Twisted", _ratio("big_cpu", "bare Twisted"), 0.6),
    Target("CPU per event, paced, to bare Twisted", _ratio("paced_cpu", "bare Twisted"), 0.65),
    Target("CPU per event, paced, to nginx", _ratio("paced_cpu", "nginx"), 2.5),
    Target("CPU per event, unpaced, to bare Twisted", _ratio("unpaced_cpu", "bare Twisted"), 0.25),
    Target("time to first event added over nginx", _added("first_p50", "nginx"), 0.4, "ms"),
    Target("added delay per event, p99", _added("paced_p99"), 3.0, "ms"),
    Target("added delay per event, p99, to bare Twisted", _added_ratio("paced_p99"), 0.5),
    Target("1,000 streams: first event, median", _added("thousand_first_p50"), 10.0, "ms"),
    Target("1,000 streams: added delay, p99", _added("thousand_p99"), 20.0, "ms"),
    Target("1,000 streams: peak memory", lambda m: m["abg"]["thousand_peak"] / 1e6, 90.0, "MB"),
    Target("10 MB body: time, to bare Twisted", _ratio("huge_p50", "bare Twisted"), 1.0),
    Target("10 MB body: memory kept", lambda m: m["abg"]["huge_kept"] / 1e6, 20.0, "MB"),
    Target(
        "mounted: CPU per request, to bare Twisted",
        _ratio("json_cpu", "bare Twisted", "mounted abg"),
        1.2,
    ),
    Target("memory, idle", lambda m: m["abg"]["idle_resident"] / 1e6, 50.0, "MB"),
    Target("start to listening", lambda m: m["abg"]["listen"], 0.5, "s"),
    Target("abg --help: CPU", lambda m: m["commands"]["help_cpu"] / 1_000, 100.0, "ms"),
    Target("abg status: CPU", lambda m: m["commands"]["status_cpu"] / 1_000, 100.0, "ms"),
    Target("abg statusline: CPU", lambda m: m["commands"]["statusline_cpu"] / 1_000, 100.0, "ms"),
)


def judge(medians: Medians) -> list[tuple[Target, float]]:
    """Each target that could be measured, with its value."""
    found = []
    for target in TARGETS:
        try:
            found.append((target, target.value(medians)))
        except (KeyError, ZeroDivisionError):
            continue
    return found


def medians_of(rounds: Rounds) -> Medians:
    """The median of each figure over its rounds."""
    return {
        name: {figure: median(values) for figure, values in figures.items()}
        for name, figures in rounds.items()
    }


def spread(values: list[float]) -> float:
    """How far rounds lie from the middle of all, at most: as a share of the median."""
    middle = median(values)
    return (max(values) - min(values)) / 2 / middle if middle else 0.0


def table(rounds: Rounds, subjects: list[str]) -> str:
    """All figures by subject, and then the targets, as Markdown."""
    medians = medians_of(rounds)
    lines = ["| figure | " + " | ".join(subjects) + " |", "| --- |" + " ---: |" * len(subjects)]
    for row in ROWS:
        cells = [_cell(row, medians, rounds, name) for name in subjects]
        if any(cells):
            unit = f" ({row.unit})" if row.unit else ""
            lines.append(f"| {row.label}{unit} | " + " | ".join(c or "–" for c in cells) + " |")
    lines += ["", "| target | measured | at most | |", "| --- | ---: | ---: | --- |"]
    for target, value in judge(medians):
        kept = "kept" if value <= target.most else "**missed**"
        bound = f"{target.most:g} {target.unit}"
        lines.append(f"| {target.label} | {value:.3g} {target.unit} | {bound} | {kept} |")
    return "\n".join(lines)


def _cell(row: Row, medians: Medians, rounds: Rounds, name: str) -> str:
    value = medians.get(name, {}).get(row.figure)
    if value is None or (name == "direct" and row.figure.endswith("_cpu")):
        return ""
    if row.added and name != "direct":
        base = medians.get("direct", {}).get(row.figure)
        if base is None:
            return ""
        value -= base
    value *= row.scale
    shown = f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"
    wide = spread(rounds[name][row.figure])
    return f"{shown} ±{wide:.0%}" if wide > STEADY else shown
