"""Why a file cannot be used, said so that the reader knows what to do instead."""

from __future__ import annotations

import difflib
import heapq
import os
import shlex
import stat
from collections.abc import Generator
from contextlib import contextmanager

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.wire import ErrorCode

SAMPLE = 8 * 1024
"""A NUL in so many bytes at its beginning makes a file binary."""

NAMES_SHOWN = 50
"""How many names of a directory a refusal lists."""

HINTS: dict[ErrorCode, str] = {
    "invalid_path": "Give the path of a file.",
    "no_space": "Free some space and send it again.",
    "not_a_directory": "A part of the path is a file; give a path in a directory.",
    "permission_denied": "Use a path that this user may use, or change the mode with a command such as chmod.",
    "read_only": "Nothing can be written on this file system; use a path elsewhere.",
}
"""What to do next where the operating system refused."""

SPECIAL = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFLNK: "a symbolic link that nothing follows",
}
"""What is neither a file nor a directory."""


@contextmanager
def refusing(path: str) -> Generator[None]:
    """Let what the operating system refuses inside become a `Refused` about `path`."""
    try:
        yield
    except FileNotFoundError as error:
        raise missing(path) from error
    except OSError as error:
        refused = Refused.from_os_error(error, path)
        refused.hint = HINTS.get(refused.code, "")
        raise refused from error


def missing(path: str) -> Refused:
    """Say that there is no such file, and which names of its directory are near."""
    folder, name = os.path.split(path)
    near = [os.path.join(folder, other) for other in difflib.get_close_matches(name, _names(folder), n=3)]
    if near:
        hint = f"Near names: {', '.join(near)}."
    elif os.path.isdir(folder):
        hint = f"List {folder} to see what is there."
    else:
        hint = f"The directory {folder} does not exist either."
    return Refused("file_not_found", f"{path} does not exist.", hint, path=path)


def directory(path: str) -> Refused:
    """Say that it is a directory, and what is in it."""
    names = list(map(_marked, os.scandir(path))) if os.access(path, os.R_OK) else []
    shown = ", ".join(heapq.nsmallest(NAMES_SHOWN, names))
    more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
    hint = f"It contains {shown}{more}." if names else "It shows no names."
    return Refused("is_a_directory", f"{path} is a directory.", hint, path=path)


def check_regular(info: os.stat_result, path: str) -> None:
    """Refuse what is not a regular file."""
    if stat.S_ISDIR(info.st_mode):
        raise directory(path)
    if not stat.S_ISREG(info.st_mode):
        kind = SPECIAL.get(stat.S_IFMT(info.st_mode), "no regular file")
        hint = "Only regular files can be read and written here; use a command for anything else."
        raise Refused("not_a_regular_file", f"{path} is {kind}.", hint, path=path)


def check_text(path: str, sample: bytes | bytearray, size: int) -> None:
    """Refuse a file that begins with `sample` if that is not text."""
    if b"\0" in sample[:SAMPLE]:
        detail = f"{path} is a binary file of {size:,} bytes."
        name = shlex.quote(path)
        hint = f"Run `file {name}` or `xxd {name} | head`, or use a program that knows its format."
        raise Refused("binary_file", detail, hint, path=path, size=size)


def displayed(name: str) -> str:
    """The name of a file as text that can be sent: bytes that are not UTF-8 are shown as U+FFFD."""
    return os.fsencode(name).decode("utf-8", "replace")


def _names(folder: str) -> list[str]:
    return [displayed(name) for name in os.listdir(folder)] if os.access(folder, os.R_OK | os.X_OK) else []


def _marked(entry: os.DirEntry[str]) -> str:
    return displayed(entry.name) + "/" * entry.is_dir()
