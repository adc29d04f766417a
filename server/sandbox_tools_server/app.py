"""Put the server together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from . import __doc__ as summary
from .auth import Door
from .errors import Refused
from .processes import Commands
from .processes.reaper import reap_orphans
from .routes import CommandRoutes, Facade, FileRoutes, HealthRoute, Route
from .settings import Settings
from .wire import ErrorCode

logger = logging.getLogger(__name__)

NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False}
"""Else FastAPI looks for an OpenTelemetry provider at every request."""

PROBLEM_TYPE = "application/problem+json"

UNROUTED: dict[int, tuple[ErrorCode, str]] = {
    404: ("route_not_found", "There is no {path}."),
    405: ("method_not_allowed", "{path} does not take {method}."),
}


def create_app(settings: Settings) -> FastAPI:
    """The whole server as an ASGI app.

    Before its connections are waited for, its `state.commands` must be stopped, as `__main__` does.
    """
    boot_id = uuid.uuid4().hex
    commands = Commands(settings, boot_id, settings.command_environment(os.environ))
    app = FastAPI(title="sandbox_tools_server", description=summary or "", lifespan=_lifespan, telemetry=NO_TELEMETRY)
    app.state.settings = settings
    app.state.commands = commands
    files = FileRoutes(settings)
    rooms = (
        HealthRoute(boot_id),
        CommandRoutes(commands, settings.heartbeat),
        files,
        Facade(commands, files, settings),
    )
    app.router.redirect_slashes = False
    routes = [route for room in rooms for route in room.routes()]
    app.router.routes[:0] = routes  # before FastAPI's own, tried in order
    vars(app)["openapi"] = _Description(app)  # FastAPI's own way to change it: an attribute over the method
    app.add_middleware(Shortcut, routes=routes)
    app.add_middleware(Door, token_sha256=settings.token_sha256, boot_id=boot_id)
    app.add_exception_handler(HTTPException, _unrouted)
    app.add_exception_handler(Exception, _internal)
    return app


class Shortcut:
    """Hands a request to its route at once: none of ours needs what FastAPI does between its middleware and a route.

    Arguments:
        app: what everything else is for.
        routes: tried in order.
    """

    def __init__(self, app: ASGIApp, *, routes: Sequence[Route]) -> None:
        self.app = app
        self._routes: dict[str, list[Route]] = {}
        for route in routes:
            for method in route.methods or ():
                self._routes.setdefault(method, []).append(route)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for route in self._routes.get(scope.get("method", ""), ()):
            if match := route.path_regex.match(scope["path"]):
                scope["path_params"] = match.groupdict()
                try:
                    await route.app(scope, receive, send)
                except Refused as refused:
                    await answer(refused)(scope, receive, send)
                except ClientDisconnect:  # it left before it had sent everything: no one reads an answer
                    pass
                return
        await self.app(scope, receive, send)


class _Description:
    """The OpenAPI document, made once: errors have a content type of their own, which FastAPI cannot be told."""

    def __init__(self, app: FastAPI) -> None:
        self._make = app.openapi
        self._made: dict[str, Any] | None = None

    def __call__(self) -> dict[str, Any]:
        if self._made is None:
            self._made = self._make()
            for operation in (o for path in self._made["paths"].values() for o in path.values()):
                content = operation["responses"]["default"]["content"]
                content[PROBLEM_TYPE] = content.pop("application/json")
        return self._made


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    await app.state.commands.recover()
    chores = asyncio.create_task(_chores(app.state.commands))
    yield
    chores.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await chores


async def _chores(commands: Commands) -> None:
    """What has to be done now and then, whether anyone calls or not."""
    while True:
        await asyncio.sleep(1.0)
        try:
            reap_orphans(commands.spawner)
            commands.tidy()
            commands.keep_on_disk()
        except Exception:  # pragma: no cover  (none is known)
            logger.exception("A chore could not be done.")


def answer(error: Refused) -> Response:
    """An error as a response."""
    problem = error.problem()
    return Response(problem.model_dump_json(), problem.status, media_type=PROBLEM_TYPE)


async def _unrouted(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, detail = UNROUTED.get(error.status_code, ("invalid_request", str(error.detail)))
    response = answer(
        Refused(
            code,
            detail.format(path=request.url.path, method=request.method),
            "GET /openapi.json describes every route.",
        )
    )
    if error.status_code == 405:
        response.headers["allow"] = ", ".join(sorted(_methods(request)))
    return response


def _methods(request: Request) -> set[str]:
    """What can be done with the path of a request."""
    found = [route for route in request.app.router.routes if isinstance(route, Route)]
    return set[str]().union(*(r.methods or () for r in found if r.path_regex.match(request.url.path)))


async def _internal(request: Request, error: Exception) -> Response:
    return answer(Refused("internal", "The sandbox's server met a fault of its own.", "Its log says more."))
