"""The work of a batch: every line asked once, its answer on disk before the next, then the output files.

Answers are appended to two files beside the store, many with one sync; a batch that was killed reads them and asks only
what is left. This module knows the order of writes. It does not know HTTP, nor what a line asks.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import msgspec

from feilun.compute import Context, disk_errors
from feilun.errors import FeilunError, NotFound
from feilun.gateway.surface.batch_lines import (
    Line,
    add_usage,
    answer_line,
    error_line,
    failure_line,
    no_usage,
    read_lines,
    refused,
)
from feilun.gateway.surface.patience import Holder, patiently
from feilun.records import JSON, Key, Source, derived_id
from feilun.store import Database, Journal, sources

Ask = Callable[[Key, JSON, Mapping[bytes, bytes]], Awaitable[JSON]]
WINDOW_SECONDS = 24 * 3600.0
TRIES = 4
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Answers:
    """The answers of one batch, on disk: those that go into the output file, and those into the error file."""

    def __init__(self, folder: Path, batch_id: str) -> None:
        """Name the files; nothing is opened."""
        self.paths = {good: folder / f"{batch_id}.{name}.jsonl" for good, name in ((True, "output"), (False, "error"))}
        self._waiting: list[tuple[bool, bytes]] = []
        self._guard = asyncio.Lock()

    def open(self) -> set[str]:
        """Return the ids of the lines that are there; what a killed process left of a line is cut off."""
        found: set[str] = set()
        for path in self.paths.values():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a+b") as file:
                file.seek(0)
                data = file.read()
                file.truncate(data.rfind(b"\n") + 1)
            found |= {line["id"] for line in self.lines(path)}
        return found

    @staticmethod
    def lines(path: Path) -> Iterator[JSON]:
        """Yield the whole lines of a file."""
        if path.is_file():
            with path.open("rb") as file:
                yield from (_decode(line) for line in file if line.endswith(b"\n"))

    def counts(self) -> tuple[int, int]:
        """Return how many lines were answered, and how many failed."""
        found = [path.read_bytes().count(b"\n") if path.is_file() else 0 for path in self.paths.values()]
        return found[0], found[1]

    async def keep(self, line: JSON, *, good: bool) -> None:
        """Return once a line is on disk; lines that come together share a sync."""
        self._waiting.append((good, _encode(line) + b"\n"))
        async with self._guard:
            lines, self._waiting = self._waiting, []
            if not lines:
                return
            writing = asyncio.ensure_future(asyncio.to_thread(self._write, lines))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                await asyncio.wait({writing})  # nothing may be written any more once we are gone
                raise

    def _write(self, lines: list[tuple[bool, bytes]]) -> None:
        with disk_errors():
            for good, path in self.paths.items():
                data = b"".join(line for which, line in lines if which is good)
                if data:
                    with path.open("ab") as file:
                        file.write(data)
                        file.flush()
                        os.fdatasync(file.fileno())

    def remove(self) -> None:
        """Delete the files, whose lines are kept elsewhere now."""
        for path in self.paths.values():
            path.unlink(missing_ok=True)


class BatchWork:
    """The work behind a batch's job. ``asks`` maps an endpoint's path to what answers a body that it would get."""

    def __init__(
        self, db: Database, journal: Journal, asks: Mapping[str, Ask], together: int = 16, pause: float = 1.0
    ) -> None:
        """Keep the store, and how many lines are asked together; ``pause`` (s) is doubled between tries."""
        self._db, self._journal, self._asks = db, journal, asks
        self._together, self._pause = max(1, together), pause

    def answers(self, batch_id: str) -> Answers:
        """Return a batch's answers so far."""
        return Answers(self._db.root / "batches", batch_id)

    async def run(self, context: Context) -> JSON:
        """Answer what is not yet answered, and write the files; return their ids and the counts."""
        job, answers = context.job, self.answers(context.job.id)
        source, data = await asyncio.to_thread(self._input, job.workspace, job.spec["input_file_id"])
        good, bad = await asyncio.to_thread(read_lines, data, job.id, job.spec["endpoint"])
        names = {line.body.get("model") for line in good}
        model = next(iter(names)) if len(names) == 1 else None

        async def validate() -> JSON:
            return {"at": time.time(), "total": len(good) + len(bad), "model": model}

        async def answer() -> JSON:
            done = await asyncio.to_thread(answers.open)
            for line in bad:
                if line["id"] not in done:
                    await answers.keep(line, good=False)
            await self._answer(context, source, answers, [line for line in good if line.id not in done])
            return {"at": time.time()}

        async def write() -> JSON:
            return await asyncio.to_thread(self._files, job.workspace, job.id, source, answers)

        await context.step("validate", validate)
        try:
            await context.step("answer", answer)
            result = await context.step("write", write)
        except asyncio.CancelledError:
            if await asyncio.to_thread(self._journal.cancel_requested, job.id):
                # What was answered before somebody cancelled is theirs.
                await asyncio.to_thread(self._journal.save_step, job.id, "write", await write(), 0.0)
                await asyncio.to_thread(answers.remove)
            raise
        await asyncio.to_thread(answers.remove)
        return result

    def _input(self, ws: str, file_id: str) -> tuple[Source, bytes]:
        try:
            return sources.get(self._db, ws, file_id), sources.content(self._db, ws, file_id, "retrieve")
        except NotFound as error:
            text = f"The input file {file_id} was deleted before the batch had read it."
            raise refused(
                "input_file_deleted", text, "Upload it again, and keep it until the batch has ended."
            ) from error

    async def _answer(self, context: Context, source: Source, answers: Answers, lines: list[Line]) -> None:
        holder = Holder(self._db, context.job.workspace, context.job.spec["key"], "batch")
        ask, until = self._asks[context.job.spec["endpoint"]], context.job.created + WINDOW_SECONDS
        said = context.job.spec.get("metadata") or {}
        named = [source.id, said["feilun_sources"]] if said.get("feilun_sources") else [source.id]
        headers = {b"x-feilun-sources": ",".join(named).encode()}
        if said.get("feilun_leave"):
            headers[b"x-feilun-leave"] = said["feilun_leave"].encode()
        waiting = iter(lines)

        async def work() -> None:
            for line in waiting:
                body = line.body if source.permissions.train else {**line.body, "store": False}
                try:
                    found = await patiently(partial(self._one, holder, ask, body, headers), until, TRIES, self._pause)
                except TimeoutError:
                    text = "The batch was not done within its window."
                    await answers.keep(error_line(line.id, line.custom_id, "batch_expired", text), good=False)
                except FeilunError as error:
                    await answers.keep(failure_line(line, error), good=False)
                else:
                    await answers.keep(answer_line(line, found), good=True)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._together, len(lines))):
                    group.create_task(work())
        except ExceptionGroup as several:
            raise several.exceptions[0] from several

    @staticmethod
    async def _one(holder: Holder, ask: Ask, body: JSON, headers: Mapping[bytes, bytes]) -> JSON:
        return await ask(await holder.key(), body, headers)

    def _files(self, ws: str, batch_id: str, source: Source, answers: Answers) -> JSON:
        usage, expired = no_usage(), 0
        counts = {True: 0, False: 0}
        for good, path in answers.paths.items():
            for line in answers.lines(path):
                counts[good] += 1
                expired += (line["error"] or {}).get("code") == "batch_expired"
                if good:
                    add_usage(usage, line["response"]["body"])
        found: JSON = {"completed": counts[True], "failed": counts[False], "expired": expired, "usage": usage}
        for good, name in ((True, "output"), (False, "error")):
            found[f"{name}_file_id"] = None
            if counts[good]:
                # What was made of a file may be used for what the file may be used for.
                meta = {"purpose": "batch_output", "parents": [source.id]}
                identifier, title = derived_id("file", batch_id, name), f"{batch_id}_{name}.jsonl"
                kept = Source(
                    identifier, ws, title, "", 0, "upload", "application/jsonl", source.permissions, meta=meta
                )
                found[f"{name}_file_id"] = sources.add(self._db, kept, answers.paths[good]).id
        return found
