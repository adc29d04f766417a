"""Start a child: from one thread of its own, with nothing in its hands but its own streams."""

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
import termios
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import SimpleQueue

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.wire import CommandStart, TerminalSize

PIPE_SIZE = 1024 * 1024
LONGEST_COMMAND = 128 * 1024 - 1
"""Linux takes no longer argument (MAX_ARG_STRLEN)."""


@dataclass(frozen=True, slots=True)
class Child:
    """A shell that runs.

    Attributes:
        process: collects its exit code.
        pidfd: becomes readable when the process ends.
        outputs: the reading end of its stdout and, if that is separate, of its stderr; non-blocking.
        input: the writing end of its stdin, non-blocking; None if that is empty.
    """

    process: subprocess.Popen[bytes]
    pidfd: int
    outputs: list[int]
    input: int | None

    @property
    def pid(self) -> int:
        return self.process.pid


class Spawner:
    """Starts shells. The thread it uses lives as long as it does, and what confines that thread confines them.

    Arguments:
        limits: options of bash's `ulimit`, for each command.
    """

    def __init__(self, limits: str = "") -> None:
        self._limits = f"ulimit {limits} || exit 126; " if limits else ""
        self._jobs: SimpleQueue[tuple[asyncio.Future[Child], Callable[[], Child]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="spawner", daemon=True)
        self._thread.start()
        self._bash = shutil.which("bash") or "/bin/bash"
        self._starting = 0
        self._alive: set[int] = set()

    def __contains__(self, pid: object) -> bool:
        """Whether a child is, or may be, one that was started here and is not collected yet."""
        return self._starting > 0 or pid in self._alive

    async def spawn(self, spec: CommandStart, cwd: str, env: Mapping[str, str]) -> Child:
        """Run `bash -c command`; `Refused` says why it could not be started."""
        length = len(spec.command.encode())
        if length > LONGEST_COMMAND:
            raise Refused(
                "invalid_request",
                f"The command is {length:,} bytes long; at most {LONGEST_COMMAND:,} are possible.",
                "Write it to a file and run the file.",
            )
        spawned: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._starting += 1
        try:
            self._jobs.put((spawned, functools.partial(self._spawn, spec, cwd, env)))
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

    def _spawn(self, spec: CommandStart, cwd: str, env: Mapping[str, str]) -> Child:
        ends = _Ends()
        try:
            with ends.theirs, ends.ours:
                if spec.tty:
                    _open_terminal(ends, spec.tty)
                else:
                    _open_pipes(ends, spec)
                process = subprocess.Popen(
                    self._arguments(spec.command, ends.terminal),
                    stdin=ends.stdin,
                    stdout=ends.stdout,
                    stderr=ends.stderr,
                    cwd=cwd,
                    env=env,
                    start_new_session=True,
                )
                ends.ours.callback(_abandon, process)
                child = Child(process, os.pidfd_open(process.pid), ends.outputs, ends.input)
                ends.ours.pop_all()
                return child
        except OSError as error:
            raise _refusal(error, cwd) from error

    def _arguments(self, command: str, terminal: str | None) -> list[str]:
        """What to execute: bash, or a bash that prepares for it. The first open of a session's leader gives it its
        terminal; to have that done by Python would take a fork of all of this process."""
        prepare = self._limits + ('exec <>"$2" >&0 2>&1; ' if terminal else "")
        if not prepare:
            return [self._bash, "-c", command]
        return [self._bash, "-c", f'{prepare}exec "$0" -c "$1"', self._bash, command, terminal or ""]

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


def resize(child: Child, size: TerminalSize) -> None:
    """Change the size of a child's terminal; its programs are told by SIGWINCH."""
    termios.tcsetwinsize(child.outputs[0], (size.rows, size.columns))


class _Ends:
    """The child's ends of its streams, which close when it has them, and ours, which close if it does not start."""

    def __init__(self) -> None:
        self.theirs = contextlib.ExitStack()
        self.ours = contextlib.ExitStack()
        self.outputs: list[int] = []
        self.input: int | None = None
        self.stdin = subprocess.DEVNULL
        self.stdout = self.stderr = -1
        self.terminal: str | None = None

    def hold(self, ours: int, theirs: int) -> None:
        self.ours.callback(os.close, ours)
        self.theirs.callback(os.close, theirs)
        os.set_blocking(ours, False)

    def new_output(self) -> int:
        """The child's end of a new pipe that we read."""
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        self.hold(ours, theirs)
        with contextlib.suppress(OSError):  # over the user's share of pipe memory: a small pipe does as well
            fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
        self.outputs.append(ours)
        return theirs


def _open_pipes(ends: _Ends, spec: CommandStart) -> None:
    ends.stdout = ends.new_output()
    ends.stderr = ends.new_output() if spec.streams == "separate" else ends.stdout
    if spec.stdin == "open":
        ends.stdin, ends.input = os.pipe2(os.O_CLOEXEC)
        ends.hold(ends.input, ends.stdin)


def _open_terminal(ends: _Ends, size: TerminalSize) -> None:
    ours, theirs = os.openpty()  # no child inherits them by itself
    ends.hold(ours, theirs)
    termios.tcsetwinsize(ours, (size.rows, size.columns))
    ends.input = os.dup(ours)
    ends.ours.callback(os.close, ends.input)
    ends.outputs.append(ours)
    ends.stdin = ends.stdout = ends.stderr = theirs
    ends.terminal = os.ttyname(theirs)


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
