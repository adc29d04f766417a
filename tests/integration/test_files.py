"""/v1/files of a real server over a real socket."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.conftest import RunningServer


def put(server: RunningServer, path: str, content: bytes, **params: str) -> httpx.Response:
    return server.client.put("/v1/files/content", params={"path": path, **params}, content=content)


def test_bytes_come_back_as_they_were_written(server: RunningServer) -> None:
    """Whatever they are, of whatever length."""
    content = os.urandom(3_000_001)
    written = put(server, "raw.bin", content).json()
    assert (written["created"], written["size"]) == (True, len(content))
    reply = server.client.get("/v1/files/content", params={"path": "raw.bin"})
    assert reply.content == content
    assert reply.headers["x-sandbox-version"] == written["version"]
    assert reply.headers["x-sandbox-path"] == f"{server.work_dir}/raw.bin"


def test_one_range_of_a_file(server: RunningServer) -> None:
    """How a download goes on after a break, and how a large file is fetched in parts."""
    put(server, "range.txt", b"0123456789")
    cases = {
        "bytes=0-3": b"0123",
        "bytes=7-": b"789",
        "bytes=-2": b"89",
        "bytes=5-99": b"56789",
        "bytes=-99": b"0123456789",
    }
    for header, expected in cases.items():
        reply = server.client.get("/v1/files/content", params={"path": "range.txt"}, headers={"range": header})
        assert (reply.status_code, reply.content) == (206, expected)
        assert reply.headers["content-range"].endswith("/10")


def test_a_path_with_any_character_is_told_back(server: RunningServer) -> None:
    """Headers are ASCII; file names are not."""
    put(server, "naïve ☃.txt", b"x")
    reply = server.client.get("/v1/files/content", params={"path": "naïve ☃.txt"})
    assert reply.headers["x-sandbox-path"].endswith("na%C3%AFve%20%E2%98%83.txt")


def test_an_existing_file_is_not_overwritten_without_its_version(server: RunningServer) -> None:
    """The refusal tells the version, so that whoever knows it can go on."""
    first = put(server, "guarded.txt", b"one").json()
    refused = put(server, "guarded.txt", b"two")
    assert (refused.status_code, refused.json()["code"]) == (428, "precondition_required")
    assert refused.json()["data"] == {"path": f"{server.work_dir}/guarded.txt", "version": first["version"]}
    second = put(server, "guarded.txt", b"two", expected_version=first["version"])
    assert second.status_code == 200
    stale = put(server, "guarded.txt", b"three", expected_version=first["version"])
    assert (stale.status_code, stale.json()["data"]["version"]) == (412, second.json()["version"])
    assert (server.work_dir / "guarded.txt").read_bytes() == b"two"


def test_of_many_writers_that_expect_no_file_one_wins(server: RunningServer) -> None:
    """Two agents that create the same file must not both believe they did."""
    with ThreadPoolExecutor(16) as threads:
        replies = list(threads.map(lambda n: put(server, "race.txt", b"%d" % n).status_code, range(32)))
    assert sorted(replies) == [200] + [428] * 31


def test_parallel_edits_of_one_file_are_all_applied(server: RunningServer) -> None:
    """Every peer loses some of them."""
    (server.work_dir / "many.txt").write_text("".join(f"line {n}.\n" for n in range(64)))

    def edit(number: int) -> int:
        body = {
            "path": "many.txt",
            "old_str": f"line {number}.",
            "new_str": f"LINE {number}.",
            "expected_version": "any",
        }
        return server.client.post("/v1/files/edit", json=body).status_code

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(edit, range(64))) == {200}
    assert (server.work_dir / "many.txt").read_text() == "".join(f"LINE {n}.\n" for n in range(64))


def test_a_window_of_a_text(server: RunningServer) -> None:
    """Lines, and what is to be known of the whole file."""
    (server.work_dir / "text.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\r\nc")
    window = server.client.get("/v1/files/text", params={"path": "text.txt", "offset": 2, "limit": 1}).json()
    assert (window["lines"], window["first"], window["next_offset"], window["total_lines"]) == (["b"], 2, 3, 3)
    assert (window["bom"], window["line_ends"], window["utf8"], window["final_newline"]) == (True, "crlf", True, False)


def test_a_directory_is_listed_and_a_path_looked_at(server: RunningServer) -> None:
    """What `ls` and `test -e` are for, without a shell."""
    (server.work_dir / "dir").mkdir()
    (server.work_dir / "dir" / "b").write_text("12")
    (server.work_dir / "dir" / "a").mkdir()
    listing = server.client.get("/v1/files/list", params={"path": "dir"}).json()
    assert [(e["name"], e["kind"]) for e in listing["entries"]] == [("a", "directory"), ("b", "file")]
    looks = {name: server.client.get("/v1/files/exists", params={"path": name, "cwd": "dir"}).json() for name in "abc"}
    assert [looks[name]["kind"] for name in "abc"] == ["directory", "file", None]
    assert [looks[name]["exists"] for name in "abc"] == [True, True, False]


def test_a_file_that_shrinks_while_it_is_sent_breaks_the_line(new_server: Callable[..., RunningServer]) -> None:
    """A short answer that looks whole would be silently wrong."""
    server = new_server()
    file = server.work_dir / "shrinking.bin"
    file.write_bytes(bytes(40_000_000))
    caught = None
    with server.client.stream("GET", "/v1/files/content", params={"path": "shrinking.bin"}) as reply:
        received = 0
        try:
            for chunk in reply.iter_raw():
                received += len(chunk)
                os.truncate(file, 1000)
        except httpx.RemoteProtocolError as error:
            caught = error
    assert caught is not None
    assert received < 40_000_000


def test_an_upload_to_a_full_disk_is_refused_and_the_old_file_stays(new_server: Callable[..., RunningServer]) -> None:
    """Half a file under the old name is worse than none."""
    server = new_server()
    old = put(server, "big.bin", b"old").json()
    limit = server.client.put(
        "/v1/commands/limit-it1", json={"command": f"prlimit --pid {server.process.pid} --fsize=100000"}
    )
    assert limit.json()["events"][-2]["code"] == 0
    refused = put(server, "big.bin", bytes(1_000_000), expected_version=old["version"])
    assert (refused.status_code, refused.json()["code"]) == (507, "no_space")
    assert (server.work_dir / "big.bin").read_bytes() == b"old"
    assert os.listdir(server.work_dir) == ["big.bin"]
