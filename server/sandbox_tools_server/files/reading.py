"""Reading a window of a text file in one pass and in the memory of that window, however large the file is."""

from __future__ import annotations

import codecs
import os

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.output import READ_CHARS
from sandbox_tools_server.wire import TextWindow

from .facts import TextFacts
from .paths import opened
from .refusals import SAMPLE, check_text
from .versions import ATTEMPTS, Digest, chunks, is_digested, stat_version, torn_version
from .windows import Window


def read_window(path: str, offset: int | None, limit: int | None, *, max_chars: int | None = READ_CHARS) -> TextWindow:
    """Read some lines of the text file at a canonical path.

    Arguments:
        offset: the number of the first line, from 1; 0 and None are the first.
        limit: how many lines to read at most; None for all.
        max_chars: how many characters the lines may have, numbered, with what is said about them; None for any number.
    """
    first = _checked(offset, limit)
    attempts = ATTEMPTS
    while True:
        reading = _Reading(path, Window(first, limit, max_chars))
        attempts -= 1
        if not reading.torn or not attempts:
            return reading.result()


def _checked(offset: int | None, limit: int | None) -> int:
    """Refuse numbers that mean no lines, and answer the number of the first line."""
    if offset is not None and offset < 0:
        raise Refused("invalid_request", f"offset is {offset}.", "Lines are numbered from 1.")
    if limit is not None and limit < 1:
        raise Refused("invalid_request", f"limit is {limit}.", "It must be at least 1.")
    return offset or 1


class _Reading:
    """One pass over a file."""

    def __init__(self, path: str, window: Window) -> None:
        self._path = path
        self._window = window
        self._facts = TextFacts()
        with opened(path) as descriptor:
            before = os.fstat(descriptor)
            digest = Digest() if is_digested(before) else None
            for chunk in chunks(descriptor):
                self._take(chunk, before.st_size)
                if digest:
                    digest.feed(chunk)
            self.torn = stat_version(before) != stat_version(os.fstat(descriptor))
        window.flush()
        self._version = digest.version() if digest else torn_version() if self.torn else stat_version(before)

    def _take(self, chunk: bytes, size: int) -> None:
        if self._facts.size < SAMPLE:
            check_text(self._path, chunk[: SAMPLE - self._facts.size], size)
        if not self._facts.size:
            self._window.feed(chunk.removeprefix(codecs.BOM_UTF8))
        else:
            self._window.feed(chunk)
        self._facts.feed(chunk)

    def result(self) -> TextWindow:
        """The window and what is to be known of the whole file."""
        facts, window = self._facts, self._window
        if window.first > max(facts.lines, 1):
            raise _past_end(self._path, window.first, facts.lines)
        return TextWindow(
            path=self._path,
            version=self._version,
            size=facts.size,
            first=window.first,
            lines=window.lines,
            cut=window.cut,
            total_lines=facts.lines,
            next_offset=window.following if window.following <= facts.lines else None,
            line_ends=facts.line_ends,
            bom=facts.bom,
            utf8=facts.is_utf8(),
            final_newline=facts.final_newline,
        )


def _past_end(path: str, offset: int, lines: int) -> Refused:
    count = f"{lines:,} line" if lines == 1 else f"{lines:,} lines"
    detail = f"Line {offset} is past the end of {path}, which has {count}."
    hint = f"Give an offset from 1 to {lines}." if lines else "The file is empty."
    return Refused("offset_past_end", detail, hint, path=path, total_lines=lines)
