"""How a target is reached: the process that serves a model here, or a provider outside, and what each is sent.

This module knows places, providers and bodies. It does not know budgets, or which target is tried when.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

import msgspec

from feilun.errors import BadRequest, BudgetExhausted, EngineDown, FeilunError, Forbidden, RateLimited, UpstreamError
from feilun.gateway.hotpath.calls import Call
from feilun.gateway.hotpath.foreign import AnthropicReply
from feilun.gateway.hotpath.routes import Choice
from feilun.gateway.surface.anthropic_out import OWN, to_anthropic
from feilun.records import JSON, ModelVersion
from feilun.serving.fleet import Fleet
from feilun.serving.replica import Place
from feilun.wire import Origin, Pool, Reply, Timeouts, resolve

RESOLVED_SECONDS = 30.0
LONGEST_WAIT = 31 * 24 * 3600.0
CHATS = "/v1/chat/completions"
COUNTED = ("model", "messages", "system", "tools", "tool_choice", "output_config")  # what takes part in a count
STOP_TIMEOUTS = Timeouts(connect=2, first=10, between=10)
REACH_TIMEOUTS = Timeouts(connect=5, first=10, between=10, total=20)
_encode = msgspec.json.Encoder().encode
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Remote:
    """A provider, ready to be called: where it is, the path before ours, and the lines that carry its key."""

    id: str
    api: str
    origin: Origin
    prefix: str
    authorization: bytes
    allowed: frozenset[str] = frozenset()
    url: str = ""
    checked: float = 0.0
    heads: dict[str, bytes] = field(default_factory=dict)

    @property
    def secret(self) -> str:
        """Return the key; empty if there is none."""
        return self.authorization.partition(b"\r\n")[0].rpartition(b" ")[2].decode("latin-1")


@dataclass(slots=True)
class Sent:
    """A request that was answered with status 200: its reply, and how to end it early."""

    choice: Choice
    version: ModelVersion | None
    reply: Reply | AnthropicReply
    api: str
    place: Place | None = None
    first: bytes = b""

    @property
    def model(self) -> str:
        """Return what answers: a model version's id, or ``provider/model``."""
        if self.version is not None:
            return self.version.id
        target = self.choice.target
        return f"{target.provider}/{target.model}" if target.provider else target.model


Local = Callable[[str, str], Awaitable[tuple[ModelVersion, ModelVersion]]]  # workspace, model -> version and its base


class Upstreams:
    """Everything that calls can be sent to."""

    def __init__(self, fleet: Fleet, pool: Pool, local: Local, host_ok: frozenset[str] = frozenset()) -> None:
        """Keep the engines of this machine, the connections, and how a local model is found."""
        self._fleet, self._pool, self._local, self._host_ok = fleet, pool, local, host_ok
        self.remotes: dict[tuple[str, str], Remote] = {}
        self._heads: dict[tuple[int, int, str], bytes] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    async def send(self, choice: Choice, call: Call, most: int | None, timeouts: Timeouts) -> Sent:
        """Send a call to one target; return once it answers with 200 and, for a stream, its first piece came.

        ``most`` bounds the answer where the call does not. Raises EngineDown, UpstreamError, UpstreamTimeout, or
        :class:`Refused` with the upstream's own error.
        """
        if choice.remote:
            sent = await self._send_remote(choice, call, most, timeouts)
        else:
            sent = await self._send_local(choice, call, most, timeouts)
        try:
            if sent.reply.status != 200:
                raise await _refusal(sent, call)
            if call.stream:
                sent.first = await sent.reply.receive()
                if not sent.first:
                    raise UpstreamError(f"{sent.model} ended its answer before it began.", "Try again.")
        except BaseException as error:
            sent.reply.abandon()
            self.release(sent)
            self.conceal(choice, error)
            raise
        return sent

    def conceal(self, choice: Choice, error: BaseException) -> None:
        """Take a provider's key out of an error: some repeat it in what they say."""
        remote = self.remotes.get((choice.endpoint.workspace, choice.target.provider))
        if remote is not None and isinstance(error, FeilunError) and remote.secret and remote.secret in error.message:
            error.message = error.message.replace(remote.secret, "…")
            error.args = (error.message,)

    async def reach(self, remote: Remote) -> int:
        """Ask a provider which models it has; return its answer's status, or raise as a call to it does."""
        await _address(remote)
        reply = await self._pool.request(remote.origin, _remote_head(remote, "/models", "GET"), b"", REACH_TIMEOUTS)
        try:
            await reply.read()
        finally:
            reply.abandon()
        return reply.status

    def release(self, sent: Sent) -> None:
        """Say that a call is over."""
        if sent.place is not None:
            self._fleet.release(sent.place)
            sent.place = None

    def fell(self, sent: Sent) -> None:
        """Say that a call saw its engine die."""
        if sent.place is not None:
            self._fleet.fell(sent.place)

    def stop(self, call: Call) -> None:
        """Ask an engine of ours to end a call that nobody reads any more; it still says what it counted.

        A provider outside cannot be asked: its answer is read to the end, since only that brings the exact count.
        """
        place = call.place
        if place is None:
            return
        task = asyncio.get_running_loop().create_task(self._stop(place, call.id))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def _stop(self, place: Place, call_id: str) -> None:
        origin = Origin("http", place.host, place.port, place.host)
        try:
            reply = await self._pool.request(
                origin, self._local_head(place, "/stop"), _encode({"id": call_id}), STOP_TIMEOUTS
            )
            await reply.read()
        except FeilunError as error:
            _log.debug("stop %s: %s", call_id, error.message)

    async def _send_local(self, choice: Choice, call: Call, most: int | None, timeouts: Timeouts) -> Sent:
        if call.kind == "embedding":
            place = await self._fleet.embedder(choice.target.model)
            version = None
        else:
            version, base = await self._local(call.key.workspace, choice.target.model)
            place = self._fleet.ready(version.id) or await self._fleet.place(version, base)
        body = _body(call, version.id if version else choice.target.model, most, "max_tokens")
        body.pop(OWN, None)
        told = body.get("feilun") if version is None else None  # what an endpoint of ours says to an embedding model
        body["feilun"] = {
            **(told if isinstance(told, dict) else {}),
            "id": call.id,
            "name": call.name,
            "version": version.id if version else choice.target.model,
        }
        if version is not None and version.meta.get("defaults"):
            body["feilun"]["defaults"] = version.meta["defaults"]
        self._fleet.hold(place)
        call.place = place
        try:
            origin = Origin("http", place.host, place.port, place.host)
            reply = await self._pool.request(origin, self._local_head(place, call.path), _encode(body), timeouts)
        except BaseException as error:
            call.place = None
            self._fleet.release(place)
            if isinstance(error, EngineDown):
                self._fleet.fell(place)
            raise
        return Sent(choice, version, reply, "local", place)

    def _local_head(self, place: Place, path: str) -> bytes:
        key = (place.port, place.generation, path)
        head = self._heads.get(key)
        if head is None:
            if len(self._heads) > 1000:
                self._heads.clear()
            head = self._heads[key] = (
                f"POST {path} HTTP/1.1\r\nHost: {place.host}:{place.port}\r\nContent-Type: application/json\r\n"
            ).encode() + (b"Authorization: " + place.authorization + b"\r\n")
        return head

    async def _send_remote(self, choice: Choice, call: Call, most: int | None, timeouts: Timeouts) -> Sent:
        remote = self.remotes.get((choice.endpoint.workspace, choice.target.provider))
        if remote is None:
            raise EngineDown(f"There is no provider {choice.target.provider}.", "feilun provider list shows them.")
        await _address(remote)
        most_name = "max_completion_tokens" if remote.origin.host.endswith("openai.com") else "max_tokens"
        body = _body(call, choice.target.model, most, most_name)
        path = call.path.removeprefix("/v1")
        counts = call.kind == "tokenize"
        if remote.api != "anthropic":
            body.pop(OWN, None)
        if remote.api == "anthropic" and (counts or call.path == CHATS):
            body, path = to_anthropic(body), "/messages"
            if counts:
                body, path = {name: body[name] for name in COUNTED if name in body}, "/messages/count_tokens"
        elif remote.api == "anthropic" or counts:
            what = "count tokens" if counts else f"answer {call.path}"
            raise Unwilling(400, f"{choice.target.provider} cannot {what}.", "Ask for a model that is served here.")
        head = remote.heads.get(path)
        if head is None:
            head = remote.heads[path] = _remote_head(remote, path)
        reply = await self._pool.request(remote.origin, head, _encode(body), timeouts)
        found: Reply | AnthropicReply = reply
        if remote.api == "anthropic" and reply.status == 200:
            found = AnthropicReply(reply)
        return Sent(choice, None, found, remote.api)


class Refused(FeilunError):
    """An upstream's own refusal of the request, which its client should see."""

    def __init__(self, status: int, body: JSON) -> None:
        """Take over what an OpenAI error body says."""
        found = body.get("error")
        error = found if isinstance(found, dict) else {}
        super().__init__(str(error.get("message") or f"The model's server answered {status}.")[:4000])
        self.status = status
        self.kind = str(error.get("type") or "invalid_request_error")[:200]
        self.code = str(error.get("code") or "invalid_request")[:200]
        self.param = str(error["param"])[:200] if error.get("param") else None


class Unwilling(UpstreamError):
    """A provider that is there and does not take a call, which another target may: no outage, and no use to repeat."""

    def __init__(self, status: int, message: str, hint: str) -> None:
        """Keep the status that its client gets; 400 where the call asks for what cannot be had."""
        super().__init__(message, hint)
        self.status = status
        if status < 500:
            self.code, self.kind, self.param = BadRequest.code, BadRequest.kind, "model"


def _limited(sent: Sent, refused: Refused) -> RateLimited:
    """Return an upstream's own limit as ours are told, with the time that it asks to wait (s)."""
    kind = BudgetExhausted if refused.code == BudgetExhausted.code else RateLimited
    error = kind(f"{sent.model} is at its provider's limit: {refused.message}", "Try again in a while.")
    told = sent.reply.headers.get(b"retry-after", b"").decode("latin-1").strip()
    with suppress(ValueError, OverflowError):
        wait = float(told) if told[:1].isdigit() else parsedate_to_datetime(told).timestamp() - time.time()
        error.retry_after = min(max(wait, 0.0), LONGEST_WAIT)
    return error


async def _refusal(sent: Sent, call: Call) -> FeilunError:
    status = sent.reply.status
    raw = await sent.reply.read(1 << 20)
    try:
        body = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        body = {}
    body = body if isinstance(body, dict) else {}
    refused = Refused(status, body)
    if status == 429:
        return _limited(sent, refused)
    if sent.choice.remote and status in {404, 405, 501} and call.path != CHATS:
        text = f"{sent.model} has no {call.path} ({status}): {refused.message}"
        return Unwilling(400, text, "Ask for a model that has it.")
    if sent.choice.remote and status in {401, 403, 404}:
        return Unwilling(502, f"The provider refuses us ({status}): {refused.message}", "Check its key and model.")
    if 400 <= status < 500 and status not in {408, 409}:
        return refused
    if 300 <= status < 400:
        return UpstreamError(f"{sent.model} answered with a redirect, which is not followed.", "Mend its address.")
    error = UpstreamError(f"{sent.model} answered {status}: {refused.message}", "Try again in a moment.")
    if status == 503:  # what tells clients to wait
        error.status, error.code = status, refused.code
    return error


def _body(call: Call, model: str, most: int | None, most_name: str) -> JSON:
    body = {**call.body, "model": model}
    body.pop("metadata", None)  # it is for us
    if call.stream:
        given = body.get("stream_options")
        body["stream_options"] = {**(given if isinstance(given, dict) else {}), "include_usage": True}
    if most is not None and call.answer is None:
        body[most_name] = most
    return body


async def _address(remote: Remote) -> None:
    """Have an address that was checked lately, so that a name cannot come to mean another host."""
    now = time.monotonic()
    if now - remote.checked > RESOLVED_SECONDS:
        origin = remote.origin
        try:
            address = await resolve(origin.host, origin.port, remote.allowed)
        except (Forbidden, BadRequest) as error:
            raise UpstreamError(error.message, error.hint) from error
        remote.origin = Origin(origin.scheme, origin.host, origin.port, address)
        remote.checked = now


def _remote_head(remote: Remote, path: str, method: str = "POST") -> bytes:
    origin = remote.origin
    standard = {"http": 80, "https": 443}[origin.scheme]
    name = f"[{origin.host}]" if ":" in origin.host else origin.host
    host = name if origin.port == standard else f"{name}:{origin.port}"
    lines = f"{method} {remote.prefix}{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    return lines.encode() + b"User-Agent: feilun\r\nAccept-Encoding: identity\r\n" + remote.authorization


def authorization(api: str, secret: str) -> bytes:
    """Return the header lines that carry a provider's key."""
    if not secret:
        return b""
    if api == "anthropic":
        return f"x-api-key: {secret}\r\nanthropic-version: 2023-06-01\r\n".encode("latin-1", "replace")
    return f"Authorization: Bearer {secret}\r\n".encode("latin-1", "replace")
