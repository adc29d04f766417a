"""What goes into commands and comes out of them: input, terminals, separate streams, and output kept on disk."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import COVERAGE, RunningServer
from tests.integration.test_commands import gone, parsed, start

MEBIBYTE = 1024 * 1024

KEPT = 8 * MEBIBYTE
"""How much output the servers keep that are made to lose some, in bytes."""


def send(client: httpx.Client, id: str, data: bytes, *, offset: int = 0, close: bool = False) -> httpx.Response:
    """Give a command some input."""
    body = {"offset": offset, "data": base64.b64encode(data).decode(), "close": close}
    return client.post(f"/v1/commands/{id}/input", json=body)


def follow(client: httpx.Client, id: str, **query: Any) -> dict[str, Any]:
    return parsed(client.get(f"/v1/commands/{id}", params=query))


def test_input_reaches_a_command_until_it_is_closed(server: RunningServer) -> None:
    """What `cat` gets it gives back, and it ends with its input."""
    id = start(server.client, "cat; echo end", stdin="open", wait=0)["id"]
    assert send(server.client, id, b"one\n").json() | {"boot_id": ""} == {
        "boot_id": "",
        "id": id,
        "size": 4,
        "closed": False,
    }
    assert follow(server.client, id, enough=4)["output"] == b"one\n"
    assert send(server.client, id, b"two\n", offset=4, close=True).json()["closed"] is True
    assert follow(server.client, id)["output"] == b"one\ntwo\nend\n"


def test_input_that_is_sent_again_is_taken_once(server: RunningServer) -> None:
    """An answer may be lost; an answer to a question of a program must not be given twice."""
    id = start(server.client, "cat", stdin="open", wait=0)["id"]
    assert send(server.client, id, b"abc").json()["size"] == 3
    assert send(server.client, id, b"abcdef").json()["size"] == 6
    assert send(server.client, id, b"def", offset=3, close=True).json()["closed"] is True
    assert send(server.client, id, b"def", offset=3, close=True).json()["closed"] is True
    assert follow(server.client, id)["output"] == b"abcdef"


def test_other_input_at_the_same_place_is_refused(server: RunningServer) -> None:
    """Two that write to one job would each think that all of theirs was taken."""
    id = start(server.client, "cat", stdin="open", wait=0)["id"]
    assert send(server.client, id, b"abc").json()["size"] == 3
    refused = send(server.client, id, b"abXdef")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert "somebody else" in refused.json()["detail"]
    assert send(server.client, id, b"cdef", offset=2, close=True).json()["size"] == 6
    assert follow(server.client, id)["output"] == b"abcdef"


def test_input_with_a_hole_is_refused(server: RunningServer) -> None:
    """Else a lost request would go unseen."""
    id = start(server.client, "cat", stdin="open", wait=0)["id"]
    refused = send(server.client, id, b"later", offset=5)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    send(server.client, id, b"", close=True)


def test_a_command_that_takes_no_input_says_so(server: RunningServer) -> None:
    """Whether it never did, has closed it, or was told that there is no more."""
    without = start(server.client, "sleep 60", wait=0)["id"]
    deaf = start(server.client, "exec <&-; echo deaf; sleep 60", stdin="open", wait=0)["id"]
    follow(server.client, deaf, enough=5)
    full = start(server.client, "sleep 60", stdin="open", wait=0)["id"]
    send(server.client, full, b"", close=True)
    send(server.client, deaf, b"is noticed when it is written")
    for id, taken in ((without, 0), (full, 0), (deaf, 29)):
        refused = send(server.client, id, b"one more", offset=taken)
        assert (refused.status_code, refused.json()["code"]) == (409, "input_closed"), id
        server.client.delete(f"/v1/commands/{id}")


def test_much_input_waits_for_a_slow_reader(server: RunningServer) -> None:
    """The server holds a bounded part of it; the rest is taken when there is room."""
    data = os.urandom(3 * MEBIBYTE)
    go = uuid.uuid4().hex
    command = f"until [ -e {go} ]; do sleep 0.01; done; md5sum"
    id = start(server.client, command, stdin="open", wait=0)["id"]
    sent = 0
    while sent < len(data):
        taken = send(server.client, id, data[sent : sent + MEBIBYTE], offset=sent).json()["size"]
        assert taken > sent
        sent = taken
        (server.work_dir / go).touch()
    send(server.client, id, b"", offset=sent, close=True)
    assert follow(server.client, id)["output"].split()[0].decode() == hashlib.md5(data).hexdigest()


def test_input_that_just_fills_the_pipe_is_not_the_end(server: RunningServer) -> None:
    """The next byte has to wait, and is not lost."""
    go = uuid.uuid4().hex
    id = start(server.client, f"until [ -e {go} ]; do sleep 0.01; done; wc -c", stdin="open", wait=0)["id"]
    assert send(server.client, id, bytes(64 * 1024)).json()["size"] == 64 * 1024
    assert send(server.client, id, b"one more", offset=64 * 1024, close=True).json()["closed"] is True
    (server.work_dir / go).touch()
    assert follow(server.client, id)["output"] == b"65544\n"


def test_input_for_a_command_that_does_not_read_is_not_waited_for_for_ever(server: RunningServer) -> None:
    """The answer says how much was taken, and the caller decides."""
    id = start(server.client, "sleep 60", stdin="open", wait=0)["id"]
    body = {"offset": 0, "data": base64.b64encode(bytes(MEBIBYTE)).decode()}
    sizes = [-1, 0]
    while sizes[-1] > sizes[-2]:
        body["offset"] = sizes[-1]
        taken = server.client.post(f"/v1/commands/{id}/input", json=body, params={"wait": 0.1}).json()
        sizes.append(taken["size"])
    assert 0 < sizes[-1] < MEBIBYTE
    assert taken["closed"] is False
    assert server.client.delete(f"/v1/commands/{id}").json()["result"] == "killed"


def test_separate_streams_have_offsets_of_their_own(server: RunningServer) -> None:
    """For programs that must tell a warning from a result."""
    answer = start(server.client, "echo out; echo err >&2; echo more", streams="separate")
    streams = {e["stream"]: base64.b64decode(e["data"]) for e in answer["events"] if e["kind"] == "output"}
    assert streams == {"stdout": b"out\nmore\n", "stderr": b"err\n"}
    assert answer["sizes"] == {"stdout": 9, "stderr": 4}
    rest = follow(server.client, answer["id"], after=4, after_stderr=4)
    assert rest["output"] == b"more\n"
    assert "exited" in rest


def test_a_terminal_is_one_and_can_be_resized(server: RunningServer) -> None:
    """Some programs do nothing useful without; job control and the size must work as in a window."""
    command = "tty; stty size; trap 'stty size' WINCH; read line; echo \"got $line\"; read line; echo eof $?"
    id = start(server.client, command, tty={"rows": 10, "columns": 40}, wait=0)["id"]
    assert follow(server.client, id, enough=20)["output"].endswith(b"10 40\r\n")
    size = {"rows": 30, "columns": 100}
    assert server.client.put(f"/v1/commands/{id}/terminal", json=size).json() == size
    send(server.client, id, b"yes\n")
    until_told(server.client, id, b"got yes")
    send(server.client, id, b"", offset=4, close=True)
    output = follow(server.client, id)["output"]
    assert output.startswith(b"/dev/pts/")
    assert b"30 100\r\n" in output
    assert output.endswith(b"eof 1\r\n")
    assert b"no job control" not in output
    refused = server.client.put(f"/v1/commands/{start(server.client, 'true')['id']}/terminal", json=size)
    assert refused.json()["code"] == "invalid_request"
    assert server.client.put(f"/v1/commands/{id}/terminal", json=size).json() == size  # of no use, and of no harm


def until_told(client: httpx.Client, id: str, expected: bytes) -> bytes:
    """Follow a command until it has printed something."""
    output = b""
    while expected not in output:
        answer = follow(client, id, after=len(output), enough=1)
        output += answer["output"]
        assert expected in output or "exited" not in answer, output
    return output


def test_a_terminals_input_ends_in_the_middle_of_a_line_too(server: RunningServer) -> None:
    """There, one end-of-file character only hands over the line."""
    id = start(server.client, "cat", tty={}, wait=0)["id"]
    send(server.client, id, b"half a line", close=True)
    answer = follow(server.client, id)
    assert answer["exited"]["code"] == 0
    assert answer["output"].endswith(b"half a line")


def test_a_follower_who_says_how_much_is_enough_misses_nothing(new_server: Callable[..., RunningServer]) -> None:
    """However much is printed and however slow the reader is: the command waits for it."""
    server = new_server(keep_output=KEPT)
    id = uuid.uuid4().hex
    answer = parsed(server.client.put(f"/v1/commands/{id}?enough=1", json={"command": "seq 1 5000000"}))
    output = answer["output"]
    while "exited" not in answer:
        answer = follow(server.client, id, after=len(output), enough=1)
        assert "gap" not in answer
        output += answer["output"]
    assert output == b"".join(b"%d\n" % number for number in range(1, 5_000_001))


def test_a_follower_who_never_comes_back_does_not_hold_up_the_command(new_server: Callable[..., RunningServer]) -> None:
    """It is waited for some seconds, not for ever."""
    server = new_server(keep_output=KEPT)
    id = start(server.client, "seq 1 5000000; echo done > done", wait=0)["id"]
    follow(server.client, id, enough=1, limit=1)
    answer = follow(server.client, id, after=2**60)
    assert answer["exited"]["code"] == 0
    assert (server.work_dir / "done").exists()


def test_long_output_is_in_a_file_that_only_its_owner_can_read(new_server: Callable[..., RunningServer]) -> None:
    """The answer names it, so that what was cut can be looked at; short output has no file."""
    server = new_server()
    answer = start(server.client, "seq 1 100000")
    log = Path(answer["exited"]["log"])
    assert log.read_bytes() == answer["output"]
    assert answer["exited"]["more_logs"] is None
    assert log.stat().st_mode & 0o777 == 0o600
    assert log.parent.stat().st_mode & 0o777 == 0o700
    assert start(server.client, "seq 1 100")["exited"]["log"] is None
    assert server.stop() == 0
    assert not log.parent.exists()


def test_output_that_needs_several_files_says_so(new_server: Callable[..., RunningServer], tmp_path: Path) -> None:
    """The first has the beginning, the last the end, and together they are not larger than what was set."""
    server = new_server(keep_output=KEPT, log_dir=tmp_path / "logs")
    id = start(server.client, "seq 1 3000000")["id"]
    answer = follow(server.client, id, after=2**60)
    log = Path(answer["exited"]["log"])
    files = sorted(log.parent.glob(Path(answer["exited"]["more_logs"]).name))
    assert log.read_bytes().startswith(b"1\n2\n")
    assert files[-1].read_bytes().endswith(b"2999999\n3000000\n")
    assert sum(file.stat().st_size for file in [log, *files]) <= KEPT


def test_all_logs_together_stay_within_their_bound(new_server: Callable[..., RunningServer], tmp_path: Path) -> None:
    """The oldest go first; a command that prints now still keeps the end of its output."""
    logs = tmp_path / "logs"
    server = new_server(keep_output=8 * MEBIBYTE, keep_logs=16 * MEBIBYTE, log_dir=logs)
    ids = [start(server.client, f"head -c 6M /dev/zero; echo {number}")["id"] for number in range(6)]
    until(lambda: sum(file.stat().st_size for file in logs.iterdir()) <= 16 * MEBIBYTE)
    assert server.client.get(f"/v1/commands/{ids[0]}").json()["code"] == "unknown_command"
    assert follow(server.client, ids[-1], after=6 * MEBIBYTE)["output"] == b"5\n"


def test_output_that_cannot_be_put_on_disk_keeps_its_head_and_tail(
    new_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    """A full disk or a limit on files must cost the middle at the most, and never the command."""
    logs = tmp_path / "logs"
    server = new_server(log_dir=logs)
    logs.rename(tmp_path / "elsewhere")
    answer = start(server.client, "seq 1 1000000")
    assert answer["output"].startswith(b"1\n2\n3\n")
    assert answer["output"].endswith(b"999999\n1000000\n")
    assert answer["gap"]["end"] - answer["gap"]["start"] + len(answer["output"]) == answer["closed"]["size"]
    assert answer["exited"]["log"] is None
    assert "could not be kept" in server.log.read_text()
    (tmp_path / "elsewhere").rename(logs)


def test_output_whose_file_someone_deleted_is_a_gap(new_server: Callable[..., RunningServer], tmp_path: Path) -> None:
    """An agent may tidy up; what is gone is said, and nothing fails."""
    server = new_server(log_dir=tmp_path / "logs")
    answer = start(server.client, "seq 1 100000")
    Path(answer["exited"]["log"]).unlink()
    until(lambda: not follow(server.client, answer["id"])["output"])  # for a moment, its ends are in memory too
    told = follow(server.client, answer["id"])
    assert (told["gap"]["start"], told["gap"]["end"]) == (0, len(answer["output"]))
    assert told["exited"]["code"] == 0


def test_a_server_that_was_killed_leaves_what_was_printed_and_ends_what_was_started(
    new_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    """The next one says that the command is lost and where its output is, and never runs it again."""
    logs = tmp_path / "logs"
    first = new_server(log_dir=logs)
    id = start(first.client, "echo $$; sleep 600 & wait", wait=0)["id"]
    pid = int(follow(first.client, id, wait=0)["output"])
    until(lambda: (logs / f"{id}.log").exists() and (logs / f"{id}.log").read_bytes() == b"%d\n" % pid)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    second = new_server(log_dir=logs)
    assert gone(pid)
    lost = second.client.get(f"/v1/commands/{id}")
    assert (lost.status_code, lost.json()["code"]) == (410, "command_lost")
    assert lost.json()["data"]["log"] == str(logs / f"{id}.log")
    assert lost.json()["data"]["output_bytes"] == len(b"%d\n" % pid)
    again = second.client.put(f"/v1/commands/{id}", json={"command": "echo $$; sleep 600 & wait"})
    assert again.json()["code"] == "command_lost"


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something that happens by itself."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def test_what_an_earlier_server_left_goes_with_time(new_server: Callable[..., RunningServer], tmp_path: Path) -> None:
    """By age here; its id never runs all the same."""
    logs = tmp_path / "logs"
    logs.mkdir()
    old = logs / "old-command.log"
    old.write_text("printed long ago")
    os.utime(old, (0, 0))
    (logs / "old-command.log.0001").write_text("and later")
    os.utime(logs / "old-command.log.0001", (0, 0))
    (logs / "stranger.txt").write_text("not ours")
    server = new_server(log_dir=logs)
    until(lambda: not old.exists())
    assert [file.name for file in logs.iterdir()] == ["stranger.txt"]
    assert server.client.put("/v1/commands/old-command", json={"command": "true"}).json()["code"] == "command_ended"


def test_two_servers_do_not_share_a_folder_of_logs(new_server: Callable[..., RunningServer], tmp_path: Path) -> None:
    """The second one would end the commands of the first."""
    server = new_server(log_dir=tmp_path / "logs")
    settings = {"SANDBOX_TOOLS_TOKEN": "x" * 20, "SANDBOX_TOOLS_LOG_DIR": f"{tmp_path}/logs"}
    second = subprocess.run(
        [sys.executable, "-m", "sandbox_tools_server"],
        env={"PATH": os.environ["PATH"], **settings, **COVERAGE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 2
    assert "another server uses it" in second.stderr
    assert server.client.get("/v1/health").status_code == 200


@pytest.mark.parametrize(
    ("setting", "value", "command", "expected"),
    [
        ("max_file", 10240, "head -c 20000 /dev/zero > big; wc -c < big", b"10240"),
        ("max_open_files", 32, "ulimit -n; ulimit -n 64", b"32\n"),
        ("max_memory", 2**28, "ulimit -v", b"262144\n"),
        ("max_processes", 500, "ulimit -u", b"500\n"),
        ("max_file", 1024, "echo $0; ulimit -c; exit 3", b"bash\n0\n"),
    ],
)
def test_limits_hold_for_commands(
    new_server: Callable[..., RunningServer], setting: str, value: int, command: str, expected: bytes
) -> None:
    """One command must not fill the disk or take all descriptors, and the shell is otherwise as it is without."""
    server = new_server(**{setting: value})
    answer = start(server.client, command)
    assert expected in answer["output"]
    assert answer["exited"]["code"] == (3 if "exit 3" in command else answer["exited"]["code"])


def test_500_commands_answer_beside_64_that_run(new_server: Callable[..., RunningServer]) -> None:
    """No thread for each command, and no blocked loop."""
    server = new_server()
    sleepers = [start(server.client, "sleep 300", wait=0)["id"] for _ in range(64)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: start(server.client, f"echo {number}")["output"], range(500)))
    assert answers == [b"%d\n" % number for number in range(500)]
    assert len(server.client.delete("/v1/commands").json()["ended"]) == len(sleepers)


def test_a_forgotten_commands_daemon_can_still_be_ended(new_server: Callable[..., RunningServer]) -> None:
    """To say that it is gone while it serves on would be a lie; its mark is enough to find it."""
    server = new_server(keep_seconds=0)
    answer = start(server.client, "setsid sleep 600 > /dev/null 2>&1 & echo $!")
    pid, path = int(answer["output"]), f"/v1/commands/{answer['id']}"
    until(lambda: server.client.get(path).status_code == 404)
    assert server.client.delete(path).json()["result"] == "killed"
    assert gone(pid)
    assert server.client.delete(path).json()["result"] == "already_exited"
    assert [server.client.delete("/v1/commands/never-ran").json()["result"] for _ in range(2)] == ["unknown"] * 2


def test_ending_all_counts_what_ended_commands_have_left(new_server: Callable[..., RunningServer]) -> None:
    """A server with its output in a file is what most of them leave."""
    server = new_server()
    answer = start(server.client, "setsid sleep 600 > /dev/null 2>&1 & echo $!")
    assert server.client.delete("/v1/commands").json()["ended"] == [answer["id"]]
    assert gone(int(answer["output"]))


def test_a_kill_after_the_shell_has_ended_does_not_rewrite_its_end(server: RunningServer) -> None:
    """It exited by itself, and what it left was ended later."""
    id = start(server.client, "sleep 60 & exit 5", wait=0)["id"]
    until(lambda: server.client.get("/v1/commands").json()["commands"] != [])
    answer = follow(server.client, id)
    assert server.client.delete(f"/v1/commands/{id}").json()["result"] == "killed"
    assert (answer["exited"]["code"], answer["exited"]["killed"]) == (5, False)


def test_commands_that_have_ended_hold_no_file_open(new_server: Callable[..., RunningServer]) -> None:
    """What takes longer than a second has a file, and the server a bounded number of descriptors."""
    server = new_server()
    ids = [start(server.client, "sleep 2.5; echo done", wait=0)["id"] for _ in range(8)]
    for id in ids:
        assert follow(server.client, id)["output"] == b"done\n"

    def open_logs() -> int:
        links = [os.readlink(fd) for fd in Path(f"/proc/{server.process.pid}/fd").iterdir() if fd.is_symlink()]
        return sum("sandbox-tools-logs" in link and link.endswith(".log") for link in links)

    until(lambda: open_logs() == 0)


def test_stderr_is_not_kept_waiting_by_a_flood_on_stdout(server: RunningServer) -> None:
    """An error message is worth most while the flood goes on."""
    command = "echo oops >&2; yes"
    id = start(server.client, command, streams="separate", wait=0)["id"]
    until(lambda: sum(follow(server.client, id, wait=0, limit=0)["sizes"].values()) > MEBIBYTE)
    events = follow(server.client, id, wait=0, limit=4096)["events"]
    assert {event["stream"] for event in events if event["kind"] == "output"} == {"stdout", "stderr"}
    server.client.delete(f"/v1/commands/{id}")
