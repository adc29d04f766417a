"""Runs flows: what each step asks for, in a thread or in a task."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from sandbox_tools.errors import SandboxClosed, Unreachable
from sandbox_tools.operations import (
    PATIENCE,
    Emit,
    Flow,
    Knowledge,
    Left,
    Pause,
    Recall,
    Reply,
    Request,
    Result,
    Step,
    Wait,
)
from sandbox_tools_server.wire import BOOT_HEADER, TOKEN_HEADER

from .connections import Connections
from .endpoint import Endpoint
from .tasks import uncancelled

Value = TypeVar("Value")

CLOSED = "This sandbox was closed. Create or connect to one again."


@dataclass(frozen=True, slots=True)
class _End(Generic[Result]):
    """That a flow has ended, and with what."""

    result: Result


class Transport:
    """The way to one sandbox, for threads and for the tasks of any event loop.

    Arguments:
        patience: how long to go on trying to reach it, in seconds.
    """

    def __init__(self, endpoint: Endpoint, patience: float = PATIENCE) -> None:
        self.endpoint = endpoint
        self.patience = patience
        self.closed = False
        self._boot_id: str | None = None
        headers = {"user-agent": "sandbox-tools", TOKEN_HEADER: f"Bearer {endpoint.token}"}
        self._connections = _connections(endpoint, headers)
        self._endings: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, set[asyncio.Task[Any]]]
        self._endings = weakref.WeakKeyDictionary()

    def run(self, flow: Flow[Result]) -> Result:
        """Drive a flow to its end in this thread."""
        return cast(Result, _exhaust(self.iterate(flow)))

    def iterate(self, flow: Flow[object]) -> Generator[Any, None, Any]:
        """Drive a flow in this thread and give what it emits. Who stops early closes the generator."""
        return self._steps(flow, functools.partial(next, flow))

    def _steps(self, flow: Flow[object], advance: Callable[[], Step]) -> Generator[Any, None, Any]:
        while True:
            try:
                step = advance()
            except StopIteration as end:
                return end.value
            except Left:
                return None
            try:
                if isinstance(step, Emit):
                    outcome = yield step.event
                else:
                    outcome = self._perform(step)
            except GeneratorExit:
                advance = functools.partial(flow.throw, Left())
            except BaseException as error:  # an interruption too: the flow may have something to end first
                advance = functools.partial(flow.throw, error)
            else:
                advance = functools.partial(flow.send, outcome)

    async def arun(self, flow: Flow[Result]) -> Result:
        """Drive a flow to its end in this task."""
        step = await self._drive(flow, functools.partial(next, flow))
        while isinstance(step, Emit):
            step = await self._drive(flow, functools.partial(next, flow))
        return step.result

    async def aiterate(self, flow: Flow[object]) -> AsyncGenerator[Any]:
        """Drive a flow in this task and give what it emits. Who stops early closes the generator."""
        step = await self._drive(flow, functools.partial(next, flow))
        while isinstance(step, Emit):
            try:
                yield step.event
            except BaseException:
                await self._finish(asyncio.to_thread(self._leave, flow))  # the loop may end: it has no part in this
                raise
            step = await self._drive(flow, functools.partial(next, flow))

    async def _drive(self, flow: Flow[Result], advance: Callable[[], Step]) -> Emit | _End[Result]:
        """Go on to the next event, or to the end."""
        while True:
            try:
                step = advance()
            except StopIteration as end:
                return _End(cast(Result, end.value))
            if isinstance(step, Emit):
                return step
            try:
                outcome = await self._aperform(step)
            except asyncio.CancelledError as cancelled:
                return await self._finish(self._drive(flow, functools.partial(flow.throw, cancelled)))
            except Exception as error:
                advance = functools.partial(flow.throw, error)
            else:
                advance = functools.partial(flow.send, outcome)

    def _leave(self, flow: Flow[object]) -> None:
        _exhaust(self._steps(flow, functools.partial(flow.throw, Left())))

    async def _finish(self, work: Coroutine[object, object, Value]) -> Value:
        """Let an interrupted flow end what it started: no second cancel reaches it, and `aclose` waits for it."""
        task = asyncio.create_task(work)
        ending = self._endings.setdefault(asyncio.get_running_loop(), set())
        ending.add(task)
        task.add_done_callback(ending.discard)
        return await uncancelled(task)

    def _perform(self, step: Request | Pause | Wait | Recall) -> Reply | Knowledge | None:
        if isinstance(step, Request):
            return self._send(step)
        if isinstance(step, Recall):
            return Knowledge(self._boot_id, self.patience)
        if isinstance(step, Pause):
            time.sleep(step.seconds)
        else:
            step.future.result()
        return None

    async def _aperform(self, step: Request | Pause | Wait | Recall) -> Reply | Knowledge | None:
        if isinstance(step, Request):
            return await self._asend(step)
        if isinstance(step, Recall):
            return Knowledge(self._boot_id, self.patience)
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        else:
            await asyncio.wrap_future(step.future)
        return None

    def _send(self, request: Request) -> Reply:
        with self._open():
            return self._checked(self._connections.send(request))

    async def _asend(self, request: Request) -> Reply:
        with self._open():
            return self._checked(await self._connections.asend(request))

    @contextlib.contextmanager
    def _open(self) -> Generator[None]:
        """`SandboxClosed` if this was closed before or meanwhile."""
        if self.closed:
            raise SandboxClosed(CLOSED)
        try:
            yield
        except (RuntimeError, Unreachable) as error:  # httpx says RuntimeError
            if self.closed:
                raise SandboxClosed(CLOSED) from error
            raise

    def _checked(self, reply: Reply) -> Reply:
        if BOOT_HEADER not in reply.headers:
            raise Unreachable(
                f"Something else than the sandbox's server answered, with status {reply.status}.",
                sent=True,
                final=reply.status < 500 and self._boot_id is None,  # it was there before: this may pass
            )
        self._boot_id = reply.headers[BOOT_HEADER]
        return reply

    def close(self) -> None:
        """Close the connections of threads. Those of an event loop close with `aclose` in it, or when it ends."""
        self.closed = True
        self._connections.close()

    async def aclose(self) -> None:
        """Close the connections of threads and of this event loop, once what was interrupted in it has ended."""
        loop = asyncio.get_running_loop()
        try:
            for _ in range(2):
                await asyncio.sleep(0)  # a generator that was just dropped begins to be closed
            while ending := self._endings.get(loop):
                await asyncio.wait(ending)
        finally:
            self.closed = True
            await self._connections.aclose()


def _connections(endpoint: Endpoint, headers: Mapping[str, str]) -> Connections:
    """What fits the endpoint. Each imports libraries that the other does without."""
    if endpoint.socket:
        from .unix import SocketConnections

        return SocketConnections(endpoint.socket, headers)
    from .url import UrlConnections

    return UrlConnections(endpoint, headers)


def _exhaust(driving: Generator[Any, None, Any]) -> Any:
    """Let a generator run to its end, and what it returns."""
    try:
        while True:
            next(driving)
    except StopIteration as end:
        return end.value
