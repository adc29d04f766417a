"""The flows that read, change and look for files."""

from __future__ import annotations

import urllib.parse

from sandbox_tools.errors import ProtocolError
from sandbox_tools_server.wire import (
    PATH_HEADER,
    VERSION_HEADER,
    DirectoryList,
    FileEdit,
    FileEdited,
    FileExists,
    FileWritten,
    TextWindow,
)

from .flow import Flow, Request, ask, call


def _place(path: str, cwd: str | None) -> dict[str, str | int | float]:
    return {"path": path} if cwd is None else {"path": path, "cwd": cwd}


def read_text(path: str, cwd: str | None, offset: int | None, limit: int) -> Flow[TextWindow]:
    """Read some lines of a text file; `offset` counts from 1."""
    window: dict[str, str | int | float] = {**_place(path, cwd), "offset": offset or 1, "limit": limit}
    return (yield from ask(TextWindow, Request("GET", "/v1/files/text", window)))


class FileContent(bytes):
    """The bytes of a file, with its canonical `path` and its `version`."""

    path: str
    version: str


def read_file(path: str, cwd: str | None) -> Flow[FileContent]:
    """Read a whole file."""
    reply = yield from call(Request("GET", "/v1/files/content", _place(path, cwd)))
    content = FileContent(reply.content)
    try:
        content.path = urllib.parse.unquote(reply.headers[PATH_HEADER])
        content.version = reply.headers[VERSION_HEADER]
    except KeyError as error:
        raise ProtocolError(f"The sandbox sent a file without the header {error}.") from None
    return content


def write_file(
    path: str, cwd: str | None, content: bytes, expected_version: str | None, expected_path: str | None = None
) -> Flow[FileWritten]:
    """Write a whole file.

    Arguments:
        expected_version: what is there now: a version, `absent`, or `any`. None: nothing, and the refusal of a file
            that is there (`precondition_required`) tells its canonical path and version.
        expected_path: the canonical path that the version is of; the path may mean another file by now.
    """
    params = _place(path, cwd)
    if expected_path is not None:
        params["expected_path"] = expected_path
    if expected_version is not None:
        params["expected_version"] = expected_version
    request = Request(
        "PUT", "/v1/files/content", params, content, "application/octet-stream", expected_version == "any"
    )
    return (yield from ask(FileWritten, request))


def edit_file(edit: FileEdit) -> Flow[FileEdited]:
    """Change some text of a file."""
    request = Request("POST", "/v1/files/edit", content=edit.model_dump_json().encode(), safe=False)
    return (yield from ask(FileEdited, request))


def file_exists(path: str, cwd: str | None) -> Flow[FileExists]:
    """Ask what is at a path."""
    return (yield from ask(FileExists, Request("GET", "/v1/files/exists", _place(path, cwd))))


def list_directory(path: str, cwd: str | None) -> Flow[DirectoryList]:
    """List a directory, sorted by name."""
    return (yield from ask(DirectoryList, Request("GET", "/v1/files/list", _place(path, cwd))))
