"""The door: nothing but health is answered without the sandbox's token."""

from __future__ import annotations

import hmac

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import Refused
from .settings import digest
from .wire import BOOT_HEADER, TOKEN_HEADER

OPEN = {("GET", "/v1/health"), ("GET", "/api/health")}


class Door:
    """ASGI middleware: asks for the token, and marks every answer as ours.

    Arguments:
        app: what is behind the door.
        token_sha256: the token's SHA-256 in hex. The token itself is nowhere in the server.
        boot_id: names this server process on every answer.
    """

    def __init__(self, app: ASGIApp, *, token_sha256: str, boot_id: str) -> None:
        self.app = app
        self._expected = token_sha256.encode()
        self._stamp = (BOOT_HEADER.encode(), boot_id.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], self._stamp]
            await send(message)

        if scope["type"] == "http":
            app = self.app if self._admits(scope) else _unauthorized()
            await app(scope, receive, stamped)
        else:  # start and stop; there are no websockets
            await self.app(scope, receive, send)

    def _admits(self, scope: Scope) -> bool:
        if (scope["method"], scope["path"]) in OPEN:
            return True
        given = _values(scope, TOKEN_HEADER) or _values(scope, "authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        matches = hmac.compare_digest(digest(token).encode(), self._expected)
        return scheme.lower() == "bearer" and matches


def _values(scope: Scope, header: str) -> list[str]:
    """All values of a header; starlette's `Headers` would decode every other one for it."""
    wanted = header.encode()
    return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]


def _unauthorized() -> Response:
    problem = Refused(
        "unauthorized",
        "The sandbox's token is missing or wrong.",
        f"Send it as '{TOKEN_HEADER}: Bearer <token>' or 'authorization: Bearer <token>'.",
    ).problem()
    return Response(
        problem.model_dump_json(), 401, {"www-authenticate": "Bearer"}, media_type="application/problem+json"
    )
