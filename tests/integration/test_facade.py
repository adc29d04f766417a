"""/api, as a client of the server that this one replaces speaks to it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.conftest import RunningServer


class OldClient:
    """Speaks as that client did: a base URL that ends in `/api/`, a bearer token, JSON bodies, its own defaults."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self.http = httpx.Client(
            base_url=f"{url}/api/", headers=headers, timeout=httpx.Timeout(1200, connect=30), follow_redirects=True
        )

    def call(self, endpoint: str, payload: dict[str, Any]) -> dict[str, Any]:
        reply = self.http.post(endpoint, json=payload, timeout=240)
        assert reply.status_code == 200
        answer: dict[str, Any] = reply.json()
        return answer

    def bash(self, command: str, work_dir: str = "/app", timeout: int = 240) -> dict[str, Any]:
        return self.call("bash", {"command": command, "work_dir": work_dir, "timeout": timeout})

    def read(self, path: str, offset: int | None = None, limit: int | None = 2000) -> dict[str, Any]:
        return self.call("read", {"path": path, "offset": offset, "limit": limit})

    def write(self, path: str, content: str) -> dict[str, Any]:
        return self.call("write", {"path": path, "content": content})

    def edit(self, path: str, old: str, new: str, replace_all: bool = False, mode: str = "replace") -> dict[str, Any]:
        payload = {"path": path, "old_str": old, "new_str": new, "replace_all": replace_all, "mode": mode}
        return self.call("edit", payload)


@pytest.fixture
def old(server: RunningServer) -> Any:
    client = OldClient(server.url, server.token)
    yield client
    client.http.close()


def ok(output: str) -> dict[str, Any]:
    return {"success": True, "output": output, "error": ""}


def test_health(server: RunningServer) -> None:
    """That client waits for exactly this."""
    assert httpx.get(f"{server.url}/api/health").json() == {"status": "ok"}


def test_bash_answers_what_was_printed_and_nothing_else(old: OldClient) -> None:
    """Programs compare it with what they expect."""
    assert old.bash("echo hi; echo err >&2") == ok("hi\nerr\n")
    assert old.bash("true") == ok("")
    assert old.bash("echo no; exit 3") == {"success": False, "output": "no\n", "error": "Exit code 3"}
    assert old.bash("kill -9 $$") == {"success": False, "output": "", "error": "Exit code -9"}


def test_bash_keeps_what_was_printed_before_a_timeout(old: OldClient) -> None:
    """That server threw it away."""
    assert old.bash("echo so far; sleep 60", timeout=1) == {
        "success": False,
        "output": "so far\n",
        "error": "Timeout after 1s",
    }


def test_bash_has_the_defaults_of_that_server(server: RunningServer, old: OldClient) -> None:
    """`/app`, where there is none, is the working directory; the timeout is 120 seconds, and 1,200 at the most."""
    expected = "/app" if os.path.isdir("/app") else server.work_dir
    assert old.call("bash", {"command": "pwd"}) == ok(f"{expected}\n")
    assert old.bash("pwd", work_dir="/") == ok("/\n")
    assert old.bash("true", timeout=99999) == ok("")
    described = server.client.get("/openapi.json").json()["components"]["schemas"]["BashCall"]["properties"]
    assert (described["timeout"]["default"], described["work_dir"]["default"]) == (120, "/app")


@pytest.mark.parametrize(
    "payload",
    [
        {"command": ""},
        {"command": "a\0b"},
        {"command": "true", "timeout": 0},
        {"command": "true", "timeout": -5},
        {"command": "true", "work_dir": "/no/such/place"},
    ],
)
def test_a_failed_tool_is_status_200_and_says_why(old: OldClient, payload: dict[str, Any]) -> None:
    """That client reads nothing else."""
    answer = old.call("bash", payload)
    assert (answer["success"], answer["output"]) == (False, "")
    assert answer["error"]


def test_read_numbers_lines(server: RunningServer, old: OldClient) -> None:
    """As `cat -n` does."""
    (server.work_dir / "facade.txt").write_text("one\ntwo\nthree\n")
    assert old.read("facade.txt") == ok("     1\tone\n     2\ttwo\n     3\tthree")
    assert old.read("facade.txt", offset=2, limit=1) == ok("     2\ttwo\n[lines 2 to 2 of 3; go on with offset=3]")
    assert old.call("read", {"path": "facade.txt"})["success"] is True
    missing = old.read("nothing.txt")
    assert (missing["success"], "does not exist" in missing["error"]) == (False, True)


def test_read_without_a_limit_gives_all_the_rest(server: RunningServer, old: OldClient) -> None:
    """`limit: null` is what that client sends with an offset."""
    (server.work_dir / "long.txt").write_text("".join(f"{n:020}\n" for n in range(1, 5001)))
    whole = old.read("long.txt", limit=None)["output"].split("\n")
    assert (len(whole), whole[-1]) == (5000, f"  5000\t{5000:020}")
    rest = old.read("long.txt", offset=4000, limit=None)["output"].split("\n")
    assert (len(rest), rest[0]) == (1001, f"  4000\t{4000:020}")


def test_write_is_unguarded_and_makes_directories(server: RunningServer, old: OldClient) -> None:
    """That client guards by itself."""
    assert old.write("made/for/it.txt", "é\n") == ok("Wrote 3 bytes to made/for/it.txt")
    assert old.write("made/for/it.txt", "new") == ok("Wrote 3 bytes to made/for/it.txt")
    assert (server.work_dir / "made/for/it.txt").read_text() == "new"
    assert old.write("/etc", "x")["success"] is False


def test_edit_in_every_mode(server: RunningServer, old: OldClient) -> None:
    """Unread files too, and the mode that only that client had."""
    file = server.work_dir / "edit.txt"
    file.write_text("a b a\n")
    assert old.edit("edit.txt", "b", "c") == ok("Edited edit.txt (1 replacement)")
    assert old.edit("edit.txt", "a", "x", replace_all=True) == ok("Edited edit.txt (2 replacements)")
    assert old.edit("edit.txt", "x", "y", mode="replace_all") == ok("Edited edit.txt (2 replacements)")
    assert old.edit("edit.txt", "c", "d", mode="append_after") == ok("Edited edit.txt (1 replacement)")
    assert old.edit("edit.txt", "cd", "[", mode="prepend_before") == ok("Edited edit.txt (1 replacement)")
    assert file.read_text() == "y [cd y\n"
    for wrong in (
        old.edit("edit.txt", "y", "z"),
        old.edit("edit.txt", "absent", "z"),
        old.edit("edit.txt", "y", "y"),
        old.edit("edit.txt", "[", "z", mode="guess"),
        old.edit("nothing.txt", "a", "b"),
    ):
        assert (wrong["success"], wrong["output"], bool(wrong["error"])) == (False, "", True)
    assert file.read_text() == "y [cd y\n"


def test_exists(server: RunningServer, old: OldClient) -> None:
    """The words `true` and `false`."""
    (server.work_dir / "here.txt").touch()
    assert old.call("exists", {"path": "here.txt"}) == ok("true")
    assert old.call("exists", {"path": str(server.work_dir)}) == ok("true")
    assert old.call("exists", {"path": "nothing"}) == ok("false")
    assert old.call("exists", {"path": "a\0b"}) == ok("false")


def test_kill_ends_every_command(new_server: Callable[..., RunningServer]) -> None:
    """It is how that client cancels."""
    from concurrent.futures import ThreadPoolExecutor

    server = new_server()
    old = OldClient(server.url, server.token)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(old.bash, "echo on; sleep 60")
        while not server.client.get("/v1/commands").json()["commands"]:
            pass
        killed = old.call("kill", {})
        assert (killed["success"], killed["output"].startswith("Killed 1 process(es): ")) == (True, True)
        assert running.result(30)["success"] is False
    assert old.call("kill", {}) == ok("Killed 0 process(es): []")
    old.http.close()


def test_a_wrong_token_and_a_wrong_body_carry_an_error_too(server: RunningServer) -> None:
    """That client shows `error`, and else only a number."""
    refused = httpx.post(f"{server.url}/api/bash", json={"command": "true"})
    assert (refused.status_code, "token" in refused.json()["error"]) == (401, True)
    wrong = server.client.post("/api/bash", json={"work_dir": "/"})
    assert (wrong.status_code, "command" in wrong.json()["error"]) == (422, True)


def test_output_that_was_dropped_is_said(old: OldClient) -> None:
    """More than the server keeps is lost, and the reader must know."""
    assert "dropped" in old.bash("seq 1 1000000")["output"]


def test_a_long_output_is_cut_in_the_middle(old: OldClient) -> None:
    """25,000 characters, as that server promised."""
    output = old.bash("seq 1 100000")["output"]
    assert len(output) <= 25_000
    assert output.startswith("1\n2\n")
    assert output.endswith("99999\n100000\n")
