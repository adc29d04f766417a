"""A sandbox of ours, as the benchmarks need it."""

from __future__ import annotations

from raw import RawClient

from sandbox_tools import Sandbox


def connect(sandbox: Sandbox) -> RawClient:
    """A raw client of a local sandbox."""
    return RawClient(address_of(sandbox), token_header(sandbox))


def address_of(sandbox: Sandbox) -> str:
    """Its socket."""
    return sandbox.url.removeprefix("unix:")


def token_header(sandbox: Sandbox) -> str:
    """What lets a request in."""
    return f"x-sandbox-authorization: Bearer {sandbox.token}"


def environment_of(sandbox: Sandbox) -> dict[str, str]:
    """What its commands find in their environment. How long bash takes to start depends on it, on LANG above all."""
    lines = sandbox.run("env -0").output.decode().split("\0")
    return dict(line.partition("=")[::2] for line in lines if line)
