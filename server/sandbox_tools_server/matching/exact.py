"""The one place where a text stands exactly, and what is to be written there."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from itertools import islice

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.wire import EditMode

from .mismatch import explain
from .sharing import shared_ends
from .view import Splice, View

LINES_NAMED = 10
"""How many of the places of an ambiguous text are named."""

PLACES_COUNTED = 1_000
"""How many places of an ambiguous text are counted."""

BYTES_COUNTED = 64 * 1024 * 1024
"""How many bytes the places that are counted have in all, for they may overlap: of a very long text, few are."""

REPLACEMENTS = 100_000
"""How many places one edit changes at most."""

BYTES_WRITTEN = 64 * 1024 * 1024
"""How many bytes one edit writes at most if it writes in every place."""

CHUNK = 1024 * 1024
"""How many bytes are decoded at a time."""


def match(
    content: bytes, old_str: str, new_str: str, *, replace_all: bool = False, mode: EditMode = "replace"
) -> list[Splice]:
    """Find what an edit changes in a file's content, or raise `Refused`; at least one byte will change.

    Arguments:
        old_str: the text to replace or to insert at; it must stand in one place only.
        new_str: the text to write. At whole lines, inserted text becomes whole lines too: a newline that is missing
            between them is added, and a file without a newline at its end stays one. Text that brings the newline
            along that parts it from its anchor, or stands inside a line, is inserted exactly as given.
        replace_all: whether to do it in every place.
    """
    if old_str == "":
        hint = "Give the text to look for, or use write to create a file."
        raise Refused("invalid_request", "old_str is empty.", hint)
    old, new = _typed(content, old_str, "old_str"), _typed(content, new_str, "new_str")
    _check_change(old, new, mode)
    if not (old + new).isascii():
        _check_encoding(content, "the text is not ASCII")
    view = View(content)
    hits = _every_place(view.text, old, new) if replace_all else _the_place(view.text, old)
    if not hits:
        raise explain(view.text, old, new)
    if any(hit and view.text[hit - 1] > 0x7F for hit in hits):
        _check_encoding(content, "old_str is found behind a byte that it may be one character with")
    changes = _replaced(hits, old, new) if mode == "replace" else _inserted(view.text, hits, old, new, mode)
    return [view.splice(hit, change) for hit, change in zip(hits, changes, strict=True)]


def _typed(content: bytes, text: str, name: str) -> bytes:
    """Encode what was typed; its newlines stand for the line ends of the file if it has any."""
    try:
        typed = text.encode()
    except UnicodeEncodeError:
        raise Refused(
            "invalid_request", f"{name} is not valid Unicode.", "It holds half of a surrogate pair."
        ) from None
    return typed.replace(b"\r\n", b"\n") if b"\n" in content else typed


def _check_change(old: bytes, new: bytes, mode: EditMode) -> None:
    if mode == "replace" and old == new:
        detail = "old_str and new_str are the same, so the edit changes nothing."
        raise Refused("identical", detail, "Line ends are kept as they are in the file and do not count.")
    if mode != "replace" and not new:
        raise Refused("identical", "new_str is empty, so the edit changes nothing.", "Give the text to insert.")


def _check_encoding(content: bytes, reason: str) -> None:
    """Refuse a change for that reason if the file is not UTF-8: no one knows what its other characters are."""
    start = 0
    try:
        while start < len(content):
            chunk = content[start : start + CHUNK]
            start += codecs.utf_8_decode(chunk, "strict", start + CHUNK >= len(content))[1]
    except UnicodeDecodeError as error:
        place = start + error.start
        line = content.count(b"\n", 0, place) + 1
        detail = f"The file is not UTF-8 (byte 0x{content[place]:02x} in line {line}), and {reason}."
        hint = "Only ASCII text that stands apart can be changed in it; use a command that knows its encoding."
        raise Refused("encoding", detail, hint, line=line) from None


def _the_place(text: bytes, old: bytes) -> list[int]:
    """Find the one place of a text; none is no error here."""
    hits = list(islice(_hits(text, old), 2))
    if len(hits) > 1:
        hint = "Add surrounding lines so that only one place fits, or set replace_all to change every one."
        raise _ambiguous(text, old, "is not unique", hint)
    return hits


def _every_place(text: bytes, old: bytes, new: bytes) -> list[int]:
    """Find all places of a text; they do not overlap, and it is not too much to write in all of them."""
    hits: list[int] = []
    for hit in islice(_hits(text, old), REPLACEMENTS + 1):
        if hits and hit - hits[-1] < len(old):
            raise _ambiguous(text, old, "overlaps itself", "Add surrounding text so that no two places overlap.")
        hits.append(hit)
    hint = "Change them with sed in bash."
    if len(hits) > REPLACEMENTS:
        detail = f"old_str stands in more than {REPLACEMENTS:,} places, the most that one edit changes."
        raise Refused("file_error", detail, hint)
    if len(hits) * len(new) > BYTES_WRITTEN:
        detail = f"old_str stands in {len(hits):,} places: new_str is too long to be written in each."
        raise Refused("file_error", detail, hint)
    return hits


def _hits(text: bytes, old: bytes) -> Iterator[int]:
    """Find every place, also those that overlap."""
    hit = text.find(old)
    while hit >= 0:
        yield hit
        hit = text.find(old, hit + 1)


def _ambiguous(text: bytes, old: bytes, problem: str, hint: str) -> Refused:
    """Say how often a text stands where, as far as it is counted; `count` is one more if there are more."""
    most = max(min(PLACES_COUNTED, BYTES_COUNTED // len(old)), 2)
    hits = list(islice(_hits(text, old), most + 1))
    number = f"{len(hits):,}" if len(hits) <= most else f"more than {most:,}"
    lines = list(_line_numbers(text, hits[:LINES_NAMED]))
    more = " and more" if len(hits) > len(lines) else ""
    detail = f"old_str {problem}: it stands in {number} places, in lines {', '.join(map(str, lines))}{more}."
    return Refused("ambiguous_match", detail, hint, count=len(hits), lines=lines)


def _line_numbers(text: bytes, places: list[int]) -> Iterator[int]:
    line, end = 1, 0
    for place in places:
        line += text.count(b"\n", end, place)
        end = place
        yield line


def _replaced(hits: list[int], old: bytes, new: bytes) -> Iterator[Splice]:
    """Replace only what differs, so that what both share keeps the file's own line ends."""
    head, tail = shared_ends(old, new)
    text = new[head : len(new) - tail]
    return (Splice(hit + head, hit + len(old) - tail, text) for hit in hits)


def _inserted(text: bytes, hits: list[int], old: bytes, new: bytes, mode: EditMode) -> Iterator[Splice]:
    """Insert before or after each place, in lines of its own if the place is whole lines."""
    lines = new if new.endswith(b"\n") else new + b"\n"
    for hit in hits:
        end = hit + len(old)
        whole = _is_line_start(text, hit) and (_is_line_start(text, end) or _is_line_end(text, end))
        if mode == "prepend_before":
            yield Splice(hit, hit, lines if whole else new)
        elif whole:
            yield _lines_after(text, end, new, lines)
        else:
            yield Splice(end, end, new)


def _lines_after(text: bytes, end: int, new: bytes, lines: bytes) -> Splice:
    """Insert whole lines after an anchor of whole lines that ends at `end`."""
    if not _is_line_start(text, end):
        if new.startswith(b"\n"):
            return Splice(end, end, new)
        if end == len(text):
            return Splice(end, end, b"\n" + new.removesuffix(b"\n"))
        end += 1
    return Splice(end, end, lines)


def _is_line_start(text: bytes, place: int) -> bool:
    return place == 0 or text[place - 1 : place] == b"\n"


def _is_line_end(text: bytes, place: int) -> bool:
    return text[place : place + 1] in (b"\n", b"")
