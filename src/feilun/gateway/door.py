"""What every request passes: its key, and one shape for every error.

This module knows keys and roles. It does not know what is behind any path, or how large a body may be.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from feilun.errors import BadRequest, FeilunError, Forbidden
from feilun.gateway.described import decode
from feilun.gateway.shapes import wrong_field
from feilun.records import Key, Role
from feilun.store.audit import acting

_RANK: dict[Role, int] = {"viewer": 0, "annotator": 1, "builder": 2, "owner": 3}
_GUARDED = ("/v1", "/api")
_READ = {b"authorization", b"x-api-key"}
_log = logging.getLogger(__name__)
T = TypeVar("T")
Caller = Callable[[Mapping[bytes, bytes]], Key]  # headers -> the key of a request; raises Unauthorized


class Door:
    """ASGI middleware: refuse calls without a key before anything is parsed."""

    def __init__(self, app: ASGIApp, caller: Caller, elsewhere: Mapping[str, Iterable[str]]) -> None:
        """Stand before ``app``; ``caller`` finds a request's key.

        Paths ``elsewhere`` are answered before they come here; calls of them that do come have none of their methods.
        """
        self._app, self._caller, self._elsewhere = app, caller, elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a call in, or answer it with an error."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server leaves the body out
        who = ""
        if scope["path"].startswith(_GUARDED):
            headers = {name: value for name, value in scope["headers"] if name in _READ}
            try:
                key = self._caller(headers)
            except FeilunError as error:
                await _answer(error)(scope, receive, send)
                return
            scope.setdefault("state", {})["key"] = key
            who = f"{key.id} {key.member}".strip()
        if scope["path"] in self._elsewhere:
            await _wrong_method(self._elsewhere[scope["path"]])(scope, receive, send)
            return
        with acting(who):
            await self._app(scope, receive, send)


_BEARER = HTTPBearer(auto_error=False, description="An API key of Feilun: fl-…")


def caller(least: Role) -> Callable[..., Key]:
    """Return a dependency that gives the caller's key; raise Forbidden for a role below ``least``."""

    def check(
        request: Request, _documented: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)] = None
    ) -> Key:
        key: Key = request.state.key
        if _RANK[key.role] < _RANK[least]:
            raise Forbidden(f"This needs the role {least}; the key's role is {key.role}.", "Use another key.")
        return key

    return check


Viewer = Annotated[Key, Depends(caller("viewer"))]
Annotator = Annotated[Key, Depends(caller("annotator"))]
Builder = Annotated[Key, Depends(caller("builder"))]
Owner = Annotated[Key, Depends(caller("owner"))]


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """Return what ``work`` returns; cancel it and raise ClientDisconnect when the client leaves first."""
    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(_left(request.receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        await cancelled(task, watch)


async def cancelled(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and return once they have ended, whatever they raise."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled() and task.exception() is not None:
            _log.debug("ended with %r", task.exception())


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """Server-sent events from an async generator, which is closed at once when the client leaves."""

    media_type = "text/event-stream"

    def __init__(self, events: Any, headers: dict[str, str]) -> None:
        """Send each text of ``events`` as it comes."""
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no", **headers})
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the events end or nobody reads them."""
        del scope
        sending, watch = asyncio.ensure_future(self._send(send)), asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({sending, watch}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            await cancelled(sending, watch)
            await self._events.aclose()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for text in self._events:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class _StrictRequest(Request):
    """A request whose body is JSON as the standard has it: no NaN, no number beyond all bounds, no broken text."""

    async def json(self) -> Any:
        """Return the body; raise BadRequest."""
        return decode(await self.body(), object)


class StrictRoute(APIRoute):
    """A route that reads bodies as strictly as calls to models are read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(_StrictRequest(request.scope, request.receive))

        return strict


def _answer(error: FeilunError) -> Response:
    # ASCII only: a message may quote what a client sent, and not all of that is valid UTF-8.
    headers = {"www-authenticate": "Bearer"} if error.status == 401 else None
    return Response(json.dumps(error.body()), error.status, headers, "application/json")


def _wrong_method(allowed: Iterable[str]) -> Response:
    answer, methods = _answer(_from_status(405, "")), set(allowed)
    answer.headers["allow"] = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
    return answer


def _methods(request: Request) -> set[str]:
    """Return the methods that the path of a request takes."""
    routes: list[BaseRoute] = request.app.router.routes
    return {
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    }


def _as_ours(error: Exception) -> FeilunError:
    if isinstance(error, FeilunError):
        return error
    if isinstance(error.__cause__, FeilunError):
        return error.__cause__  # FastAPI wraps what happens while a body is read
    if isinstance(error, RequestValidationError):
        if error.errors()[0]["type"] == "json_invalid":
            return BadRequest("The body is not valid JSON.", "Send a JSON object.")
        return wrong_field(error.errors(), 1)
    if isinstance(error, HTTPException):
        return _from_status(error.status_code, str(error.detail))
    return FeilunError("Something unexpected happened.", "The gateway's log says more.")


def _from_status(status: int, detail: str) -> FeilunError:
    code = {404: "unknown_url", 405: "method_not_allowed"}.get(status, "invalid_request")
    text = {404: "There is no such path.", 405: "This path does not take this method."}.get(status, f"{detail}.")
    error = BadRequest(text, "GET /openapi.json lists what there is." if status in {404, 405} else "")
    # The statuses of HTTP itself have no class of ours; one error takes their place.
    error.status, error.code = status, code
    return error


async def _failure(request: Request, error: Exception) -> Response:
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)
    if isinstance(error, HTTPException) and error.status_code == 405:
        return _wrong_method(_methods(request))
    ours = _as_ours(error)
    if ours.status >= 500:
        _log.error("%s %s: %s", request.method, request.url.path, error, exc_info=error)
    return _answer(ours)


def install(app: FastAPI) -> None:
    """Answer every error in the OpenAI shape."""
    for kind in (FeilunError, RequestValidationError, HTTPException, ClientDisconnect, Exception):
        app.add_exception_handler(kind, _failure)
