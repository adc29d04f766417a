"""One change of a file at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from weakref import WeakValueDictionary

_REGISTRY = threading.Lock()
_LOCKS: WeakValueDictionary[str, threading.RLock] = WeakValueDictionary()
"""A lock for each file that is being changed; one that nobody holds or waits for is forgotten."""


@contextmanager
def locked(path: str) -> Generator[None]:
    """Keep every other change of the file at a canonical path waiting, also one by another hard link.

    Whoever holds it may take it again. The path comes before the file itself, always, so that two never wait for
    one another.
    """
    with ExitStack() as stack:
        stack.enter_context(_lock(path))
        stack.enter_context(_lock(_identity(path)))
        yield


def _lock(key: str) -> threading.RLock:
    with _REGISTRY:
        return _LOCKS.setdefault(key, threading.RLock())


def _identity(path: str) -> str:
    """Name the file itself if it has several hard links, else its only path."""
    try:
        info = os.lstat(path)
    except OSError:
        return path
    return f"{info.st_dev}:{info.st_ino}" if info.st_nlink > 1 else path
