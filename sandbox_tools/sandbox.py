"""What users hold: a sandbox with its life, its tools and its files."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from types import TracebackType
from typing import Any, ClassVar, Self

from sandbox_tools_server.wire import CommandsEnd, CommandStart, CommandStatus, Event, TerminalSize

from . import client, operations
from .client import AsyncFiles, AsyncJob, CommandResult, Files, Job, Streams
from .errors import NotOwned, SandboxError
from .providers import Host, LocalHost, RemoteHost
from .session import AsyncSession, Session, check_timeout
from .tools import ALL_TOOLS, DEFAULT_TIMEOUT, OnOutput, ToolResult, tool_set
from .transport import Transport, uncancelled


class _Base:
    """What `Sandbox` and `AsyncSandbox` share: everything that asks nothing of the sandbox."""

    TOOLS: ClassVar[dict[str, dict[str, Any]]] = {
        name: {"description": spec.description, "parameters": spec.definition()["parameters"]}
        for name, spec in tool_set().items()
    }
    """Description and JSON schema of each tool that a session has by default, by its name."""

    def __init__(self, host: Host, timeout: int, patience: float = operations.PATIENCE) -> None:
        self._host = host
        self._transport = Transport(host.endpoint, patience)
        self.work_dir = host.work_dir
        """Where relative paths start and commands run; None if that is up to the server."""
        self.timeout = timeout
        """Seconds that a command may run if its call does not say."""
        self.space_id: str | None = None
        """The Space that it runs on, if it does."""
        self._session = self._new_session(None, work_dir=None, timeout=None, tools=None, yield_after=None)

    def _new_session(
        self,
        saved: str | None,
        work_dir: str | None,
        timeout: int | None,
        tools: Iterable[str] | None,
        yield_after: float | None,
    ) -> Session:
        if saved is not None:
            return Session.from_json(self._transport, saved)
        return Session(
            self._transport,
            work_dir=work_dir or self.work_dir,
            timeout=timeout or self.timeout,
            tools=tools,
            yield_after=yield_after,
        )

    @property
    def _session_with_jobs(self) -> Session:
        """The session of the tool methods, with those tools too that it does not show to a model."""
        return self._session.with_tools(ALL_TOOLS)

    def _bash(self, background: bool, tty: bool, **arguments: Any) -> tuple[Session, dict[str, Any]]:
        if not (background or tty):
            return self._session, arguments
        return self._session_with_jobs, {**arguments, "background": background, "tty": tty}

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
        """Name, description and JSON schema of each tool that a session has by default."""
        return [spec.definition() for spec in tool_set().values()]

    def _command(
        self,
        command: str,
        cwd: str | None,
        env: Mapping[str, str] | None,
        timeout: float | None,
        *,
        stdin_open: bool,
        streams: Streams,
        tty: TerminalSize | bool = False,
    ) -> CommandStart:
        size = TerminalSize() if tty is True else tty or None
        where = cwd or self.work_dir
        return client.command_start(command, where, env, timeout, stdin_open=stdin_open, streams=streams, tty=size)

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
        patience: float = operations.PATIENCE,
    ) -> Self:
        """Start a sandbox on this machine. It confines nothing: commands run as you.

        Arguments:
            work_dir: where commands run; by default a temporary folder that goes with the sandbox.
            env: added to the environment of every command, which has none of your keys and tokens by itself.
            timeout: seconds that a command may run if its call does not say.
            patience: seconds to go on trying when it cannot be reached, before `Unreachable` is raised.

        Raises `StartError` if it does not start; nothing is left of it then.
        """
        check_timeout(timeout)
        return cls(LocalHost(work_dir, env), timeout, patience)

    @classmethod
    def connect(
        cls,
        target: str,
        *,
        token: str,
        work_dir: str | None = None,
        timeout: int = DEFAULT_TIMEOUT,
        patience: float = operations.PATIENCE,
    ) -> Self:
        """Attach to a running server, which closing will not end.

        Arguments:
            target: `http://HOST:PORT`, `https://HOST` or `unix:/PATH`.
            token: its control token.
            work_dir: where relative paths start and commands run; by default the server's own.
            timeout: seconds that a command may run if its call does not say.
            patience: seconds to go on trying when it cannot be reached, before `Unreachable` is raised.

        Raises `Unreachable` if it does not answer and `Refused` (code `unauthorized`) if the token is wrong.
        """
        sandbox = cls(RemoteHost(target, token, work_dir), timeout, patience)
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
        self,
        saved: str | None = None,
        *,
        work_dir: str | None = None,
        timeout: int | None = None,
        tools: Iterable[str] | None = None,
        yield_after: float | None = None,
    ) -> Session:
        """Another session that has read nothing yet, or the one that `Session.to_json` saved.

        Arguments:
            saved: what `to_json` gave; it has its own of all that follows.
            work_dir: where relative paths start and commands run; by default the sandbox's.
            timeout: seconds that a command may run if its call does not say; by default the sandbox's.
            tools: names of the tools that it has; by default `DEFAULT_TOOLS`.
            yield_after: seconds after which a command becomes a job and its call answers; by default never.
        """
        return self._new_session(saved, work_dir, timeout, tools, yield_after)

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
        input: bytes | str | None = None,
        streams: Streams = "merged",
        on_output: Callable[[bytes], object] | None = None,
    ) -> CommandResult:
        """Run a command with bash and return its exit code and its raw output, all of it.

        An interruption (Ctrl-C, an error of `on_output`) ends the command.

        Arguments:
            command: what bash is to run.
            cwd: where; by default the sandbox's working directory.
            env: added to its environment.
            timeout: seconds until it is ended; by default none.
            id: a name for it, of 8 to 64 letters, digits, `-` and `_`. The same id with the same command, sent again,
                attaches to it and runs nothing twice.
            input: what it reads; by default nothing.
            streams: `separate` keeps stderr apart from stdout.
            on_output: is given the output while the command runs, as it comes.

        Raises `Refused` if it cannot be run as asked (codes `invalid_request`, `working_directory_missing`,
        `too_many_commands`) or if it is lost (`command_lost`; `data["log"]` names the file that has its output).
        Raises `Unreachable` if the sandbox does not answer; the command goes on, and its id is in the message.
        """
        given = client.as_bytes(input)
        start = self._command(command, cwd, env, timeout, stdin_open=bool(given), streams=streams)
        return self._transport.run(client.run(id or client.new_id(), start, given, on_output))

    def stream(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        id: str | None = None,
        input: bytes | str | None = None,
        streams: Streams = "merged",
        detach: bool = False,
    ) -> Generator[Event]:
        """Run a command with bash and give its events as they come, up to its exit.

        To leave the loop ends the command, and so does closing the generator, Ctrl-C or an error in the loop.

        Arguments:
            detach: whether the command goes on then; `job` finds it again by its id.

        The other arguments and what is raised: see `run`.
        """
        given = client.as_bytes(input)
        start = self._command(command, cwd, env, timeout, stdin_open=bool(given), streams=streams)
        return self._transport.iterate(client.stream(id or client.new_id(), start, given, detach))

    def start(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        id: str | None = None,
        stdin_open: bool = False,
        tty: TerminalSize | bool = False,
        streams: Streams = "merged",
    ) -> Job:
        """Start a command with bash and return at once. It goes on without this process.

        Arguments:
            stdin_open: whether it reads what `Job.send` sends; by default it reads nothing.
            tty: whether it runs on a terminal, or on one of which size. Then it reads what is sent, and its streams are
                merged.

        The other arguments and what is raised: see `run`.
        """
        start = self._command(command, cwd, env, timeout, stdin_open=stdin_open, streams=streams, tty=tty)
        job = self.job(id or client.new_id())
        self._transport.run(operations.start_command(job.id, start))
        return job

    def job(self, id: str) -> Job:
        """The command with this id, whoever started it."""
        return Job(self._transport, id)

    def commands(self) -> list[CommandStatus]:
        """The commands that run, and the ended ones that are kept, oldest first."""
        return self._transport.run(operations.list_commands()).commands

    def call_tool(
        self, name: str, arguments: Mapping[str, Any] | None = None, on_output: OnOutput | None = None
    ) -> ToolResult:
        """Carry out one tool call of a model; see `Session.call_tool`."""
        return self._session.call_tool(name, arguments, on_output)

    def bash(
        self,
        command: str,
        *,
        work_dir: str | None = None,
        timeout: int | None = None,
        description: str | None = None,
        background: bool = False,
        tty: bool = False,
    ) -> ToolResult:
        """Run a command; the text of the result is what a model reads.

        Arguments:
            background: answer at once; the command goes on as a job, whose id is `data.id` of the result.
            tty: give the job a terminal.

        The others are those of the tool.
        """
        session, arguments = self._bash(
            background, tty, command=command, work_dir=work_dir, timeout=timeout, description=description
        )
        return session.call_tool("bash", arguments)

    def bash_output(
        self, job: str, *, since: int | None = None, tail: int | None = None, wait: int | None = None
    ) -> ToolResult:
        """Show what is new of a job's output; see `since`, `tail` and `wait` of the tool."""
        arguments = {"job": job, "since": since, "tail": tail, "wait": wait}
        return self._session_with_jobs.call_tool("bash_output", arguments)

    def bash_input(self, job: str, text: str, *, close: bool = False) -> ToolResult:
        """Write to a job that was started in the background."""
        return self._session_with_jobs.call_tool("bash_input", {"job": job, "text": text, "close": close})

    def bash_kill(self, job: str) -> ToolResult:
        """End a job and all that it started."""
        return self._session_with_jobs.call_tool("bash_kill", {"job": job})

    def bash_jobs(self) -> ToolResult:
        """List what runs, and the jobs that the tool methods have started."""
        return self._session_with_jobs.call_tool("bash_jobs")

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
        patience: float = operations.PATIENCE,
    ) -> Self:
        """Start a sandbox on this machine; see `Sandbox.local`. A start that is cancelled leaves nothing behind."""
        check_timeout(timeout)
        starting = asyncio.create_task(asyncio.to_thread(LocalHost, work_dir, env))
        try:
            host = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await uncancelled(_end_start(starting))
            raise
        return cls(host, timeout, patience)

    @classmethod
    async def connect(
        cls,
        target: str,
        *,
        token: str,
        work_dir: str | None = None,
        timeout: int = DEFAULT_TIMEOUT,
        patience: float = operations.PATIENCE,
    ) -> Self:
        """Attach to a running server; see `Sandbox.connect`."""
        sandbox = cls(RemoteHost(target, token, work_dir), timeout, patience)
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
        self,
        saved: str | None = None,
        *,
        work_dir: str | None = None,
        timeout: int | None = None,
        tools: Iterable[str] | None = None,
        yield_after: float | None = None,
    ) -> AsyncSession:
        """Another session that has read nothing yet, or the one that `AsyncSession.to_json` saved.

        Arguments:
            saved: what `to_json` gave; it has its own of all that follows.
            work_dir: where relative paths start and commands run; by default the sandbox's.
            timeout: seconds that a command may run if its call does not say; by default the sandbox's.
            tools: names of the tools that it has; by default `DEFAULT_TOOLS`.
            yield_after: seconds after which a command becomes a job and its call answers; by default never.
        """
        return AsyncSession(self._new_session(saved, work_dir, timeout, tools, yield_after))

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
        input: bytes | str | None = None,
        streams: Streams = "merged",
        on_output: Callable[[bytes], object] | None = None,
    ) -> CommandResult:
        """Run a command with bash; see `Sandbox.run`. If the task is cancelled, the command is ended."""
        given = client.as_bytes(input)
        start = self._command(command, cwd, env, timeout, stdin_open=bool(given), streams=streams)
        return await self._transport.arun(client.run(id or client.new_id(), start, given, on_output))

    def stream(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        id: str | None = None,
        input: bytes | str | None = None,
        streams: Streams = "merged",
        detach: bool = False,
    ) -> AsyncGenerator[Event]:
        """Run a command with bash and give its events as they come; see `Sandbox.stream`.

        If the task is cancelled, the command is ended. A loop that is left ends it soon; to have it ended by then, loop
        in `async with contextlib.aclosing(sandbox.stream(…)) as events:`.
        """
        given = client.as_bytes(input)
        start = self._command(command, cwd, env, timeout, stdin_open=bool(given), streams=streams)
        return self._transport.aiterate(client.stream(id or client.new_id(), start, given, detach))

    async def start(
        self,
        command: str,
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        id: str | None = None,
        stdin_open: bool = False,
        tty: TerminalSize | bool = False,
        streams: Streams = "merged",
    ) -> AsyncJob:
        """Start a command with bash and return at once; see `Sandbox.start`."""
        start = self._command(command, cwd, env, timeout, stdin_open=stdin_open, streams=streams, tty=tty)
        job = self.job(id or client.new_id())
        await self._transport.arun(operations.start_command(job.id, start))
        return job

    def job(self, id: str) -> AsyncJob:
        """The command with this id, whoever started it."""
        return AsyncJob(self._transport, id)

    async def commands(self) -> list[CommandStatus]:
        """The commands that run, and the ended ones that are kept, oldest first."""
        return (await self._transport.arun(operations.list_commands())).commands

    async def call_tool(
        self, name: str, arguments: Mapping[str, Any] | None = None, on_output: OnOutput | None = None
    ) -> ToolResult:
        """Carry out one tool call of a model; see `Session.acall_tool`."""
        return await self._session.acall_tool(name, arguments, on_output)

    async def bash(
        self,
        command: str,
        *,
        work_dir: str | None = None,
        timeout: int | None = None,
        description: str | None = None,
        background: bool = False,
        tty: bool = False,
    ) -> ToolResult:
        """Run a command; the text of the result is what a model reads.

        Arguments:
            background: answer at once; the command goes on as a job, whose id is `data.id` of the result.
            tty: give the job a terminal.

        The others are those of the tool.
        """
        session, arguments = self._bash(
            background, tty, command=command, work_dir=work_dir, timeout=timeout, description=description
        )
        return await session.acall_tool("bash", arguments)

    async def bash_output(
        self, job: str, *, since: int | None = None, tail: int | None = None, wait: int | None = None
    ) -> ToolResult:
        """Show what is new of a job's output; see `since`, `tail` and `wait` of the tool."""
        arguments = {"job": job, "since": since, "tail": tail, "wait": wait}
        return await self._session_with_jobs.acall_tool("bash_output", arguments)

    async def bash_input(self, job: str, text: str, *, close: bool = False) -> ToolResult:
        """Write to a job that was started in the background."""
        return await self._session_with_jobs.acall_tool("bash_input", {"job": job, "text": text, "close": close})

    async def bash_kill(self, job: str) -> ToolResult:
        """End a job and all that it started."""
        return await self._session_with_jobs.acall_tool("bash_kill", {"job": job})

    async def bash_jobs(self) -> ToolResult:
        """List what runs, and the jobs that the tool methods have started."""
        return await self._session_with_jobs.acall_tool("bash_jobs")

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
    yield from operations.file_exists("/", None)


def _told(end: CommandsEnd) -> ToolResult:
    doubt = " Something may still be running." if end.unverified else ""
    count = len(end.ended)
    return ToolResult(success=True, output=f"Ended {count} command{'' if count == 1 else 's'}.{doubt}")


Hands = Sandbox | AsyncSandbox | Session | AsyncSession
"""What an adapter's tools can act on."""


def session_of(hands: Hands, names: Iterable[str] | None = None) -> Session:
    """The session behind whatever an adapter was given.

    Arguments:
        names: the tools that it shall have; by default its own.
    """
    if isinstance(hands, Sandbox | AsyncSandbox):
        return session_of(hands.session, names)
    if isinstance(hands, AsyncSession):
        return session_of(hands.shared, names)
    if not isinstance(hands, Session):  # pyright: ignore[reportUnnecessaryIsInstance]  (not everyone has a type checker)
        raise TypeError(f"Pass a sandbox or a session, not {hands!r}.")
    return hands if names is None else hands.with_tools(names)
