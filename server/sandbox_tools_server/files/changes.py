"""A change of a text, line by line: which lines changed, and what a reader is shown of it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sandbox_tools_server.matching import Splice, apply, shared_ends
from sandbox_tools_server.output import join_hunks, numbered_diff

CONTEXT = 3
"""How many unchanged lines are shown on either side of a change."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """Neighbouring lines that changed, with their line ends.

    Attributes:
        first: the number that the first line of `before` had, from 1.
        shift: how many lines the hunks further up have added.
        above: unchanged lines right above, `below` right below.
    """

    first: int
    shift: int
    before: list[bytes]
    after: list[bytes]
    above: list[bytes]
    below: list[bytes]

    @property
    def first_changed(self) -> int:
        """The number of the first line that changed, as it was."""
        return self.first + shared_ends(self.before, self.after)[0]

    @property
    def last_changed(self) -> int:
        """The number of the last line that changed, as it is now."""
        return self.first + self.shift + len(self.after) - shared_ends(self.before, self.after)[1] - 1

    def render(self) -> list[str]:
        """The lines that a reader is shown."""
        return numbered_diff(
            _shown(self.before),
            _shown(self.after),
            first=self.first,
            above=_shown(self.above),
            below=_shown(self.below),
            shift=self.shift,
            context=CONTEXT,
            limit=None,
        )


@dataclass(slots=True)
class _Group:
    """Splices that change neighbouring lines, and where in the content those lines begin and end."""

    start: int
    stop: int
    splices: list[Splice] = field(default_factory=list[Splice])


def hunks(content: bytes, splices: Sequence[Splice]) -> Iterator[Hunk]:
    """Find the lines that some splices change, in order; those that share a line or touch are one hunk."""
    groups = _groups(content, splices)
    nexts = [group.start for group in groups[1:]] + [len(content)]
    end, shown, first, shift = 0, 0, 1, 0
    for group, following in zip(groups, nexts, strict=True):
        start, lines = group.start, content[group.start : group.stop]
        first += content.count(b"\n", end, start)
        end = start
        local = [Splice(splice.start - start, splice.stop - start, splice.text) for splice in group.splices]
        before, after = _lines(lines), _lines(apply(lines, local))
        above, below = _above(content, start, shown), _below(content, group.stop, following)
        yield Hunk(first, shift, before, after, above, below)
        shown = group.stop + sum(map(len, below))
        shift += len(after) - len(before)


def show(found: Sequence[Hunk]) -> list[str]:
    """Show a change in a few lines."""
    return join_hunks(hunk.render() for hunk in found)


def _groups(content: bytes, splices: Sequence[Splice]) -> list[_Group]:
    """Put splices together that change the same lines or neighbouring ones."""
    groups: list[_Group] = []
    for splice in splices:
        last = groups[-1] if groups else _Group(0, -1)
        if splice.stop >= last.stop:  # else it is inside the lines of the last group, and there is nothing to look for
            begun, end = content.rfind(b"\n", 0, splice.start) + 1, _line_stop(content, splice.stop)
            if begun > last.stop or not groups:
                groups.append(last := _Group(begun, end))
            last.stop = end
        last.splices.append(splice)
    return groups


def _line_stop(content: bytes, place: int) -> int:
    """Find the end of the line at a place, its newline included."""
    return content.find(b"\n", place) + 1 or len(content)


def _below(content: bytes, start: int, limit: int) -> list[bytes]:
    stop = start
    for _ in range(CONTEXT):
        stop = min(_line_stop(content, stop), limit)
    return _lines(content[start:stop])


def _above(content: bytes, stop: int, limit: int) -> list[bytes]:
    start = stop
    for _ in range(CONTEXT):
        start = max(content.rfind(b"\n", 0, max(start - 1, 0)) + 1, limit)
    return _lines(content[start:stop])


def _lines(content: bytes) -> list[bytes]:
    return re.findall(rb"[^\n]*\n|[^\n]+", content)


def _shown(lines: Sequence[bytes]) -> list[str]:
    plain = (line.removesuffix(b"\n").removesuffix(b"\r").removeprefix(codecs.BOM_UTF8) for line in lines)
    return [line.decode("utf-8", "replace") for line in plain]
