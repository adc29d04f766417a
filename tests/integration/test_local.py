"""Local sandboxes: their start, their end, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox_tools import (
    AsyncSandbox,
    NotOwned,
    Refused,
    Sandbox,
    SandboxClosed,
    SandboxError,
    StartError,
    Unreachable,
    session_of,
)
from sandbox_tools.providers import local
from tests.conftest import COVERAGE, RunningServer
from tests.integration.test_commands import alive, gone


def server_pid(sandbox: Sandbox) -> int:
    """The process that a sandbox's commands are children of."""
    return int(sandbox.run("echo $PPID").output)


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """What is in this test's own folder for temporary files."""
    with tempfile.TemporaryDirectory(prefix="tests-") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield lambda: os.listdir(folder)


def test_a_sandbox_ends_with_its_block_and_leaves_nothing_behind(folders: Callable[[], list[str]]) -> None:
    """No process, no folder, no descriptor."""
    with Sandbox.local():  # what Python opens once and keeps is opened now
        pass
    descriptors = len(os.listdir("/proc/self/fd"))
    with Sandbox.local() as sandbox:
        pid = server_pid(sandbox)
        job = int(sandbox.run("sleep 60 & echo $!").output)
        assert folders()
    assert not alive(pid)
    assert not alive(job)
    assert folders() == []
    assert len(os.listdir("/proc/self/fd")) == descriptors
    sandbox.close()


def test_a_given_folder_is_used_and_kept(tmp_path: Path) -> None:
    """It is the user's project."""
    (tmp_path / "project").mkdir()
    (tmp_path / "link").symlink_to("project")
    with Sandbox.local(tmp_path / "link") as sandbox:
        assert sandbox.work_dir == str(tmp_path / "project")
        sandbox.write("a.txt", "x")
    assert (tmp_path / "project" / "a.txt").read_text() == "x"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Making it could hide a misspelt path."""
    with pytest.raises(StartError, match="is not there"):
        Sandbox.local(tmp_path / "nothing")


async def test_what_is_no_setting_is_said_before_anything_starts(folders: Callable[[], list[str]]) -> None:
    """A sandbox that cannot run a command is none."""
    with pytest.raises(StartError, match="the value of A must be a text"):
        Sandbox.local(env={"A": 1})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="at least 1 second"):
        Sandbox.local(timeout=0)
    with pytest.raises(ValueError, match="at least 1 second"):
        await AsyncSandbox.local(timeout=0)
    with pytest.raises(TypeError, match="Pass a sandbox or a session"):
        session_of(None)  # type: ignore[arg-type]
    assert folders() == []


async def test_a_close_that_is_cancelled_still_ends_the_sandbox() -> None:
    """The cancel comes after it."""
    sandbox = await AsyncSandbox.local()
    pid = int((await sandbox.run("echo $PPID")).output)
    closing = asyncio.create_task(sandbox.aclose())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert gone(pid)
    await sandbox.aclose()


def test_a_sandbox_that_was_closed_says_so(sandbox: Sandbox) -> None:
    """Rather than a broken socket's error."""
    sandbox.close()
    with pytest.raises(SandboxClosed):
        sandbox.bash("true")
    with pytest.raises(SandboxClosed):
        asyncio.run(sandbox.session.acall_tool("bash", {"command": "true"}))


def test_a_server_that_died_is_said_at_once(sandbox: Sandbox) -> None:
    """Nobody will listen there again, so there is nothing to wait for."""
    os.kill(server_pid(sandbox), signal.SIGKILL)
    assert gone_status(sandbox)
    for call in (lambda: sandbox.read("x"), lambda: sandbox.write("x", "y"), lambda: sandbox.edit("x", "y", "z")):
        with pytest.raises(Unreachable) as caught:
            call()
        assert caught.value.final


def gone_status(sandbox: Sandbox) -> bool:
    for _ in range(500):
        if sandbox.status == "STOPPED":
            return True
        threading.Event().wait(0.01)
    return False


OWNER = """
import os, signal, sys, time
from sandbox_tools import Sandbox
sandbox = Sandbox.local()
job = int(sandbox.run("setsid sleep 60 & echo $!").output)
print(int(sandbox.run("echo $PPID").output), job, os.path.dirname(sandbox.work_dir), flush=True)
{ending}
"""


@pytest.mark.parametrize(
    "ending",
    [
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os._exit(0)",
        "sys.exit(0)",
        "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
        "raise RuntimeError",
        "os.fork() or time.sleep(5); os.kill(os.getpid(), signal.SIGKILL)",
    ],
    ids=["SIGKILL", "os._exit", "sys.exit", "SIGTERM", "exception", "SIGKILL with a forked child alive"],
)
def test_a_sandbox_ends_with_its_owner_however_that_ends(ending: str) -> None:
    """A crashed agent must not leave servers and jobs behind."""
    program = OWNER.format(ending=ending)
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **COVERAGE},
    ) as owner:
        assert owner.stdout is not None
        server, job, folder = owner.stdout.readline().split()
        owner.wait(30)
        assert gone(int(server), 20)
        assert gone(int(job))
    assert not os.path.exists(folder)


def test_a_forked_child_does_not_end_its_parents_sandbox(sandbox: Sandbox) -> None:
    """Only the creator ends a sandbox; a worker process that inherits it must not."""
    child = os.fork()
    if child == 0:
        sandbox.close()
        os.kill(os.getpid(), signal.SIGKILL)  # nothing of pytest may run in here
    os.waitpid(child, 0)
    assert sandbox.bash("echo on").output.startswith("on\n")


def test_a_sandbox_that_is_dropped_open_warns_and_ends() -> None:
    """What was forgotten is ended all the same, and the author learns of it."""
    program = """
        from sandbox_tools import Sandbox
        sandbox = Sandbox.local()
        print(int(sandbox.run("echo $PPID").output), flush=True)
        del sandbox
        print(open(f"/proc/self/task/{__import__('os').getpid()}/children").read() or "none", flush=True)
    """
    ended = subprocess.run(
        [sys.executable, "-W", "default", "-c", textwrap.dedent(program)],
        env={**os.environ, **COVERAGE},
        capture_output=True,
        text=True,
        check=True,
    )
    pid, children = ended.stdout.splitlines()
    assert children == "none"
    assert not alive(int(pid))
    assert "ResourceWarning: A local sandbox in" in ended.stderr


def test_none_of_the_owners_secrets_reach_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and tokens go in by name or not at all."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with Sandbox.local(env={"ASKED_FOR": "yes"}) as sandbox:
        environment = sandbox.run("env; cat /proc/$PPID/environ").output
    assert b"secret" not in environment
    assert b"ASKED_FOR=yes" in environment


def test_modules_in_the_working_directory_do_not_reach_the_server(tmp_path: Path) -> None:
    """An agent that writes `json.py` must not take its own sandbox over."""
    for name in ("json", "fastapi", "sandbox_tools_server"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken over')\n")
    with Sandbox.local(tmp_path) as sandbox:
        assert sandbox.run("true").exit_code == 0


def test_a_server_that_cannot_start_says_why_and_leaves_nothing(
    folders: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason is in its log, which goes with it."""
    with pytest.raises(StartError, match="SANDBOX_TOOLS_ENV"):
        Sandbox.local(env={"A": "\0"})
    monkeypatch.setattr(local, "PASSED_ON", (*local.PASSED_ON, "SANDBOX_TOOLS_PORT"))
    monkeypatch.setenv("SANDBOX_TOOLS_PORT", "many")
    with pytest.raises(StartError, match="SANDBOX_TOOLS_PORT"):
        Sandbox.local()
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(StartError, match="/no/such/python"):
        Sandbox.local()
    assert folders() == []


def test_a_start_that_is_interrupted_leaves_nothing_behind(
    folders: Callable[[], list[str]],
) -> None:
    """Ctrl-C while the server is starting."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.15)
    try:
        with pytest.raises(KeyboardInterrupt):
            Sandbox.local()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert folders() == []


def test_a_temporary_folder_with_a_long_name_is_no_obstacle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A socket's path has 108 bytes at the most."""
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with Sandbox.local() as sandbox:
        assert sandbox.run("true").exit_code == 0


def test_a_server_that_will_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`close` comes back in any case."""
    monkeypatch.setattr(local, "STOP_TIMEOUT", 0.2)
    with Sandbox.local() as sandbox:
        pid = server_pid(sandbox)
        os.kill(pid, signal.SIGSTOP)
    assert not alive(pid)


def test_a_server_whose_owner_is_gone_already_ends_at_once(tmp_path: Path) -> None:
    """The owner may die while its server is still starting."""
    with subprocess.Popen(["true"]) as owner:
        owner.wait()
    environment = {"PATH": os.environ["PATH"], **COVERAGE, "SANDBOX_TOOLS_TOKEN": "x", "SANDBOX_TOOLS_PORT": "0"}
    ended = subprocess.run(
        [sys.executable, "-m", "sandbox_tools_server"],
        env={**environment, "SANDBOX_TOOLS_OWNER_PID": str(owner.pid)},
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0


# Connecting


def test_whoever_connects_does_not_end_the_sandbox(sandbox: Sandbox) -> None:
    """Only its creator does."""
    with Sandbox.connect(sandbox.url, token=sandbox.token, work_dir="/") as guest:
        assert guest.run("pwd").output == b"/\n"
        assert guest.status == "RUNNING"
        with pytest.raises(NotOwned) as caught:
            guest.delete()
        assert isinstance(caught.value, RuntimeError)
    assert sandbox.run("true").exit_code == 0


async def test_async_connect(server: RunningServer) -> None:
    """With the right token, with a wrong one, and to an end that is not ours."""
    async with await AsyncSandbox.connect(server.url, token=server.token) as sandbox:
        assert (await sandbox.run("echo hi")).output == b"hi\n"
        with pytest.raises(NotOwned):
            await sandbox.delete()
    with pytest.raises(Refused) as caught:
        await AsyncSandbox.connect(server.url, token="wrong")
    assert caught.value.code == "unauthorized"


def test_a_wrong_token_is_told_when_connecting(server: RunningServer) -> None:
    """Not at the first tool call of a model, which can do nothing about it."""
    with pytest.raises(Refused) as caught:
        Sandbox.connect(server.url, token="wrong")
    assert caught.value.code == "unauthorized"


def test_a_token_that_turns_wrong_is_raised_and_not_told_to_the_model(
    new_server: Callable[..., RunningServer],
) -> None:
    """The program must mend it."""
    server = new_server()
    with server.connect() as sandbox:
        server.stop()
        new_server(port=server.url.rpartition(":")[2])
        with pytest.raises(Refused) as caught:
            sandbox.bash("true")
    assert caught.value.code == "unauthorized"


@pytest.mark.parametrize("target", ["owner/space", "ftp://host", "http://", "", "localhost:7860"])
def test_what_is_no_address_is_said(target: str) -> None:
    """With what an address looks like."""
    with pytest.raises(SandboxError, match="no address"):
        Sandbox.connect(target, token="x")


def test_nobody_at_the_socket_is_said_at_once() -> None:
    """A local sandbox that is gone does not come back."""
    with pytest.raises(Unreachable):
        Sandbox.connect("unix:/no/such/socket", token="x")


# Interruptions


async def test_a_cancelled_call_ends_its_command_and_nothing_else() -> None:
    """A framework cancels a slow tool; the build must not go on alone."""
    async with await AsyncSandbox.local() as sandbox:
        other = int((await sandbox.run("sleep 60 & echo $!")).output)
        call = asyncio.create_task(sandbox.bash("echo $$ > pid; sleep 60 & wait"))
        pid = await wait_for_number(sandbox, "pid")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not alive(pid)
        assert alive(other)
        assert (await sandbox.bash("echo on")).success


async def test_a_call_that_is_cancelled_twice_still_ends_its_command() -> None:
    """An impatient framework cancels again while the first cancel is under way."""
    async with await AsyncSandbox.local() as sandbox:
        call = asyncio.create_task(sandbox.bash("trap '' TERM; echo $$ > pid; while :; do sleep 0.1; done"))
        pid = await wait_for_number(sandbox, "pid")
        for _ in range(3):
            call.cancel()
            await asyncio.sleep(0.1)
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not alive(pid)


async def wait_for_number(sandbox: AsyncSandbox, path: str) -> int:
    file = Path(sandbox.work_dir or "") / path
    while not file.exists() or not file.read_text().strip():  # noqa: ASYNC110  (another process writes it)
        await asyncio.sleep(0.01)
    return int(file.read_text())


def test_ctrl_c_ends_the_command(tmp_path: Path) -> None:
    """Whoever presses it means the command too."""
    program = textwrap.dedent("""
        from sandbox_tools import Sandbox
        with Sandbox.local(".") as sandbox:
            try:
                sandbox.bash("echo $$ > pid.new; mv pid.new pid; sleep 60")
            except KeyboardInterrupt:
                pid = int(open("pid").read())
                print("ended" if sandbox.run(f"kill -0 {pid}").exit_code else "alive", flush=True)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, env={**os.environ, **COVERAGE}
    ) as process:
        while not (tmp_path / "pid").exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert output == b"ended\n"


async def test_a_start_that_is_cancelled_leaves_nothing_behind(folders: Callable[[], list[str]]) -> None:
    """Whoever gives up waiting must not have to clean up."""
    starting = asyncio.create_task(AsyncSandbox.local())
    while not folders():  # noqa: ASYNC110  (a thread makes it)
        await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert folders() == []


async def test_a_waiting_edit_that_is_cancelled_gives_its_turn_on() -> None:
    """Or every later edit of the session would wait for ever."""
    async with await AsyncSandbox.local() as sandbox:
        await sandbox.write("a.txt", "0")
        queue = sandbox.session.shared._context.mutations
        mine = queue.enter()
        calls: list[asyncio.Task[Any]] = [
            asyncio.create_task(sandbox.edit("a.txt", "0", "1")),
            asyncio.create_task(sandbox.edit("a.txt", "0", "2")),
        ]
        await asyncio.sleep(0.05)
        calls[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await calls[0]
        queue.leave(mine)
        assert (await calls[1]).success


def test_an_event_loop_that_ends_leaves_no_connection_open(sandbox: Sandbox) -> None:
    """Warnings are errors here: an open transport would be one."""
    for _ in range(3):
        asyncio.run(sandbox.session.acall_tool("bash", {"command": "true"}))
    gc.collect()
