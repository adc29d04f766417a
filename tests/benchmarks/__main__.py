"""`python tests/benchmarks [--rounds N] [NAME ...]`: how much slower we are than what nobody can be faster than.

All contenders of a benchmark take turns in one run, so the ratios of their medians hold on any machine. The times are
this machine's, at this moment.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from measure import Contender, race
from rich.console import Console
from rich.table import Table
from suite import BENCHMARKS, Benchmark


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure, and compare with the targets.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument(
        "--rounds", type=int, help="how often each contender takes its turn; every benchmark has its own"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    table = _table()
    for name in options.names or BENCHMARKS:
        benchmark = BENCHMARKS[name]
        with benchmark.open() as contenders:
            race(contenders, options.rounds or benchmark.rounds, benchmark.warm_up)
        _add(table, name, benchmark, contenders)
    Console(width=132).print(table)


def _table() -> Table:
    table = Table(caption="Times in microseconds. The ratio is that of the medians, to the first line's.")
    table.add_column("benchmark")
    for title in ("ratio", "target", "", "median", "p10", "p90", "p99", "worst"):
        table.add_column(title, justify="right")
    return table


def _add(table: Table, name: str, benchmark: Benchmark, contenders: Sequence[Contender]) -> None:
    yardstick = contenders[0]
    table.add_section()
    table.add_row(f"[bold]{name}[/]: {benchmark.title}, {len(yardstick.times)} rounds")
    for contender in contenders:
        ratio = contender.median / yardstick.median
        times = (contender.median, *map(contender.percentile, (10, 90, 99, 100)))
        table.add_row(
            f"  {contender.name}",
            f"{ratio:.2f}",
            *_judged(ratio, contender.target),
            *(f"{seconds * 1e6:,.0f}" for seconds in times),
        )


def _judged(ratio: float, target: float | None) -> tuple[str, str]:
    if target is None:
        return "", ""
    return f"{target:.2f}", "[green]holds[/]" if ratio <= target else "[red]missed[/]"


if __name__ == "__main__":
    main()
