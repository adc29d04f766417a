"""What every provider gives: a place that a sandbox's server runs at, and its end."""

from __future__ import annotations

from typing import Protocol

from sandbox_tools.transport import Endpoint


class Host(Protocol):
    """A running server."""

    @property
    def endpoint(self) -> Endpoint:
        """How to reach it."""
        ...

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def work_dir(self) -> str | None:
        """Where relative paths start, if it is known."""
        ...

    @property
    def owned(self) -> bool:
        """Whether it was created here, and so is ours to end."""
        ...

    @property
    def status(self) -> str:
        """`RUNNING` or `STOPPED`, as far as the provider can tell."""
        ...

    def close(self) -> None:
        """End it if it is ours. Closing twice is no error."""
        ...
