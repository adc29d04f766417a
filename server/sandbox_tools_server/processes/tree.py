"""Find and end everything that a command started, wherever it went.

A process is a command's if it descends from its shell, is in its shell's session or group, or carries the command's
id in its environment. A daemon that shed all three cannot be tied to its command: `strays` only says that there may be
one, and `everything`, below the server that adopts all orphans, has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import re
import signal
import time
from collections.abc import Callable, Container, Iterable, Iterator
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


LOOKS = 10
"""How often to look again for processes that may have forked past a look."""


def started_by(shell: int, command_id: str, gone_at: float = math.inf) -> list[Process]:
    """The living processes of one command, by kinship and by mark.

    Arguments:
        gone_at: when its shell ended, in seconds after boot. A later process may have the same pid, a session of that
            name, and nothing to do with it.

    A walk through /proc misses a process whose parent forks it and ends meanwhile. What is left of that is an orphan,
    so nothing that was found is believed only if the orphans are the same before and after.
    """
    found: list[Process] = []
    for _ in range(LOOKS):  # pragma: no branch  (orphans that come and go all the time are someone else's)
        before = orphans()
        if (found := _look(shell, command_id, gone_at)) or orphans() == before:  # pragma: no branch  (see above)
            break
    return found


def _look(shell: int, command_id: str, gone_at: float) -> list[Process]:
    everyone = processes()
    ticks = gone_at * os.sysconf("SC_CLK_TCK")

    def belongs(process: Process) -> bool:
        mark = _mark(process.pid)
        related = shell in (process.pid, process.group, process.session) and process.started <= ticks
        return mark == command_id or (related and mark is None)  # a later command may have the same pid as this one had

    return _with_descendants([process for process in everyone if belongs(process)], everyone)


def marks() -> set[str]:
    """The ids of all commands of which something runs."""
    return {mark for process in processes() if (mark := _mark(process.pid))}


def marked(ids: Container[str]) -> list[Process]:
    """All that carries the mark of one of these commands, with its descendants."""
    everyone = processes()
    return _with_descendants([process for process in everyone if (_mark(process.pid) or "") in ids], everyone)


def everything() -> list[Process]:
    """All that lives below this process: every command with all that it started, orphans included."""
    everyone = processes()
    return _with_descendants([process for process in everyone if process.parent == os.getpid()], everyone)


NO_THREADS = 0x2000_0000
"""Of waitid(2), `__WNOTHREAD`: only the children of the calling thread, and those adopted are the main thread's."""


def has_orphans() -> bool:
    """Whether any process came to this one because its own parent ended. Called in the main thread."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | NO_THREADS)
    except ChildProcessError:
        return False
    return True


def orphans() -> list[int]:
    """The processes that came to this one because their own parents ended: a look, not a search.

    They are children of the main thread; the shells are children of the spawner's.
    """
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except FileNotFoundError:  # pragma: no cover  (a kernel without CONFIG_PROC_CHILDREN: the shells come along)
        return [process.pid for process in processes() if process.parent == os.getpid()]


def orphans_since(moment: float) -> list[Process]:
    """The orphans that were started after a moment (in seconds after boot)."""
    ticks = int(moment * os.sysconf("SC_CLK_TCK"))
    found: list[Process] = []
    for _ in range(LOOKS):  # pragma: no branch  (see `started_by`)
        before = orphans()
        found = [process for pid in before if (process := _read(pid)) and process.started >= ticks]
        if found or orphans() == before:  # pragma: no branch  (one that ended meanwhile has left its own children)
            break
    return found


def strays(since: float) -> list[Process]:
    """Orphans that carry no mark and were started after `since` (in seconds after boot): anyone may have left them.

    A process that is about to die, or to become another program, shows no mark for a moment: it is looked at twice.
    """
    found = _unmarked(orphans_since(since))
    if found:
        time.sleep(0.02)
        found = _unmarked(_read(process.pid) for process in found)
    return found


def _unmarked(processes: Iterable[Process | None]) -> list[Process]:
    return [process for process in processes if process and _mark(process.pid) is None]


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
    found = await asyncio.to_thread(find)
    for process in sorted(found, key=lambda process: (process.started, process.pid)):  # parents hear it before children
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
