"""The one place where a text stands exactly, and what is to be written there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.wire import EditMode

from .mismatch import explain
from .view import Splice, View, shared_ends

LINES_NAMED = 10
"""How many of the places of an ambiguous text are named."""


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
    _check_encoding(content, old + new)
    view = View(content)
    hits = _places(view.text, old, replace_all=replace_all)
    if not hits:
        raise explain(view.text.decode("utf-8", "replace"), old.decode(), new.decode())
    return [view.splice(hit, _changed(view.text, hit, old, new, mode)) for hit in hits]


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


def _check_encoding(content: bytes, typed: bytes) -> None:
    """Refuse to look for or to write a character whose encoding in the file is not known."""
    if typed.isascii():
        return
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        detail = f"The file is not UTF-8 (byte 0x{content[error.start]:02x} in line {line}), and the text is not ASCII."
        hint = "Only ASCII text can be matched and written in it; use a command that knows its encoding."
        raise Refused("encoding", detail, hint, line=line) from None


def _places(text: bytes, old: bytes, *, replace_all: bool) -> list[int]:
    """Find the one place of a text, or all of them; none is no error here."""
    if replace_all:
        hits = list(_hits(text, old))
        if any(after - hit < len(old) for hit, after in pairwise(hits)):
            raise _ambiguous(text, old, "overlaps itself", "Add surrounding text so that no two places overlap.")
        return hits
    hits = list(islice(_hits(text, old), 2))
    if len(hits) > 1:
        hint = "Add surrounding lines so that only one place fits, or set replace_all to change every one."
        raise _ambiguous(text, old, "is not unique", hint)
    return hits


def _hits(text: bytes, old: bytes) -> Iterator[int]:
    """Find every place, also those that overlap."""
    hit = text.find(old)
    while hit >= 0:
        yield hit
        hit = text.find(old, hit + 1)


def _ambiguous(text: bytes, old: bytes, problem: str, hint: str) -> Refused:
    count = sum(1 for _ in _hits(text, old))
    lines = [text.count(b"\n", 0, hit) + 1 for hit in islice(_hits(text, old), LINES_NAMED)]
    more = " and more" if count > len(lines) else ""
    detail = f"old_str {problem}: it stands in {count:,} places, in lines {', '.join(map(str, lines))}{more}."
    return Refused("ambiguous_match", detail, hint, count=count, lines=lines)


def _changed(text: bytes, hit: int, old: bytes, new: bytes, mode: EditMode) -> Splice:
    """Say what changes in the view for one hit."""
    end = hit + len(old)
    if mode == "replace":
        return _trimmed(hit, old, new)
    whole = _is_line_start(text, hit) and (_is_line_start(text, end) or _is_line_end(text, end))
    if mode == "prepend_before":
        return Splice(hit, hit, new + b"\n" if whole and not new.endswith(b"\n") else new)
    if whole:
        return _lines_after(text, end, new)
    return Splice(end, end, new)


def _trimmed(hit: int, old: bytes, new: bytes) -> Splice:
    """Replace only what differs, so that what both share keeps the file's own line ends."""
    head, tail = shared_ends(old, new)
    return Splice(hit + head, hit + len(old) - tail, new[head : len(new) - tail])


def _lines_after(text: bytes, end: int, new: bytes) -> Splice:
    """Insert whole lines after an anchor of whole lines that ends at `end`."""
    if not _is_line_start(text, end):
        if new.startswith(b"\n"):
            return Splice(end, end, new)
        if end == len(text):
            return Splice(end, end, b"\n" + new.removesuffix(b"\n"))
        end += 1
    return Splice(end, end, new if new.endswith(b"\n") else new + b"\n")


def _is_line_start(text: bytes, place: int) -> bool:
    return place == 0 or text[place - 1 : place] == b"\n"


def _is_line_end(text: bytes, place: int) -> bool:
    return text[place : place + 1] in (b"\n", b"")
