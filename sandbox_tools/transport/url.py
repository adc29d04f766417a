"""HTTP to a URL, over whatever proxies the environment names."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import AsyncGenerator, Generator, Mapping

import httpx

from sandbox_tools.errors import SandboxError, Unreachable
from sandbox_tools.operations import Reply, Request

from .connections import CONNECT_TIMEOUT, KEEP_ALIVE, target
from .endpoint import Endpoint

LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEP_ALIVE)


class UrlConnections:
    """A pool for threads, and one for each event loop that is used."""

    _client: httpx.Client | None = None

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str]) -> None:
        self._url = endpoint.url
        self._headers = headers
        self._trust_env = not endpoint.is_loopback
        self._lock = threading.Lock()
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient]
        self._clients = weakref.WeakKeyDictionary()
        self._lifetimes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None]]
        self._lifetimes = weakref.WeakKeyDictionary()

    def send(self, request: Request) -> Reply:
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(limits=LIMITS, trust_env=self._trust_env)
        with self._mapped():
            response = self._client.send(self._built(request), stream=True)
        try:
            with self._mapped(begun=True):
                return Reply(response.status_code, response.headers, response.read())
        finally:
            response.close()

    async def asend(self, request: Request) -> Reply:
        client = await self._async_client()
        with self._mapped():
            response = await client.send(self._built(request), stream=True)
        try:
            with self._mapped(begun=True):
                return Reply(response.status_code, response.headers, await response.aread())
        finally:
            await response.aclose()

    async def _async_client(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        with self._lock:
            client = self._clients.get(loop)
            if client is None:
                client = self._clients[loop] = httpx.AsyncClient(limits=LIMITS, trust_env=self._trust_env)
        if loop not in self._lifetimes:
            self._lifetimes[loop] = _lifetime(client)
            await anext(self._lifetimes[loop])
        return client

    def _built(self, request: Request) -> httpx.Request:
        """The whole request; for a client to merge its own settings into it would take as long as to send it."""
        headers = self._headers if request.content is None else {**self._headers, "content-type": request.content_type}
        seconds = request.timeout
        return httpx.Request(
            request.method,
            f"{self._url}{target(request)}",
            headers=headers,
            content=request.content,
            extensions={"timeout": {"connect": CONNECT_TIMEOUT, "read": seconds, "write": seconds, "pool": None}},
        )

    @contextlib.contextmanager
    def _mapped(self, begun: bool = False) -> Generator[None]:
        """Turn what httpx raises into what this library raises."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            message = f"The sandbox at {self._url} does not answer: {error}."
            raise Unreachable(message, sent=False, final="SSL" in str(error)) from error
        except httpx.InvalidURL as error:
            raise SandboxError(f"{self._url} is no address: {error}.") from error
        except httpx.HTTPError as error:
            message = f"The connection to the sandbox at {self._url} broke: {str(error) or type(error).__name__}."
            raise Unreachable(message, sent=True, begun=begun) from error

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()

    async def aclose(self) -> None:
        self.close()
        lifetime = self._lifetimes.pop(asyncio.get_running_loop(), None)
        if lifetime is not None:
            await lifetime.aclose()

    def __del__(self) -> None:
        if self._client is not None:
            self._client.close()


async def _lifetime(client: httpx.AsyncClient) -> AsyncGenerator[None]:
    """Closes a client at the end of its event loop: `asyncio.run` closes every generator that was not finished."""
    try:
        yield
    finally:
        await client.aclose()
