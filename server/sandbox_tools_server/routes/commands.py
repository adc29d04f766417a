"""/v1/commands: start, follow, list and end commands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sandbox_tools_server.processes import Command, Commands
from sandbox_tools_server.wire import (
    MAX_WAIT,
    CommandEnd,
    CommandId,
    CommandList,
    CommandReply,
    CommandsEnd,
    CommandStart,
    Event,
    Gap,
    Message,
    Output,
    Ping,
)

from .route import Route

NDJSON = "application/x-ndjson"


class Follow(Message):
    """From where, and for how long, to follow a command's output."""

    after: int = Field(default=0, ge=0, le=2**62, description="The output offset to go on from, in bytes.")
    wait: float = Field(default=MAX_WAIT, ge=0, le=MAX_WAIT, description="Seconds to wait for the exit.")


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
            Route("/v1/commands", self.all, tags=["commands"], response_model=CommandList),
            Route("/v1/commands", self.end_all, methods=["DELETE"], tags=["commands"], response_model=CommandsEnd),
        ]

    async def all(self) -> CommandList:
        """List the commands that run, and the ended ones that are kept, oldest first."""
        return CommandList(boot_id=self.commands.boot_id, commands=self.commands.statuses())

    async def end_all(self) -> CommandsEnd:
        """End every command and all that they left running."""
        return await self.commands.end_all()

    async def start(
        self, request: Request, id: CommandId, query: Annotated[Follow, Query()], body: CommandStart
    ) -> CommandReply | Response:
        """Start a command, or attach to it if the same id runs the same command already, and follow it.

        Answers when the shell is gone, or after `wait` seconds with what there is by then; with
        `Accept: application/x-ndjson`, with a live stream of events until nothing more can come.
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

    async def _answer(self, request: Request, query: Follow, command: Command) -> CommandReply | Response:
        if NDJSON in request.headers.get("accept", ""):
            return StreamingResponse(_lines(command, query.after, self.heartbeat), media_type=NDJSON)
        await command.wait(query.after, query.wait)
        return CommandReply(boot_id=self.commands.boot_id, id=command.id, events=command.events(query.after))


async def _lines(command: Command, after: int, heartbeat: float) -> AsyncIterator[bytes]:
    """Events, a line each, as they happen, until the output is closed."""
    told: set[str] = set()
    while "closed" not in told:
        quiet = True
        for event in command.events(after):
            if event.kind in told:
                continue
            if isinstance(event, Output):
                after = event.offset + len(event.data)
            elif isinstance(event, Gap):
                after = event.end
            else:
                told.add(event.kind)
            yield _line(event)
            quiet = False
        if quiet and not await command.changed.wait(heartbeat):
            yield _line(Ping())


def _line(event: Event) -> bytes:
    return event.model_dump_json().encode() + b"\n"
