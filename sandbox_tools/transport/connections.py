"""What carries requests to a sandbox."""

from __future__ import annotations

import urllib.parse
from typing import Protocol

from sandbox_tools.errors import Refused
from sandbox_tools.operations import Reply, Request

KEEP_ALIVE = 300.0
"""Seconds that an idle connection is kept: a model may think for minutes between two calls."""

CONNECT_TIMEOUT = 10.0

MAX_TARGET = 65_536
"""The longest path with its query, in characters: httpx sends no longer one."""


class Connections(Protocol):
    """As many as there are calls: a waiting command must not hold up the call that ends it.

    A call raises `Unreachable` if no whole answer came.
    """

    def send(self, request: Request) -> Reply:
        """Send a request and return its answer, in a thread."""
        ...

    async def asend(self, request: Request) -> Reply:
        """Send a request and return its answer, in a task."""
        ...

    def close(self) -> None:
        """Close what threads use. Closing twice is no error."""
        ...

    async def aclose(self) -> None:
        """Close what threads and the tasks of this event loop use. Closing twice is no error."""
        ...


def target(request: Request) -> str:
    """Path and query; `Refused` if they cannot be sent."""
    try:
        target = f"{request.path}?{urllib.parse.urlencode(request.params)}" if request.params else request.path
    except UnicodeEncodeError:
        target = ""
    if not 0 < len(target) <= MAX_TARGET:
        message = "The path or id is too long for a request, or is no text."
        raise Refused("invalid_request", message, "Pass a shorter one.")
    return target
