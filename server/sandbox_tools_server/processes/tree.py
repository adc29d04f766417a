"""Find and end everything that a command started, wherever it went.

A process is a command's if it descends from its shell, is in its shell's session or group, or carries the command's
id in its environment. A daemon that shed all three cannot be tied to its command: `strays` only says that there may be
one, and `everything`, below the server that adopts all orphans, has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sandbox_tools_server.settings import MARKER

GRACE = 2.0
"""Seconds between the polite signal and the last one."""

PATIENCE = 5.0
"""Seconds to go on killing what keeps coming back."""


MARKED = re.compile(rb"\0" + MARKER.encode() + rb"=([A-Za-z0-9_-]+)\0")


GONE = (FileNotFoundError, ProcessLookupError, PermissionError)
"""A process ended while we looked, or is another user's. Any other error must not be taken for an end."""


@dataclass(frozen=True, slots=True)
class Process:
    """One line of /proc: `started` (in clock ticks) tells a process from a later one with the same pid."""

    pid: int
    parent: int
    group: int
    session: int
    started: int


def processes() -> list[Process]:
    """Every process that lives. One that is only waiting to be collected does not."""
    return list(_read_all())


def _read_all() -> Iterator[Process]:
    for name in os.listdir("/proc"):
        if name.isdigit() and (process := _read(int(name))):
            yield process


def _read(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except GONE:
        return None
    if fields[0] in b"ZX":
        return None
    return Process(pid, int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def _mark(pid: int) -> str | None:
    """The id of the command whose mark a process carries, if it carries one."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            found = MARKED.search(b"\0" + file.read())
    except GONE:
        return None
    return found[1].decode() if found else None


def started_by(shell: int, command_id: str) -> list[Process]:
    """The living processes of one command, by kinship and by mark."""
    everyone = processes()

    def belongs(process: Process) -> bool:
        mark = _mark(process.pid)
        related = shell in (process.pid, process.group, process.session)
        return mark == command_id or (related and mark is None)  # a later command may have the same pid as this one had

    return _with_descendants([process for process in everyone if belongs(process)], everyone)


def everything() -> list[Process]:
    """All that lives below this process: every command with all that it started, orphans included."""
    everyone = processes()
    return _with_descendants([process for process in everyone if process.parent == os.getpid()], everyone)


def orphans() -> list[int]:
    """The processes that came to this one because their own parents ended: a look, not a search.

    They are children of the main thread; the shells are children of the spawner's.
    """
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except FileNotFoundError:  # pragma: no cover  (a kernel without CONFIG_PROC_CHILDREN: the shells come along)
        return [process.pid for process in processes() if process.parent == os.getpid()]


def strays(since: float) -> list[Process]:
    """Orphans that carry no mark and were started after `since` (in seconds after boot): anyone may have left them."""
    ticks = int(since * os.sysconf("SC_CLK_TCK"))
    found = [process for pid in orphans() if (process := _read(pid))]
    return [process for process in found if process.started >= ticks and _mark(process.pid) is None]


def now() -> float:
    """The time as /proc counts it, in seconds after boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _with_descendants(pending: list[Process], everyone: list[Process]) -> list[Process]:
    children: dict[int, list[Process]] = {}
    for process in everyone:
        children.setdefault(process.parent, []).append(process)
    found: dict[int, Process] = {}
    while pending:
        process = pending.pop()
        if process.pid not in found:
            found[process.pid] = process
            pending += children.get(process.pid, [])
    return list(found.values())


def send(process: Process, number: int) -> None:
    """Signal a process, and never a later one that has its pid."""
    with contextlib.suppress(OSError):  # it is gone
        fd = os.pidfd_open(process.pid)
        try:
            if _read(process.pid) == process:
                signal.pidfd_send_signal(fd, number)
        finally:
            os.close(fd)


async def end(find: Callable[[], list[Process]], grace: float = GRACE) -> bool:
    """Ask what `find` finds to end, wait, then kill until it finds nothing.

    Returns whether it found nothing in the end.
    """
    if not await _gone(find, signal.SIGTERM, grace):
        return await asyncio.to_thread(_kill, find)
    return True


async def _gone(find: Callable[[], list[Process]], number: int, seconds: float) -> bool:
    for process in await asyncio.to_thread(find):
        send(process, number)
        send(process, signal.SIGCONT)  # a stopped process would not hear it
    deadline = time.monotonic() + seconds
    pause = 0.005
    while await asyncio.to_thread(find):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.1)
    return True


def _kill(find: Callable[[], list[Process]]) -> bool:
    """Stop them all before killing any, so that none can start another one in between."""
    deadline = time.monotonic() + PATIENCE
    while found := find():
        if time.monotonic() > deadline:
            return False
        for process in found:
            send(process, signal.SIGSTOP)
        for process in found:
            send(process, signal.SIGKILL)
        time.sleep(0.002)  # death takes a moment
    return True
