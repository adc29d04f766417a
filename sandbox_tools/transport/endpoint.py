"""Where a sandbox's server listens."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a sandbox's server listens.

    Attributes:
        url: such as `https://host:7860`; for a unix socket any name does.
        token: the control token.
        socket: path of a unix socket to use instead of the url's host.

    Raises ValueError if the url is none or no header can carry the token.
    """

    url: str
    token: str = field(repr=False)
    socket: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch("[!-~]+", self.token):
            raise ValueError(
                "The token is empty or has blanks, line ends or non-ASCII characters: pass it as it was given."
            )
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{self.url!r} is no address. Pass http://HOST:PORT, https://HOST or unix:/PATH.")

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine, where no proxy has any business with the token."""
        host = urlsplit(self.url).hostname or ""
        return host == "localhost" or host.startswith("127.") or host == "::1"
