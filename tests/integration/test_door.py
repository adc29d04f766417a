"""Who gets in, and what bad input is answered with."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox_tools import Sandbox
from tests.conftest import COVERAGE, RunningServer
from tests.integration.test_commands import start

ROUTES = [
    ("GET", "/v1/commands"),
    ("DELETE", "/v1/commands"),
    ("PUT", "/v1/commands/12345678"),
    ("GET", "/v1/commands/12345678"),
    ("DELETE", "/v1/commands/12345678"),
    ("POST", "/v1/commands/12345678/input"),
    ("PUT", "/v1/commands/12345678/terminal"),
    ("GET", "/v1/files/text?path=x"),
    ("GET", "/v1/files/content?path=x"),
    ("PUT", "/v1/files/content?path=x"),
    ("POST", "/v1/files/edit"),
    ("GET", "/v1/files/exists?path=x"),
    ("GET", "/v1/files/list?path=x"),
    ("POST", "/api/bash"),
    ("POST", "/api/kill"),
    ("POST", "/api/read"),
    ("POST", "/api/write"),
    ("POST", "/api/edit"),
    ("POST", "/api/exists"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/nothing"),
    ("POST", "/v1/health"),
    ("OPTIONS", "/v1/commands"),
    ("GET", "/v1/health/"),
    ("GET", "//v1/health"),
]


def test_the_list_of_routes_is_complete(server: RunningServer) -> None:
    """A route that is added and forgotten here would be tested by nobody."""
    paths: dict[str, dict[str, Any]] = server.client.get("/openapi.json").json()["paths"]
    described = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    tested = {(method, path.partition("?")[0].replace("12345678", "{id}")) for method, path in ROUTES}
    assert described - tested == {("GET", "/v1/health"), ("GET", "/api/health")}


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_but_health_asks_for_the_token(server: RunningServer, method: str, path: str) -> None:
    """One open route is an open door."""
    right = server.token
    wrong_keys: list[dict[str, str]] = [
        {"user-agent": "none"},
        {"authorization": "Bearer wrong"},
        {"authorization": right},
        {"authorization": f"Basic {right}"},
        {"authorization": "Bearer"},
        {"x-sandbox-authorization": right},
        {"x-sandbox-token": right},
        {"cookie": f"token={right}"},
        {"x-sandbox-authorization": "Bearer wrong", "authorization": f"Bearer {right}"},
        {"x-sandbox-authorization": "", "authorization": f"Bearer {right}"},
    ]
    with httpx.Client(base_url=server.url) as client:
        for headers in wrong_keys:
            reply = client.request(method, path, headers=headers)
            assert reply.status_code == 401, headers
            problem = reply.json()
            assert problem["code"] == "unauthorized"
            assert problem["error"]
        assert client.request(method, path, params={"token": right}).status_code == 401


def test_two_keys_are_one_too_many(server: RunningServer) -> None:
    """Which of them counts would be a guess, and a proxy may guess otherwise."""
    headers = [("x-sandbox-authorization", "Bearer wrong"), ("x-sandbox-authorization", f"Bearer {server.token}")]
    assert httpx.get(f"{server.url}/v1/commands", headers=headers).status_code == 401


@pytest.mark.parametrize("name", ["authorization", "x-sandbox-authorization", "X-Sandbox-Authorization"])
def test_the_token_opens_from_either_header(server: RunningServer, name: str) -> None:
    """A proxy may take `Authorization` for itself; other clients know no other header."""
    assert server.new_client(**{name: f"Bearer {server.token}"}).get("/v1/commands").status_code == 200
    assert server.new_client(**{name: f"bearer {server.token}"}).get("/v1/commands").status_code == 200


def test_health_is_open_and_tells_nothing_but_that_it_is_up(server: RunningServer) -> None:
    """Whoever waits for a sandbox has not always its token."""
    assert httpx.get(f"{server.url}/api/health").json() == {"status": "ok"}
    assert httpx.get(f"{server.url}/v1/health").json().keys() == {"status", "protocol", "boot_id"}


def test_the_token_is_in_no_environment_no_process_list_and_no_log(new_server: Callable[..., RunningServer]) -> None:
    """Whoever has it can do everything; the agent's commands must not."""
    server = new_server()
    secrets = [server.token]
    seen = start(server.client, "env; cat /proc/$PPID/environ /proc/*/environ 2>/dev/null; ps axeww 2>/dev/null")
    arguments = start(server.client, "cat /proc/[0-9]*/cmdline 2>/dev/null")
    server.client.get("/nothing")
    server.stop()
    for text in (seen["output"], arguments["output"], server.log.read_bytes()):
        assert not [secret for secret in secrets if secret.encode() in text]


def test_no_websocket_gets_in(server: RunningServer) -> None:
    """There is none, so none can be forgotten."""
    address = (httpx.URL(server.url).host, httpx.URL(server.url).port or 0)
    with socket.create_connection(address) as connection:
        connection.sendall(
            b"GET /v1/commands HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert connection.recv(1000).split()[1] in (b"401", b"403")


BAD: list[tuple[str, str, dict[str, Any]]] = [
    ("PUT", "/v1/commands/12345678", {"content": b""}),
    ("PUT", "/v1/commands/12345678", {"content": b"{"}),
    ("PUT", "/v1/commands/12345678", {"content": b"\xff\xfe"}),
    ("PUT", "/v1/commands/12345678", {"content": b'{"command": "\\ud800"}'}),
    ("PUT", "/v1/commands/12345678", {"content": b"[" * 100_000}),
    ("PUT", "/v1/commands/12345678", {"content": b'{"command": "true", "timeout": 1e999}'}),
    ("PUT", "/v1/commands/12345678", {"content": b'{"command": "true", "timeout": NaN}'}),
    ("PUT", "/v1/commands/12345678", {"content": b'{"command": "true", "timeout": ' + b"9" * 5000 + b"}"}),
    ("PUT", "/v1/commands/12345678?after=-1", {"json": {"command": "true"}}),
    ("PUT", "/v1/commands/12345678?wait=21", {"json": {"command": "true"}}),
    ("PUT", "/v1/commands/12345678?wait=nan", {"json": {"command": "true"}}),
    ("PUT", "/v1/commands/12345678?limit=1048577", {"json": {"command": "true"}}),
    ("PUT", "/v1/commands/12345678?enough=0", {"json": {"command": "true"}}),
    ("PUT", "/v1/commands/12345678", {"json": {"command": "true", "tty": {"rows": 0}}}),
    ("POST", "/v1/commands/12345678/input", {"json": {"offset": -1}}),
    ("POST", "/v1/commands/12345678/input", {"json": {"offset": 0, "data": "="}}),
    ("PUT", "/v1/commands/12345678/terminal", {"json": {"columns": 70000}}),
    ("PUT", "/v1/commands/short", {"json": {"command": "true"}}),
    ("PUT", "/v1/commands/" + "x" * 65, {"json": {"command": "true"}}),
    ("PUT", "/v1/commands/%00%ff%00%00%00%00%00%00", {"json": {"command": "true"}}),
    ("GET", "/v1/files/text", {}),
    ("GET", "/v1/files/text?path=", {}),
    ("GET", "/v1/files/text?path=a%00b", {}),
    ("GET", "/v1/files/text?path=%ff", {}),
    ("PUT", "/v1/files/content?path=%ff", {"content": b"x"}),
    ("PUT", "/v1/files/content?path=new/", {"content": b"x"}),
    ("POST", "/api/bash", {"json": {"command": "true", "work_dir": "\0"}}),
    ("POST", "/api/edit", {"json": {"path": "\0", "old_str": "a", "new_str": "b"}}),
    ("GET", "/v1/files/text?path=/etc/passwd&offset=-1", {}),
    ("GET", "/v1/files/text?path=/etc/passwd&offset=99999999999999999999", {}),
    ("GET", "/v1/files/text?path=/etc/passwd&limit=0", {}),
    ("GET", "/v1/files/text?path=/dev/zero", {}),
    ("GET", "/v1/files/text?path=/etc/passwd/x", {}),
    ("GET", "/v1/files/text?path=" + "x" * 5000, {}),
    ("GET", "/v1/files/content?path=/etc", {}),
    ("GET", "/v1/files/content?path=/etc/passwd", {"headers": {"range": "bytes=9999999-"}}),
    ("GET", "/v1/files/content?path=/etc/passwd", {"headers": {"range": "lines=1-2"}}),
    ("GET", "/v1/files/content?path=/etc/passwd", {"headers": {"range": "bytes=-"}}),
    ("GET", "/v1/files/content?path=/etc/passwd", {"headers": {"range": "bytes=5-2"}}),
    ("PUT", "/v1/files/content?path=/proc/nothing", {"content": b"x"}),
    ("PUT", "/v1/files/content?path=/etc", {"content": b"x"}),
    ("PUT", "/v1/files/content?path=/etc/passwd", {"content": b"x"}),
    ("PUT", "/v1/files/content?path=/etc/passwd/x", {"content": b"x"}),
    ("PUT", "/v1/files/content?path=/etc/passwd&expected_version=%00", {"content": b"x"}),
    ("POST", "/v1/files/edit", {"json": {"path": "/etc/passwd", "old_str": "root", "new_str": ""}}),
    (
        "POST",
        "/v1/files/edit",
        {"json": {"path": "/etc/passwd", "old_str": "", "new_str": "", "expected_version": "any"}},
    ),
    ("POST", "/v1/files/edit", {"json": {"path": "nothing", "old_str": "a", "new_str": "b", "mode": "guess"}}),
    ("POST", "/v1/files/edit", {"json": {"path": "nothing", "old_str": "a", "new_str": "b"}}),
    ("GET", "/v1/files/list?path=/etc/passwd", {}),
    ("GET", "/v1/files/list?path=/nothing", {}),
    ("GET", "/nothing", {}),
    ("POST", "/v1/commands", {}),
    ("HEAD", "/v1/commands", {}),
    ("POST", "/api/bash", {"json": {}}),
    ("POST", "/api/bash", {"content": b"null"}),
    ("POST", "/api/read", {"json": {"path": 3}}),
]


@pytest.mark.parametrize(("method", "path", "options"), BAD, ids=range(len(BAD)))
def test_bad_input_is_answered_with_what_is_wrong(
    server: RunningServer, method: str, path: str, options: dict[str, Any]
) -> None:
    """Never a 500, never a traceback, never silence."""
    reply = server.client.request(method, path, **options)
    assert 400 <= reply.status_code < 500
    assert reply.headers["x-sandbox-boot"]
    if method != "HEAD":
        problem = reply.json()
        assert (problem["status"], problem["title"]) == (reply.status_code, reply.reason_phrase)
        assert problem["detail"]
        assert problem["error"].startswith(problem["detail"])
        assert reply.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in server.log.read_text()


def test_the_description_is_true_of_errors_and_methods(server: RunningServer) -> None:
    """A client that is made from it must not trip over what it does not say."""
    document = server.client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["responses"]["default"]["content"].keys() == {"application/problem+json"}
        refused = server.client.request("PATCH", path.replace("{id}", "12345678"))
        assert refused.status_code == 405
        assert refused.headers["allow"] == ", ".join(sorted(method.upper() for method in operations))
    assert server.client.get("/v1/commands/").status_code == 404


def test_a_body_over_the_limit_is_refused_before_it_is_held(new_server: Callable[..., RunningServer]) -> None:
    """Memory is bounded whatever is sent."""
    server = new_server(max_body=1000)
    reply = server.client.post("/api/write", json={"path": "x", "content": "x" * 2000})
    assert (reply.status_code, reply.json()["code"]) == (413, "body_too_large")
    assert not (server.work_dir / "x").exists()


def test_a_client_that_leaves_in_the_middle_of_a_body_does_no_harm(server: RunningServer) -> None:
    """A half-sent file must not be written, and a broken line is no fault of the server."""
    address = (httpx.URL(server.url).host, httpx.URL(server.url).port or 0)
    for path in ("/v1/files/content?path=half&expected_version=any", "/v1/commands/12345678"):
        with socket.create_connection(address) as connection:
            connection.sendall(
                f"PUT {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {server.token}\r\n"
                "content-length: 1000\r\n\r\nhalf".encode()
            )
    assert server.client.get("/v1/files/exists", params={"path": "half"}).json()["exists"] is False
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "SANDBOX_TOOLS_TOKEN"),
        ({"TOKEN_SHA256": "abc"}, "SANDBOX_TOOLS_TOKEN_SHA256"),
        ({"TOKEN": "x", "PORT": "many"}, "SANDBOX_TOOLS_PORT"),
        ({"TOKEN": "x", "WORK_DIR": "/no/such/place"}, "SANDBOX_TOOLS_WORK_DIR"),
        ({"TOKEN": "x", "ENV": "{"}, "SANDBOX_TOOLS_ENV"),
        ({"TOKEN": "x", "ENV": '{"A": "\\u0000"}'}, "SANDBOX_TOOLS_ENV"),
        ({"TOKEN": "x", "COLOUR": "red"}, "There are: "),
        ({"TOKEN": "x", "FD": "99"}, "SANDBOX_TOOLS_FD"),
        ({"TOKEN": "x", "LIFELINE_FD": "0"}, "SANDBOX_TOOLS_LIFELINE_FD"),
        ({"TOKEN": "x", "OWNER_PID": "9" * 30}, "SANDBOX_TOOLS_OWNER_PID"),
        ({"TOKEN": "x", "UDS": "/etc/passwd"}, "Address already in use"),
        ({"TOKEN": "x", "UDS": "/no/such/place/socket"}, "No such file"),
        ({"TOKEN": "x", "UDS": "/tmp/" + "x" * 200}, "too long"),
    ],
)
def test_wrong_settings_are_one_sentence_and_no_server(settings: dict[str, str], said: str) -> None:
    """Without a token it refuses to start: an open shell is worse than none."""
    given = {f"SANDBOX_TOOLS_{name}": value for name, value in settings.items()}
    ended = subprocess.run(
        [sys.executable, "-m", "sandbox_tools_server"],
        env={"PATH": os.environ["PATH"], **COVERAGE, **given},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("sandbox_tools_server: ")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def test_a_server_listens_on_a_unix_socket_too(tmp_path: Path) -> None:
    """No port, no other user; the socket of a server that was killed gives way, and one's own goes with the server."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    environment = {"PATH": os.environ["PATH"], **COVERAGE, "SANDBOX_TOOLS_TOKEN": "secret"}
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox_tools_server"],
        env={**environment, "SANDBOX_TOOLS_UDS": str(path), "SANDBOX_TOOLS_WORK_DIR": str(tmp_path)},
    )
    while not answers(path):
        assert process.poll() is None
    assert path.stat().st_mode & 0o777 == 0o700
    with Sandbox.connect(f"unix:{path}", token="secret") as sandbox:
        assert sandbox.run("pwd").output == f"{tmp_path}\n".encode()
        second = subprocess.run(
            [sys.executable, "-m", "sandbox_tools_server"],
            env={**environment, "SANDBOX_TOOLS_UDS": str(path)},
            capture_output=True,
            check=False,
        )
        assert (second.returncode, b"already in use" in second.stderr) == (2, True)
    process.terminate()
    assert process.wait(30) == 0
    assert not path.exists()
