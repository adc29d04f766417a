"""What httpx raises and what stands between client and server never reaches the user as it is."""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sandbox_tools import Sandbox, SandboxClosed, SandboxError, Unreachable
from sandbox_tools.operations import Request
from sandbox_tools.transport import Endpoint, Transport

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


def test_every_error_of_httpx_that_a_request_can_meet_is_mapped() -> None:
    """One that a new release adds must not reach a model's framework."""
    transport = Transport(Endpoint("http://127.0.0.1:1", "secret"))
    kinds = [kind for kind in vars(httpx).values() if isinstance(kind, type) and issubclass(kind, httpx.HTTPError)]
    assert len(kinds) > 10
    for kind in kinds:
        with pytest.raises(Unreachable), transport._mapped():
            raise kind("x") if kind is not httpx.HTTPStatusError else httpx.ReadError("x")
    transport.close()


def test_a_call_that_is_cut_off_by_a_close_says_so() -> None:
    """httpx has a RuntimeError for it; any other one is a bug, and must not be hidden."""
    transport = Transport(Endpoint("http://127.0.0.1:1", "secret"))
    with pytest.raises(RuntimeError, match="a bug"), transport._mapped():
        raise RuntimeError("a bug")
    transport.close()
    with pytest.raises(SandboxClosed), transport._mapped():
        raise RuntimeError("the client has been closed")


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
