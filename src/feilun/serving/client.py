"""The seam's side of an engine that runs in another process: every method is one loopback HTTP call.

It knows URLs, bodies and lines. It does not know who starts the process or when it comes back.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncGenerator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from feilun.compute import Process, revive
from feilun.engines.identity import describe_difference
from feilun.engines.seam import Delta, Request
from feilun.errors import EngineDown, FeilunError, IdentityMismatch
from feilun.records import JSON, ModelVersion, Usage

TOKEN_VARIABLE = "FEILUN_ENGINE_TOKEN"
_DOWN = "The engine stopped while it was answering."
_AGAIN = "It is being started again; try again in a moment."


class ProcessEngine:
    """An engine in a supervised process. After a crash, versions that were loaded are loaded again before their use."""

    def __init__(self, process: Process, token: str, folder: str, *, verify: bool = True) -> None:
        """Speak to ``process``, whose ready line names its port, with ``token``; ``folder`` holds its base model.

        ``verify`` is for engines that read files: what they loaded must be what the version is.
        """
        self.process = process
        self.token = token
        self._folder = folder
        self._verify = verify
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(600, connect=5),
            limits=httpx.Limits(max_connections=None),  # calls that wait for their group must not keep it out
            trust_env=False,
        )
        self._versions: dict[str, ModelVersion] = {}
        self._loaded: dict[str, dict[str, Any]] = {}
        self._start = 0

    async def _url(self, path: str) -> str:
        info = await self.process.ready()
        if self.process.starts != self._start:
            self._start, self._loaded = self.process.starts, {}
        return f"http://127.0.0.1:{info['port']}{path}"

    async def load(self, version: ModelVersion) -> dict[str, Any]:
        """Load a version into the running process; return its identity as the engine computes it.

        Raises IdentityMismatch, naming what differs, for files that are not those of the version.
        """
        url = await self._url("/load")
        loaded = self._loaded  # a restart meanwhile makes a new one, and what the old process said is forgotten
        if version.id not in loaded:
            adapter = str(Path(version.folder)) if version.kind == "adapter" else ""
            body = {"model": version.id, "folder": self._folder, "adapter": adapter}
            found = await self._ask("POST", url, body)
            if self._verify:
                _verify(version, found["identity"], found["template"])
            loaded[version.id] = found["identity"] if self._verify else version.identity
            self._versions[version.id] = version
        return dict(loaded[version.id])

    async def generate(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Answer one call; EngineDown if the process dies meanwhile."""
        url = await self._url("/generate")
        if request.model in self._versions and request.model not in self._loaded:
            await self.load(self._versions[request.model])
        try:
            async with self._client.stream("POST", url, content=json.dumps(asdict(request))) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise revive(_body(answer))
                async for line in answer.aiter_lines():
                    yield _delta(line)
        except httpx.TransportError as error:
            raise EngineDown(_DOWN, _AGAIN) from error

    async def unload(self, model: str) -> None:
        """Forget a version, now and after restarts; calls to it that run go on to their end."""
        known = self._versions.pop(model, None)
        loaded = self._loaded
        if known is not None and loaded.pop(model, None) is not None:
            await self._ask("POST", await self._url("/unload"), {"model": model})

    async def reload(self) -> list[str]:
        """Load again, after a restart, what was loaded before it; return the versions that can be no more.

        Raises EngineDown if the process dies meanwhile.
        """
        versions = list(self._versions.values())
        found = await asyncio.gather(*(self.load(version) for version in versions), return_exceptions=True)
        for error in found:
            if isinstance(error, BaseException) and (
                isinstance(error, EngineDown) or not isinstance(error, FeilunError)
            ):
                raise error
        lost = [version.id for version, error in zip(versions, found, strict=True) if isinstance(error, FeilunError)]
        for model in lost:
            self._versions.pop(model, None)
        return lost

    async def health(self) -> JSON:
        """Return what the process says of itself; raise EngineDown if it cannot be reached."""
        return await self._ask("GET", await self._url("/health"), None)

    async def _ask(self, method: str, url: str, body: JSON | None) -> JSON:
        try:
            answer = await self._client.request(method, url, json=body)
        except httpx.TransportError as error:
            raise EngineDown(_DOWN, _AGAIN) from error
        if answer.status_code != 200:
            raise revive(_body(answer))
        return dict(answer.json())

    async def close(self) -> None:
        """End the process."""
        await self._client.aclose()
        await self.process.stop()


def _verify(version: ModelVersion, identity: dict[str, Any], template: str) -> None:
    """Raise IdentityMismatch unless the engine loaded exactly what the version is."""
    differs = [part for part, value in version.identity.items() if identity.get(part) != value]
    if not differs:
        return
    detail = ""
    golden = Path(version.folder) / "golden.json"
    if "template" in differs and golden.is_file():
        trained = json.loads(golden.read_text(encoding="utf-8"))["template"]
        detail = f": chat template {describe_difference(trained, template)}"
    raise IdentityMismatch(
        f"The files of {version.id} are not those it was made with; they differ in {', '.join(differs)}{detail}.",
        "Restore them, or train again.",
    )


def _body(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {"error": {"message": f"The engine answered {answer.status_code}."}}


def _delta(line: str) -> Delta:
    body = json.loads(line)
    if "error" in body:
        raise revive(body)
    usage = body.pop("usage")
    piece, top = b64decode(body.pop("piece")), tuple((b64decode(raw), value) for raw, value in body.pop("top"))
    return Delta(**body, piece=piece, top=top, usage=Usage(**usage) if usage else None)
