"""Start a child: from one thread of its own, with nothing in its hands but its output pipe."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import functools
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue

from sandbox_tools_server.errors import Refused

PIPE_SIZE = 1024 * 1024
LONGEST_COMMAND = 128 * 1024 - 1
"""Linux takes no longer argument (MAX_ARG_STRLEN)."""


@dataclass(frozen=True, slots=True)
class Child:
    """A shell that runs.

    Attributes:
        process: kept only so that its end is noted in it.
        pidfd: becomes readable when the process ends.
        output: the reading end of its output, non-blocking.
    """

    process: subprocess.Popen[bytes]
    pidfd: int
    output: int

    @property
    def pid(self) -> int:
        return self.process.pid


class Spawner:
    """Starts shells. The thread it uses lives as long as it does, and what confines that thread confines them."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[asyncio.Future[Child], Callable[[], Child]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="spawner", daemon=True)
        self._thread.start()
        self._bash = shutil.which("bash") or "/bin/bash"
        self._starting = 0
        self._alive: set[int] = set()

    def __contains__(self, pid: object) -> bool:
        """Whether a child is, or may be, one that was started here and is not collected yet."""
        return self._starting > 0 or pid in self._alive

    async def spawn(self, command: str, cwd: str, env: Mapping[str, str]) -> Child:
        """Run `bash -c command`; `Refused` says why it could not be started."""
        if len(command.encode()) > LONGEST_COMMAND:
            raise Refused(
                "invalid_request",
                f"The command is {len(command.encode()):,} bytes long; at most {LONGEST_COMMAND:,} are possible.",
                "Write it to a file and run the file.",
            )
        spawned: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._starting += 1
        try:
            self._jobs.put((spawned, functools.partial(self._spawn, command, cwd, env)))
            child = await spawned
            self._alive.add(child.pid)
        finally:
            self._starting -= 1
        return child

    def _work(self) -> None:
        """What the thread does. An executor of one thread would take twice as long to hand over a job."""
        while job := self._jobs.get():
            spawned, spawn = job
            try:
                outcome = functools.partial(spawned.set_result, spawn())
            except Exception as error:
                outcome = functools.partial(spawned.set_exception, error)
            spawned.get_loop().call_soon_threadsafe(outcome)

    def _spawn(self, command: str, cwd: str, env: Mapping[str, str]) -> Child:
        try:
            with contextlib.ExitStack() as undo:
                output, theirs = os.pipe2(os.O_CLOEXEC)
                undo.callback(os.close, output)
                try:
                    process = self._popen(command, cwd, env, theirs)
                finally:
                    os.close(theirs)
                undo.callback(_abandon, process)
                os.set_blocking(output, False)
                child = Child(process, os.pidfd_open(process.pid), output)
                undo.pop_all()
                return child
        except OSError as error:
            raise _refusal(error, cwd) from error

    def _popen(self, command: str, cwd: str, env: Mapping[str, str], output: int) -> subprocess.Popen[bytes]:
        with contextlib.suppress(OSError):  # over the user's share of pipe memory: a small pipe does as well
            fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        return subprocess.Popen(
            [self._bash, "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )

    async def wait(self, child: Child) -> int:
        """Wait for a child's end: its exit code, or minus the number of the signal that ended it."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def note() -> None:
            loop.remove_reader(child.pidfd)
            ended.set_result(None)

        loop.add_reader(child.pidfd, note)
        await ended
        os.close(child.pidfd)
        self._alive.discard(child.pid)
        return child.process.wait()

    def close(self) -> None:
        """End the thread."""
        self._jobs.put(None)
        self._thread.join()


def _abandon(process: subprocess.Popen[bytes]) -> None:
    """End a shell that nobody could watch, with what it may have started by now."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _refusal(error: OSError, cwd: str) -> Refused:
    if not os.path.isdir(cwd):
        return Refused(
            "working_directory_missing",
            f"The working directory {cwd} is not there, or is no directory.",
            "Leave it out, or make it with mkdir -p first.",
            path=cwd,
        )
    if error.errno == errno.E2BIG:
        return Refused("invalid_request", "The command and its environment are too long.", "Pass less in `env`.")
    return Refused.from_os_error(error, cwd)
