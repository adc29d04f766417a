"""Time contenders side by side, so that what disturbs one disturbs them all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Contender:
    """One way to do a thing.

    Attributes:
        name: what stands in the table.
        target: the most that its median may be, in medians of the first contender; None to report only.
        times: seconds, one for each round.
    """

    name: str
    act: Callable[[], object]
    target: float | None = None
    times: list[float] = field(default_factory=list[float])

    def round(self) -> None:
        """Do it once and note the seconds: those it returns, or else those it took."""
        start = time.perf_counter()
        said = self.act()
        took = time.perf_counter() - start
        self.times.append(said if isinstance(said, float) else took)

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    def percentile(self, percent: int) -> float:
        """The time that `percent` of all rounds did not exceed."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


def race(contenders: Sequence[Contender], rounds: int, warm_up: int) -> None:
    """Let each contender act in turn, for some rounds that do not count and then for some that do."""
    for contender in contenders:
        for _ in range(warm_up):
            contender.act()
    for number in range(rounds):
        turn = number % len(contenders)  # nobody always follows the same one
        for contender in (*contenders[turn:], *contenders[:turn]):
            contender.round()
