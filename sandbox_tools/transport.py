"""Drives flows over HTTP, for threads and for tasks. Nothing else here knows httpx."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import threading
import time
import urllib.parse
import weakref
from collections.abc import AsyncGenerator, Coroutine, Generator
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httpx

from sandbox_tools_server.wire import BOOT_HEADER, TOKEN_HEADER

from .errors import Refused, SandboxClosed, Unreachable
from .operations import Flow, LastBoot, Pause, Reply, Request, Result, Step

KEEP_ALIVE = 300.0
"""Seconds that an idle connection is kept: a model may think for minutes between two calls."""

CONNECT_TIMEOUT = 10.0

CLOSED = "This sandbox was closed. Create or connect to one again."

LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEP_ALIVE)
"""As many connections as there are calls: a waiting command must not hold up the call that ends it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a sandbox's server listens.

    Attributes:
        url: such as `https://host:7860`; for a unix socket any name does.
        token: the control token.
        socket: path of a unix socket to use instead of the url's host.

    Raises ValueError if the url is none or no header can carry the token.
    """

    url: str
    token: str = field(repr=False)
    socket: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch("[!-~]+", self.token):
            raise ValueError(
                "The token is empty or has blanks, line ends or non-ASCII characters: pass it as it was given."
            )
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{self.url!r} is no address. Pass http://HOST:PORT, https://HOST or unix:/PATH.")

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine, where no proxy has any business with the token."""
        host = urlsplit(self.url).hostname or ""
        return host == "localhost" or host.startswith("127.") or host == "::1"


class Transport:
    """One sandbox's connections: a pool for threads, and one for each event loop that is used."""

    _client: httpx.Client | _SocketClient | None = None

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.closed = False
        self._boot_id: str | None = None
        self._headers = {"user-agent": "sandbox-tools", TOKEN_HEADER: f"Bearer {endpoint.token}"}
        self._lock = threading.Lock()
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient | _AsyncSocketClient]
        self._clients = weakref.WeakKeyDictionary()
        self._lifetimes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None]]
        self._lifetimes = weakref.WeakKeyDictionary()

    def run(self, flow: Flow[Result]) -> Result:
        """Drive a flow to its end in this thread."""
        try:
            step = next(flow)
            while True:
                try:
                    outcome = self._perform(step)
                except Exception as error:
                    step = flow.throw(error)
                except BaseException as interruption:
                    step = flow.throw(interruption)  # it may have something to end first
                else:
                    step = flow.send(outcome)
        except StopIteration as end:
            return cast(Result, end.value)

    async def arun(self, flow: Flow[Result]) -> Result:
        """Drive a flow to its end in this task."""
        try:
            return await self._drive(flow, next(flow))
        except StopIteration as end:  # it ended without a step
            return cast(Result, end.value)

    async def _drive(self, flow: Flow[Result], step: Step) -> Result:
        while True:
            try:
                outcome = await self._aperform(step)
            except asyncio.CancelledError as cancelled:
                return await self._wind_up(flow, cancelled)
            except Exception as error:
                advance = functools.partial(flow.throw, error)
            else:
                advance = functools.partial(flow.send, outcome)
            try:
                step = advance()
            except StopIteration as end:
                return cast(Result, end.value)

    async def _wind_up(self, flow: Flow[Result], cancelled: asyncio.CancelledError) -> Result:
        """Let a cancelled flow end what it started, in a task of its own that no second cancel reaches."""

        async def rest() -> Result:
            step = flow.throw(cancelled)
            return await self._drive(flow, step)

        return await uncancelled(rest())

    def _perform(self, step: Step) -> Reply | str | None:
        if isinstance(step, Request):
            return self._send(step)
        if isinstance(step, LastBoot):
            return self._boot_id
        if isinstance(step, Pause):
            time.sleep(step.seconds)
        else:
            step.future.result()
        return None

    async def _aperform(self, step: Step) -> Reply | str | None:
        if isinstance(step, Request):
            return await self._asend(step)
        if isinstance(step, LastBoot):
            return self._boot_id
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        else:
            await asyncio.wrap_future(step.future)
        return None

    def _send(self, request: Request) -> Reply:
        client = self._sync_client()
        with self._mapped():
            return self._reply(client.send(self._built(request)))

    async def _asend(self, request: Request) -> Reply:
        client = await self._async_client()
        with self._mapped():
            return self._reply(await client.send(self._built(request)))

    def _built(self, request: Request) -> httpx.Request:
        """The whole request; for a client to merge its own settings into it would take as long as to send it."""
        headers = self._headers if request.content is None else {**self._headers, "content-type": request.content_type}
        query = f"?{urllib.parse.urlencode(request.params)}" if request.params else ""
        seconds = request.timeout
        return httpx.Request(
            request.method,
            f"{self.endpoint.url}{request.path}{query}",
            headers=headers,
            content=request.content,
            extensions={"timeout": {"connect": CONNECT_TIMEOUT, "read": seconds, "write": seconds, "pool": None}},
        )

    def _reply(self, response: httpx.Response) -> Reply:
        if BOOT_HEADER not in response.headers:
            raise Unreachable(
                f"Something else than the sandbox's server answered, with status {response.status_code}.",
                sent=True,
                final=response.status_code < 500,
            )
        self._boot_id = response.headers[BOOT_HEADER]
        return Reply(response.status_code, response.headers, response.content)

    @contextlib.contextmanager
    def _mapped(self) -> Generator[None]:
        """Turn what httpx raises into what this library raises."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            local = self.endpoint.socket is not None
            hint = " It has ended: start or connect to another one." if local else ""
            message = f"The sandbox at {self._address} does not answer: {error}.{hint}"
            raise Unreachable(message, sent=False, final=local or "SSL" in str(error)) from error
        except (httpx.InvalidURL, UnicodeEncodeError):
            message = "The path or id is too long for a request, or is no text."
            raise Refused("invalid_request", message, "Pass a shorter one.") from None
        except httpx.HTTPError as error:
            message = f"The connection to the sandbox at {self._address} broke: {error or type(error).__name__}."
            raise Unreachable(message, sent=True) from error
        except RuntimeError as error:  # of httpx, when it is closed in the middle of a call
            if self.closed:
                raise SandboxClosed(CLOSED) from error
            raise

    @property
    def _address(self) -> str:
        return self.endpoint.socket or self.endpoint.url

    def _sync_client(self) -> httpx.Client | _SocketClient:
        with self._lock:
            self._check_open()
            if self._client is None:
                socket = self.endpoint.socket
                if socket:
                    self._client = _SocketClient(uds=socket, limits=LIMITS, verify=False)
                else:
                    self._client = httpx.Client(limits=LIMITS, trust_env=not self.endpoint.is_loopback)
            return self._client

    async def _async_client(self) -> httpx.AsyncClient | _AsyncSocketClient:
        loop = asyncio.get_running_loop()
        with self._lock:
            self._check_open()
            client = self._clients.get(loop)
            if client is None:
                socket = self.endpoint.socket
                if socket:
                    client = _AsyncSocketClient(uds=socket, limits=LIMITS, verify=False)
                else:
                    client = httpx.AsyncClient(limits=LIMITS, trust_env=not self.endpoint.is_loopback)
                self._clients[loop] = client
        if loop not in self._lifetimes:
            self._lifetimes[loop] = _lifetime(client)
            await anext(self._lifetimes[loop])
        return client

    def _check_open(self) -> None:
        if self.closed:
            raise SandboxClosed(CLOSED)

    def close(self) -> None:
        """Close the connections of threads. Those of an event loop close with `aclose` in it, or when it ends."""
        self.closed = True
        with self._lock:
            if self._client is not None:
                self._client.close()

    def __del__(self) -> None:
        if self._client is not None:
            self._client.close()

    async def aclose(self) -> None:
        """Close the connections of threads and of this event loop."""
        self.close()
        lifetime = self._lifetimes.pop(asyncio.get_running_loop(), None)
        if lifetime is not None:
            await lifetime.aclose()


class _SocketClient(httpx.HTTPTransport):
    """A client for a unix socket, where there are no proxies, redirects and cookies to be had, or to take time."""

    def send(self, request: httpx.Request) -> httpx.Response:
        response = self.handle_request(request)
        try:
            response.read()
        finally:
            response.close()
        return response


class _AsyncSocketClient(httpx.AsyncHTTPTransport):
    """`_SocketClient` for tasks."""

    async def send(self, request: httpx.Request) -> httpx.Response:
        response = await self.handle_async_request(request)
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response


async def uncancelled(work: Coroutine[object, object, Result]) -> Result:
    """Wait until some work is done, however often this task is cancelled meanwhile; the cancel comes after it."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    result = task.result()
    if cancelled is not None:
        raise cancelled
    return result


async def _lifetime(client: httpx.AsyncClient | _AsyncSocketClient) -> AsyncGenerator[None]:
    """Closes a client at the end of its event loop: `asyncio.run` closes every generator that was not finished."""
    try:
        yield
    finally:
        await client.aclose()
