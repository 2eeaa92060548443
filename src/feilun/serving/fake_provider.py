"""A provider outside that is none: it speaks OpenAI's API, answers by rule, fails when told to, and counts exactly.

For trials of routes without an account, and for tests: ``python -m feilun.serving.fake_provider --port 9000``. It knows
chats, completions and embeddings, whole messages of Anthropic's API and their counts, and how providers fail. It does
not know any model.

A word is a token. How a call fails is told by the model's name: ``words`` answers, ``words-die-3`` breaks off after
three words, ``words-500`` answers with that status, ``words-429-7`` also asks to wait so many seconds, ``words-hang``
never answers, ``words-garbage`` with what is no JSON, ``words-sse`` with a broken event, ``words-redirect`` elsewhere,
``words-flaky-2`` with 503 twice and then well, ``words-silent`` streams without telling its usage, ``words-empty``
counts and answers without an answer, ``words-chat`` takes chats only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from feilun.errors import UpstreamError
from feilun.records import JSON
from feilun.wire import Exchange, Handler, Server, ServerLimits

ANSWER = "one two three four five six seven eight nine ten"
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Counted:
    """What the provider counted: calls that it took, and the tokens of every word that it sent."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    by_key: Counter[str] = field(default_factory=Counter)
    bodies: list[JSON] = field(default_factory=list)


class FakeProvider:
    """The provider. ``pause`` is the time between two words (s)."""

    def __init__(self, pause: float = 0.0) -> None:
        """Start with nothing counted."""
        self.pause = pause
        self.counted = Counted()
        self.released = asyncio.Event()
        self._flaky: Counter[str] = Counter()

    def handlers(self) -> dict[tuple[str, str], Handler]:
        """Return the paths that it answers."""
        return {
            ("POST", "/v1/chat/completions"): self.answer,
            ("POST", "/v1/completions"): self.answer,
            ("POST", "/v1/embeddings"): self.embed,
            ("POST", "/v1/messages"): self.message,
            ("POST", "/v1/messages/count_tokens"): self.message,
            ("GET", "/counted"): self.count,
        }

    def server(self) -> Server:
        """Return a server for it."""
        return Server(self.handlers(), None, ServerLimits(connections=20_000))

    async def count(self, exchange: Exchange) -> None:
        """Say what was counted."""
        counted = self.counted
        exchange.respond(
            200,
            _encode(
                {
                    "calls": counted.calls,
                    "prompt_tokens": counted.prompt_tokens,
                    "completion_tokens": counted.completion_tokens,
                }
            ),
        )

    async def answer(self, exchange: Exchange) -> None:
        """Answer a chat or continue a text."""
        body = json.loads(exchange.body)
        model = str(body.get("model"))
        self.counted.bodies = [*self.counted.bodies[-99:], body]
        kind, _, number = model.removeprefix("words").strip("-").partition("-")
        if await self._failed(exchange, model, kind, number):
            return
        words = ANSWER.split()
        most = body.get("max_tokens") or body.get("max_completion_tokens") or len(words)
        words = (words * (1 + int(most) // len(words)))[: int(most)] if kind == "long" else words[: int(most)]
        prompt = _words(body)
        self.counted.calls += 1
        dies = int(number or 3) if kind == "die" else None
        if body.get("stream"):
            await self._stream(exchange, body, words, prompt, dies, told=kind != "silent")
            return
        self.counted.prompt_tokens += prompt
        self.counted.completion_tokens += len(words)
        if self.pause:
            await asyncio.sleep(self.pause * len(words))
        text = " ".join(words)
        said: JSON = {"text": text} if "prompt" in body else {"message": {"role": "assistant", "content": text}}
        answer = _head(model, "chat.completion") | {
            "choices": [{"index": 0, **said, "finish_reason": "stop", "logprobs": None}],
            "usage": _usage(prompt, len(words)),
        }
        if kind == "empty":
            answer["choices"] = []
        exchange.respond(200, _encode(answer))

    async def _stream(
        self, exchange: Exchange, body: JSON, words: list[str], prompt: int, dies: int | None, *, told: bool
    ) -> None:
        head = _head(str(body["model"]), "chat.completion.chunk")

        def event(choices: list[JSON], **more: JSON) -> bytes:
            return b"data: " + _encode(head | {"choices": choices, **more}) + b"\n\n"

        exchange.start(200, ())
        for place, word in enumerate(words):
            if place == dies:
                raise UpstreamError("Told to break off.")
            piece = word if not place else f" {word}"
            said: JSON = {"text": piece} if "prompt" in body else {"delta": {"content": piece}}
            exchange.write(event([{"index": 0, **said, "finish_reason": None}]))
            # Counted when it is sent, so that what a broken stream cost is known too.
            self.counted.completion_tokens += 1
            await exchange.drain()
            if self.pause or place % 4 == 3:
                await asyncio.sleep(self.pause)
        # A prompt is counted with the end of its answer: nobody bills the prompt of a call that broke off.
        self.counted.prompt_tokens += prompt if told else 0
        last: JSON = {"text": ""} if "prompt" in body else {"delta": {}}
        exchange.write(event([{"index": 0, **last, "finish_reason": "stop"}]))
        if told and (body.get("stream_options") or {}).get("include_usage"):
            exchange.write(event([], usage=_usage(prompt, len(words))))
        exchange.write(b"data: [DONE]\n\n")
        exchange.end()

    async def _failed(self, exchange: Exchange, model: str, kind: str, number: str) -> bool:
        if kind == "chat" and not exchange.path.endswith("/chat/completions"):
            kind = "404"
        if kind.isdigit():
            error = {"message": f"told to answer {kind}", "type": "server_error", "code": None, "param": None}
            waits = [(b"retry-after", number.encode())] if number else []
            exchange.respond(int(kind), _encode({"error": error}), waits)
        elif kind == "hang":
            await self.released.wait()
            exchange.respond(504, b"{}")
        elif kind == "garbage":
            exchange.respond(200, b"<html>no</html>")
        elif kind == "sse":
            exchange.start(200, ())
            exchange.write(b"data: {half of\n\n")
            exchange.end()
        elif kind == "redirect":
            exchange.respond(302, b"", [(b"location", b"http://127.0.0.1:1/")])
        elif kind == "flaky" and self._flaky[model] < int(number or 1):
            self._flaky[model] += 1
            exchange.respond(503, b'{"error": {"message": "overloaded", "type": "server_error"}}')
        else:
            return False
        return True

    async def message(self, exchange: Exchange) -> None:
        """Answer a message, whole, or count its words."""
        body = json.loads(exchange.body)
        self.counted.bodies = [*self.counted.bodies[-99:], body]
        texts = [block["text"] for each in body["messages"] for block in each["content"] if block["type"] == "text"]
        usage = {"input_tokens": sum(len(text.split()) for text in texts), "output_tokens": len(ANSWER.split())}
        if exchange.path.endswith("/count_tokens"):
            exchange.respond(200, _encode({"input_tokens": usage["input_tokens"]}))
            return
        self.counted.calls += 1
        said = {"content": [{"type": "text", "text": ANSWER}], "stop_reason": "end_turn", "usage": usage}
        exchange.respond(200, _encode({"id": "msg_fake", "type": "message", "model": body["model"], **said}))

    async def embed(self, exchange: Exchange) -> None:
        """Return a vector for each text, made of its words."""
        body = json.loads(exchange.body)
        model = str(body.get("model"))
        if await self._failed(exchange, model, *model.removeprefix("words").strip("-").partition("-")[::2]):
            return
        given = body.get("input")
        texts = [given] if isinstance(given, str) else list(given or [])
        self.counted.calls += 1
        count = sum(len(str(text).split()) for text in texts)
        self.counted.prompt_tokens += count
        data = [
            {"object": "embedding", "index": index, "embedding": [float(len(str(text))), 1.0]}
            for index, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": count, "total_tokens": count}
        exchange.respond(200, _encode({"object": "list", "model": body.get("model"), "data": data, "usage": usage}))


def _words(body: JSON) -> int:
    texts = [str(message.get("content") or "") for message in body.get("messages", [])] or [str(body.get("prompt"))]
    return sum(len(text.split()) for text in texts)


def _head(model: str, kind: str) -> JSON:
    return {"id": "chatcmpl-fake", "object": kind, "created": 1, "model": model, "system_fingerprint": "fp_fake"}


def _usage(prompt: int, completion: int) -> JSON:
    details = {"cached_tokens": 0}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": details,
    }


async def _run(port: int, pause: float) -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    print(json.dumps({"ready": {"port": listener.getsockname()[1]}}), flush=True)
    await FakeProvider(pause).server().serve(listener)


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description="A pretended provider with OpenAI's API, on this machine only.")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one and says which")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two words")
    given = parser.parse_args()
    asyncio.run(_run(given.port, given.pause))


if __name__ == "__main__":
    main()
