"""What a line shows after the program has gone back and overwritten parts of it.

A terminal's view, kept simple: after a carriage return what is written next overwrites from the line's start, after a
backspace from one character further left. A character is one cell, a tab too. An erased line starts over.
"""

from __future__ import annotations

import re

from . import escapes

LINE_HELD = 65_536
"""How much of a line is held for overwriting. Text beyond that is final, and the line's start moves up to it."""

_ERASE = escapes.ERASE_END + escapes.ERASE_LINE
_MOVES = re.compile(rf"[\r\b{_ERASE}]")
_RUNS = re.compile(rf"\n+|\r+|\x08+|[{_ERASE}]|[^\n\r\b{_ERASE}]+")


class RedrawnLine:
    """Holds the line that is being written, and gives out each one when it has ended."""

    def __init__(self) -> None:
        self._cells: list[str] = []
        self._column = 0  # never beyond the cells

    def decode(self, text: str) -> str:
        """Write the next piece of text; the lines that are final come back."""
        text = text.replace("\r\n", "\n")
        first = text.find("\n") + 1 if self._cells else 0
        last = text.rfind("\n") + 1
        if _MOVES.search(text, first, last):
            last = first
        return self._written(text, 0, first) + text[first:last] + self._written(text, last, len(text))

    def flush(self) -> str:
        """End the line where it is."""
        line = "".join(self._cells)
        self._cells.clear()
        self._column = 0
        return line

    def _written(self, text: str, start: int, end: int) -> str:
        return "".join(map(self._take, _RUNS.findall(text, start, end)))

    def _take(self, run: str) -> str:
        match run[0]:
            case "\n":
                return self.flush() + run
            case "\r":
                self._column = 0
            case "\b":
                self._column = max(self._column - len(run), 0)
            case escapes.ERASE_END:
                del self._cells[self._column :]
            case escapes.ERASE_LINE:
                self.flush()
            case _:
                return self._write(run)
        return ""

    def _write(self, text: str) -> str:
        final: list[str] = []
        start = 0
        while start < len(text):
            part = text[start : start + LINE_HELD - self._column]
            start += len(part)
            self._cells[self._column : self._column + len(part)] = part
            self._column += len(part)
            if self._column == LINE_HELD:
                final.append(self.flush())
        return "".join(final)
