"""/api: the routes of the sandbox server that this one replaces, for the clients that were written for it.

Whatever a tool does, the status is 200 and the body is `{success, output, error}`; writes and edits are not guarded.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable

from pydantic import Field
from starlette.responses import Response

from sandbox_tools_server import files
from sandbox_tools_server.errors import Refused
from sandbox_tools_server.output import READ_LINES, OutputText, number_lines, render_window
from sandbox_tools_server.processes import Command, Commands
from sandbox_tools_server.settings import Settings
from sandbox_tools_server.wire import (
    Argument,
    CommandStart,
    EditMode,
    Event,
    FileEdit,
    FileEdited,
    FileWritten,
    Message,
    Output,
)

from .files import FileRoutes
from .route import Route

OLD_WORK_DIR = "/app"
DEFAULT_TIMEOUT = 120
MAX_TIMEOUT = 1200
MAX_READ = 16 * 1024 * 1024
"""The most characters that a read without a limit answers."""

ENOUGH = 1024 * 1024
"""How much of a command's output is looked at from its beginning, and as much to its end, in bytes."""


MODES: dict[str, EditMode] = {
    "replace": "replace",
    "replace_all": "replace",
    "append_after": "append_after",
    "prepend_before": "prepend_before",
}


class Answer(Message):
    success: bool
    output: str = ""
    error: str = ""


class BashCall(Message):
    command: str
    work_dir: Argument = OLD_WORK_DIR
    timeout: int = Field(default=DEFAULT_TIMEOUT, description=f"Seconds; over {MAX_TIMEOUT} means {MAX_TIMEOUT}.")


class ReadCall(Message):
    path: str
    offset: int | None = None
    limit: int | None = Field(default=READ_LINES, description="How many lines; null for all.")


class WriteCall(Message):
    path: str
    content: str


class EditCall(Message):
    path: Argument
    old_str: str
    new_str: str
    replace_all: bool = False
    mode: str = Field(default="replace", description="replace, replace_all, append_after or prepend_before.")


class ExistsCall(Message):
    path: str


class Facade:
    """The handlers, on the same code as the routes of /v1."""

    def __init__(self, commands: Commands, files: FileRoutes, settings: Settings) -> None:
        self._commands = commands
        self._files = files
        self._work_dir = str(settings.work_dir)

    def routes(self) -> list[Route]:
        """What there is, and who answers it."""
        tools = (self.bash, self.kill, self.read, self.write, self.edit, self.exists)
        return [
            Route("/api/health", self.health, tags=["api"], response_model=dict[str, str]),
            *(Route(f"/api/{t.__name__}", t, methods=["POST"], tags=["api"], response_model=Answer) for t in tools),
        ]

    async def health(self) -> Response:
        """Answer that the server is up."""
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def bash(self, body: BashCall) -> Answer:
        """Run a command to its end."""
        try:
            return await self._bash(body)
        except Refused as refusal:
            return _failure(refusal)

    async def _bash(self, body: BashCall) -> Answer:
        if body.timeout <= 0 or "\0" in body.command or not body.command:
            raise Refused("invalid_request", "The command is empty, has a NUL, or its timeout is not above 0 seconds.")
        spec = CommandStart(
            command=body.command, cwd=self._directory(body.work_dir), timeout=min(body.timeout, MAX_TIMEOUT)
        )
        command = await self._commands.start(uuid.uuid4().hex, spec)
        while command.exit is None:
            await command.wait({"stdout": 0}, 60.0)
        exit = command.exit
        output = await self._files.run(_text, await _ends(command))
        if exit.timed_out:
            return Answer(success=False, output=output, error=f"Timeout after {spec.timeout:.0f}s")
        code = exit.code if exit.signal is None else -exit.signal
        return Answer(success=code == 0, output=output, error="" if code == 0 else f"Exit code {code}")

    def _directory(self, work_dir: str) -> str:
        """`/app` is where that server worked; where there is none, it means the working directory."""
        return self._work_dir if work_dir == OLD_WORK_DIR and not os.path.isdir(OLD_WORK_DIR) else work_dir

    async def kill(self) -> Answer:
        """End every command."""
        end = await self._commands.end_all()
        return Answer(success=True, output=f"Killed {len(end.ended)} process(es): {end.ended}")

    async def read(self, body: ReadCall) -> Answer:
        """Read some lines of a text file, numbered."""

        def read() -> str:
            path = self._files.resolve(body.path, None)
            if body.limit is None:
                window = files.read_window(path, body.offset, None, max_chars=MAX_READ)
                rest = f"\n[go on with offset={window.next_offset}]" if window.next_offset else ""
                return number_lines(window.lines, window.first) + rest
            return render_window(files.read_window(path, body.offset, body.limit))

        try:
            return Answer(success=True, output=await self._files.run(read))
        except Refused as refusal:
            return _failure(refusal)

    async def write(self, body: WriteCall) -> Answer:
        """Write a whole file, whatever was there."""

        def write() -> FileWritten:
            with files.StagedFile(self._files.resolve(body.path, None)) as staged:
                staged.write(body.content.encode())
                return staged.commit(expected_version="any")

        try:
            written = await self._files.run(write)
        except Refused as refusal:
            return _failure(refusal)
        return Answer(success=True, output=f"Wrote {written.size} bytes to {body.path}")

    async def edit(self, body: EditCall) -> Answer:
        """Change some text of a file."""
        try:
            edited = await self._files.run(self._edit, body)
        except Refused as refusal:
            return _failure(refusal)
        plural = "" if edited.replacements == 1 else "s"
        return Answer(success=True, output=f"Edited {body.path} ({edited.replacements} replacement{plural})")

    def _edit(self, body: EditCall) -> FileEdited:
        everywhere = body.replace_all or body.mode == "replace_all"
        mode = MODES.get(body.mode)
        if mode is None:
            raise Refused("invalid_request", f"Unknown mode: {body.mode}.", f"Pass one of {', '.join(MODES)}.")
        edit = FileEdit(
            path=body.path,
            old_str=body.old_str,
            new_str=body.new_str,
            replace_all=everywhere,
            mode=mode,
            expected_version="any",
        )
        return files.edit_file(edit, self._work_dir)

    async def exists(self, body: ExistsCall) -> Answer:
        """Say whether there is anything at a path: `true` or `false`."""
        try:
            found = await self._files.run(lambda: files.exists(self._files.resolve(body.path, None)))
        except Refused:  # what is no path is not there
            return Answer(success=True, output="false")
        return Answer(success=True, output=str(found.exists).lower())


def _failure(refusal: Refused) -> Answer:
    return Answer(success=False, error=refusal.problem().error)


async def _ends(command: Command) -> list[Event]:
    """What a command printed, or the beginning and the end of it."""
    size = command.sizes["stdout"]
    events = await command.events({"stdout": 0}, ENOUGH)
    if size > ENOUGH:
        events += await command.events({"stdout": max(ENOUGH, size - ENOUGH)}, ENOUGH)
    return events


def _text(events: Iterable[Event]) -> str:
    text = OutputText()
    position = 0
    for event in events:
        if isinstance(event, Output):
            if event.offset > position:
                text.gap(event.offset - position)
            text.feed(event.data)
            position = event.offset + len(event.data)
    return text.render()
