"""Commands that print very much: how fast it is taken, and how much memory that needs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from measure import Benchmark, Contender
from ours import connect, environment_of
from swerex import swe_rex

from sandbox_tools import Sandbox

MIB = 1024 * 1024

MUCH = "yes | head -c 1G"
LESS = "yes | head -c 256M"
"""What is fetched, too, and held in memory by whoever fetches it."""


def pieces(command: str) -> Iterator[bytes]:
    """What a command prints, as a plain Python program would read it: from a pipe of 1 MiB, as much as there is."""
    output, theirs = os.pipe()
    fcntl.fcntl(output, fcntl.F_SETPIPE_SZ, MIB)
    with subprocess.Popen(["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs):
        os.close(theirs)
        while piece := os.read(output, MIB):
            yield piece
    os.close(output)


@contextmanager
def flood() -> Generator[Sequence[Contender]]:
    with Sandbox.local() as sandbox, connect(sandbox) as raw:
        yield [
            Contender("a pipe of 1 MiB, read and forgotten", lambda: deque(pieces(MUCH), maxlen=0)),
            Contender("our server, raw client", lambda: raw.run_unread(MUCH), target=2.0),
        ]


@contextmanager
def stream() -> Generator[Sequence[Contender]]:
    with Sandbox.local() as sandbox, swe_rex(environment_of(sandbox)) as other:
        yield [
            Contender("a pipe of 1 MiB, read and joined", lambda: b"".join(pieces(LESS))),
            Contender("sandbox.run", lambda: sandbox.run(LESS)),
            Contender("sandbox.stream", lambda: deque(sandbox.stream(LESS), maxlen=0)),
            other.contender("raw client", lambda: other.execute_anew(LESS)),
        ]


@contextmanager
def memory() -> Generator[Sequence[Contender]]:
    with contextlib.ExitStack() as opened:

        def ours(command: str) -> Callable[[], float]:
            """In a sandbox of its own."""
            sandbox = opened.enter_context(Sandbox.local())
            raw = opened.enter_context(connect(sandbox))
            return _over_idle(int(sandbox.run("echo $PPID").output), lambda: raw.run_unread(command))

        other = opened.enter_context(swe_rex(environment_of(opened.enter_context(Sandbox.local()))))
        yield [
            Contender("our server, `yes` for 3 s", ours("timeout 3 yes; true"), limit=50),
            Contender("our server, 2 GB of zeros", ours("head -c 2G /dev/zero"), limit=50),
            Contender("our server, a line of 1 GB", ours("head -c 1G /dev/zero | tr '\\0' x"), limit=50),
            other.contender(
                "256 MB of zeros", _over_idle(other.pid, lambda: other.execute_anew("head -c 256M /dev/zero"))
            ),
        ]


def _over_idle(pid: int, act: Callable[[], object]) -> Callable[[], float]:
    """How many megabytes more than before a process has at the most, while something is done."""

    def measured() -> float:
        with contextlib.suppress(PermissionError):  # the highest since its start will do, but may be higher
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        idle = _resident(pid, "VmRSS")
        act()
        return _resident(pid, "VmHWM") - idle

    return measured


def _resident(pid: int, field: str) -> float:
    [kibibytes] = re.findall(rf"^{field}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(kibibytes) * 1024 / 1e6


BENCHMARKS = {
    "flood": Benchmark(f"run `{MUCH}`", flood, rounds=5),
    "stream": Benchmark(f"run `{LESS}` and fetch all of it", stream, rounds=3),
    "memory": Benchmark("resident memory of the server over idle, at the most", memory, rounds=1, warm_up=0, unit="MB"),
}
