"""New content of a file before it is in its place."""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from contextlib import ExitStack, suppress

from .copying import create_exclusively, write_all

HIDDEN = ".sandbox-tools-"
"""How the name of a temporary file begins, for the moment in which it needs one."""

IRREPLACEABLE = frozenset(
    {
        errno.EACCES,  # the directory takes no new names, or an attribute is not ours to set
        errno.EPERM,  # the owner is not ours to set, the directory is sticky, or there are no hard links here
        errno.EROFS,  # the file is mounted for writing into a directory that is not
        errno.EBUSY,  # the file is a mount point itself
        errno.EXDEV,  # the directory is made of more than one file system
        errno.EINVAL,  # the owner is one that this user namespace has no number for
        errno.ENOTSUP,  # attributes that are seen but cannot be set, or links that there are none of
        errno.ENOSYS,  # a file system in user space that has no such operation
        errno.ENOENT,  # a file without a name cannot be given one here
        errno.ENAMETOOLONG,  # the hidden name is longer than the file's own
    }
)
"""What the system says of a file that no other can take the place of, but that may be written where it stands.

They are about names, owners and what a file system can do; none is about room or about the disk. Where the disk is
full or broken (`ENOSPC`, `EDQUOT`, `EIO`) or anything else is wrong, writing over the old bytes would risk them.
"""


class Stage:
    """A temporary file on the file system of `path`, ready to take its place.

    It has no name where the system has files without one, else a hidden name. Where the directory takes no new file
    it is made elsewhere; then `beside` is false, and its bytes must be copied. If the directory does not exist yet,
    it is made in the nearest one that does.
    """

    def __init__(self, path: str) -> None:
        self.beside = True
        self._name: str | None = None
        self._folder = _existing(os.path.dirname(path))
        self._file = os.fdopen(self._open(path), "r+b", buffering=0)

    @property
    def descriptor(self) -> int:
        """Its file descriptor."""
        return self._file.fileno()

    def write(self, chunk: bytes) -> None:
        """Append to the content."""
        write_all(self.descriptor, chunk)

    def sync(self) -> None:
        """Wait until the content is on the disk."""
        os.fsync(self.descriptor)

    def create(self, path: str) -> None:
        """Make it the file at `path`; `FileExistsError` if there is something already."""
        try:
            self._link(path)
        except FileExistsError:
            raise
        except OSError:  # no hard links here, or none of this file
            create_exclusively(path, self.descriptor)

    def replace(self, path: str) -> None:
        """Put it in the place of the file at `path`."""
        if self._name is None:
            name = self._hidden_name()
            self._link(name)
            self._name = name
        os.rename(self._name, path)
        self._name = None

    def close(self) -> None:
        """Close it and remove the hidden name; it may be closed already."""
        with suppress(OSError):
            self._file.close()
        if self._name is not None:
            with suppress(OSError):
                os.unlink(self._name)
        self._name = None

    def _open(self, path: str) -> int:
        with suppress(OSError, AttributeError):  # the latter where the platform has no O_TMPFILE
            return _open_anonymous(self._folder)
        try:
            return self._open_hidden(0o600 if os.path.lexists(path) else 0o666)
        except OSError as error:
            if error.errno not in IRREPLACEABLE or not os.path.isfile(path):
                raise
            return self._open_elsewhere()

    def _open_hidden(self, mode: int) -> int:
        name = self._hidden_name()
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        self._name = name
        return descriptor

    def _open_elsewhere(self) -> int:
        self.beside = False
        descriptor, name = tempfile.mkstemp()
        os.unlink(name)
        return descriptor

    def _hidden_name(self) -> str:
        return os.path.join(self._folder, HIDDEN + secrets.token_hex(8))

    def _link(self, path: str) -> None:
        # A directory's descriptor is what makes Python follow the link in /proc; with an absolute path it is unused.
        source = self._name or _in_proc(self.descriptor)
        os.link(source, path, src_dir_fd=self.descriptor, follow_symlinks=True)


def _open_anonymous(folder: str) -> int:
    """Make a file without a name, provided that it could be given one."""
    with ExitStack() as stack:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
        stack.callback(os.close, descriptor)
        os.stat(_in_proc(descriptor))
        stack.pop_all()
    return descriptor


def _in_proc(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def _existing(folder: str) -> str:
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    return folder
