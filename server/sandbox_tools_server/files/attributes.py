"""What a file keeps when its content is replaced: owner, mode and extended attributes."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress


def check_writable(path: str) -> None:
    """Refuse a file that this user may not write, although its directory would let it be replaced."""
    if not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        reason = errno.EROFS if os.statvfs(path).f_flag & os.ST_RDONLY else errno.EACCES
        raise OSError(reason, os.strerror(reason), path)


def dress(descriptor: int, path: str, info: os.stat_result) -> None:
    """Give an open file what the file at `path` has; an `OSError` says that it cannot have it.

    Arguments:
        info: the status of the file at `path`.
    """
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (info.st_uid, info.st_gid):
        os.chown(descriptor, info.st_uid, info.st_gid)
    wanted, present = _attributes(path), _attributes(descriptor)
    for name in present.keys() - wanted.keys():
        os.removexattr(descriptor, name)
    for name, value in wanted.items() - present.items():
        os.setxattr(descriptor, name, value)
    os.chmod(descriptor, stat.S_IMODE(info.st_mode))  # last, because a change of owner takes bits of it away


def _attributes(file: str | int) -> dict[str, bytes]:
    """Read the extended attributes, access lists among them; none where there are no such things."""
    names: list[str] = []
    with suppress(AttributeError, OSError):
        names = os.listxattr(file)
    return {name: os.getxattr(file, name) for name in names}
