"""A server that someone else runs: reached by its URL, never ended by us."""

from __future__ import annotations

from sandbox_tools.errors import SandboxError
from sandbox_tools.transport import Endpoint

SOCKET_SCHEME = "unix:"


class RemoteHost:
    """A running server at `http://…`, `https://…` or `unix:/path/of/socket`."""

    def __init__(self, url: str, token: str, work_dir: str | None) -> None:
        self.name = url
        self.work_dir = work_dir
        self.owned = False
        self.endpoint = _endpoint(url, token)

    @property
    def status(self) -> str:
        """Always `RUNNING`: only its owner could tell."""
        return "RUNNING"

    def close(self) -> None:
        """Leave it as it is."""


def _endpoint(url: str, token: str) -> Endpoint:
    try:
        if url.startswith(SOCKET_SCHEME):
            return Endpoint("http://sandbox", token, socket=url.removeprefix(SOCKET_SCHEME).removeprefix("//"))
        return Endpoint(url.rstrip("/"), token)
    except ValueError as error:
        raise SandboxError(str(error)) from None
