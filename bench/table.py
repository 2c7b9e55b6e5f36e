"""What all benchmarks share: rows, and one aligned table of them.

A benchmark is a module of this folder with `async def run(report: Report) -> None`; `python -m bench.<name>` runs it
alone (`main`), `python -m bench` all of them.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

TITLES = ("what", "value", "unit", "n", "median", "p99", "ratio", "conditions")
_LEFT_ALIGNED = frozenset({"what", "unit", "conditions"})


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. `value` is the figure in `unit`; `median_ms` and `p99_ms` are of single operations; `ratio` is
    against a baseline of the same run, which `conditions` names. None: does not apply."""

    name: str
    value: float
    unit: str
    n: int = 1
    median_ms: float | None = None
    p99_ms: float | None = None
    ratio: float | None = None
    conditions: str = ""

    def cells(self) -> tuple[str, ...]:
        return (
            self.name,
            number(self.value),
            self.unit,
            str(self.n),
            "" if self.median_ms is None else f"{number(self.median_ms)} ms",
            "" if self.p99_ms is None else f"{number(self.p99_ms)} ms",
            "" if self.ratio is None else f"{self.ratio:.2f}x",
            self.conditions,
        )


class Report:
    """Collects rows; `progress` tells on stderr what is going on."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.progress(f"{row.name}: {number(row.value)} {row.unit}")

    def progress(self, text: str) -> None:
        print(f"  {text}", file=sys.stderr, flush=True)

    def table(self) -> str:
        """All rows, aligned, under one line of titles."""
        return aligned([TITLES, *(row.cells() for row in self.rows)])


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first line holds the titles."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    left = [title in _LEFT_ALIGNED for title in lines[0]]

    def render(line: Sequence[str]) -> str:
        cells = zip(line, widths, left, strict=True)
        padded = (cell.ljust(width) if to_left else cell.rjust(width) for cell, width, to_left in cells)
        return "  ".join(padded).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([render(lines[0]), rule, *(render(line) for line in lines[1:])])


def number(value: float) -> str:
    """Three significant digits below 1000, thousands separated above."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def median_and_p99(samples_ms: Iterable[float]) -> tuple[float, float]:
    """Of at least one sample."""
    ordered = sorted(samples_ms)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]


def main(run: Callable[[Report], Awaitable[None]]) -> None:
    """Runs one benchmark and prints its table."""

    async def measure() -> None:
        report = Report()
        try:
            await run(report)
        finally:
            if report.rows:
                print(report.table())

    asyncio.run(measure())
