"""A route that reads its handler's signature once, and then costs little more than the handler.

FastAPI describes it in the OpenAPI document as it does any route. At run time the arguments come by rule: a `Request`
as it is, a path parameter by its name, a model marked `Query()` from the query, any other model from the JSON body.
A handler returns a `Response` or a model.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox_tools_server.errors import Refused
from sandbox_tools_server.wire import Problem

PROBLEM = {"model": Problem, "description": "What went wrong, and what to do next."}

Read = Callable[[Request], Awaitable[object]]


class Route(APIRoute):
    """The route class of every path of ours."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        responses = {"default": PROBLEM} | options.pop("responses", {})
        super().__init__(path, endpoint, responses=responses, **options)
        hints = get_type_hints(endpoint, include_extras=True)
        names = inspect.signature(endpoint).parameters
        readers = {name: _reader(name, hints[name], f"{{{name}}}" in path) for name in names}

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope, receive, send)
            answer = await endpoint(**{name: await read(request) for name, read in readers.items()})
            response = answer if isinstance(answer, Response) else _json(answer)
            await response(scope, receive, send)

        self.app = app


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def _reader(name: str, hint: Any, in_path: bool) -> Read:
    if hint is Request:
        return _itself
    if in_path:
        return _PathValue(name, TypeAdapter[object](hint))
    if get_origin(hint) is Annotated:
        return _Query(get_args(hint)[0])
    return _Body(hint)


async def _itself(request: Request) -> Request:
    return request


class _PathValue:
    def __init__(self, name: str, adapter: TypeAdapter[object]) -> None:
        self.name = name
        self.adapter = adapter

    async def __call__(self, request: Request) -> object:
        try:
            return self.adapter.validate_python(request.path_params[self.name])
        except ValidationError as error:
            raise invalid(error, self.name) from None


class _Query:
    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model

    async def __call__(self, request: Request) -> BaseModel:
        query = request.scope["query_string"].decode("latin-1")
        try:
            return self.model.model_validate(dict(parse_qsl(query, keep_blank_values=True, errors="strict")))
        except UnicodeDecodeError:
            raise Refused("invalid_request", "query: it is not UTF-8.") from None
        except ValidationError as error:
            raise invalid(error, "query") from None


class _Body:
    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model

    async def __call__(self, request: Request) -> BaseModel:
        body = await read_body(request)
        try:
            return self.model.model_validate_json(body)
        except ValidationError as error:
            raise invalid(error, "body") from None


async def read_body(request: Request) -> bytes:
    """The whole body, if it is not over the server's limit."""
    limit: int = request.app.state.settings.max_body
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Refused(
                "body_too_large",
                f"The body is over {limit:,} bytes.",
                "Send a file's content raw to PUT /v1/files/content.",
            )
    return bytes(body)


def invalid(error: ValidationError, place: str) -> Refused:
    """Say in one sentence what does not fit, and where."""
    first, *others = error.errors(include_url=False, include_context=False, include_input=False)
    where = ".".join([place, *map(str, first["loc"])])
    more = f" ({len(others)} more)" if others else ""
    return Refused("invalid_request", f"{where}: {first['msg']}{more}.")
