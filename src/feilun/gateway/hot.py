"""The door of calls to models: their keys and sizes, and which handler answers which path without a web framework.

This module knows paths, keys, roles and scopes. It does not know what a handler does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Mapping

from feilun.errors import FeilunError, Forbidden, Unauthorized
from feilun.gateway.snapshot import Snapshot
from feilun.gateway.state import Gateway, HotHandler
from feilun.gateway.surface.messages import error_body, error_status
from feilun.records import Key
from feilun.wire import Exchange

LARGEST_BODY = 16 << 20
LARGEST_FILE = 512 << 20
FORM_BYTES = 1 << 20
_GUARDED = ("/v1", "/api")
_MESSAGES = "/v1/messages"
_UPLOADS = ("/v1/files", "/v1/uploads")


def secret_of(headers: Mapping[bytes, bytes]) -> str:
    """Return the key that a request carries, as OpenAI's clients send it or as Anthropic's do; empty if none."""
    given = headers.get(b"authorization")
    if given is not None:
        if given[:7] == b"Bearer ":  # as almost everybody writes it
            return given[7:].decode("latin-1").strip()
        scheme, _, secret = given.decode("latin-1").partition(" ")
        return secret.strip() if scheme.lower() == "bearer" else ""
    return headers.get(b"x-api-key", b"").decode("latin-1").strip()


def known(snapshot: Snapshot, headers: Mapping[bytes, bytes]) -> Key:
    """Return the key of a request; raise Unauthorized."""
    secret = secret_of(headers)
    if not secret:
        raise Unauthorized("You did not give an API key.", "Send it as Authorization: Bearer fl-….")
    key = snapshot.key(secret)
    if key is None:
        raise Unauthorized(
            "This API key is not known, has expired, or was revoked.", "feilun key create makes a new one."
        )
    return key


def scope_for(path: str) -> str:
    """Return the scope that a path needs: ``models`` (calls), ``admin`` (our own API), ``data`` (all else)."""
    if path.startswith("/api"):
        return "admin"
    data = ("/v1/files", "/v1/uploads", "/v1/fine_tuning", "/v1/evals")
    return "data" if path.startswith(data) else "models"


def permit(key: Key, path: str) -> None:
    """Raise Forbidden unless the key's scopes hold the path's."""
    scope = scope_for(path)
    if key.scopes and scope not in key.scopes:
        raise Forbidden(f"This key may be used for {', '.join(key.scopes)} only, not for {scope}.", "Use another key.")


class _InMessagesShape(FeilunError):
    """An error in the shape of Anthropic's API, for its clients."""

    def __init__(self, error: FeilunError) -> None:
        super().__init__(error.message, error.hint, error.param)
        self.status = error_status(error)
        self._body = error_body(error)

    def body(self) -> dict[str, object]:
        """Return the body."""
        return self._body


def admitted(snapshot: Snapshot, path: str, headers: Mapping[bytes, bytes]) -> Key:
    """Return the key of a request that may go to ``path``; raise Unauthorized or Forbidden, in the path's shape."""
    try:
        key = known(snapshot, headers)
        if key.scopes:
            permit(key, path)
    except FeilunError as error:
        if path.startswith(_MESSAGES):
            raise _InMessagesShape(error) from error
        raise
    return key


class Admission:
    """Says, before a body is read, whether it may come and how large it may be."""

    def __init__(self, snapshot: Snapshot, hot: Container[tuple[str, str]]) -> None:
        """Look keys up in ``snapshot``; the handlers of ``hot`` do so themselves."""
        self._snapshot, self._hot = snapshot, hot

    def __call__(self, method: str, path: str, headers: dict[bytes, bytes]) -> int:
        """Return the largest body in bytes; raise Unauthorized or Forbidden.

        A hot call with a small body is left to its handler: reading it costs less than looking the key up twice.
        """
        if len(headers.get(b"content-length", b"12345")) < 5 and (method, path) in self._hot:
            return LARGEST_BODY
        if path.startswith(_GUARDED):
            admitted(self._snapshot, path, headers)
        return LARGEST_FILE + FORM_BYTES if path.startswith(_UPLOADS) else LARGEST_BODY


def bound(
    here: Gateway, handlers: Mapping[tuple[str, str], HotHandler]
) -> dict[tuple[str, str], Callable[[Exchange], Awaitable[None]]]:
    """Return handlers that find the caller's key themselves: it may have been revoked while the body came."""

    def bind(handler: HotHandler) -> Callable[[Exchange], Awaitable[None]]:
        def handle(exchange: Exchange) -> Awaitable[None]:
            return handler(here, admitted(here.snapshot, exchange.path, exchange.headers), exchange)

        return handle

    return {place: bind(handler) for place, handler in handlers.items()}
