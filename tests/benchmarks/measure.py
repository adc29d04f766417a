"""Time contenders side by side, so that what disturbs one disturbs them all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field


@dataclass
class Contender:
    """One way to do a thing.

    Attributes:
        name: what stands in the table.
        act: does it; None if it cannot be had here, and `name` says why.
        target: the most that its median may be, in medians of the first contender; None to report only.
        limit: the most that its worst round may be, in seconds or megabytes; None to report only.
        results: seconds or megabytes, one for each round.
    """

    name: str
    act: Callable[[], object] | None
    target: float | None = None
    limit: float | None = None
    results: list[float] = field(default_factory=list[float])

    def round(self) -> None:
        """Do it once and note the result: what it returns, if that is a float, or else the seconds that it took."""
        assert self.act is not None
        start = time.perf_counter()
        said = self.act()
        took = time.perf_counter() - start
        self.results.append(said if isinstance(said, float) else took)

    @property
    def median(self) -> float:
        return statistics.median(self.results)

    def percentile(self, percent: int) -> float:
        """The result that `percent` of all rounds did not exceed."""
        ordered = sorted(self.results)
        return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


@dataclass(frozen=True)
class Benchmark:
    """A race.

    Attributes:
        title: what all contenders do.
        open: gives the contenders, the first of which is the yardstick, and ends what they needed.
        rounds: how often each of them does it.
        warm_up: how often before, uncounted.
        unit: of the results; megabytes are not compared with each other.
    """

    title: str
    open: Callable[[], AbstractContextManager[Sequence[Contender]]]
    rounds: int
    warm_up: int = 1
    unit: str = "s"


def race(contenders: Sequence[Contender], rounds: int, warm_up: int) -> None:
    """Let each contender act in turn, for some rounds that do not count and then for some that do."""
    present = [contender for contender in contenders if contender.act is not None]
    for contender in present:
        for _ in range(warm_up):
            assert contender.act is not None
            contender.act()
    for number in range(rounds):
        turn = number % len(present)  # nobody always follows the same one
        for contender in (*present[turn:], *present[:turn]):
            contender.round()
