"""/v1/files: text windows, raw content, edits and listings."""

from __future__ import annotations

import asyncio
import re
import urllib.parse
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, ParamSpec, TypeVar

from fastapi import Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sandbox_tools_server import files
from sandbox_tools_server.errors import Refused
from sandbox_tools_server.output import READ_LINES
from sandbox_tools_server.settings import Settings
from sandbox_tools_server.wire import (
    PATH_HEADER,
    VERSION_HEADER,
    Argument,
    DirectoryList,
    FileEdit,
    FileEdited,
    FileExists,
    FileWritten,
    Message,
    TextWindow,
)

from .route import Route

THREADS = 8
"""How many file operations run at once. Commands need none of these threads."""

CHUNK = 1024 * 1024
"""How much of a file is in memory at a time, in bytes."""

RAW = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
NAMED = {"headers": {name: {"schema": {"type": "string"}} for name in (PATH_HEADER, VERSION_HEADER)}}
CONTENT = {"description": "The bytes, whole.", **RAW, **NAMED}
PART = {"description": "The bytes of one range.", **RAW, **NAMED}
RANGE = {"name": "Range", "in": "header", "schema": {"type": "string"}, "description": "`bytes=0-99`: one range."}

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")


class Place(Message):
    """A path, and where it starts if it is relative."""

    path: Argument = Field(min_length=1, description="`~` and links are followed.")
    cwd: Argument | None = Field(default=None, description="The server's working directory if absent.")


class WindowPlace(Place):
    offset: int = Field(default=1, ge=0, le=2**62, description="The first line, from 1; 0 means 1.")
    limit: int = Field(default=READ_LINES, ge=1, le=1_000_000, description="How many lines.")


class WritePlace(Place):
    expected_version: str | None = Field(
        default=None, description="What is there now: a version, `absent`, or `any`. Absent: nothing may be there."
    )
    expected_path: str | None = Field(
        default=None, description="The canonical path that the version is of; it counts for no other file."
    )


class FileRoutes:
    """The handlers, with the threads that they run in."""

    def __init__(self, settings: Settings) -> None:
        self._work_dir = str(settings.work_dir)
        self._threads = ThreadPoolExecutor(THREADS, "files")

    def routes(self) -> list[Route]:
        """What there is, and who answers it."""
        content = {"response_class": Response, "responses": {200: CONTENT, 206: PART}}
        body = {"openapi_extra": {"requestBody": {"required": True, **RAW}}}
        routes: list[tuple[str, str, Callable[..., object], dict[str, Any]]] = [
            ("GET", "/v1/files/text", self.text, {"response_model": TextWindow}),
            ("GET", "/v1/files/content", self.content, {**content, "openapi_extra": {"parameters": [RANGE]}}),
            ("PUT", "/v1/files/content", self.write, {"response_model": FileWritten, **body}),
            ("POST", "/v1/files/edit", self.edit, {"response_model": FileEdited}),
            ("GET", "/v1/files/exists", self.exists, {"response_model": FileExists}),
            ("GET", "/v1/files/list", self.entries, {"response_model": DirectoryList}),
        ]
        return [Route(path, handler, methods=[verb], tags=["files"], **more) for verb, path, handler, more in routes]

    async def run(
        self, function: Callable[Parameters, Answer], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Answer:
        """Run a blocking function in one of the threads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))

    def resolve(self, path: str, cwd: str | None) -> str:
        """The canonical path."""
        return files.resolve(path, cwd, self._work_dir)

    async def text(self, query: Annotated[WindowPlace, Query()]) -> TextWindow:
        """Read some lines of a text file."""

        def read() -> TextWindow:
            return files.read_window(self.resolve(query.path, query.cwd), query.offset, query.limit)

        return await self.run(read)

    async def content(self, request: Request, query: Annotated[Place, Query()]) -> Response:
        """Read a file's bytes, whole or one range of them."""
        content = await self.run(lambda: files.open_content(self.resolve(query.path, query.cwd)))
        try:
            start, end = _range(request.headers.get("range"), content.size)
        except Refused:
            content.close()
            raise
        headers = {
            "accept-ranges": "bytes",
            "content-length": str(end - start),
            PATH_HEADER: urllib.parse.quote(content.path, errors="surrogateescape"),
            VERSION_HEADER: content.version,
        }
        if "range" in request.headers:
            headers["content-range"] = f"bytes {start}-{end - 1}/{content.size}"
        return StreamingResponse(
            self._chunks(content, start, end),
            206 if "content-range" in headers else 200,
            headers,
            "application/octet-stream",
        )

    async def _chunks(self, content: files.Content, start: int, end: int) -> AsyncIterator[bytes]:
        with content:
            while start < end:
                chunk = await self.run(content.read, start, min(CHUNK, end - start))
                if not chunk:
                    raise Refused("file_error", f"{content.path} was cut short while it was read.")
                start += len(chunk)
                yield chunk

    async def write(self, request: Request, query: Annotated[WritePlace, Query()]) -> FileWritten:
        """Write a whole file from the raw body: all of it or nothing."""
        staged = await self.run(lambda: files.StagedFile(self.resolve(query.path, query.cwd)))
        try:
            pending = bytearray()
            async for chunk in request.stream():
                pending += chunk
                if len(pending) >= CHUNK:
                    await self.run(staged.write, bytes(pending))
                    pending.clear()

            def finish() -> FileWritten:
                staged.write(bytes(pending))
                return staged.commit(expected_version=query.expected_version, expected_path=query.expected_path)

            return await self.run(finish)
        finally:
            staged.discard()

    async def edit(self, body: FileEdit) -> FileEdited:
        """Change some text of a file: all of the change or nothing."""
        return await self.run(files.edit_file, body, self._work_dir)

    async def exists(self, query: Annotated[Place, Query()]) -> FileExists:
        """Say what is at a path."""
        return await self.run(lambda: files.exists(self.resolve(query.path, query.cwd)))

    async def entries(self, query: Annotated[Place, Query()]) -> DirectoryList:
        """List a directory, sorted by name."""
        return await self.run(lambda: files.list_directory(self.resolve(query.path, query.cwd)))


def _range(header: str | None, size: int) -> tuple[int, int]:
    """The first byte and the one after the last, of one range (RFC 9110, 14.1.2)."""
    if header is None:
        return 0, size
    match = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", header.strip())
    if not match or match.group(0).endswith("=-"):
        raise Refused("range_not_satisfiable", f"The range {header!r} is none.", "Ask for one range, as bytes=0-99.")
    first, last = match.groups()
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1 if last else size, size)
    if start >= end:
        raise Refused("range_not_satisfiable", f"The range {header!r} is outside of the file's {size:,} bytes.")
    return start, end
