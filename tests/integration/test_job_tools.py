"""The tools for jobs on a real sandbox: commands that go on while the model does something else."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox_tools import ALL_TOOLS, DEFAULT_TOOLS, TOOLS, AsyncSandbox, Refused, Sandbox, Session, ToolResult, tool_set
from sandbox_tools.tools import CommandData, InputData, JobData, JobsData, KillData, bash
from sandbox_tools.transport import Endpoint, Transport
from tests.conftest import RunningServer

GO = "until [ -e go ]; do sleep 0.02; done"
"""Waits for the file `go`."""


def work(sandbox: Sandbox) -> Path:
    assert sandbox.work_dir is not None
    return Path(sandbox.work_dir)


@pytest.fixture
def session(sandbox: Sandbox) -> Session:
    """A session with all tools."""
    return sandbox.new_session(tools=ALL_TOOLS)


def call(session: Session, tool: str, **arguments: Any) -> ToolResult:
    return session.call_tool(tool, arguments)


def begin(session: Session, command: str, *, printed: int = 0, **arguments: Any) -> str:
    """Start a job and return its id, once it has printed so many bytes."""
    id = job_of(call(session, "bash", command=command, background=True, **arguments)).id
    until(lambda: listed(session)[id].offset >= printed)
    return id


def listed(session: Session) -> dict[str, JobData]:
    """The jobs that `bash_jobs` lists, by their ids."""
    data = call(session, "bash_jobs").data
    assert isinstance(data, JobsData)
    return {job.id: job for job in data.jobs}


def job_of(result: ToolResult) -> JobData:
    assert isinstance(result.data, JobData), result
    return result.data


def until(condition: Callable[[], object]) -> None:
    """Wait for something to become true, for 20 seconds at the most."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# What is offered


def test_a_session_has_the_default_tools_unless_it_is_given_others(sandbox: Sandbox) -> None:
    """Every tool costs the model attention, so jobs are for those who ask for them."""
    assert list(sandbox.new_session().tools) == list(DEFAULT_TOOLS) == ["bash", "read", "write", "edit"]
    assert list(sandbox.new_session(tools=["read", "bash"]).tools) == ["read", "bash"]
    assert list(sandbox.new_session(tools="bash").tools) == ["bash"]
    jobs = ["bash_output", "bash_input", "bash_kill", "bash_jobs"]
    assert list(sandbox.new_session(tools=ALL_TOOLS).tools) == list(ALL_TOOLS) == [*DEFAULT_TOOLS, *jobs]
    names = [tool["name"] for tool in sandbox.new_session(tools=ALL_TOOLS).tool_definitions()]
    assert names == list(ALL_TOOLS) == list(TOOLS)
    with pytest.raises(ValueError, match=r"There is no tool 'grep'\. There are: bash, read, .*, bash_jobs\."):
        sandbox.new_session(tools=["bash", "grep"])


@pytest.mark.parametrize("missing", ["bash_output", "bash_kill"])
def test_background_is_offered_only_to_who_can_see_and_end_a_job(missing: str, sandbox: Sandbox) -> None:
    """A job that nobody can read or stop is a trap."""
    session = sandbox.new_session(tools=[name for name in ALL_TOOLS if name != missing])
    assert session.tools["bash"] is TOOLS["bash"]
    assert "background" not in json.dumps(session.tools["bash"].definition())
    for argument in ("background", "tty"):
        refused = session.call_tool("bash", {"command": "true", argument: True})
        assert (refused.code, f"bash has no argument '{argument}'" in refused.error) == ("invalid_arguments", True)
    with_jobs = tool_set(["bash", "bash_output", "bash_kill"])["bash"]
    assert {"background", "tty"} == with_jobs.parameters["properties"].keys() - TOOLS["bash"].parameters["properties"]
    assert "background=true" in with_jobs.description


def test_the_same_session_with_other_tools_shares_all_that_it_knows(sandbox: Sandbox) -> None:
    """Frameworks are given different tools of one session; a file that one has read the other has read."""
    session = sandbox.new_session()
    sandbox.files.write("a.txt", b"one\n")
    session.call_tool("read", {"path": "a.txt"})
    more = session.with_tools(ALL_TOOLS)
    assert more.call_tool("edit", {"path": "a.txt", "old_str": "one", "new_str": "two"}).success
    assert session.call_tool("edit", {"path": "a.txt", "old_str": "two", "new_str": "three"}).success
    job = begin(more, "echo one; sleep 300")
    assert "nothing new" in session.with_tools(["bash_output"]).call_tool("bash_output", {"job": job, "wait": 0}).output
    assert list(session.tools) == list(DEFAULT_TOOLS) == list(more.with_tools(None).tools)


# Starting


def test_a_command_in_the_background_goes_on_after_its_answer(session: Session, sandbox: Sandbox) -> None:
    """A server that runs for hours must not hold up the call that starts it, nor end with it."""
    result = call(session, "bash", command=f"echo begun; {GO}; echo over", background=True)
    job = job_of(result)
    assert result.success
    assert result.output.removeprefix("begun\n") == (
        f'[job "{job.id}" runs in the background. Read on with bash_output(job="{job.id}"), write to it with '
        "bash_input, end it with bash_kill.]"
    )
    assert (job.running, job.exit_code) == (True, None)
    assert (
        call(session, "bash_output", job=job.id, since=0).output == f'begun\n[job "{job.id}" is running; next offset 6]'
    )
    (work(sandbox) / "go").touch()
    shown = call(session, "bash_output", job=job.id)
    assert re.fullmatch(rf'over\n\[job "{job.id}": exit code 0 after [\d.]+ s; next offset 11\]', shown.output)
    assert (job_of(shown).running, job_of(shown).exit_code, job_of(shown).offset) == (False, 0, 11)


def test_an_id_is_short_enough_for_a_model_to_repeat(session: Session) -> None:
    """It copies it by token, and one that is longer is copied wrongly sooner or later."""
    assert re.fullmatch("[0-9a-f]{16}", begin(session, "sleep 300"))


def test_a_job_that_fails_at_once_says_so_at_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is told that its server runs goes on as if it did."""
    monkeypatch.setattr(bash, "MOMENT", 20)
    result = call(session, "bash", command="no-such-program", background=True)
    assert not result.success
    assert "command not found\nERROR: Exit code 127 after" in str(result)
    assert (job_of(result).running, job_of(result).exit_code) == (False, 127)
    done = call(session, "bash", command="echo done", background=True)
    assert done.output.startswith("done\n[exit code 0 after ")


def test_a_job_has_no_timeout_unless_it_is_given_one(session: Session) -> None:
    """The default would end a server after four minutes; one that is asked for holds."""
    result = call(session, "bash", command="sleep 300", background=True)
    assert "will be ended" not in result.output
    result = call(session, "bash", command="echo so far; sleep 300", background=True, timeout=1)
    assert "runs in the background; it will be ended after 1 s." in result.output
    shown = call(session, "bash_output", job=job_of(result).id, wait=20)
    assert "timed out after 1" in shown.output
    assert job_of(shown).timed_out
    result = call(session, "bash", command="sleep 300", background=True, timeout=9999)
    assert "`timeout` was cut to 1200 seconds; it will be ended after 1200 s." in result.output


def test_a_terminal_is_for_jobs_only(session: Session) -> None:
    """In a call that answers at the end nobody could type into it."""
    result = call(session, "bash", command="tty", tty=True)
    assert (result.code, "background=true" in result.error) == ("invalid_arguments", True)
    job = begin(session, "tty; stty size; read -p 'Sure? ' x; echo you said $x", tty=True)
    until(lambda: "Sure?" in call(session, "bash_output", job=job, since=0, wait=0).output)
    shown = call(session, "bash_output", job=job, since=0)
    assert re.match(r"/dev/\S+\n24 80\nSure\? \n\[job ", shown.output)
    call(session, "bash_input", job=job, text="yes\n")
    until(lambda: not listed(session)[job].running)
    assert "you said yes\n[job " in call(session, "bash_output", job=job).output


async def test_a_start_that_is_cancelled_leaves_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would ever learn its id."""
    monkeypatch.setattr(bash, "MOMENT", 60)
    async with await AsyncSandbox.local() as sandbox:
        session = sandbox.new_session(tools=ALL_TOOLS)
        command = {"command": "echo $$ > pid.new; mv pid.new pid; sleep 300", "background": True}
        assert sandbox.work_dir is not None
        file = Path(sandbox.work_dir) / "pid"
        task = asyncio.create_task(session.call_tool("bash", command))
        await asyncio.to_thread(until, file.exists)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(until, lambda: not os.path.exists(f"/proc/{file.read_text().strip()}"))


# Becoming a job


def test_a_command_that_outlives_the_sessions_patience_becomes_a_job(sandbox: Sandbox) -> None:
    """For callers with a wall of their own: what the command did so far would be lost behind it."""
    session = sandbox.new_session(tools=ALL_TOOLS, yield_after=2, timeout=100)
    result = call(session, "bash", command=f"echo begun; {GO}; echo over")
    job = job_of(result)
    assert (result.success, job.running) == (True, True)
    assert result.output == (
        f'begun\n[job "{job.id}" is still running after 2 s; it will be ended after 100 s. '
        f'Read on with bash_output(job="{job.id}"), end it with bash_kill.]'
    )
    (work(sandbox) / "go").touch()
    until(lambda: "over\n" in call(session, "bash_output", job=job.id).output)
    quick = call(session, "bash", command="echo quick")
    assert (quick.output[:6], type(quick.data)) == ("quick\n", CommandData)


def test_no_answer_takes_longer_than_the_sessions_patience(sandbox: Sandbox) -> None:
    """A call that waits for a job stands before the same wall."""
    session = sandbox.new_session(tools=ALL_TOOLS, yield_after=0.2)
    job = begin(session, "sleep 300")
    shown = call(session, "bash_output", job=job, wait=240)
    assert f'[job "{job}" is running; nothing new in 0.2 s, the longest wait here; next offset 0]' == shown.output
    deaf = begin(session, "sleep 300")
    taken = call(session, "bash_input", job=deaf, text="😀" * 100_000)
    assert re.match(r"The job took [\d,]+ of 400,000 bytes: it does not read\.", taken.error)
    assert isinstance(taken.data, InputData)
    assert (taken.success, 0 < taken.data.size < 400_000) == (False, True)


def test_patience_needs_the_tools_to_go_on(sandbox: Sandbox) -> None:
    """Else the command would run where its model cannot reach it."""
    with pytest.raises(ValueError, match="yield_after needs the tools bash_output and bash_kill: pass tools=ALL_TOOLS"):
        sandbox.new_session(yield_after=20)
    session = sandbox.new_session(tools=ALL_TOOLS, yield_after=20)
    with pytest.raises(ValueError, match="yield_after needs"):
        session.with_tools(["bash", "bash_output"])
    assert list(session.with_tools(["read"]).tools) == ["read"]
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="yield_after must be above 0 seconds"):
            sandbox.new_session(tools=ALL_TOOLS, yield_after=wrong)


def test_what_a_command_left_running_is_a_job(session: Session, sandbox: Sandbox) -> None:
    """It is how most servers are started, and its output goes on after the answer."""
    result = call(session, "bash", command=f"({GO}; echo late; sleep 300) & echo early")
    assert isinstance(result.data, CommandData)
    job = result.data.id
    hint = f'still running as job "{job}" (bash_output shows what it prints, bash_kill ends it)]'
    assert result.output.startswith("early\n[exit code 0 after ")
    assert result.output.endswith(hint)
    default = sandbox.bash("sleep 300 & echo early")
    assert isinstance(default.data, CommandData)
    assert default.output.endswith(f'still running as job "{default.data.id}"]')
    (work(sandbox) / "go").touch()
    shown = call(session, "bash_output", job=job, wait=20)
    still = "something that it started is still running"
    assert re.fullmatch(rf'late\n\[job "{job}": exit code 0 after [\d.]+ s; {still}; next offset 11\]', shown.output)
    assert call(session, "bash_kill", job=job).output == f'Ended job "{job}"; nothing of it is left running.'
    closed = call(session, "bash_output", job=job)
    assert "nothing new" in closed.output
    assert "still running" not in closed.output


# Reading


def test_each_answer_shows_what_is_new(session: Session, sandbox: Sandbox) -> None:
    """A model that gets everything again each time runs out of its window."""
    job = begin(session, "cat")
    for line in ("one", "two"):
        call(session, "bash_input", job=job, text=f"{line}\n")
        shown = call(session, "bash_output", job=job, wait=20)
        assert shown.output.startswith(f"{line}\n[job ")
    nothing = call(session, "bash_output", job=job, wait=0)
    assert nothing.output == f'[job "{job}" is running; nothing new; next offset 8]'
    other = sandbox.new_session(tools=ALL_TOOLS)
    assert call(other, "bash_output", job=job).output.startswith("one\ntwo\n[job ")


def test_what_was_shown_is_known_after_the_session_was_saved(session: Session, sandbox: Sandbox) -> None:
    """An agent that is resumed in another process reads on where it was."""
    job = begin(session, "echo one; cat")
    resumed = sandbox.new_session(session.to_json())
    assert list(resumed.tools) == list(ALL_TOOLS)
    call(resumed, "bash_input", job=job, text="two\n")
    assert call(resumed, "bash_output", job=job, wait=20).output.startswith("two\n")
    assert job in call(resumed, "bash_jobs").output
    patient = sandbox.new_session(tools=ALL_TOOLS, yield_after=7)
    assert sandbox.new_session(patient.to_json()).yield_after == 7
    saved = json.loads(session.to_json())
    for wrong in ({"jobs": "[]"}, {"jobs": "{"}, {"tools": ["grep"]}, {"yield_after": "x"}, {"jobs": '{"x": [1]}'}):
        with pytest.raises(ValueError, match="no saved session"):
            sandbox.new_session(json.dumps({**saved, **wrong}))


def test_output_can_be_shown_again_from_an_offset(session: Session) -> None:
    """A model that lost its context asks again; the next answer goes on from there."""
    job = begin(session, "printf 'one\ntwo\nthree\n'; sleep 300", printed=14)
    again = call(session, "bash_output", job=job, since=4)
    assert again.output == f'two\nthree\n[job "{job}" is running; next offset 14]'
    assert call(session, "bash_output", job=job, since=0).output.startswith("one\ntwo\n")
    assert "nothing new" in call(session, "bash_output", job=job, since=14, wait=0).output
    assert "nothing new" in call(session, "bash_output", job=job, wait=0).output


def test_the_last_lines_can_be_shown(session: Session) -> None:
    """Of a long log that is what matters, and it is there at once."""
    job = begin(session, "seq 1 100; printf '\\033[31mred\\033[0m'; sleep 300", printed=304)
    shown = call(session, "bash_output", job=job, tail=3)
    assert shown.output == f'99\n100\nred\n[job "{job}" is running; next offset 304]'
    assert call(session, "bash_output", job=job, tail=10_000).output.startswith("1\n2\n3\n")
    ended = begin(session, "echo one; echo two", printed=8)
    assert call(session, "bash_output", job=ended, tail=1).output.startswith("two\n[job ")
    silent = begin(session, "sleep 300")
    assert call(session, "bash_output", job=silent, tail=1).output.startswith(
        f'[job "{silent}" is running; nothing new'
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"since": 1, "tail": 1}, "pass 'since' or 'tail', not both"),
        ({"since": 4}, "'since' must be at most 3, which is all that the job has printed, not 4"),
        ({"since": -1}, "'since' must be at least 0"),
        ({"tail": 0}, "'tail' must be at least 1"),
        ({"wait": 241}, "'wait' must be at most 240"),
    ],
)
def test_a_place_that_does_not_exist_is_refused(arguments: dict[str, int], words: str, session: Session) -> None:
    """An empty answer would say that nothing was printed there."""
    job = begin(session, "printf abc; sleep 300", printed=3)
    result = call(session, "bash_output", job=job, **arguments)
    assert (result.code, words in result.error) == ("invalid_arguments", True), result.error
    assert "abc" in call(session, "bash_output", job=job, since=0).output


def test_an_answer_waits_for_more_and_for_what_comes_with_it(session: Session, sandbox: Sandbox) -> None:
    """Asking again and again costs turns, and a burst that is torn apart costs more of them."""
    job = begin(session, f"{GO}; echo one; sleep 0.01; echo two; sleep 300")
    threading.Timer(0.3, (work(sandbox) / "go").touch).start()
    assert call(session, "bash_output", job=job, wait=20).output.startswith("one\ntwo\n[job ")


def test_an_answer_waits_for_the_end(session: Session, sandbox: Sandbox) -> None:
    """And does not wait any longer when there is nothing left to wait for."""
    job = begin(session, f"{GO}; exit 3")
    threading.Timer(0.3, (work(sandbox) / "go").touch).start()
    shown = call(session, "bash_output", job=job, wait=240)
    assert re.fullmatch(rf'\[job "{job}": exit code 3 after [\d.]+ s; nothing new; next offset 0\]', shown.output)
    assert shown.success  # the tool showed what it was asked to
    assert ": exit code 3 after " in call(session, "bash_output", job=job, wait=240).output


def test_what_a_dead_shell_left_running_is_waited_for_too(session: Session, sandbox: Sandbox) -> None:
    """Its end was told, so only more output is news."""
    result = call(session, "bash", command=f"({GO}; echo ready; sleep 300) & true")
    assert isinstance(result.data, CommandData)
    threading.Timer(0.3, (work(sandbox) / "go").touch).start()
    assert call(session, "bash_output", job=result.data.id, wait=20).output.startswith("ready\n")


def test_no_character_and_no_sequence_is_torn_apart(session: Session, sandbox: Sandbox) -> None:
    """Half of one is garbage in this answer and in the next; a question without a line end is shown at once."""
    job = begin(session, "cat")
    shown: list[str] = []
    for part in (b"Sure? \xe2\x82", b"\xac\x1b[3", b"1mred\x1b]0;ti", b"tle\x07 end"):
        sandbox.job(job).send(part)
        shown.append(call(session, "bash_output", job=job, wait=20).output.partition("\n[job ")[0])
    assert shown == ["Sure? ", "€", "red", " end"]
    sandbox.job(job).send(b"\x1b")
    assert (
        call(session, "bash_output", job=job, wait=1).output == f'[job "{job}" is running; nothing new; next offset 31]'
    )


def test_a_job_that_ended_in_the_middle_of_something_shows_it(session: Session, sandbox: Sandbox) -> None:
    """Nothing follows that could complete it."""
    job = begin(session, f"printf 'a\\342\\202'; {GO}", printed=3)
    assert call(session, "bash_output", job=job, since=0).output.startswith("a\n[job ")
    (work(sandbox) / "go").touch()
    ended = call(session, "bash_output", job=job, wait=20)
    assert ended.output.startswith("\ufffd\n[job ")
    assert job_of(ended).offset == 3


def test_very_long_output_is_shown_by_its_two_ends(session: Session, sandbox: Sandbox) -> None:
    """However much a job has printed, an answer costs the same; the rest is in a file that it names."""
    job = begin(session, f"{GO}; seq 1 1000000; sleep 300")
    (work(sandbox) / "go").touch()
    until(lambda: sandbox.commands()[0].output_bytes == 6_888_896)
    shown = call(session, "bash_output", job=job)
    assert shown.output.startswith("1\n2\n3\n")
    assert shown.output.endswith(f'\n1000000\n[job "{job}" is running; next offset 6888896]')
    assert 24_000 < len(shown.output) <= 25_000
    notice = re.search(r"\[… more than [\d,]+ lines \(([\d,]+) bytes\) omitted\. (.*)\]\n", shown.output)
    assert notice
    left_out = 6_888_896 - len(shown.output.encode()) + len(notice[0].encode())
    assert abs(int(notice[1].replace(",", "")) - left_out) < 200
    log = sandbox.commands()[0].log
    assert notice[2].startswith(f"What is kept of the output is in {log} and ")
    assert call(session, "bash_output", job=job, tail=2).output.startswith("999999\n1000000\n[job ")
    call(session, "bash_kill", job=job)
    ended = call(session, "bash_output", job=job, since=0)
    assert f"The full output is in {log}: read it with read, or search it with grep.]" in ended.output
    assert sandbox.run(f"cat {log}").output == b"".join(b"%d\n" % number for number in range(1, 1_000_001))


def test_output_that_is_not_kept_whole_is_said_not_to_be(new_server: Callable[..., RunningServer]) -> None:
    """Past its bound the server drops the middle, and a file that looks whole and is not misleads."""
    with new_server(keep_output=8 * 1024 * 1024).connect() as sandbox:
        session = sandbox.new_session(tools=ALL_TOOLS)
        job = begin(session, "seq 1 2000000")
        shown = call(session, "bash_output", job=job, since=0, wait=20)
        log = job_of(shown).log
        said = re.search(
            rf"([\d,]+) bytes of the output are kept nowhere; the rest is in {log} and {log}\.\*: ", shown.output
        )
        assert said
        kept = int(sandbox.run(f"cat {log} {log}.* | wc -c").output)
        assert kept + int(said[1].replace(",", "")) == job_of(shown).offset
        assert len(shown.output) <= 25_000
        assert "bytes of the output dropped in all" in call(session, "bash_output", job=job, since=4_000_000).output
        assert sandbox.run(f"cat {log}.* | tail -n 1").output == b"2000000\n"


def test_separate_streams_are_shown_together(session: Session, sandbox: Sandbox) -> None:
    """A program may have started the job, in its own way."""
    job = sandbox.start(f"echo out; echo err >&2; {GO}; echo late >&2", streams="separate").id
    until(lambda: sandbox.commands()[0].output_bytes == 8)
    shown = call(session, "bash_output", job=job)
    assert shown.output.startswith("out\nerr\n[job ")
    (work(sandbox) / "go").touch()
    assert call(session, "bash_output", job=job).output.startswith("late\n[job ")
    assert call(session, "bash_output", job=job, tail=1).output.startswith("out\n[job ")


def test_a_cancelled_wait_leaves_the_job_alone() -> None:
    """The call did not start it."""

    async def run() -> str:
        async with await AsyncSandbox.local() as sandbox:
            session = sandbox.new_session(tools=ALL_TOOLS)
            started = await session.call_tool("bash", {"command": "cat", "background": True})
            job = job_of(started).id
            waiting = asyncio.create_task(session.call_tool("bash_output", {"job": job, "wait": 240}))
            await asyncio.sleep(0.1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await session.call_tool("bash_input", {"job": job, "text": "still here", "close": True})
            return (await session.call_tool("bash_output", {"job": job})).output

    assert asyncio.run(run()).startswith("still here\n[job ")


# Writing


def test_input_is_taken_until_it_is_closed(session: Session) -> None:
    """Programs ask, and some read to the end before they begin."""
    job = begin(session, "wc -c")
    sent = call(session, "bash_input", job=job, text="é\0\n")
    assert sent.output == f'Sent 4 bytes to job "{job}". See what it prints with bash_output.'
    assert sent.data == InputData(job, 4, closed=False)
    closed = call(session, "bash_input", job=job, text="", close=True)
    assert closed.output == f'Sent 0 bytes to job "{job}". Its input is closed. See what it prints with bash_output.'
    assert call(session, "bash_output", job=job, wait=20).output.startswith("4\n")
    late = call(session, "bash_input", job=job, text="more\n")
    assert (late.success, late.code) == (False, "input_closed")
    assert late.error.startswith(f'Job "{job}" takes no more input: ')
    assert "bash_output" in late.error


def test_a_command_that_was_not_started_in_the_background_takes_no_input(session: Session) -> None:
    """Its stdin was empty from the start."""
    left = call(session, "bash", command="sleep 300 & true")
    assert isinstance(left.data, CommandData)
    assert call(session, "bash_input", job=left.data.id, text="x").code == "input_closed"


# Ending and listing


def test_the_end_of_a_job_is_verified(session: Session) -> None:
    """A model that believes a server is gone starts another one on the same port."""
    job = begin(session, "trap '' TERM; sleep 300 & echo $! $$; wait; wait", printed=4)
    pids = call(session, "bash_output", job=job, since=0).output.split()[:2]
    ended = call(session, "bash_kill", job=job)
    assert ended.output == f'Ended job "{job}"; nothing of it is left running.'
    assert ended.data == KillData(job, "killed", unverified=False)
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
    again = call(session, "bash_kill", job=job)
    assert again.output == f'Job "{job}" had already exited; nothing of it is left running.'
    assert again.data == KillData(job, "already_exited", unverified=False)
    shown = call(session, "bash_output", job=job)
    assert "ended on request after" in shown.output
    assert job_of(shown).killed


@pytest.mark.parametrize("job", ["nope", "0123456789abcdef", "../etc/passwd", "é" * 64, "a b"])
@pytest.mark.parametrize("tool", ["bash_output", "bash_input", "bash_kill"])
def test_a_job_that_does_not_exist_is_said_not_to(tool: str, job: str, session: Session) -> None:
    """Models make ids up, and the answer must tell where the real ones are."""
    text = {"text": "x"} if tool == "bash_input" else {}
    result = call(session, tool, job=job, **text)
    assert (result.success, result.code) == (False, "unknown_command")
    assert result.error == f"There is no job {job!r}. bash_jobs lists those there are."


def test_what_a_model_cannot_call_is_not_recommended_to_it(session: Session) -> None:
    """It would call it, and be refused."""
    few = session.with_tools(["bash", "bash_output", "bash_kill"])
    assert call(few, "bash_output", job="nothing-there").error == "There is no job 'nothing-there'."
    assert "bash_input" not in call(few, "bash", command="sleep 300", background=True).output


@pytest.mark.parametrize("tool", ["bash_output", "bash_input", "bash_kill"])
def test_a_refusal_that_no_model_can_mend_is_raised(tool: str, server: RunningServer) -> None:
    """A wrong token is no missing job, and to look for the job elsewhere would help nobody."""
    transport = Transport(Endpoint(server.url, "wrong"))
    text = {"text": "x"} if tool == "bash_input" else {}
    with pytest.raises(Refused) as caught:
        call(Session(transport, tools=ALL_TOOLS), tool, job="0123456789abcdef", **text)
    transport.close()
    assert caught.value.code == "unauthorized"


def test_jobs_are_listed(session: Session, sandbox: Sandbox) -> None:
    """What runs, what left something running, and what this session started: no more, for a list is read."""
    assert call(session, "bash_jobs").output == "There are no jobs."
    running = begin(session, "echo one;\n   sleep 300 # " + "x" * 100, printed=4)
    ended = begin(session, "exit 3")
    until(lambda: not listed(session)[ended].running)
    call(session, "bash", command="true")
    left = sandbox.bash("sleep 300 & true").data
    others = sandbox.start("sleep 300").id
    assert isinstance(left, CommandData)
    answer = call(session, "bash_jobs")
    lines = answer.output.splitlines()
    shown = "echo one; sleep 300 # " + "x" * 58
    assert re.fullmatch(rf"{running}  running  started \d+ s ago  4 bytes  {shown}", lines[0])
    assert re.fullmatch(rf"{ended}  exit code 3 after [\d.]+ s  started \d+ s ago  0 bytes  exit 3", lines[1])
    assert re.match(rf"{left.id}  exit code 0 after [\d.]+ s; something that it started still runs  started ", lines[2])
    assert lines[3].startswith(f"{others}  running  ")
    assert len(lines) == 4
    assert isinstance(answer.data, JobsData)
    assert [(job.id, job.running) for job in answer.data.jobs] == [
        (running, True),
        (ended, False),
        (left.id, False),
        (others, True),
    ]
    json.dumps(answer.to_artifact())
    assert call(sandbox.new_session(tools=ALL_TOOLS), "bash_jobs").output.count("\n") == 2


def test_ages_are_told_in_units_that_fit() -> None:
    """Nobody thinks in thousands of seconds."""
    from sandbox_tools.tools.jobs import age

    assert [age(seconds) for seconds in (0.4, 119, 121, 7100, 7300, 90_000)] == [
        "0 s",
        "119 s",
        "2 min",
        "118 min",
        "2 h",
        "25 h",
    ]


# After a restart of the server


@pytest.fixture
def restart(
    new_server: Callable[..., RunningServer], tmp_path: Path
) -> Callable[[RunningServer | None], RunningServer]:
    """Starts a server; or kills one that runs and starts another one in its place, once it has left a trace on disk."""
    settings: dict[str, Any] = {"log_dir": tmp_path / "logs"}

    def restart(server: RunningServer | None = None) -> RunningServer:
        if server is not None:
            until(lambda: any(file.stat().st_size for file in (tmp_path / "logs").iterdir()))
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            settings.update(port=server.url.rpartition(":")[2], token=server.token, work_dir=server.work_dir)
        return new_server(**settings)

    return restart


def test_a_command_that_was_lost_is_said_to_be_and_is_not_run_again(
    restart: Callable[..., RunningServer],
) -> None:
    """What it did is done; to do it again unasked may do harm."""
    server = restart()
    with server.connect() as sandbox:
        results: list[ToolResult] = []
        command = {"command": "echo ran >> ran; echo before; sleep 300"}
        calling = threading.Thread(
            target=lambda: results.append(sandbox.call_tool("bash", command, on_output=lambda text: None))
        )
        calling.start()
        restart(server)
        calling.join(60)
    (result,) = results
    assert (result.success, result.code) == (False, "command_lost")
    assert result.output == "before\n"
    assert "was not run again" in result.error
    log = re.search(r"What it printed is in (\S+)\.", result.error)
    assert log
    assert Path(log[1]).read_text() == "before\n"
    assert (server.work_dir / "ran").read_text() == "ran\n"


def test_a_job_that_was_lost_is_said_to_be(restart: Callable[..., RunningServer]) -> None:
    """And so it is in the list: a job that just vanishes is looked for in vain."""
    server = restart()
    with server.connect() as sandbox:
        session = sandbox.new_session(tools=ALL_TOOLS)
        job = begin(session, "echo before; sleep 300")
        restart(server)
        lost = call(session, "bash_output", job=job)
        assert (lost.code, "was not run again" in lost.error) == ("command_lost", True)
        assert "What it printed is in " in lost.error
        assert call(session, "bash_jobs").output == f"{job}  no longer known  echo before; sleep 300"


# The Python methods


def test_the_methods_of_a_sandbox_reach_all_tools(sandbox: Sandbox) -> None:
    """A program needs no session to run something in the background."""
    started = sandbox.bash("cat", background=True, tty=True, description="echo")
    job = job_of(started).id
    assert sandbox.bash_input(job, "one\n", close=True).success
    assert sandbox.bash_output(job, wait=20).output.startswith("one\n")
    assert sandbox.bash_output(job, since=0).success
    assert sandbox.bash_output(job, tail=1).success
    assert sandbox.bash_jobs().output.startswith(job)
    assert sandbox.bash_kill(job).success
    assert sandbox.call_tool("bash_jobs").code == "unknown_tool"


async def test_the_async_methods_reach_all_tools() -> None:
    """One implementation, two faces."""
    async with await AsyncSandbox.local() as sandbox:
        job = job_of(await sandbox.bash("cat", background=True)).id
        assert (await sandbox.bash_input(job, "one\n")).success
        assert (await sandbox.bash_output(job, wait=20)).output.startswith("one\n")
        assert (await sandbox.bash_jobs()).output.startswith(job)
        assert (await sandbox.bash_kill(job)).success
        session = sandbox.new_session(tools=ALL_TOOLS, yield_after=20)
        assert list(session.shared.tools) == list(ALL_TOOLS)
        assert list(session.with_tools(["read"]).shared.tools) == ["read"]
