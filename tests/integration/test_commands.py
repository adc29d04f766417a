"""/v1/commands of a real server over a real socket."""

from __future__ import annotations

import base64
import json
import os
import resource
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import RunningServer

KEPT = 8 * 1024 * 1024
"""How much output the servers keep that are made to lose some, in bytes."""


def start(
    client: httpx.Client, command: str, *, id: str | None = None, wait: float = 20, **body: Any
) -> dict[str, Any]:
    """Start a command and answer the reply, with the events also by kind."""
    reply = client.put(
        f"/v1/commands/{id or uuid.uuid4().hex}", params={"wait": wait}, json={"command": command, **body}
    )
    return parsed(reply)


def parsed(reply: httpx.Response) -> dict[str, Any]:
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    answer["output"] = b"".join(base64.b64decode(e["data"]) for e in answer["events"] if e["kind"] == "output")
    answer |= {event["kind"]: event for event in answer["events"] if event["kind"] != "output"}
    return answer


def alive(pid: int) -> bool:
    """Whether a process exists and has not ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def gone(pid: int, seconds: float = 10) -> bool:
    """Whether a process ends before the time is up."""
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    return not alive(pid)


def test_a_command_answers_its_output_and_its_exit_code(server: RunningServer) -> None:
    """The one thing that everything else stands on."""
    answer = start(server.client, "echo out; echo err >&2; exit 3")
    assert answer["output"] == b"out\nerr\n"
    assert answer["exited"]["code"] == 3
    assert [event["kind"] for event in answer["events"]] == ["started", "output", "exited", "closed"]


def test_stdout_and_stderr_keep_their_order(server: RunningServer) -> None:
    """Two pipes would show a compiler's errors apart from what they are about."""
    answer = start(server.client, "for i in 1 2 3; do echo out$i; echo err$i >&2; done")
    assert answer["output"] == b"out1\nerr1\nout2\nerr2\nout3\nerr3\n"


def test_the_shell_is_bash(server: RunningServer) -> None:
    """Models write bash; `[[` and brace expansion fail in sh without a word."""
    assert start(server.client, "[[ a == a ]] && echo {1..3}")["output"] == b"1 2 3\n"


def test_a_command_that_reads_stdin_gets_its_end(server: RunningServer) -> None:
    """A prompt that waits for ever is a hung call."""
    answer = start(server.client, "cat; read -r line || echo none")
    assert answer["output"] == b"none\n"


def test_a_background_child_does_not_hold_up_the_answer(server: RunningServer) -> None:
    """`server &` is how models start servers; the pipe stays open for as long as it lives."""
    began = time.monotonic()
    answer = start(server.client, "(sleep 1; echo late) & echo hi")
    assert answer["output"] == b"hi\n"
    assert answer["exited"]["code"] == 0
    assert "closed" not in answer
    assert answer["exited"]["duration"] < time.monotonic() - began + 0.1
    [status] = [s for s in server.client.get("/v1/commands").json()["commands"] if s["id"] == answer["id"]]
    assert (status["closed"], status["left_running"]) == (False, True)
    later = parsed(server.client.get(f"/v1/commands/{answer['id']}", params={"after": 3, "exited": True}))
    assert later["output"] == b"late\n"
    assert parsed(server.client.get(f"/v1/commands/{answer['id']}", params={"after": 8}))["closed"]["size"] == 8


def test_output_printed_before_a_timeout_is_kept(server: RunningServer) -> None:
    """Every peer loses it, and the model learns nothing of what went wrong."""
    answer = start(server.client, "echo before; trap 'echo after; exit 7' TERM; sleep 60 & wait", timeout=1)
    assert answer["output"] == b"before\nafter\n"
    assert answer["exited"]["timed_out"] is True
    assert answer["exited"]["unverified"] is False


@pytest.mark.parametrize(
    "command",
    [
        "sleep 60 & echo $!; wait",
        "trap '' TERM; echo $$; while :; do sleep 60; done",
        "setsid sleep 60 & echo $!; wait",
        "setsid bash -c 'setsid sleep 60 & echo $!' ; sleep 60",
        "(setsid nohup bash -c 'echo $BASHPID; exec sleep 60' &) ; sleep 60",
        "bash -c 'trap \"\" TERM; echo $$; while :; do sleep 0.01; done' & wait",
    ],
    ids=["child", "ignores TERM", "other session", "orphan in other session", "double fork", "respawns"],
)
def test_a_timeout_reaches_everything_that_the_command_started(server: RunningServer, command: str) -> None:
    """What lives on holds ports and files, and surprises the next command."""
    answer = start(server.client, command, timeout=1)
    pid = int(answer["output"].split()[0])
    assert gone(pid)
    assert answer["exited"]["timed_out"] is True


def test_a_daemon_that_shed_every_trace_is_reported_and_gone_after_kill_all(
    new_server: Callable[..., RunningServer],
) -> None:
    """It cannot be tied to its command, so the answer must not claim that all is gone."""
    server = new_server()
    daemon = "env -i setsid bash -c 'env -i setsid sleep 60 & echo $!' ; sleep 60"
    answer = start(server.client, daemon, timeout=1)
    pid = int(answer["output"].split()[0])
    assert answer["exited"]["unverified"] is True
    assert alive(pid)
    assert server.client.delete("/v1/commands").json()["unverified"] is False
    assert gone(pid)


def test_the_same_id_and_body_attach_and_run_nothing_twice(server: RunningServer) -> None:
    """A client may send a start again after any failure of the line."""
    mark = server.work_dir / "runs"
    id = uuid.uuid4().hex
    command = "echo run >> runs; sleep 0.3; echo done"
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: start(server.client, command, id=id), range(8)))
    assert [answer["output"] for answer in answers] == [b"done\n"] * 8
    assert mark.read_text() == "run\n"


def test_the_same_id_with_another_body_is_refused(server: RunningServer) -> None:
    """Two commands under one id would mix their outputs."""
    id = uuid.uuid4().hex
    start(server.client, "true", id=id)
    reply = server.client.put(f"/v1/commands/{id}", json={"command": "false"})
    assert (reply.status_code, reply.json()["code"]) == (409, "command_conflict")


def test_a_start_meant_for_another_server_runs_nothing(server: RunningServer) -> None:
    """After a restart of the sandbox the client cannot know what ran; running it again could do harm."""
    reply = server.client.put(f"/v1/commands/{uuid.uuid4().hex}", json={"command": "true", "boot_id": "another"})
    assert (reply.status_code, reply.json()["code"]) == (410, "command_lost")


def test_an_id_that_was_ended_before_it_started_never_runs(server: RunningServer) -> None:
    """A cancel may overtake the start that it cancels."""
    id = uuid.uuid4().hex
    assert server.client.delete(f"/v1/commands/{id}").json()["result"] == "unknown"
    reply = server.client.put(f"/v1/commands/{id}", json={"command": "touch ran"})
    assert (reply.status_code, reply.json()["code"]) == (410, "command_ended")
    assert not (server.work_dir / "ran").exists()


def test_a_killed_command_says_so(server: RunningServer) -> None:
    """Killed and failed are two things to whoever reads the result."""
    id = uuid.uuid4().hex
    start(server.client, "echo on; sleep 60", id=id, wait=0)
    first = server.client.delete(f"/v1/commands/{id}").json()
    assert (first["result"], first["unverified"]) == ("killed", False)
    answer = start(server.client, "echo on; sleep 60", id=id)
    assert answer["exited"]["killed"] is True
    assert answer["exited"]["code"] is None
    assert server.client.delete(f"/v1/commands/{id}").json()["result"] == "already_exited"


def test_two_kills_at_once_are_one(server: RunningServer) -> None:
    """An impatient client asks again while the first kill waits."""
    id = uuid.uuid4().hex
    start(server.client, "trap '' TERM; echo $$; while :; do sleep 0.1; done", id=id, wait=0.5)
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: server.client.delete(f"/v1/commands/{id}").json()["result"], range(4)))
    assert set(results) == {"killed"}


def test_a_kill_after_the_exit_ends_what_was_left_running(server: RunningServer) -> None:
    """A job is its command's: whoever ends the command means the job."""
    answer = start(server.client, "sleep 60 & echo $!")
    assert server.client.delete(f"/v1/commands/{answer['id']}").json()["result"] == "killed"
    assert gone(int(answer["output"]))
    assert parsed(server.client.get(f"/v1/commands/{answer['id']}"))["exited"]["code"] == 0


def test_a_long_poll_answers_after_its_wait_with_what_there_is(server: RunningServer) -> None:
    """No proxy keeps a silent request open for the length of a training run."""
    id = uuid.uuid4().hex
    answer = start(server.client, f"echo one; until [ -e {id} ]; do sleep 0.01; done; echo two", id=id, wait=1)
    assert (answer["output"], "exited" in answer) == (b"one\n", False)
    (server.work_dir / id).touch()
    answer = parsed(server.client.get(f"/v1/commands/{id}", params={"after": 4}))
    assert (answer["output"], answer["exited"]["code"]) == (b"two\n", 0)


def test_a_live_stream_gives_output_as_it_comes_and_can_be_resumed(server: RunningServer) -> None:
    """Whoever watches a build wants its lines now, and none twice after a break of the line."""
    id = uuid.uuid4().hex
    headers = {"accept": "application/x-ndjson"}
    body = {"command": f"echo 1; until [ -e {id} ]; do sleep 0.01; done; echo 2; echo 3"}
    with server.client.stream("PUT", f"/v1/commands/{id}", json=body, headers=headers) as stream:
        lines = stream.iter_lines()
        assert json.loads(next(lines))["kind"] == "started"
        first = json.loads(next(lines))
        assert (first["kind"], first["offset"], base64.b64decode(first["data"])) == ("output", 0, b"1\n")
    (server.work_dir / id).touch()
    with server.client.stream("GET", f"/v1/commands/{id}", params={"after": 2}, headers=headers) as stream:
        events = [json.loads(line) for line in stream.iter_lines()]
    assert b"".join(base64.b64decode(e["data"]) for e in events if e["kind"] == "output") == b"2\n3\n"
    assert [event["kind"] for event in events if event["kind"] != "output"] == ["started", "exited", "closed"]


def test_a_live_stream_says_that_it_lives_and_what_it_lost(new_server: Callable[..., RunningServer]) -> None:
    """A proxy cuts silent connections; a late reader must not take the tail for the whole."""
    server = new_server(heartbeat=0.1, keep_output=KEPT)
    id = start(server.client, "seq 1 5000000; sleep 0.5")["id"]
    headers = {"accept": "application/x-ndjson"}
    with server.client.stream("GET", f"/v1/commands/{id}", headers=headers) as stream:
        events = [json.loads(line) for line in stream.iter_lines()]
    assert list(dict.fromkeys(event["kind"] for event in events)) == ["started", "output", "gap", "exited", "closed"]
    told = sum(len(base64.b64decode(event["data"])) for event in events if event["kind"] == "output")
    lost = sum(event["end"] - event["start"] for event in events if event["kind"] == "gap")
    assert told + lost == events[-1]["size"] == 38_888_896
    id = start(server.client, "sleep 0.5", wait=0)["id"]
    with server.client.stream("GET", f"/v1/commands/{id}", headers=headers) as stream:
        kinds = [json.loads(line)["kind"] for line in stream.iter_lines()]
    assert kinds[:2] == ["started", "ping"]
    assert kinds[-2:] == ["exited", "closed"]


def test_a_server_out_of_descriptors_refuses_and_recovers(new_server: Callable[..., RunningServer]) -> None:
    """No 500, no orphan; when there is room again, it goes on."""
    server = new_server()
    start(server.client, "true")
    used = max(map(int, os.listdir(f"/proc/{server.process.pid}/fd"))) + 1
    before = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    codes: set[str] = set()
    for room in range(4):
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used + room, before[1]))
        codes.add(server.client.put(f"/v1/commands/{uuid.uuid4().hex}", json={"command": "true"}).json()["code"])
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, before)
    assert codes == {"file_error"}
    assert start(server.client, "echo on")["output"] == b"on\n"


def test_a_command_ends_in_time_though_its_processes_cannot_be_looked_for(
    new_server: Callable[..., RunningServer],
) -> None:
    """Out of descriptors, the server cannot search; it ends what it can reach and claims no more."""
    server = new_server()
    slow = start(server.client, "echo $$; sleep 60", timeout=1.5, wait=0)["id"]
    quick = start(server.client, "(setsid sleep 600 > /dev/null 2>&1 &); sleep 1", wait=0)["id"]
    used = max(map(int, os.listdir(f"/proc/{server.process.pid}/fd"))) + 1
    before = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    ended = {id: parsed(server.client.get(f"/v1/commands/{id}"))["exited"] for id in (quick, slow)}
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, before)
    assert used > 3
    assert ended[quick]["left_running"] is True
    assert (ended[slow]["timed_out"], ended[slow]["unverified"]) == (True, True)
    assert gone(int(parsed(server.client.get(f"/v1/commands/{slow}"))["output"]))


def test_a_flood_keeps_its_head_and_tail(new_server: Callable[..., RunningServer]) -> None:
    """`yes` must not take the server down, and what fell out must be counted."""
    server = new_server(keep_output=KEPT)
    id = start(server.client, "seq 1 5000000; exit 5")["id"]
    full = b"".join(b"%d\n" % number for number in range(1, 5_000_001))
    position = kept = 0
    answer: dict[str, Any] = {}
    while "closed" not in answer:
        answer = parsed(server.client.get(f"/v1/commands/{id}", params={"after": position}))
        for event in answer["events"]:
            if event["kind"] == "gap":
                assert position == event["start"] >= KEPT // 4
                position = event["end"]
            elif event["kind"] == "output":
                data = base64.b64decode(event["data"])
                assert (event["offset"], data) == (position, full[position : position + len(data)])
                position += len(data)
                kept += len(data)
    assert position == answer["closed"]["size"] == answer["sizes"]["stdout"] == len(full)
    assert KEPT // 2 <= kept <= KEPT
    assert answer["exited"]["code"] == 5


def test_raw_bytes_arrive_as_they_were(server: RunningServer) -> None:
    """Decoding belongs to whoever shows text."""
    answer = start(server.client, r"printf '\xff\x00\xc3\x28\r'")
    assert answer["output"] == b"\xff\x00\xc3\x28\r"


def test_too_many_commands_are_refused_with_what_to_do(new_server: Callable[..., RunningServer]) -> None:
    """A fork bomb of tool calls must not take the sandbox down."""
    server = new_server(max_commands=2)
    for _ in range(2):
        start(server.client, "sleep 60", wait=0)
    reply = server.client.put(f"/v1/commands/{uuid.uuid4().hex}", json={"command": "true"})
    problem = reply.json()
    assert (reply.status_code, problem["code"], problem["retryable"]) == (429, "too_many_commands", True)
    assert "end some" in problem["hint"]


def test_ended_commands_are_forgotten_by_count_but_never_run_again(new_server: Callable[..., RunningServer]) -> None:
    """A server that runs for weeks must not grow; an id that comes again must not run again."""
    server = new_server(keep_commands=1)
    ids = [start(server.client, "true")["id"] for _ in range(20)]
    kept = [status["id"] for status in server.client.get("/v1/commands").json()["commands"]]
    assert kept in (ids[-17:], ids[-16:])  # who comes back within a minute still finds more than one
    reply = server.client.put(f"/v1/commands/{ids[0]}", json={"command": "true"})
    assert reply.json()["code"] == "command_ended"
    assert server.client.delete(f"/v1/commands/{ids[0]}").json()["result"] == "already_exited"
    assert server.client.get(f"/v1/commands/{ids[0]}").json()["code"] == "unknown_command"


def test_old_commands_are_forgotten_by_age(new_server: Callable[..., RunningServer]) -> None:
    """What nobody asked for in an hour nobody will."""
    server = new_server(keep_seconds=0)
    first = start(server.client, "true")["id"]
    second = start(server.client, "sleep 60", wait=0)["id"]
    kept = [status["id"] for status in server.client.get("/v1/commands").json()["commands"]]
    assert kept == [second]
    assert first not in kept


def test_what_was_left_running_does_not_use_up_the_commands_that_may_run(
    new_server: Callable[..., RunningServer],
) -> None:
    """A model that starts servers with & must be able to go on; past some number it is told."""
    server = new_server(max_commands=2)
    for _ in range(8):
        start(server.client, "sleep 60 &")
    reply = server.client.put(f"/v1/commands/{uuid.uuid4().hex}", json={"command": "true"})
    assert (reply.status_code, "background" in reply.json()["detail"]) == (429, True)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"command": "true", "cwd": "/no/such/place"}, "working_directory_missing"),
        ({"command": ""}, "invalid_request"),
        ({"command": "a\0b"}, "invalid_request"),
        ({"command": "true", "env": {"A=B": "x"}}, "invalid_request"),
        ({"command": "true", "env": {"A": "x\0"}}, "invalid_request"),
        ({"command": "true", "timeout": 0}, "invalid_request"),
        ({"command": "true", "timeout": -1}, "invalid_request"),
        ({"command": "true #" + "x" * 200_000}, "invalid_request"),
        ({"command": "true", "env": {f"A{i}": "x" * 100_000 for i in range(40)}}, "invalid_request"),
        ({"command": "true", "cwd": "/etc/passwd"}, "working_directory_missing"),
        ({}, "invalid_request"),
        ([], "invalid_request"),
    ],
)
def test_a_command_that_cannot_start_is_refused_and_its_id_stays_free(
    server: RunningServer, body: Any, code: str
) -> None:
    """Bad input is the caller's to mend, with the id it chose."""
    id = uuid.uuid4().hex
    reply = server.client.put(f"/v1/commands/{id}", json=body)
    assert (reply.json()["code"], reply.status_code) == (code, reply.json()["status"])
    assert 400 <= reply.status_code < 500
    assert start(server.client, "echo fine", id=id)["output"] == b"fine\n"


def test_a_relative_directory_starts_at_the_working_directory(server: RunningServer) -> None:
    """As paths of files do."""
    (server.work_dir / "sub").mkdir(exist_ok=True)
    assert start(server.client, "pwd", cwd="sub")["output"] == f"{server.work_dir}/sub\n".encode()
    assert start(server.client, "pwd")["output"] == f"{server.work_dir}\n".encode()


def test_commands_get_a_quiet_environment_and_none_of_the_servers_settings(server: RunningServer) -> None:
    """Colours, pagers and prompts cost a model its turn; the server's settings are not the agent's."""
    lines = start(server.client, "env", env={"MINE": "yes"})["output"].decode().splitlines()
    variables = dict(line.partition("=")[::2] for line in lines)
    assert variables["TERM"] == "dumb"
    assert variables["GIT_TERMINAL_PROMPT"] == "0"
    assert variables["MINE"] == "yes"
    assert [name for name in variables if name.startswith("SANDBOX_TOOLS_")] == ["SANDBOX_TOOLS_COMMAND"]


def test_64_sleeping_commands_hold_nothing_up(new_server: Callable[..., RunningServer]) -> None:
    """With a thread a command, the forty-first would wait, and so would the call that ends them."""
    server = new_server()
    with ThreadPoolExecutor(64) as threads:
        list(threads.map(lambda _: start(server.client, "sleep 60", wait=0), range(64)))
        answers = threads.map(lambda n: start(server.client, f"echo {n}"), range(500))
        healthy = [server.client.get("/v1/health").status_code for _ in range(50)]
        assert [answer["output"] for answer in answers] == [b"%d\n" % number for number in range(500)]
    assert set(healthy) == {200}
    assert len(server.client.delete("/v1/commands").json()["ended"]) == 64


def test_nothing_leaks(new_server: Callable[..., RunningServer]) -> None:
    """Descriptors, children and zombies are counted before and after much work."""
    server = new_server()

    def counted() -> tuple[int, list[str]]:
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        return len(os.listdir(f"/proc/{server.process.pid}/fd")), children

    def work(number: int) -> None:
        start(server.client, f"(setsid true &) ; echo {number}")
        start(server.client, "sleep 60", timeout=0.05)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
        before, _ = counted()
        list(threads.map(work, range(64)))
    deadline = time.monotonic() + 15
    while (now := counted()) and (now[0] > before or now[1]) and time.monotonic() < deadline:
        threading.Event().wait(0.1)
    assert now[0] <= before
    assert now[1] == []


def test_a_graceful_stop_leaves_no_child_behind(new_server: Callable[..., RunningServer]) -> None:
    """Not the running command, not its job, not the daemon that hid."""
    server = new_server()
    jobs = start(server.client, "sleep 60 & echo $!; env -i setsid bash -c 'sleep 60 & echo $!'")
    start(server.client, "echo $$ > running; trap '' TERM; while :; do sleep 60; done", wait=0)
    while not (running := server.work_dir / "running").exists() or not running.read_text():
        pass
    pids = [*map(int, jobs["output"].split()), int((server.work_dir / "running").read_text())]
    assert all(map(alive, pids))
    assert server.stop() == 0
    assert not any(map(alive, pids))
    assert "Traceback" not in server.log.read_text()


def test_a_stop_answers_those_who_wait(new_server: Callable[..., RunningServer]) -> None:
    """A client that waits for its command learns that it was ended, instead of a broken line."""
    server = new_server()
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(start, server.client, "echo on; sleep 60")
        other = server.new_client()
        while not other.get("/v1/commands").json()["commands"]:
            pass
        server.process.terminate()
        answer = waiting.result(30)
    assert (answer["output"], answer["exited"]["killed"]) == (b"on\n", True)
