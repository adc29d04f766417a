"""Editing a file: one change of its text, and nothing else of it."""

from __future__ import annotations

import os

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.matching import Splice, apply, match
from sandbox_tools_server.wire import FileEdit, FileEdited

from .changes import hunks, show
from .locks import locked
from .paths import opened, resolve
from .refusals import SAMPLE, check_text
from .versions import CHUNK, chunks, content_version
from .writing import StagedFile

EDIT_LIMIT = 64 * 1024 * 1024
"""How large a file may be that is edited: it is held in memory."""


def edit_file(edit: FileEdit, work_dir: str) -> FileEdited:
    """Apply one change to the file that it names, or raise `Refused` and leave the file alone.

    Arguments:
        work_dir: where a relative path begins that names no working directory of its own.
    """
    path = resolve(edit.path, edit.cwd, work_dir)
    with locked(path):
        content = _load(path)
        version = content_version(content)
        was_stale = _is_stale(edit, path, version)
        splices = _match(edit, path, content, version, was_stale=was_stale)
        after = apply(content, splices)
        with StagedFile(path) as staged:
            for start in range(0, len(after), CHUNK):
                staged.write(after[start : start + CHUNK])
            written = staged.commit(expected_version=version)
    changed = hunks(content, after, splices)
    last = max(written.lines, 1)
    return FileEdited(
        path=path,
        version=written.version,
        replacements=len(splices),
        first_line=min(changed[0].first, last),
        last_line=min(max(changed[-1].last, changed[0].first), last),
        total_lines=written.lines,
        diff=show(content, after, changed),
        was_stale=was_stale,
    )


def _load(path: str) -> bytes:
    """Read a text file whole."""
    content = bytearray()
    with opened(path) as descriptor:
        size = os.fstat(descriptor).st_size
        for chunk in chunks(descriptor):
            content += chunk
            check_text(path, content[:SAMPLE], max(size, len(content)))
            if max(size, len(content)) > EDIT_LIMIT:
                detail = f"{path} is larger than {EDIT_LIMIT:,} bytes, the most that can be edited."
                raise Refused("file_error", detail, "Change it with a command such as sed.", path=path)
    return bytes(content)


def _is_stale(edit: FileEdit, path: str, version: str) -> bool:
    """Refuse an edit that expects another version, except where an exact, unique match is evidence enough."""
    if edit.expected_version is None or edit.expected_path not in (None, path):
        hint = "Read it first, then send the version that was read."
        raise Refused("precondition_required", f"{path} has not been read.", hint, path=path, version=version)
    if edit.expected_version in ("any", version):
        return False
    if edit.if_stale == "exact" and not edit.replace_all:
        return True
    hint = "Read it again: its content is another one by now."
    raise Refused("stale", f"{path} has changed since it was read.", hint, path=path, version=version)


def _match(edit: FileEdit, path: str, content: bytes, version: str, *, was_stale: bool) -> list[Splice]:
    """Find what changes; a refusal says of which file and which version."""
    try:
        return match(content, edit.old_str, edit.new_str, replace_all=edit.replace_all, mode=edit.mode)
    except Refused as refused:
        refused.data |= {"path": path, "version": version}
        if was_stale:
            refused.hint = f"{refused.hint} The file has changed since it was read: read it again."
        raise
