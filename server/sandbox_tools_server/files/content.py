"""The bytes of a file, from anywhere in it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from types import TracebackType

from .paths import open_regular
from .refusals import refusing
from .versions import examine


class Content:
    """A regular file that is open for reading; close it, or use it as a context manager.

    Attributes:
        path: the canonical path.
        version: the version of the whole file.
        size: how many bytes it has.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with refusing(path), ExitStack() as stack:
            descriptor = open_regular(path)
            stack.callback(os.close, descriptor)
            self.version, self.size = examine(descriptor)
            stack.pop_all()
        self._file = os.fdopen(descriptor, "rb", buffering=0)

    def read(self, start: int, count: int) -> bytes:
        """Read at most `count` bytes from `start` on; nothing past the end."""
        with refusing(self.path):
            return os.pread(self._file.fileno(), count, start)

    def close(self) -> None:
        """Close the file; it may be closed already."""
        self._file.close()

    def __enter__(self) -> Content:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_content(path: str) -> Content:
    """Open the regular file at a canonical path for reading its bytes."""
    return Content(path)
