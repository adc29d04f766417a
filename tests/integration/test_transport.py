"""What httpx raises, and what stands in the sandbox's place, never reaches the user as it is."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import random
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from sandbox_tools import Sandbox, SandboxClosed, SandboxError, Unreachable, client
from sandbox_tools.operations import Flow, Request
from sandbox_tools.transport import Endpoint, Transport
from sandbox_tools.transport.url import UrlConnections

CERTIFICATE = Path(__file__).with_name("self-signed.pem")
"""A key and a certificate for nobody: openssl req -x509 -newkey rsa:2048 -nodes -days 36500 -subj /CN=nobody"""


class Between(http.server.BaseHTTPRequestHandler):
    """Something that answers in place of the sandbox: a proxy's page, a redirect, a login."""

    status = 502

    def do_GET(self) -> None:
        self.send_response(type(self).status)
        self.send_header("location", "http://127.0.0.1:1/elsewhere")
        self.send_header("content-length", "6")
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def between() -> Iterator[tuple[type[Between], Transport]]:
    handler = type("Handler", (Between,), {})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    transport = Transport(Endpoint(f"http://127.0.0.1:{server.server_port}", "secret"))
    yield handler, transport
    transport.close()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("status", "final"), [(502, False), (503, False), (504, False), (404, True), (302, True), (200, True)]
)
def test_an_answer_that_is_not_the_servers_is_no_answer(
    between: tuple[type[Between], Transport], status: int, final: bool
) -> None:
    """A gateway's page means: perhaps later. Anything else between us stays there. No redirect is followed."""
    handler, transport = between
    handler.status = status
    with pytest.raises(Unreachable) as caught:
        transport._send(Request("GET", "/v1/health"))
    assert (caught.value.sent, caught.value.final) == (True, final)


def test_a_refused_connection_carried_nothing() -> None:
    """So whatever it was may be sent again."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        transport = Transport(Endpoint(f"http://127.0.0.1:{unused.getsockname()[1]}", "secret"))
        with pytest.raises(Unreachable) as caught:
            transport._send(Request("GET", "/v1/health"))
    assert (caught.value.sent, caught.value.final) == (False, False)
    transport.close()


def test_a_line_that_breaks_may_have_carried_it() -> None:
    """The server may have done it and failed to say so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport = Transport(Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}", "secret"))

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(10_000)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(Unreachable) as caught:
            transport._send(Request("GET", "/v1/health"))
        thread.join()
    assert caught.value.sent
    transport.close()


RAISABLE = [
    kind
    for kind in vars(httpx).values()
    if isinstance(kind, type)
    and issubclass(kind, Exception)
    and not issubclass(kind, (httpx.CookieConflict, httpx.HTTPStatusError, httpx.InvalidURL, httpx.StreamError))
]
"""The exceptions of httpx that sending a request can meet."""


@pytest.mark.parametrize("kind", RAISABLE)
def test_every_error_of_httpx_that_a_request_can_meet_is_mapped(kind: type[Exception]) -> None:
    """One that a new release adds must not reach a model's framework."""
    with pytest.raises(Unreachable), UrlConnections(Endpoint("http://127.0.0.1:1", "secret"), {})._mapped():
        raise kind("x")


def test_an_address_that_only_httpx_finds_fault_with_is_said() -> None:
    """As one of our errors."""
    with pytest.raises(SandboxError, match="is no address"):
        Sandbox.connect("http://\0host", token="secret")


def test_a_call_that_is_cut_off_by_a_close_says_so(sandbox: Sandbox) -> None:
    """It is not the sandbox that broke."""
    with ThreadPoolExecutor(1) as thread, Sandbox.connect(sandbox.url, token=sandbox.token) as other:
        running = thread.submit(other.run, "sleep 300")
        while not sandbox.commands():
            pass
        other.close()
        with pytest.raises(SandboxClosed):
            running.result()


def test_what_httpx_says_of_a_closed_client_is_said_as_ours() -> None:
    """It has a RuntimeError for it; any other one is a bug, and must not be hidden."""
    transport = Transport(Endpoint("http://127.0.0.1:1", "secret"))
    with pytest.raises(RuntimeError, match="a bug"), transport._open():
        raise RuntimeError("a bug")
    transport.closed = True
    with pytest.raises(SandboxClosed), transport._open():
        raise RuntimeError("never comes so far")
    transport.closed = False
    held = transport._open()
    held.__enter__()
    transport.close()
    with pytest.raises(SandboxClosed):
        held.__exit__(RuntimeError, RuntimeError("the client has been closed"), None)
    with pytest.raises(SandboxClosed):
        transport._send(Request("GET", "/v1/health"))


def test_a_page_in_place_of_a_sandbox_that_was_there_may_pass(between: tuple[type[Between], Transport]) -> None:
    """A login page in the middle of a command is no reason to give it up."""
    handler, transport = between
    handler.status = 404
    transport._boot_id = "known"
    with pytest.raises(Unreachable) as caught:
        transport._send(Request("GET", "/v1/health"))
    assert not caught.value.final


REPLY = (
    b'{"boot_id": "b", "id": "i", "sizes": {"stdout": 2}, "events": [{"kind": "started", "at": 1.5}, '
    b'{"kind": "output", "offset": 0, "data": "aGk="}, {"kind": "exited", "code": 0, "duration": 0.1}]}'
)
"""What a command that prints `hi` is answered with."""


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK", length: bytes = b"") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"x-sandbox-boot: b", *headers, b"content-length: " + (length or b"%d" % len(body))]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


HOSTILE = [
    b"",
    b"\0" * 1000,
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/9.9 999 \xff\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx-sandbox-boot: \xff\xfe\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000,
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffffffffff\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
    b"SSH-2.0-OpenSSH_9.6\r\n",
    answer(b"", length=b"9" * 5000),
    answer(b"", length=b"-1"),
    answer(b"short", length=b"1000000"),
    answer(b"not gzip", b"content-encoding: gzip"),
    answer(b"", b"location: http://[", status=b"302 Found"),
    answer(b"", b"location: //\xff\xff:99999999/", status=b"307 Off"),
    answer(b"{}", b"set-cookie: =;;;=\xff; expires=\xff; max-age=x"),
    answer(b"\xff\xfe{}"),
    answer(b"[" * 100_000),
    answer(b'{"code": "x", "detail": "\\ud800"}', status=b"410 Gone"),
    answer(b'{"code": "command_lost", "detail": "", "data": {"boot_id": []}}', status=b"410 Gone"),
    answer(REPLY.replace(b'"offset": 0', b'"offset": 1' + b"0" * 4400)),
    answer(REPLY.replace(b'"offset": 0', b'"offset": 7')),
    answer(REPLY.replace(b"aGk=", b"aGk")),
    answer(REPLY.replace(b"exited", b"unheard-of")),
    answer(REPLY.replace(b'"output", "offset": 0, "data": "aGk="', b'"gap", "start": 0, "end": ' + b"9" * 4300)),
]
"""What a server that means harm, or that is none, may send."""


@pytest.fixture(params=["http", "unix"])
def liar(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[list[bytes], Endpoint]]:
    """Something that answers each connection with the bytes in the list, and hangs up."""
    lies: list[bytes] = []
    path = str(tmp_path / "s")
    unix = request.param == "unix"
    listener = socket.socket(socket.AF_UNIX) if unix else socket.create_server(("127.0.0.1", 0))
    if unix:
        listener.bind(path)
        listener.listen()

    def serve() -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(lies[0])
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass

    thread = threading.Thread(target=serve)
    thread.start()
    url = "http://sandbox" if unix else f"http://127.0.0.1:{listener.getsockname()[1]}"
    yield lies, Endpoint(url, "secret", path if unix else None)
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def mutations(count: int) -> Iterator[bytes]:
    """Good answers with some bytes changed, dropped or doubled."""
    chance = random.Random(4)
    for _ in range(count):
        data = bytearray(answer(REPLY))
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(data))
            data[place : place + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
        yield bytes(data)


def test_whatever_a_server_sends_is_an_answer_or_one_of_our_errors(liar: tuple[list[bytes], Endpoint]) -> None:
    """In threads and in tasks: a model's framework knows nothing else."""
    lies, endpoint = liar
    start = client.command_start("echo hi", None, None, timeout=1)
    lies.append(answer(REPLY))

    def ask(transport: Transport) -> Flow[object]:
        transport._boot_id = "b"
        return client.run("some-id-or-other", start)

    with contextlib.closing(Transport(endpoint, patience=0)) as transport:
        result = transport.run(ask(transport))
        assert isinstance(result, client.CommandResult)
        assert result.output == b"hi"

    async def aask() -> None:
        transport = Transport(endpoint, patience=0)
        try:
            await transport.arun(ask(transport))
        finally:
            await transport.aclose()

    for lie in [*HOSTILE, *mutations(150)]:
        lies[0] = lie
        with contextlib.suppress(SandboxError), contextlib.closing(Transport(endpoint, patience=0)) as transport:
            transport.run(ask(transport))
        with contextlib.suppress(SandboxError):
            asyncio.run(aask())


def test_neither_the_token_nor_other_headers_are_shown() -> None:
    """An endpoint in a log or a traceback must not give the sandbox away."""
    assert "secret" not in repr(Endpoint("http://host", "secret"))


@pytest.mark.parametrize("token", ["", "secret\n", "sécret", "two words", "a\0b"])
def test_a_token_that_no_header_can_carry_is_said_at_once_and_not_shown(token: str) -> None:
    """One that was read from a file often ends in a newline."""
    with pytest.raises(SandboxError, match="The token") as caught:
        Sandbox.connect("http://127.0.0.1:1", token=token)
    assert not token or token not in str(caught.value)


def test_the_token_is_not_sent_to_a_proxy_when_the_sandbox_is_on_this_machine(
    between: tuple[type[Between], Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in the environment is for the world outside."""
    monkeypatch.setenv("HTTP_PROXY", between[1].endpoint.url)
    monkeypatch.setenv("http_proxy", between[1].endpoint.url)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        transport = Transport(Endpoint(f"http://127.0.0.1:{unused.getsockname()[1]}", "secret"))
        with pytest.raises(Unreachable) as caught:
            transport._send(Request("GET", "/v1/health"))
    assert not caught.value.sent
    transport.close()


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once() -> None:
    """Whoever holds the line in between must not get the token."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
                secure.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        transport = Transport(Endpoint(f"https://127.0.0.1:{listener.getsockname()[1]}", "secret"))
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED") as caught:
            transport._send(Request("GET", "/v1/health"))
        thread.join()
    assert (caught.value.sent, caught.value.final) == (False, True)
    transport.close()


@pytest.mark.parametrize("path", [None, "/nowhere"])
def test_what_was_never_used_closes_all_the_same(path: str | None) -> None:
    """In threads and in tasks, and twice."""
    transport = Transport(Endpoint("http://127.0.0.1:1", "secret", path))
    asyncio.run(transport.aclose())
    transport.close()
