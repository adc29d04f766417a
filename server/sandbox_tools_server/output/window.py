"""Lines of a file as a reader sees them, and what is unusual about the file."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from sandbox_tools_server.wire import TextWindow

from .lines import READ_CHARS, READ_NOTES, cut_line, number_lines

EMPTY = "[the file is empty]"


def render_window(window: TextWindow) -> str:
    """Show a window in at most `READ_CHARS` characters: its lines, then what is to be known, then how to go on."""
    lines = [cut_line(line) for line in window.lines]
    shown = lines[: fitting(lines, window.first)]
    following = window.first + len(shown) if len(shown) < len(lines) else window.next_offset
    body = number_lines(shown, window.first) if window.total_lines else EMPTY
    notes = (_facts(window, following), _position(window, len(shown), following))
    return "\n".join([part for part in (body, *notes) if part])


def fitting(lines: Sequence[str], first: int) -> int:
    """Count the lines that have room in one reading once they are numbered from `first`."""
    sizes = accumulate(len(number_lines([line], number)) + 1 for number, line in enumerate(lines, first))
    return sum(size <= READ_CHARS - READ_NOTES for size in sizes)


def _facts(window: TextWindow, following: int | None) -> str:
    at_end = following is None and window.total_lines > 0
    facts = {
        "UTF-8 BOM": window.bom,
        "CRLF line ends": window.line_ends == "crlf",
        "mixed line ends (LF and CRLF)": window.line_ends == "mixed",
        "not UTF-8: bytes that do not decode are shown as U+FFFD": not window.utf8,
        "no newline at the end of the file": at_end and not window.final_newline,
    }
    unusual = ", ".join(fact for fact, holds in facts.items() if holds)
    return f"[{unusual}]" if unusual else ""


def _position(window: TextWindow, shown: int, following: int | None) -> str:
    span = f"lines {window.first} to {window.first + shown - 1} of {window.total_lines}"
    if following is not None:
        return f"[{span}; go on with offset={following}]"
    return f"[{span}]" if window.first > 1 else ""
