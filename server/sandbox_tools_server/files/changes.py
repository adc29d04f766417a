"""A change of a text, line by line: which lines changed, and what a reader is shown of it."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sandbox_tools_server.matching import Splice, shared_head, shared_tail
from sandbox_tools_server.output import numbered_diff
from sandbox_tools_server.output.diff import DIFF_LINE_LIMIT, DIFF_LINES, SEPARATOR
from sandbox_tools_server.output.lines import counted, shorten

CONTEXT = 3
"""How many unchanged lines are shown on either side of a change."""

SMALL = 64 * 1024
"""Up to so many bytes a hunk or a line is shown as a whole, and its lines are compared as they are shown."""


@dataclass(slots=True)
class Hunk:
    """Neighbouring lines that changed.

    Attributes:
        old: the bytes of them before the change, from the beginning of a line to the end of one; `new` after it.
        first: the number that the first of them had, from 1.
        shift: how many lines the hunks further up have added.
        removed: how many lines there were; `added` how many there are.
        above: how many unchanged lines are shown right above, `below` right below.
    """

    old: range
    new: range
    first: int
    shift: int
    removed: int
    added: int
    above: int = 0
    below: int = 0

    @property
    def last(self) -> int:
        """The number of the last line that changed, as it is now."""
        return self.first + self.shift + self.added - 1

    @property
    def size(self) -> int:
        """How many lines it takes to show it."""
        return self.above + self.removed + self.added + self.below


@dataclass(slots=True)
class _Span:
    """Lines in which something changes, from `start` to `stop`, at first from `head` to `tail`.

    Attributes:
        shift: how many bytes the changes further up have added; `grown` with its own.
    """

    start: int
    stop: int
    head: int
    tail: int
    shift: int
    grown: int


def hunks(before: bytes, after: bytes, splices: Sequence[Splice]) -> list[Hunk]:
    """Find the lines that some splices change, in order; those that share a line or touch are one hunk."""
    found: list[Hunk] = []
    line, end, shift = 1, 0, 0
    for span in _spans(before, splices):
        old, new = _changed(before, after, span)
        line += before.count(b"\n", end, old.start)
        end = old.start
        found.append(Hunk(old, new, line, shift, _line_count(before, old), _line_count(after, new)))
        shift += found[-1].added - found[-1].removed
    _share_context(before, found)
    return found


def show(before: bytes, after: bytes, found: Sequence[Hunk]) -> list[str]:
    """Show a change in a few lines: no more hunks are looked at than are shown."""
    shown: list[str] = []
    for hunk in found:
        if len(shown) > DIFF_LINES:
            break
        shown += [SEPARATOR, *_render(before, after, hunk)] if shown else _render(before, after, hunk)
    if len(shown) <= DIFF_LINES:
        return shown
    shown = shown[: DIFF_LINES - 1]
    more = sum(hunk.size for hunk in found) - sum(line != SEPARATOR for line in shown)
    return [*shown, f"[… {counted(more, 'more line')}]"]


def _spans(content: bytes, splices: Sequence[Splice]) -> list[_Span]:
    """Put splices together that change the same lines or neighbouring ones."""
    spans: list[_Span] = []
    grown = 0
    for splice in splices:
        last = spans[-1] if spans else _Span(0, -1, 0, 0, 0, 0)
        if splice.stop >= last.stop:  # else it is inside the lines of the last span, and there is nothing to look for
            start, stop = content.rfind(b"\n", 0, splice.start) + 1, _line_stop(content, splice.stop)
            if start > last.stop or not spans:
                spans.append(last := _Span(start, stop, splice.start, splice.stop, grown, grown))
            last.stop = stop
        last.tail = splice.stop
        grown += len(splice.text) - (splice.stop - splice.start)
        last.grown = grown
    return spans


def _changed(before: bytes, after: bytes, span: _Span) -> tuple[range, range]:
    """Leave out the lines that are the same at the beginning and at the end."""
    start, stop = span.start, span.stop
    new_start, new_stop = start + span.shift, stop + span.grown
    head, most = span.head - start, min(stop - start, new_stop - new_start)
    head += shared_head(before, span.head, after, new_start + head, most - head)
    head = (before.rfind(b"\n", start, start + head) + 1 or start) - start
    start, new_start, most = start + head, new_start + head, most - head
    tail = min(stop - span.tail, most)
    tail += shared_tail(before, stop - tail, after, new_stop - tail, most - tail)
    if not (_is_line_start(before, stop - tail, start) and _is_line_start(after, new_stop - tail, new_start)):
        tail = stop - (before.find(b"\n", stop - tail, stop) + 1 or stop)
    return range(start, stop - tail), range(new_start, new_stop - tail)


def _share_context(content: bytes, found: Sequence[Hunk]) -> None:
    """Share out the unchanged lines, so that each is shown once, however near two hunks are."""
    found[0].above = min(CONTEXT, found[0].first - 1)
    for hunk, following in pairwise(found):
        between = following.first - hunk.first - hunk.removed
        hunk.below = min(CONTEXT, between)
        following.above = min(CONTEXT, between - hunk.below)
    found[-1].below = len(list(_lines(content, range(found[-1].old.stop, len(content)), CONTEXT)))


def _render(before: bytes, after: bytes, hunk: Hunk) -> list[str]:
    """The lines of a hunk that a reader is shown; of one that is large, those that are shown at most."""
    above = _shown(before, _above(before, hunk.old.start, hunk.above), hunk.above)
    below = _shown(before, range(hunk.old.stop, len(before)), hunk.below)
    old, new = _shown(before, hunk.old, DIFF_LINES + 1), _shown(after, hunk.new, DIFF_LINES + 1)
    first, shift = hunk.first, hunk.shift
    if max(hunk.removed, hunk.added) <= DIFF_LINES and len(hunk.old) + len(hunk.new) <= SMALL:
        return numbered_diff(old, new, first=first, above=above, below=below, shift=shift, context=CONTEXT, limit=None)
    return [  # what is cut may look alike and differ: it is not compared
        *numbered_diff(old, (), first=first, above=above, shift=shift, limit=None),
        *numbered_diff((), new, first=first, below=below, shift=shift, limit=None),
    ]


def _above(content: bytes, stop: int, count: int) -> range:
    start = stop
    for _ in range(count):
        start = content.rfind(b"\n", 0, max(start - 1, 0)) + 1
    return range(start, stop)


def _is_line_start(text: bytes, place: int, first: int) -> bool:
    return place == first or text[place - 1] == ord("\n")


def _line_stop(content: bytes, place: int) -> int:
    """Find the end of the line at a place, its newline included."""
    return content.find(b"\n", place) + 1 or len(content)


def _line_count(text: bytes, part: range) -> int:
    return text.count(b"\n", part.start, part.stop) + (len(part) > 0 and text[part.stop - 1] != ord("\n"))


def _lines(text: bytes, part: range, most: int) -> Iterator[range]:
    """Go through the lines of a part of a text, up to so many."""
    start = part.start
    while start < part.stop and most:
        stop = min(_line_stop(text, start), part.stop)
        yield range(start, stop)
        start, most = stop, most - 1


def _shown(text: bytes, part: range, most: int) -> list[str]:
    return [_line(text, line) for line in _lines(text, part, most)]


def _line(text: bytes, part: range) -> str:
    """The text of a line without its end; of a long one no more is made than is shown."""
    stop = part.stop - text.endswith(b"\n", part.start, part.stop)
    stop -= text.endswith(b"\r", part.start, stop)
    start = part.start + len(codecs.BOM_UTF8) * text.startswith(codecs.BOM_UTF8, part.start, stop)
    beginning = text[start : min(start + SMALL, stop)].decode("utf-8", "replace")
    return beginning if stop - start <= SMALL else shorten(beginning, DIFF_LINE_LIMIT, _length(text, start, stop))


def _length(text: bytes, start: int, stop: int) -> int:
    """Count characters, a piece at a time."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pieces = (text[place : min(place + SMALL, stop)] for place in range(start, stop, SMALL))
    return sum(len(decoder.decode(piece)) for piece in pieces) + len(decoder.decode(b"", final=True))
