"""Commands that print without end, print strange things, or come in crowds: bounded, counted, and nothing lost."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import threading
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox_tools import ALL_TOOLS, CommandResult, Sandbox
from sandbox_tools_server.processes import Commands
from sandbox_tools_server.settings import Settings, digest
from sandbox_tools_server.wire import CommandStart
from tests.conftest import RunningServer
from tests.integration.test_command_streams import until
from tests.integration.test_commands import parsed

MIB = 1024 * 1024
KEEP_OUTPUT = 8 * MIB
KEEP_LOGS = 16 * MIB


class Watch:
    """Looks at the size of a folder again and again, and notes the largest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.most = 0

    def look(self) -> int:
        """How many bytes the files in it have."""
        size = 0
        for entry in os.scandir(self.folder):
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                size += entry.stat().st_size
        self.most = max(self.most, size)
        return size

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """Look all the time."""
        over = threading.Event()

        def work() -> None:
            while not over.wait(0.002):
                self.look()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def run_unread(client: httpx.Client, command: str, **body: Any) -> dict[str, Any]:
    """Run a command to its exit without fetching any of its output: an answer with `sizes`."""
    id = uuid.uuid4().hex
    query = {"after": 2**62}
    answer = parsed(client.put(f"/v1/commands/{id}", params=query, json={"command": command, **body}))
    while "exited" not in answer:
        answer = parsed(client.get(f"/v1/commands/{id}", params=query))
    return answer


def fetch(client: httpx.Client, id: str) -> Iterator[tuple[str, int, bytes]]:
    """All that is kept of a command's output: pieces and gaps, with where they end."""
    after = 0
    while True:
        events = client.get(f"/v1/commands/{id}", params={"after": after}).json()["events"]
        for event in events:
            if event["kind"] == "output":
                data = base64.b64decode(event["data"])
                assert event["offset"] == after
                after += len(data)
                yield "output", after, data
            elif event["kind"] == "gap":
                assert event["start"] == after
                after = event["end"]
                yield "gap", after, b""
            elif event["kind"] == "exited":
                return


@pytest.mark.parametrize(
    ("command", "unit"),
    [("yes", b"y\n"), ("head -c 2G /dev/zero", b"\0"), ("yes 'a line'", b"a line\n")],
    ids=["yes", "zeros", "lines"],
)
def test_a_flood_is_counted_and_its_ends_are_kept_within_the_bounds(
    new_server: Callable[..., RunningServer], tmp_path: Path, command: str, unit: bytes
) -> None:
    """A disk has an end, too, and whoever reads the tail must know where it stands."""
    server = new_server(log_dir=tmp_path / "logs", keep_output=KEEP_OUTPUT)
    watch = Watch(tmp_path / "logs")
    with watch.going_on():
        answer = run_unread(server.client, command, timeout=3)
    size = answer["sizes"]["stdout"]
    pieces = list(fetch(server.client, answer["id"]))
    kept = sum(len(data) for _, _, data in pieces)
    assert KEEP_OUTPUT // 2 <= kept <= KEEP_OUTPUT
    assert watch.look() <= watch.most <= KEEP_OUTPUT
    assert [kind for kind, _, _ in pieces].count("gap") == 1
    assert pieces[-1][1] == size
    assert answer["exited"]["dropped"] == size - kept
    assert answer["exited"]["timed_out"] or size == 2 * 1024 * MIB
    for kind, end, data in pieces:
        phase = (end - len(data)) % len(unit)
        assert kind == "gap" or data == (unit * (len(data) // len(unit) + 2))[phase : phase + len(data)]


def test_floods_one_after_the_other_stay_within_the_bound_of_all(
    new_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    """What is over gives way to what runs."""
    server = new_server(log_dir=tmp_path / "logs", keep_output=KEEP_OUTPUT, keep_logs=KEEP_LOGS)
    watch = Watch(tmp_path / "logs")
    with watch.going_on(), ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: run_unread(server.client, "head -c 64M /dev/zero"), range(12)))
    assert [answer["sizes"]["stdout"] for answer in answers] == [64 * MIB] * 12
    assert KEEP_OUTPUT < watch.most <= KEEP_LOGS


def test_nothing_of_a_flood_is_left_when_its_time_is_up(
    new_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    """A sandbox that runs for weeks must not fill its disk."""
    server = new_server(log_dir=tmp_path / "logs", keep_output=KEEP_OUTPUT, keep_seconds=0)
    id = run_unread(server.client, "head -c 64M /dev/zero")["id"]
    watch = Watch(tmp_path / "logs")
    until(lambda: not watch.look())
    assert server.client.get(f"/v1/commands/{id}").json()["code"] == "unknown_command"


async def test_a_flood_is_held_in_little_memory(tmp_path: Path) -> None:
    """However much is printed, and however slow the disk is."""
    settings = Settings(token_sha256=digest("x"), work_dir=tmp_path, log_dir=tmp_path / "logs", keep_output=KEEP_OUTPUT)
    commands = Commands(settings, "boot", os.environ)
    tracemalloc.start()
    try:
        command = await commands.start("flooding", CommandStart(command="head -c 512M /dev/zero"))
        await command.wait({"stdout": 0}, 60)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        await commands.stop()
    assert command.sizes == {"stdout": 512 * MIB}
    assert most < 4 * MIB


def test_a_flood_is_shown_by_its_two_ends_with_the_right_counts(sandbox: Sandbox) -> None:
    """A model reads 25,000 characters of it and knows what it did not read."""
    result = sandbox.bash("yes", timeout=3)
    assert result.error.startswith("Timed out after 3")
    head, notice, tail = re.split(r"(?<=\n)(\[… .*\]\n)", result.output)
    omitted = re.match(r"\[… more than [\d,]+ lines \(([\d,]+) bytes\) omitted\. .* /\S+\.log\b", notice)
    assert omitted
    assert (head, tail) == ("y\n" * (len(head) // 2), "y\n" * (len(tail) // 2))
    assert 2_000 < len(head) <= len(tail) / 3 + 2
    assert len(str(result)) <= 25_000
    [status] = sandbox.commands()
    assert int(omitted[1].replace(",", "")) + len(head) + len(tail) == status.output_bytes


def test_two_gigabytes_of_nothing_are_counted(sandbox: Sandbox) -> None:
    """NULs show nothing, but they came."""
    result = sandbox.bash("echo on; head -c 2G /dev/zero; echo off")
    assert result.success
    left_out = re.fullmatch(r"on\n\[([\d,]+) bytes left out here\]\noff\n\[.*\]\n\[exit code 0 .*\]", result.output)
    assert left_out
    assert 2 * 1024 * MIB - 2 * MIB <= int(left_out[1].replace(",", "")) < 2 * 1024 * MIB


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (r"printf 'a\xff\xfeb\xc3(\xe2\x82\xac\n'", r"a��b�\(€\n"),
        (r"printf 'a\0b\0\0c\n'", r"abc\n"),
        (
            "echo on; head -c 10M /dev/zero | tr '\\0' x; echo; echo off",
            r"on\nx+… \[line of [\d,]+ characters, cut\]\n.*off\n.*",
        ),
        (r"for i in $(seq 0 5 100); do printf '\r%3d %%' $i; done; echo; echo off", r"100 %\noff\n"),
        ("read -r line || echo none; cat; echo off", r"none\noff\n"),
        (r"printf '\033[31mred\033[0m \033]0;title\007text\n'", r"red text\n"),
    ],
    ids=["not UTF-8", "NULs", "a line of 10 MB", "a progress bar", "reads stdin", "colours and a title"],
)
def test_strange_output_is_shown_as_text(sandbox: Sandbox, command: str, shown: str) -> None:
    """A model reads text; nothing of it may be lost, and nothing break the answer."""
    result = sandbox.bash(command)
    assert re.fullmatch(shown + r"\[exit code 0 after [\d.]+ s\]", result.output, re.DOTALL)
    assert len(result.output) <= 25_000


def test_500_calls_are_answered_beside_64_that_wait(sandbox: Sandbox) -> None:
    """One agent's training run must not hold up another one's `ls`."""
    session = sandbox.new_session()
    with ThreadPoolExecutor(64) as waiting, ThreadPoolExecutor(8) as threads:
        long = [waiting.submit(sandbox.run, "echo on; sleep 600") for _ in range(64)]
        until(lambda: sum(status.output_bytes > 0 for status in sandbox.commands()) == len(long))
        answers = list(threads.map(lambda n: session.call_tool("bash", {"command": f"echo {n}"}).output, range(500)))
        assert [answer.splitlines()[0] for answer in answers] == [str(number) for number in range(500)]
        assert not any(call.done() for call in long)
        sandbox.kill_all()
        ended: list[CommandResult] = [call.result() for call in long]
    assert {(result.output, result.killed) for result in ended} == {(b"on\n", True)}


def test_all_that_is_printed_before_and_after_the_polite_signal_is_kept(sandbox: Sandbox) -> None:
    """What a program says when it is told to end is often the reason why it was late."""
    command = "trap 'seq 100000 199999; exit 3' TERM; seq 1 99999; sleep 60 & wait"
    result = sandbox.run(command, timeout=2)
    assert result.timed_out
    assert result.output == b"".join(b"%d\n" % number for number in range(1, 200_000))


def test_a_background_job_holds_up_nothing_and_is_heard_later(sandbox: Sandbox) -> None:
    """`server &` is how models start servers."""
    session = sandbox.new_session(tools=ALL_TOOLS)
    command = "sleep 300 & (until [ -e go ]; do sleep 0.05; done; echo late) & echo hi"
    assert session.call_tool("bash", {"command": command}).output.startswith("hi\n[exit code 0 ")
    [job] = [status.id for status in sandbox.commands() if status.left_running]
    assert job in session.call_tool("bash_jobs").output
    sandbox.write("go", "")
    assert session.call_tool("bash_output", {"job": job, "wait": 60}).output.startswith("late\n")
    assert session.call_tool("bash_kill", {"job": job}).success
    assert not any(status.left_running for status in sandbox.commands())
