"""What users hold: a sandbox with its life, its tools and its files."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, ClassVar, Self

from sandbox_tools_server.wire import CommandsEnd

from . import client, operations
from .client import AsyncFiles, CommandResult, Files
from .errors import NotOwned, SandboxError
from .providers import Host, LocalHost, RemoteHost
from .session import AsyncSession, Session, check_timeout
from .tools import DEFAULT_TIMEOUT, TOOLS, ToolResult
from .transport import Transport, uncancelled


class _Base:
    """What `Sandbox` and `AsyncSandbox` share: everything that asks nothing of the sandbox."""

    TOOLS: ClassVar[dict[str, dict[str, Any]]] = {
        name: {"description": spec.description, "parameters": spec.definition()["parameters"]}
        for name, spec in TOOLS.items()
    }
    """Description and JSON schema of every tool, by its name."""

    def __init__(self, host: Host, timeout: int) -> None:
        self._host = host
        self._transport = Transport(host.endpoint)
        self.work_dir = host.work_dir
        """Where relative paths start and commands run; None if that is up to the server."""
        self.timeout = timeout
        """Seconds that a command may run if its call does not say."""
        self.space_id: str | None = None
        """The Space that it runs on, if it does."""
        self._session = self._new_session(None, work_dir=None, timeout=None)

    def _new_session(self, saved: str | None, work_dir: str | None, timeout: int | None) -> Session:
        if saved is not None:
            return Session.from_json(self._transport, saved)
        return Session(self._transport, work_dir=work_dir or self.work_dir, timeout=timeout or self.timeout)

    @property
    def token(self) -> str:
        """The control token: whoever has it can do everything in the sandbox."""
        return self._host.endpoint.token

    @property
    def url(self) -> str:
        """Where the sandbox is: an address that `connect` takes."""
        endpoint = self._host.endpoint
        return f"unix:{endpoint.socket}" if endpoint.socket else endpoint.url

    @property
    def status(self) -> str:
        """`RUNNING` or `STOPPED`."""
        return self._host.status

    @classmethod
    def tool_definitions(cls) -> list[dict[str, Any]]:
        """Name, description and JSON schema of every tool."""
        return [spec.definition() for spec in TOOLS.values()]

    def _check_owned(self) -> None:
        if not self._host.owned:
            raise NotOwned(f"The sandbox {self._host.name} was not created here. End it where it was created.")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._host.name} {self.work_dir or ''}>"


class Sandbox(_Base):
    """A sandbox: a shell and files for an agent.

    Its tool methods (`bash`, `read`, `write`, `edit`, `call_tool`) act on its own session and answer with a
    `ToolResult`; `run` and `files` give whole bytes. Leaving its `with` block ends it if it was created here.
    """

    @classmethod
    def local(
        cls,
        work_dir: str | os.PathLike[str] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        timeout: int = DEFAULT_TIMEOUT,
    ) -> Self:
        """Start a sandbox on this machine. It confines nothing: commands run as you.

        Arguments:
            work_dir: where commands run; by default a temporary folder that goes with the sandbox.
            env: added to the environment of every command, which has none of your keys and tokens by itself.
            timeout: seconds that a command may run if its call does not say.

        Raises `StartError` if it does not start; nothing is left of it then.
        """
        check_timeout(timeout)
        return cls(LocalHost(work_dir, env), timeout)

    @classmethod
    def connect(cls, target: str, *, token: str, work_dir: str | None = None, timeout: int = DEFAULT_TIMEOUT) -> Self:
        """Attach to a running server, which closing will not end.

        Arguments:
            target: `http://HOST:PORT`, `https://HOST` or `unix:/PATH`.
            token: its control token.
            work_dir: where relative paths start and commands run; by default the server's own.
            timeout: seconds that a command may run if its call does not say.

        Raises `Unreachable` if it does not answer and `Refused` (code `unauthorized`) if the token is wrong.
        """
        sandbox = cls(RemoteHost(target, token, work_dir), timeout)
        try:
            sandbox._transport.run(_greet())
        except BaseException:
            sandbox.close()
            raise
        return sandbox

    @property
    def session(self) -> Session:
        """The session that the tool methods act on."""
        return self._session

    def new_session(
        self, saved: str | None = None, *, work_dir: str | None = None, timeout: int | None = None
    ) -> Session:
        """Another session that has read nothing yet, or the one that `Session.to_json` saved.

        Arguments:
            saved: what `to_json` gave; it has its own working directory and timeout.
            work_dir: where relative paths start and commands run; by default the sandbox's.
            timeout: seconds that a command may run if its call does not say; by default the sandbox's.
        """
        return self._new_session(saved, work_dir, timeout)

    @property
    def files(self) -> Files:
        """Files as bytes."""
        return Files(self._transport, self.work_dir)

    def run(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        id: str | None = None,
    ) -> CommandResult:
        """Run a command with bash and return its exit code and its raw output.

        Arguments:
            command: what bash is to run.
            cwd: where; by default the sandbox's working directory.
            env: added to its environment.
            timeout: seconds until it is ended; by default none.
            id: a name for it, of 8 to 64 letters, digits, `-` and `_`. The same id with the same command, sent again,
                attaches to it and runs nothing twice.

        Raises `Refused` if it cannot be run as asked (codes `invalid_request`, `working_directory_missing`,
        `too_many_commands`) or if it is lost (`command_lost`).
        """
        return self._transport.run(client.run(command, cwd or self.work_dir, env, timeout, id))

    def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> ToolResult:
        """Carry out one tool call of a model."""
        return self._session.call_tool(name, arguments)

    def bash(
        self,
        command: str,
        *,
        work_dir: str | None = None,
        timeout: int | None = None,
        description: str | None = None,
    ) -> ToolResult:
        """Run a command; the text of the result is what a model reads."""
        arguments = {"command": command, "work_dir": work_dir, "timeout": timeout, "description": description}
        return self.call_tool("bash", arguments)

    def read(self, path: str | os.PathLike[str], *, offset: int | None = None, limit: int | None = None) -> ToolResult:
        """Read some lines of a file, numbered; `offset` counts from 1."""
        return self.call_tool("read", {"path": os.fspath(path), "offset": offset, "limit": limit})

    def write(self, path: str | os.PathLike[str], content: str) -> ToolResult:
        """Write a whole file. One that exists must have been read whole before."""
        return self.call_tool("write", {"path": os.fspath(path), "content": content})

    def edit(
        self,
        path: str | os.PathLike[str],
        old_str: str,
        new_str: str,
        *,
        replace_all: bool = False,
        mode: str = "replace",
    ) -> ToolResult:
        """Change a part of a file that was read before."""
        arguments = {
            "path": os.fspath(path),
            "old_str": old_str,
            "new_str": new_str,
            "replace_all": replace_all,
            "mode": mode,
        }
        return self.call_tool("edit", arguments)

    def kill_all(self) -> ToolResult:
        """End every command of the sandbox and all that they left running."""
        return _told(self._transport.run(operations.end_commands()))

    def delete(self) -> None:
        """End the sandbox; `NotOwned` if it was not created here."""
        self._check_owned()
        self.close()

    def close(self) -> None:
        """End the sandbox if it was created here, else only leave it. Closing twice is no error."""
        try:
            self._transport.close()
        finally:
            self._host.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncSandbox(_Base):
    """`Sandbox` for tasks. Write `async with await AsyncSandbox.local() as sandbox:`."""

    @classmethod
    async def local(
        cls,
        work_dir: str | os.PathLike[str] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        timeout: int = DEFAULT_TIMEOUT,
    ) -> Self:
        """Start a sandbox on this machine; see `Sandbox.local`. A start that is cancelled leaves nothing behind."""
        check_timeout(timeout)
        starting = asyncio.create_task(asyncio.to_thread(LocalHost, work_dir, env))
        try:
            host = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await uncancelled(_end_start(starting))
            raise
        return cls(host, timeout)

    @classmethod
    async def connect(
        cls, target: str, *, token: str, work_dir: str | None = None, timeout: int = DEFAULT_TIMEOUT
    ) -> Self:
        """Attach to a running server; see `Sandbox.connect`."""
        sandbox = cls(RemoteHost(target, token, work_dir), timeout)
        try:
            await sandbox._transport.arun(_greet())
        except BaseException:
            await sandbox.aclose()
            raise
        return sandbox

    @property
    def session(self) -> AsyncSession:
        """The session that the tool methods act on."""
        return AsyncSession(self._session)

    def new_session(
        self, saved: str | None = None, *, work_dir: str | None = None, timeout: int | None = None
    ) -> AsyncSession:
        """Another session that has read nothing yet, or the one that `AsyncSession.to_json` saved.

        Arguments:
            saved: what `to_json` gave; it has its own working directory and timeout.
            work_dir: where relative paths start and commands run; by default the sandbox's.
            timeout: seconds that a command may run if its call does not say; by default the sandbox's.
        """
        return AsyncSession(self._new_session(saved, work_dir, timeout))

    @property
    def files(self) -> AsyncFiles:
        """Files as bytes."""
        return AsyncFiles(self._transport, self.work_dir)

    async def run(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        id: str | None = None,
    ) -> CommandResult:
        """Run a command with bash; see `Sandbox.run`. If the task is cancelled, the command is ended."""
        return await self._transport.arun(client.run(command, cwd or self.work_dir, env, timeout, id))

    async def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> ToolResult:
        """Carry out one tool call of a model."""
        return await self._session.acall_tool(name, arguments)

    async def bash(
        self,
        command: str,
        *,
        work_dir: str | None = None,
        timeout: int | None = None,
        description: str | None = None,
    ) -> ToolResult:
        """Run a command; the text of the result is what a model reads."""
        arguments = {"command": command, "work_dir": work_dir, "timeout": timeout, "description": description}
        return await self.call_tool("bash", arguments)

    async def read(
        self, path: str | os.PathLike[str], *, offset: int | None = None, limit: int | None = None
    ) -> ToolResult:
        """Read some lines of a file, numbered; `offset` counts from 1."""
        return await self.call_tool("read", {"path": os.fspath(path), "offset": offset, "limit": limit})

    async def write(self, path: str | os.PathLike[str], content: str) -> ToolResult:
        """Write a whole file. One that exists must have been read whole before."""
        return await self.call_tool("write", {"path": os.fspath(path), "content": content})

    async def edit(
        self,
        path: str | os.PathLike[str],
        old_str: str,
        new_str: str,
        *,
        replace_all: bool = False,
        mode: str = "replace",
    ) -> ToolResult:
        """Change a part of a file that was read before."""
        arguments = {
            "path": os.fspath(path),
            "old_str": old_str,
            "new_str": new_str,
            "replace_all": replace_all,
            "mode": mode,
        }
        return await self.call_tool("edit", arguments)

    async def kill_all(self) -> ToolResult:
        """End every command of the sandbox and all that they left running."""
        return _told(await self._transport.arun(operations.end_commands()))

    async def delete(self) -> None:
        """End the sandbox; `NotOwned` if it was not created here."""
        self._check_owned()
        await self.aclose()

    async def aclose(self) -> None:
        """End the sandbox if it was created here, else only leave it. Closing twice is no error."""
        try:
            await self._transport.aclose()
        finally:
            await uncancelled(asyncio.to_thread(self._host.close))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


async def _end_start(starting: asyncio.Task[LocalHost]) -> None:
    """End what a start that nobody waits for any more has started, if it does."""
    with contextlib.suppress(SandboxError):
        await asyncio.to_thread((await starting).close)


def _greet() -> operations.Flow[None]:
    """Ask for the health, then for something that needs the token."""
    yield from operations.health()
    yield from operations.list_commands()


def _told(end: CommandsEnd) -> ToolResult:
    doubt = " Something may still be running." if end.unverified else ""
    count = len(end.ended)
    return ToolResult(success=True, output=f"Ended {count} command{'' if count == 1 else 's'}.{doubt}")


Hands = Sandbox | AsyncSandbox | Session | AsyncSession
"""What an adapter's tools can act on."""


def session_of(hands: Hands) -> Session:
    """The session behind whatever an adapter was given."""
    if isinstance(hands, Sandbox | AsyncSandbox):
        return session_of(hands.session)
    if isinstance(hands, AsyncSession):
        return hands.shared
    if not isinstance(hands, Session):  # pyright: ignore[reportUnnecessaryIsInstance]  (not everyone has a type checker)
        raise TypeError(f"Pass a sandbox or a session, not {hands!r}.")
    return hands
