"""Which file a path means, and how it is opened without waiting for anyone."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

from sandbox_tools_server.errors import Refused

from .refusals import check_regular, refusing

NOT_A_PATH = (errno.ELOOP, errno.ENAMETOOLONG)
"""What the operating system says of a path that can never be the path of a file."""


def resolve(path: str, cwd: str | None, work_dir: str) -> str:
    """Find the canonical path: absolute, with no link in it.

    Arguments:
        path: as it was given; `~` is the home directory, and a relative path begins at `cwd`.
        cwd: where the caller stands; it begins at `work_dir` if it is relative, and is `work_dir` if it is absent.
    """
    if not path:
        raise Refused("invalid_path", "The path is empty.", "Give the path of a file.")
    joined = os.path.join(work_dir, _expanded(cwd or ""), _expanded(path))
    try:
        with refusing(joined):
            canonical = os.path.realpath(joined)
    except RecursionError:
        raise Refused("invalid_path", f"{path} goes through too many links.") from None
    _check_name(canonical)
    _check_reachable(canonical)
    if path.endswith("/") and not os.path.isdir(canonical):
        raise Refused("invalid_path", f"{path} ends in a slash, but is no directory.", "Leave the slash out.")
    return canonical


def open_regular(path: str) -> int:
    """Open a regular file for reading; anything else is refused without opening it."""
    with refusing(path), ExitStack() as stack:
        check_regular(os.stat(path), path)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        stack.callback(os.close, descriptor)
        check_regular(os.fstat(descriptor), path)
        stack.pop_all()
    return descriptor


@contextmanager
def opened(path: str) -> Generator[int]:
    """Keep a regular file open for reading inside; what fails there is refused."""
    descriptor = open_regular(path)
    with refusing(path):
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _expanded(path: str) -> str:
    _check_name(path)
    return os.path.expanduser(path)


def _check_name(path: str) -> None:
    """Refuse what no file can be called, and what could not be sent back as text."""
    if "\0" in path:
        raise Refused("invalid_path", "The path contains a NUL character.", "Give the path of a file.")
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        hint = "Use a command for a file whose name is not UTF-8."
        raise Refused("invalid_path", "The path is not valid Unicode.", hint) from None


def _check_reachable(path: str) -> None:
    """Refuse a loop of links and a name that is too long; that nothing is there is no fault of the path."""
    try:
        os.stat(path)
    except OSError as error:
        if error.errno in NOT_A_PATH:
            raise Refused("invalid_path", f"{path[:200]}: {error.strerror}.", "Give the path of a file.") from error
