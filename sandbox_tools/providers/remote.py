"""A server that someone else runs: reached by its URL, never ended by us."""

from __future__ import annotations

from urllib.parse import urlsplit

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
    if url.startswith(SOCKET_SCHEME):
        return Endpoint("http://sandbox", token, socket=url.removeprefix(SOCKET_SCHEME).removeprefix("//"))
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SandboxError(f"{url!r} is no address of a sandbox. Pass http://HOST:PORT, https://HOST or unix:/PATH.")
    return Endpoint(url.rstrip("/"), token)
