"""Whatever a command grows into, every way to end it leaves nothing of it alive."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from sandbox_tools import AsyncSandbox
from tests import conftest
from tests.conftest import RunningServer, start_server
from tests.integration.test_command_streams import until
from tests.integration.test_commands import start

TREES = {
    "child": "sleep {mark} &",
    "child in another session": "setsid sleep {mark} &",
    "orphan in another session": "setsid bash -c 'setsid sleep {mark} &'",
    "double-forked daemon": "(setsid bash -c '(sleep {mark} &) &' </dev/null &>/dev/null &)",
    "loop that ignores TERM and starts anew": "(trap '' TERM; while :; do setsid sleep {mark} & sleep 0.05; done) &",
    "child in another group": "set -m; sleep {mark} &",
    "stopped child in another session": "setsid bash -c 'kill -STOP $$; exec sleep {mark}' &",
}
"""What a command can be tied to, by kinship or by the id in its environment."""

DAEMON = "env -i setsid bash -c 'env -i setsid sleep {mark} &' &>/dev/null"
"""What cannot: other parent, other session, empty environment."""

STAYS = "\necho ready; sleep {mark}"
LEAVES = "\necho ready"
"""Whether a command's shell is still there when its end comes, or only what it left running."""

ORDINARY = 65534
"""The user `nobody`, who owns nothing."""


def alive(mark: str) -> list[str]:
    """The command lines that have a mark in them, of all processes that live."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it ended while we looked, or is none
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found += [f"{entry.name} {line}"] if mark in line else []
    return found


class Grove:
    """Commands whose processes carry marks by which they are found, wherever they went."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.marks: dict[str, str] = {}

    def command(self, tree: str, ending: str = STAYS) -> str:
        """The command that grows a tree."""
        mark = f"600.{secrets.randbelow(10**12):012}"
        self.marks[f"{tree}; its shell {'stays' if ending == STAYS else 'leaves'}"] = mark
        return ({**TREES, "daemon": DAEMON}[tree] + ending).format(mark=mark)

    def plant(self, *trees: str) -> list[str]:
        """Start each tree twice, once with a shell that leaves, and return the ids when all are grown."""
        commands = [self.command(tree, ending) for tree in trees for ending in (STAYS, LEAVES)]
        ids = [start(self.client, command, wait=0)["id"] for command in commands]
        self.wait_until_grown()
        return ids

    def wait_until_grown(self) -> None:
        """Wait until every command has said that it is ready."""
        until(lambda: len(self.grown()) == len(self.marks))
        until(lambda: len(self.living()) == len(self.marks))  # one that starts anew is gone for a moment

    def grown(self) -> list[str]:
        """The commands that have said something."""
        statuses = self.client.get("/v1/commands").json()["commands"]
        marks = self.marks.values()
        return [s["id"] for s in statuses if s["output_bytes"] and any(mark in s["command"] for mark in marks)]

    def living(self) -> dict[str, list[str]]:
        """What lives, by tree."""
        living = {tree: alive(mark) for tree, mark in self.marks.items()}
        return {tree: lines for tree, lines in living.items() if lines}

    def fell(self) -> None:
        """End what a failed test leaves."""
        for line in [line for lines in self.living().values() for line in lines]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), signal.SIGKILL)


USERS = {"of the tests' user": None, "of an ordinary user": ORDINARY}


@contextlib.contextmanager
def running(user: int | None, folder: Path) -> Iterator[RunningServer]:
    """A server of some user."""
    if user is None:
        server = start_server(folder)
    else:
        if os.getuid() != 0:
            pytest.skip("the tests are run by an ordinary user already")
        python = python_for(user)
        if python is None:
            pytest.skip("no Python here may be run by an ordinary user")
        server = start_as(user, python, folder)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module", params=USERS)
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """A server that the tests of this module share, once as root and once not, if root runs the tests."""
    with tempfile.TemporaryDirectory() as folder, running(USERS[request.param], Path(folder)) as server:
        yield server


@pytest.fixture
def grove(server: RunningServer) -> Iterator[Grove]:
    grove = Grove(server.client)
    yield grove
    grove.fell()


def packages() -> dict[str, str]:
    """What another Python needs to find our packages."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PATH": os.environ["PATH"]}


@functools.cache
def python_for(user: int) -> str | None:
    """A Python that a user may run: the tests' own may lie in root's home folder."""
    name = "python{}.{}".format(*sys.version_info)
    for python in (sys.executable, shutil.which(name, path=os.defpath)):
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            if python:
                probe = [python, "-c", "import sandbox_tools_server.app"]
                subprocess.run(probe, env=packages(), cwd="/", user=user, group=user, extra_groups=[], check=True)
                return python
    return None


def start_as(user: int, python: str, folder: Path) -> RunningServer:
    """Start a server as another user, in a folder of that user."""
    os.chown(folder, user, user)
    token = secrets.token_hex(16)
    port = conftest.free_port()
    settings = {"TOKEN": token, "PORT": str(port), "WORK_DIR": str(folder)}
    environment = packages() | {"HOME": str(folder), "TMPDIR": str(folder)}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [python, "-m", "sandbox_tools_server"],
            env=environment | {f"SANDBOX_TOOLS_{name}": value for name, value in settings.items()},
            cwd=folder,
            stdout=log,
            stderr=log,
            user=user,
            group=user,
            extra_groups=[],
        )
    server = RunningServer(process, f"http://127.0.0.1:{port}", token, folder, folder / "server.log")
    conftest._wait_until_healthy(server)
    return server


def test_what_is_left_running_is_said(grove: Grove) -> None:
    """Whoever reads the answer must know that a port is still taken, though no output will come."""
    answers = {tree: start(grove.client, grove.command(tree, LEAVES))["exited"] for tree in TREES}
    assert {tree: answer["left_running"] for tree, answer in answers.items()} == dict.fromkeys(TREES, True)
    grove.client.delete("/v1/commands")


def test_a_timeout_leaves_nothing(grove: Grove) -> None:
    """What lives on holds ports and files, and surprises the next command."""
    commands = [grove.command(tree) for tree in TREES]
    with ThreadPoolExecutor(len(commands)) as threads:
        answers = list(threads.map(lambda command: start(grove.client, command, timeout=2), commands))
    assert grove.living() == {}
    told = [(answer["output"], answer["exited"]["timed_out"], answer["exited"]["unverified"]) for answer in answers]
    assert dict(zip(TREES, told, strict=True)) == dict.fromkeys(TREES, (b"ready\n", True, False))


def test_a_kill_leaves_nothing(grove: Grove) -> None:
    """And says so, because that was looked up."""
    ids = grove.plant(*TREES)
    with ThreadPoolExecutor(len(ids)) as threads:
        ends = list(threads.map(lambda id: grove.client.delete(f"/v1/commands/{id}").json(), ids))
    assert grove.living() == {}
    assert [(end["result"], end["unverified"]) for end in ends] == [("killed", False)] * len(ids)


def test_ending_all_leaves_nothing(grove: Grove) -> None:
    """Not even the daemon that cannot be tied to its command."""
    grove.plant(*TREES, "daemon")
    assert grove.client.delete("/v1/commands").json()["unverified"] is False
    assert grove.living() == {}


async def test_a_cancelled_call_leaves_nothing(grove: Grove, server: RunningServer) -> None:
    """A framework that gives up a tool call must not have to clean up after it."""
    async with await AsyncSandbox.connect(server.url, token=server.token) as sandbox:
        calls = [asyncio.create_task(sandbox.run(grove.command(tree))) for tree in TREES]
        await asyncio.to_thread(grove.wait_until_grown)
        for call in calls:
            call.cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert grove.living() == {}
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * len(calls)


@pytest.mark.parametrize("end", ["timeout", "kill", "exit"])
def test_a_daemon_that_shed_every_trace_is_said_and_goes_with_all(grove: Grove, end: str) -> None:
    """It cannot be tied to its command, so no answer may claim that all is gone until all is ended."""
    if end == "timeout":
        answer = start(grove.client, grove.command("daemon"), timeout=2)["exited"]
    elif end == "exit":
        answer = start(grove.client, grove.command("daemon", LEAVES))["exited"]
    else:
        id = start(grove.client, grove.command("daemon"), wait=0)["id"]
        grove.wait_until_grown()
        answer = grove.client.delete(f"/v1/commands/{id}").json()
    assert answer["unverified"] is True
    [[daemon]] = grove.living().values()
    assert " sleep " in daemon
    assert grove.client.delete("/v1/commands").json()["unverified"] is False
    assert grove.living() == {}


@pytest.mark.parametrize("user", USERS)
def test_a_stop_of_the_server_leaves_nothing(user: str) -> None:
    """Whoever ends a sandbox has ended what ran in it."""
    with tempfile.TemporaryDirectory() as folder, running(USERS[user], Path(folder)) as server:
        grove = Grove(server.client)
        grove.plant(*TREES, "daemon")
        assert server.stop() == 0
    left = grove.living()
    grove.fell()
    assert left == {}
