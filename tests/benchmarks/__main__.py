"""`python tests/benchmarks [--rounds N] [NAME ...]`: how much slower we are than what nobody can be faster than.

All contenders of a benchmark take turns in one run, so the ratios of their medians hold on any machine. The times are
this machine's, at this moment.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from measure import Benchmark, Contender, race
from rich.console import Console
from rich.table import Table
from suite import BENCHMARKS


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
    Console(width=150).print(table)


def _table() -> Table:
    caption = "Times in microseconds, memory in MB. The ratio is that of the medians, to the first line's."
    table = Table(caption=caption)
    table.add_column("benchmark")
    for title in ("ratio", "target", "", "median", "p10", "p90", "p99", "worst", "limit", ""):
        table.add_column(title, justify="right")
    return table


def _add(table: Table, name: str, benchmark: Benchmark, contenders: Sequence[Contender]) -> None:
    table.add_section()
    table.add_row(f"[bold]{name}[/]: {benchmark.title}, rounds: {len(contenders[0].results)}")
    for contender in contenders:
        if contender.act is None:
            table.add_row(f"  {contender.name}")
        else:
            table.add_row(f"  {contender.name}", *_cells(contender, contenders[0].median, benchmark.unit))


def _cells(contender: Contender, yardstick: float, unit: str) -> list[str]:
    results = (contender.median, *map(contender.percentile, (10, 90, 99, 100)))
    ratio = contender.median / yardstick
    return [
        f"{ratio:.2f}" if unit == "s" else "",
        *_judged(ratio, contender.target, "{:.2f}"),
        *(_number(result, unit) for result in results),
        *_judged(results[-1], contender.limit, _number(contender.limit or 0, unit)),
    ]


def _number(result: float, unit: str) -> str:
    return f"{result * 1e6:,.0f}" if unit == "s" else f"{result:,.1f}"


def _judged(value: float, most: float | None, shown: str) -> tuple[str, str]:
    """The most that a value may be, as it is shown, and whether it is not more."""
    if most is None:
        return "", ""
    return shown.format(most), "[green]holds[/]" if value <= most else "[red]missed[/]"


if __name__ == "__main__":
    main()
