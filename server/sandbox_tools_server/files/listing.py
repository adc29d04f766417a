"""What is in a directory, and whether something is there at all."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Iterator

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.wire import DirectoryEntry, DirectoryList, FileExists, FileKind

from .refusals import displayed, refusing


def exists(path: str) -> FileExists:
    """Say whether something is at a canonical path, and what."""
    with refusing(path):
        try:
            info = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return FileExists(path=path, exists=False)
    return FileExists(path=path, exists=True, kind=_kind(info))


def list_directory(path: str, limit: int = 1000) -> DirectoryList:
    """List the first `limit` names of the directory at a canonical path, sorted by name."""
    with refusing(path):
        if not stat.S_ISDIR(os.stat(path).st_mode):
            hint = "Read it, or list its directory."
            raise Refused("not_a_directory", f"{path} is not a directory.", hint, path=path)
        names = _Names(path)
        first = heapq.nsmallest(limit, names)
    return DirectoryList(path=path, entries=[_entry(path, name) for name in first], total=names.total)


class _Names:
    """The names of a directory, counted as they go by."""

    def __init__(self, path: str) -> None:
        self.total = 0
        self._path = path

    def __iter__(self) -> Iterator[str]:
        with os.scandir(self._path) as entries:
            for self.total, entry in enumerate(entries, 1):
                yield entry.name


def _entry(folder: str, name: str) -> DirectoryEntry:
    """Describe what a name leads to; what leads nowhere, such as a broken link, is of another kind."""
    try:
        info = os.stat(os.path.join(folder, name))
    except OSError:
        return DirectoryEntry(name=displayed(name), kind="other", size=0, mtime=0.0)
    return DirectoryEntry(name=displayed(name), kind=_kind(info), size=info.st_size, mtime=info.st_mtime)


def _kind(info: os.stat_result) -> FileKind:
    if stat.S_ISDIR(info.st_mode):
        return "directory"
    return "file" if stat.S_ISREG(info.st_mode) else "other"
