"""Every byte from one open file to another, and a file overwritten where it stands."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

from .versions import CHUNK


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte, however few the system takes at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def copy(source: int, target: int, start: int, stop: int) -> None:
    """Copy the bytes from `start` to `stop` to the same place in another file."""
    while chunk := os.pread(source, min(CHUNK, stop - start), start):
        start += os.pwrite(target, chunk, start)


def overwrite(path: str, source: int, check: Callable[[], object]) -> None:
    """Put the content of an open file into the file at `path`, which stays the same file.

    What makes it longer is written first, so that a full disk is met before an old byte is touched; if anything
    fails, the old bytes are put back.

    Arguments:
        check: called directly before the first byte changes; it raises if the file must not be changed.
    """
    target = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        with tempfile.TemporaryFile(buffering=0) as old:
            size = os.fstat(target).st_size
            copy(target, old.fileno(), 0, size)
            check()
            try:
                _replace_content(source, target, size)
            except BaseException:
                _replace_content(old.fileno(), target, size)
                raise
    finally:
        os.close(target)


def create_exclusively(path: str, source: int) -> None:
    """Make a new file of the content of an open one, or leave nothing."""
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        _replace_content(source, target, 0)
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(target)


def _replace_content(source: int, target: int, old_size: int) -> None:
    size = os.fstat(source).st_size
    copy(source, target, old_size, max(old_size, size))
    copy(source, target, 0, min(old_size, size))
    os.ftruncate(target, size)
    os.fsync(target)
