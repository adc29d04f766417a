"""What tells one content of a file from another."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator

from .paths import opened

CHUNK = 1024 * 1024
"""How much is read at a time."""

DIGEST_LIMIT = 64 * 1024 * 1024
"""Up to so many bytes a version is a digest of the content."""

ATTEMPTS = 3
"""How often a file that changes while it is read is read again."""


class Digest:
    """The version of content that comes in pieces."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def feed(self, chunk: bytes) -> None:
        """Take the next piece."""
        self._hash.update(chunk)

    def version(self) -> str:
        """The version of everything so far."""
        return f"b:{self._hash.hexdigest()}"


def content_version(content: bytes) -> str:
    """The version of a content that is at hand."""
    digest = Digest()
    digest.feed(content)
    return digest.version()


def stat_version(info: os.stat_result) -> str:
    """The version of a file that is too large to digest: what changes with every write."""
    parts = (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    return "s:" + "-".join(f"{part:x}" for part in parts)


def torn_version() -> str:
    """A version that no content has: the file changed while it was read, and nothing names what was seen."""
    return f"t:{secrets.token_hex(16)}"


def is_digested(info: os.stat_result) -> bool:
    """Whether the version of a file is a digest."""
    return info.st_size <= DIGEST_LIMIT


def chunks(descriptor: int) -> Iterator[bytes]:
    """Read an open file from its beginning, a piece at a time."""
    position = 0
    while chunk := os.pread(descriptor, CHUNK, position):
        yield chunk
        position += len(chunk)


def examine(descriptor: int) -> tuple[str, int]:
    """Find the version of an open file, and how many bytes it has."""
    info = os.fstat(descriptor)
    if not is_digested(info):
        return stat_version(info), info.st_size
    digest, size = Digest(), 0
    for chunk in chunks(descriptor):
        digest.feed(chunk)
        size += len(chunk)
        if size > DIGEST_LIMIT:  # it grew, or it is one of those of /proc that have no size and no end
            return stat_version(os.fstat(descriptor)), size
    return digest.version(), size


def current_version(path: str) -> str:
    """Find the version of the file at a canonical path."""
    with opened(path) as descriptor:
        return examine(descriptor)[0]
