"""The tools that read, write and edit files, and the guard that no unread file is changed."""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Callable
from typing import Any

from sandbox_tools.errors import Refused, Unreachable
from sandbox_tools.ledger import Entry
from sandbox_tools.operations import Flow, Result, edit_file, read_text, write_file
from sandbox_tools_server.output import LINE_LIMIT, READ_LINES, render_window
from sandbox_tools_server.wire import FileEdit, FileEdited, FileWritten, TextWindow

from .data import EditData, ReadData, WriteData
from .spec import Context, ToolResult, ToolSpec, parameters

PATH = {
    "type": "string",
    "minLength": 1,
    "maxLength": 4096,
    "description": "The file: an absolute path, or one from the sandbox's working directory.",
}

# read


READ_DESCRIPTION = f"""\
Read a text file of the sandbox, with line numbers as `cat -n` shows them.

- Returns up to {READ_LINES} lines from the beginning, or from `offset` on. If more follows, the last line of the \
answer says how to go on.
- Lines over {LINE_LIMIT} characters are cut.
- For a directory use bash with ls.
- Read a file before you edit or overwrite it: edit and write refuse files that were not read, and files that \
someone else changed since.
- The line numbers and the tab after them are not part of the file."""

READ_PARAMETERS = parameters(
    ("path",),
    path=PATH,
    offset={
        "type": "integer",
        "minimum": 0,
        "maximum": 1_000_000_000_000,
        "description": "The number of the line to start from, counted from 1 (optional, default: 1).",
    },
    limit={
        "type": "integer",
        "minimum": 1,
        "maximum": 1_000_000,
        "description": f"How many lines to read (optional, default: {READ_LINES}).",
    },
)


def read(context: Context, arguments: dict[str, Any]) -> Flow[ToolResult]:
    """Read some lines of a file, and note what was seen."""
    limit = arguments.get("limit", READ_LINES)
    try:
        window = yield from read_text(arguments["path"], context.cwd, arguments.get("offset"), limit)
    except Refused as refusal:
        if refusal.code == "file_not_found":
            context.ledger.forget(str(refusal.data.get("path")))
        raise
    last = window.first + len(window.lines) - 1
    context.ledger.record(window.path, window.version, window.total_lines, _seen_whole(window, last))
    data = ReadData(window.path, window.version, window.first, last, window.total_lines)
    return ToolResult(success=True, output=render_window(window), data=data)


def _seen_whole(window: TextWindow, last: int) -> list[tuple[int, int]]:
    """The lines that were shown and not cut."""
    ranges: list[tuple[int, int]] = []
    start = window.first
    for number in sorted(window.cut):
        ranges.append((start, number - 1))
        start = number + 1
    return [*ranges, (start, last)]


READ = ToolSpec("read", READ_DESCRIPTION, READ_PARAMETERS, read)

# write


WRITE_DESCRIPTION = """\
Write a whole file in the sandbox. Missing directories are made.

- A file that exists is replaced only if you have read all of it, as it is now. Use edit to change a part of a file: \
it is safer and shorter.
- The file is written whole or not at all, and keeps its mode."""

WRITE_PARAMETERS = parameters(
    ("path", "content"),
    path=PATH,
    content={"type": "string", "description": "All that the file shall hold."},
)


def write(context: Context, arguments: dict[str, Any]) -> Flow[ToolResult]:
    """Write a whole file, if there is none or all of it was seen."""
    path: str = arguments["path"]
    content: bytes = arguments["content"].encode()

    def attempt(expected: str | None, canonical: str) -> Flow[FileWritten]:
        return write_file(path, context.cwd, content, expected, canonical)

    try:
        written = yield from _guarded(context, path, attempt, _seen_whole_version)
    except _Unseen as unseen:
        return unseen.result
    context.ledger.record(written.path, written.version, written.lines, [(1, written.lines)])
    verb = "Created" if written.created else "Overwrote"
    output = f"{verb} {written.path} ({_count(written.lines, 'line')}, {_count(written.size, 'byte')})."
    data = WriteData(written.path, written.version, written.created, written.lines, written.size)
    return ToolResult(success=True, output=output, data=data)


def _seen_whole_version(path: str, entry: Entry | None) -> str:
    if entry is None:
        raise _Unseen(
            f"{path} exists and was not read in this session. Read it first, then write it, or change it with edit."
        )
    if not entry.whole:
        seen = ", ".join(f"{first}-{last}" for first, last in entry.seen) or "no line"
        raise _Unseen(
            f"Not all of {path} was read (only {seen} of {entry.total}; a line that was cut does not count). "
            "Change it with edit, read the rest, or delete it with bash and write it anew."
        )
    return entry.version


WRITE = ToolSpec("write", WRITE_DESCRIPTION, WRITE_PARAMETERS, write, mutates=True)

# edit


EDIT_DESCRIPTION = """\
Replace text in a file of the sandbox.

- Read the file first: edit refuses files that were not read.
- `old_str` must be in the file exactly as it stands there, with its indentation, and only once. If it is there more \
than once, add lines around it until it is unique, or set `replace_all`.
- Leave out the line numbers that read shows.
- To delete text, pass an empty `new_str`.
- mode "append_after" keeps `old_str` and puts `new_str` after it; "prepend_before" puts it before. After or before \
whole lines, `new_str` gets lines of its own."""

EDIT_PARAMETERS = parameters(
    ("path", "old_str", "new_str"),
    path=PATH,
    old_str={"type": "string", "minLength": 1, "description": "The text to find."},
    new_str={"type": "string", "description": "The text to put in its place, or after or before it."},
    replace_all={
        "type": "boolean",
        "description": "Whether to change every place where `old_str` is (optional, default: false).",
    },
    mode={
        "type": "string",
        "enum": ["replace", "append_after", "prepend_before"],
        "description": 'One of "replace", "append_after", "prepend_before" (optional, default: "replace").',
    },
)


def edit(context: Context, arguments: dict[str, Any]) -> Flow[ToolResult]:
    """Change a part of a file that was read."""
    path: str = arguments["path"]

    def attempt(expected: str | None, canonical: str) -> Flow[FileEdited]:
        change = FileEdit(
            **arguments, cwd=context.cwd, expected_version=expected, expected_path=canonical, if_stale="exact"
        )
        return edit_file(change)

    try:
        edited = yield from _guarded(context, path, attempt, _seen_version)
    except _Unseen as unseen:
        return unseen.result
    if edited.was_stale:
        context.ledger.forget(edited.path)
        context.ledger.record(edited.path, edited.version, edited.total_lines, [(edited.first_line, edited.last_line)])
    else:
        context.ledger.record_edit(edited.path, edited.version, edited.total_lines, edited.first_line)
    data = EditData(edited.path, edited.version, edited.replacements, edited.first_line, edited.last_line)
    return ToolResult(success=True, output=_told(edited), data=data)


def _seen_version(path: str, entry: Entry | None) -> str:
    if entry is None:
        raise _Unseen(f"{path} was not read in this session. Read it first, then edit it.")
    return entry.version


def _told(edited: FileEdited) -> str:
    places = _count(edited.replacements, "replacement")
    stale = " It had changed since you read it; the change fits it all the same." if edited.was_stale else ""
    return "\n".join([f"Edited {edited.path} ({places}).{stale}", *edited.diff])


EDIT = ToolSpec("edit", EDIT_DESCRIPTION, EDIT_PARAMETERS, edit, mutates=True)

# The guard


class _Unseen(Exception):
    """The session has not seen what it wants to change; the message is for the model."""

    @property
    def result(self) -> ToolResult:
        return ToolResult(success=False, error=str(self), code="not_read")


Attempt = Callable[[str | None, str], Flow[Result]]


def _guarded(
    context: Context, path: str, attempt: Attempt[Result], seen: Callable[[str, Entry | None], str]
) -> Flow[Result]:
    """Make a change with the version that this session has seen; `seen` says which, or that it has not.

    The ledger knows canonical paths and the model may use any other. So the first attempt goes by the path as it
    looks; if the server knows better, it says so with the canonical path, and the ledger is asked again by that.
    """
    likely = posixpath.normpath(posixpath.join(context.cwd or "", path))
    version: str | None = None
    with contextlib.suppress(_Unseen):  # whether that matters is for the server to say
        version = seen(likely, context.ledger.find(likely))
    try:
        return (yield from _certain(context, attempt(version, likely), likely))
    except Refused as refusal:
        if refusal.code not in ("precondition_required", "stale"):
            raise
        canonical = str(refusal.data.get("path", path))
        if version is not None and canonical == likely:
            raise _stale(context, refusal, canonical) from None
    version = seen(canonical, context.ledger.find(canonical))
    try:
        return (yield from _certain(context, attempt(version, canonical), canonical))
    except Refused as refusal:
        raise (_stale(context, refusal, canonical) if refusal.code == "stale" else refusal) from None


def _certain(context: Context, change: Flow[Result], path: str) -> Flow[Result]:
    """Make a change, and say so if nobody can know whether it was made."""
    try:
        return (yield from change)
    except Unreachable as error:
        if not error.sent or error.final:
            raise
        context.ledger.forget(path)
        raise Refused(
            "outcome_unknown",
            f"The connection broke while {path} was being changed: the change was made whole or not at all.",
            "Read the file to see which.",
        ) from error


def _stale(context: Context, refusal: Refused, path: str) -> Refused:
    if refusal.data.get("version") is None:
        context.ledger.forget(path)
        return Refused("stale", f"{path} was deleted since it was read.", "Write it anew if it shall exist.")
    return Refused("stale", f"{path} was changed since you read it.", "Read it again, then repeat the change.")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
