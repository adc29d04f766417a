"""What httpx raises and what stands between client and server never reaches the user as it is."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from sandbox_tools import Unreachable
from sandbox_tools.operations import Request
from sandbox_tools.transport import Endpoint, Transport


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
    kinds = [kind for kind in vars(httpx).values() if isinstance(kind, type) and issubclass(kind, httpx.TransportError)]
    assert len(kinds) > 10
    for kind in kinds:
        with pytest.raises(Unreachable), transport._mapped():
            raise kind("x")
    transport.close()


def test_neither_the_token_nor_other_headers_are_shown() -> None:
    """An endpoint in a log or a traceback must not give the sandbox away."""
    endpoint = Endpoint("http://host", "secret", headers={"authorization": "Bearer hf_secret"})
    assert "secret" not in repr(endpoint)
