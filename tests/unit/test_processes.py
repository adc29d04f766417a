"""The parts of the command engine that a client cannot reach on purpose."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.processes import tree
from sandbox_tools_server.processes.bell import Bell
from sandbox_tools_server.processes.spawn import Spawner
from sandbox_tools_server.wire import CommandStart
from tests.conftest import COVERAGE


async def test_a_bell_wakes_all_that_wait_and_says_whether_it_rang() -> None:
    """Or the time is up."""
    bell = Bell()
    waiting = [asyncio.create_task(bell.wait(10)) for _ in range(3)]
    await asyncio.sleep(0)
    bell.ring()
    assert await asyncio.gather(*waiting) == [True] * 3
    assert await bell.wait(0) is False


async def test_a_bell_that_rings_as_the_time_is_up_does_no_harm() -> None:
    """Both settle the same future; the first one wins."""
    bell = Bell()
    waiting = asyncio.create_task(bell.wait(0))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0, bell.ring)
    assert await waiting is False


def test_a_process_is_never_taken_for_a_later_one_with_its_pid() -> None:
    """A signal that reaches a stranger is worse than one that reaches nobody."""
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        [process] = [p for p in tree.processes() if p.pid == sleeper.pid]
        other = tree.Process(process.pid, process.parent, process.group, process.session, process.started - 1)
        tree.send(other, 9)
        assert sleeper.poll() is None
        tree.send(process, 9)
        assert sleeper.wait(10) == -9
    tree.send(process, 9)


async def test_a_shell_that_cannot_be_watched_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last descriptor may go to someone else between the start and the look; a command that runs unseen is lost."""
    pids: list[int] = []

    def none_left(pid: int) -> int:
        pids.append(pid)
        raise OSError(errno.EMFILE, "Too many open files")

    before = len(os.listdir("/proc/self/fd"))
    spawner = Spawner()
    monkeypatch.setattr(os, "pidfd_open", none_left)
    with pytest.raises(Refused) as caught:
        await spawner.spawn(CommandStart(command="sleep 60"), "/", {"PATH": os.environ["PATH"]})
    spawner.close()
    assert caught.value.code == "file_error"
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_what_will_not_die_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that waits for a broken disk dies when the kernel likes; the answer must not wait for it."""
    monkeypatch.setattr(tree, "PATIENCE", 0.01)
    undead = tree.Process(2**22 + 1, 1, 1, 1, 1)
    assert await tree.end(lambda: [undead], grace=0.01) is False


def test_starts_and_ends_that_cross(tmp_path: Path) -> None:
    """A kill waits for a command that is being started, a stop lets none start, and ids are not kept for ever."""
    program = textwrap.dedent("""
        import asyncio
        from sandbox_tools_server.errors import Refused
        from sandbox_tools_server.processes import Commands, commands
        from sandbox_tools_server.settings import Settings
        from sandbox_tools_server.wire import CommandStart

        async def main():
            engine = Commands(Settings(token_sha256="0" * 64), "boot", {"PATH": "/usr/bin:/bin"})
            spec = CommandStart(command="sleep 60")
            crossing = asyncio.create_task(engine.start("crossing", spec))
            await asyncio.sleep(0)
            print((await engine.end("crossing")).result, (await crossing).exit.killed)
            crossing = asyncio.create_task(engine.start("crossing2", spec))
            await asyncio.sleep(0)
            print((await engine.end_all()).ended, (await crossing).exit.killed)
            commands.TOMBSTONES = 2
            for number in range(4):
                await engine.end(f"unknown{number}")
            for number in (0, 3):
                print((await engine.end(f"unknown{number}")).result)
            await engine.stop()
            try:
                await engine.start("late", spec)
            except Refused as refusal:
                print(refusal.code, refusal.problem().retryable)

        asyncio.run(main())
    """)
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], **COVERAGE},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout.splitlines() == [
        "killed True",
        "['crossing2'] True",
        "unknown",
        "unknown",
        "shutting_down True",
    ], ended.stderr


def test_a_later_session_with_the_pid_of_a_shell_is_a_stranger() -> None:
    """Pids come round; a kill of what an old command left must not reach a server that has its shell's pid now."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        assert [process.pid for process in tree.started_by(stranger.pid, "old-command")] == [stranger.pid]
        assert tree.started_by(stranger.pid, "old-command", gone_at=tree.now() - 60) == []
        stranger.kill()
