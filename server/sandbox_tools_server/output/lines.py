"""Lines as a reader sees them: numbered, and cut when they are too long to show."""

from __future__ import annotations

from collections.abc import Sequence

OUTPUT_LIMIT = 25_000
"""How many characters of a command's output are shown, notices included."""

LINE_LIMIT = 4_000
"""How many characters of one line are shown, the mark of the cut included."""

READ_CHARS = 50_000
"""How many characters one reading of a file shows, notices included."""

READ_LINES = 2_000
"""How many lines one reading of a file shows unless it asks for another number."""

READ_NOTES = 300
"""How many of `READ_CHARS` are kept for what is said about the file: numbered lines fill the rest."""


def cut_line(line: str, length: int | None = None) -> str:
    """Cut a line over `LINE_LIMIT` to that many characters, its mark included.

    Arguments:
        length: how long the line really is, where `line` is only its beginning.
    """
    return shorten(line, LINE_LIMIT, length)


def shorten(line: str, limit: int, length: int | None = None) -> str:
    """Cut a line to at most `limit` characters, the last of which say how long it is."""
    whole = len(line) if length is None else length
    if max(whole, len(line)) <= min(limit, len(line)):
        return line
    mark = f"… [line of {whole:,} characters, cut]"
    return line[: limit - len(mark)] + mark


def number_lines(lines: Sequence[str], first: int) -> str:
    """Number lines from `first` on, as `cat -n` does."""
    return "\n".join(f"{number:6d}\t{line}" for number, line in enumerate(lines, first))


def counted(count: int, noun: str) -> str:
    """Say how many there are: `1 line`, `2,000 lines`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
