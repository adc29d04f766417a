"""/v1/commands: start, follow, list and end commands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sandbox_tools_server.processes import Command, Commands
from sandbox_tools_server.processes.command import reached
from sandbox_tools_server.wire import (
    MAX_REPLY,
    MAX_WAIT,
    CommandEnd,
    CommandId,
    CommandInput,
    CommandList,
    CommandReply,
    CommandsEnd,
    CommandStart,
    InputTaken,
    Message,
    Ping,
    Stream,
    TerminalSize,
)

from .route import Route

NDJSON = "application/x-ndjson"

LINE = 64 * 1024
"""The most output in one line of a stream, in bytes: a line that breaks off is lost, and sent again."""


class Follow(Message):
    """From where, and for how long, to follow a command's output."""

    after: int = Field(default=0, ge=0, le=2**62, description="The output offset to go on from, in bytes.")
    after_stderr: int = Field(default=0, ge=0, le=2**62, description="The same for stderr, if that is separate.")
    wait: float = Field(default=MAX_WAIT, ge=0, le=MAX_WAIT, description="Seconds to wait for the exit.")
    enough: int | None = Field(
        default=None,
        ge=1,
        description="Wait no longer once so many bytes of output can be told. No output is dropped "
        "while somebody follows in this way: the command waits for the reader.",
    )
    exited: bool = Field(
        default=False, description="Whether the exit is known: wait for more output, or the close, instead."
    )
    limit: int = Field(default=MAX_REPLY, ge=0, le=MAX_REPLY, description="The most output to answer with, in bytes.")


class Patience(Message):
    """For how long to wait."""

    wait: float = Field(default=MAX_WAIT, ge=0, le=MAX_WAIT, description="Seconds to wait for room.")


class CommandRoutes:
    """The handlers, bound to the commands that they act on."""

    def __init__(self, commands: Commands, heartbeat: float) -> None:
        self.commands = commands
        self.heartbeat = heartbeat

    def routes(self) -> list[Route]:
        """What there is, and who answers it."""
        stream = {"content": {NDJSON: {"schema": {"type": "string", "description": "One event a line, live."}}}}
        followed: dict[str, Any] = {"tags": ["commands"], "response_model": CommandReply, "responses": {200: stream}}
        return [
            Route("/v1/commands/{id}", self.start, methods=["PUT"], **followed),
            Route("/v1/commands/{id}", self.follow, methods=["GET"], **followed),
            Route("/v1/commands/{id}", self.end, methods=["DELETE"], tags=["commands"], response_model=CommandEnd),
            Route("/v1/commands/{id}/input", self.send, methods=["POST"], tags=["commands"], response_model=InputTaken),
            Route(
                "/v1/commands/{id}/terminal",
                self.resize,
                methods=["PUT"],
                tags=["commands"],
                response_model=TerminalSize,
            ),
            Route("/v1/commands", self.all, tags=["commands"], response_model=CommandList),
            Route("/v1/commands", self.end_all, methods=["DELETE"], tags=["commands"], response_model=CommandsEnd),
        ]

    async def all(self) -> CommandList:
        """List the commands that run, and the ended ones that are kept, oldest first."""
        return CommandList(boot_id=self.commands.boot_id, commands=await self.commands.statuses())

    async def end_all(self) -> CommandsEnd:
        """End every command and all that they left running."""
        return await self.commands.end_all()

    async def start(
        self, request: Request, id: CommandId, query: Annotated[Follow, Query()], body: CommandStart
    ) -> CommandReply | Response:
        """Start a command, or attach to it if the same id runs the same command already, and follow it.

        Answers when the shell is gone, or after `wait` seconds with what there is by then; with
        `Accept: application/x-ndjson`, with a live stream of events until nothing more can come. Our own client polls,
        with `enough`: that gets through every proxy, and the command waits for it.
        """
        return await self._answer(request, query, await self.commands.start(id, body))

    async def follow(
        self, request: Request, id: CommandId, query: Annotated[Follow, Query()]
    ) -> CommandReply | Response:
        """Follow a command without starting it."""
        return await self._answer(request, query, self.commands.find(id))

    async def end(self, id: CommandId) -> CommandEnd:
        """End a command and all that it started. An id that did not start yet never will."""
        return await self.commands.end(id)

    async def send(self, id: CommandId, query: Annotated[Patience, Query()], body: CommandInput) -> InputTaken:
        """Give a command more to read. What it has no room for is to be sent again, from the `size` of the answer."""
        taken = await self.commands.find(id).send(body, query.wait)
        return InputTaken(boot_id=self.commands.boot_id, id=id, size=taken.taken, closed=taken.closed)

    async def resize(self, id: CommandId, body: TerminalSize) -> TerminalSize:
        """Change the size of a command's terminal."""
        self.commands.find(id).resize(body)
        return body

    async def _answer(self, request: Request, query: Follow, command: Command) -> CommandReply | Response:
        after: dict[Stream, int] = {"stdout": query.after, "stderr": query.after_stderr}
        if NDJSON in request.headers.get("accept", ""):
            return StreamingResponse(_lines(command, after, self.heartbeat), media_type=NDJSON)
        events = await command.follow(after, query.wait, query.enough, query.limit, exited=query.exited)
        return CommandReply.model_construct(
            boot_id=self.commands.boot_id, id=command.id, events=events, sizes=command.sizes
        )


async def _lines(command: Command, after: dict[Stream, int], heartbeat: float) -> AsyncIterator[bytes]:
    """Events, a line each, as they happen, until the output is closed."""
    told: set[str] = set()
    while "closed" not in told:
        events = [event for event in await command.events(after, LINE) if event.kind not in told]
        for event in events:
            if event.kind in ("started", "exited", "closed"):
                told.add(event.kind)
            yield event.model_dump_json().encode() + b"\n"
        after = {stream: reached(events, stream, offset) for stream, offset in after.items()}
        if not events and not await command.changed.wait(heartbeat):
            yield Ping().model_dump_json().encode() + b"\n"
