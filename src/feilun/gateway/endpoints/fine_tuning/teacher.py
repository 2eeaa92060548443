"""Answers of a teacher to the prompts of a training file, which a smaller model then learns.

A teacher is asked on the way of every call, with the rights, budgets and permissions of whoever began the training; the
file is named, so that one that must not leave is only answered inside. Every answer is on disk before the next are
asked for: a job that was killed asks only what is left. Where the teacher tells how likely its words were, that is kept
beside them. This module knows prompts and answers. It does not know how they are learnt.

Source: sequence-level distillation (Kim and Rush 2016), with the teacher's odds where it tells them (Hinton et al.
2015).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from feilun.compute import Context
from feilun.errors import (
    EngineError,
    FeilunError,
    Forbidden,
    InputError,
    ModelNotFound,
    RateLimited,
    TooFewSamples,
    Unauthorized,
    UpstreamTimeout,
)
from feilun.gateway.hotpath import Hotpath
from feilun.gateway.surface.batch_work import Answers
from feilun.gateway.surface.patience import patiently
from feilun.records import JSON, Key, Record, content_hash, derived_id

TOGETHER = 8  # prompts that are asked together
TRIES = 7
WINDOW_SECONDS = 24 * 3600.0
LONGEST = 512  # tokens of an answer, where nobody says
ALTERNATIVES = 8  # likely words that are asked for at every place
_ENDS = (EngineError, RateLimited, Unauthorized, ModelNotFound, Forbidden)
_REASONS = {"length": "was cut off", "": "is empty", "refused": "was refused"}
Holding = Callable[[], Awaitable[Key]]


class Teacher:
    """One teacher for one training: who asks, whom, and where the answers are kept."""

    def __init__(self, hotpath: Hotpath, holding: Holding, spec: JSON, folder: Path, pause: float = 1.0) -> None:
        """``spec``: ``teacher``, and what ``options`` of the training say (``temperature``, ``max_tokens``, …)."""
        self._hotpath, self._holding, self._pause = hotpath, holding, pause
        self._name: str = spec["teacher"]
        self._how: JSON = spec.get("options") or {}
        self._seed = int(spec.get("seed") or 0)
        self._telling = bool(self._how.get("logprobs", True))
        self._answers = Answers(folder, "taught")

    async def teach(self, context: Context, prompts: Sequence[Record]) -> tuple[list[Record], Counter[str]]:
        """Return the prompts with the teacher's answers, and why others have none.

        Raises what ends every answer: an engine that stays down, a spent budget, a key or model that is gone, data
        that must not leave.
        """
        done = await asyncio.to_thread(self._answers.open)
        waiting = [record for record in prompts if record.id not in done]
        for start in range(0, len(waiting), TOGETHER):
            context.check_cancelled()
            context.event(f"The teacher {self._name} answers: {len(done) + start} of {len(prompts)}.")
            chunk = waiting[start : start + TOGETHER]
            found = await asyncio.gather(*map(partial(self._one, context), chunk), return_exceptions=True)
            for each in found:
                if isinstance(each, BaseException):
                    raise each
        return self._taught(prompts)

    def _taught(self, prompts: Sequence[Record]) -> tuple[list[Record], Counter[str]]:
        lines = {line["id"]: line for path in self._answers.paths.values() for line in self._answers.lines(path)}
        taught: list[Record] = []
        left: Counter[str] = Counter()
        for record in prompts:
            line = lines[record.id]
            if line["reason"]:
                left[line["reason"]] += 1
                continue
            messages = (*_prompt(record), {"role": "assistant", "content": line["answer"]})
            meta = {**record.meta, "teacher": self._name}
            if line["logprobs"]:
                meta["logprobs"] = line["logprobs"]
            made = derived_id("record", record.id, self._name, content_hash(line["answer"]))
            taught.append(Record(made, "chat", record.sources, messages, meta=meta))
        return taught, left

    async def _one(self, context: Context, record: Record) -> None:
        """Have one prompt answered and the answer kept; what is wrong with this prompt alone is kept as its reason."""
        line: JSON = {"id": record.id, "answer": "", "logprobs": [], "reason": ""}
        try:
            choice = await self._ask(context, record)
        except _ENDS:
            raise
        except FeilunError as error:
            line["reason"] = f"{_REASONS['refused']} ({error.message})"[:300]
        else:
            line["answer"] = (choice["message"].get("content") or "").strip("\n")
            finish = choice.get("finish_reason") or "stop"
            reason = "length" if finish == "length" else "stop" if line["answer"].strip() else ""
            line["reason"] = _REASONS.get(reason, "")
            line["logprobs"] = compact(choice.get("logprobs"))
        await self._answers.keep(line, good=not line["reason"])

    async def _ask(self, context: Context, record: Record) -> JSON:
        body: JSON = {
            "model": self._name,
            "messages": list(_prompt(record)),
            "max_tokens": int(self._how.get("max_tokens") or LONGEST),
            "temperature": float(self._how.get("temperature") or 0.0),
            "seed": self._seed,
        }
        headers = {b"x-feilun-sources": ",".join(record.sources).encode()}

        async def once() -> JSON:
            wanted = {"logprobs": True, "top_logprobs": ALTERNATIVES} if self._telling else {}
            try:
                return await self._hotpath.chat(await self._holding(), body | wanted, kind="eval", headers=headers)
            except InputError:
                if not wanted:
                    raise
                found = await self._hotpath.chat(await self._holding(), body, kind="eval", headers=headers)
                if self._telling:
                    self._telling = False  # it answers, if nobody asks how likely its words are
                    context.event(f"{self._name} does not tell how likely its words are: they alone are learnt.")
                return found

        try:
            found = await patiently(once, context.job.created + WINDOW_SECONDS, TRIES, self._pause)
        except TimeoutError as error:
            raise UpstreamTimeout("The teacher did not answer within a day.", "Begin another training.") from error
        choice: JSON = found["choices"][0]
        return choice


def _prompt(record: Record) -> tuple[JSON, ...]:
    """Return what is asked; an answer that a file gave is not the teacher's."""
    return record.messages[:-1] if record.messages[-1]["role"] == "assistant" else record.messages


def compact(told: JSON | None) -> list[JSON]:
    """Return the ``logprobs`` of an answer as training takes them: ``{"token", "top": [[token, nats], …]}``."""
    rows = (told or {}).get("content") or []
    found = []
    for row in rows:
        top = [[each["token"], round(each["logprob"], 4)] for each in row.get("top_logprobs") or []]
        if row["token"] not in [token for token, _ in top]:
            top.append([row["token"], round(row["logprob"], 4)])
        found.append({"token": row["token"], "top": top})
    return found


def enough(taught: Sequence[Record], left: Counter[str], least: int) -> None:
    """Raise TooFewSamples where the teacher left too little to learn."""
    if len(taught) < least:
        why = "; ".join(f"{count} answers: {reason}" for reason, count in left.most_common(3))
        raise TooFewSamples(
            f"The teacher gave {len(taught)} usable answers; at least {least} are needed. {why}",
            "Ask it for longer answers (max_tokens), or name another teacher.",
            "method",
        )
