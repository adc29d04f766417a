"""A change of a file, shown line by line with numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile

from .lines import counted, shorten

DIFF_LINES = 60
"""How many lines a diff has at most."""

DIFF_LINE_LIMIT = 200
"""How many characters of a line a diff shows."""

UNCHANGED, REMOVED, ADDED = "  ", " - ", " + "
"""What stands between a line's number and its text."""

SEPARATOR = "[…]"
"""Stands between two hunks."""


def numbered_diff(
    before: Sequence[str],
    after: Sequence[str],
    *,
    first: int,
    above: Sequence[str] = (),
    below: Sequence[str] = (),
    shift: int = 0,
    context: int = 3,
    limit: int | None = DIFF_LINES,
) -> list[str]:
    """Show one change: the lines `before` were replaced by the lines `after`.

    Lines that both share at their ends did not change: they are context, like those of `above` and `below`.

    Arguments:
        first: the number that the first line of `before` had, from 1.
        above: unchanged lines right above, in the file's order; only the nearest are shown.
        below: unchanged lines right below.
        shift: how many lines changes further up in the file have added.
        context: how many unchanged lines to show on either side.
        limit: the most lines to return; None for a hunk that `join_hunks` will cut.
    """
    head = _shared(before, after)
    tail = _shared(before[head:][::-1], after[head:][::-1])
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    at = first + head
    upper = _nearest([*above, *before[:head]], context)
    lower = [*before[len(before) - tail :], *below][:context]
    hunk = [
        *_marked(UNCHANGED, upper, at + shift - len(upper)),
        *_marked(REMOVED, old, at),
        *_marked(ADDED, new, at + shift),
        *_marked(UNCHANGED, lower, at + shift + len(new)),
    ]
    return hunk if limit is None else _cut(hunk, limit)


def join_hunks(hunks: Iterable[Sequence[str]], limit: int = DIFF_LINES) -> list[str]:
    """Put the hunks of one file under one another, in at most `limit` lines in all."""
    joined: list[str] = []
    for hunk in hunks:
        joined += [SEPARATOR, *hunk] if joined else hunk
    return _cut(joined, limit)


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """Count the lines with which both begin."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _nearest(lines: list[str], count: int) -> list[str]:
    return lines[max(len(lines) - count, 0) :]


def _marked(mark: str, lines: Sequence[str], first: int) -> list[str]:
    return [f"{number:7d}{mark}{shorten(line, DIFF_LINE_LIMIT)}" for number, line in enumerate(lines, first)]


def _cut(lines: list[str], limit: int) -> list[str]:
    if len(lines) <= limit:
        return lines
    shown, rest = lines[: limit - 1], lines[limit - 1 :]
    more = sum(line != SEPARATOR for line in rest)
    return [*shown, f"[… {counted(more, 'more line')}]"]
