"""What is left of a call when it is over: its trace on disk, its bill, its place in the statistics.

This module knows traces and how they become durable. It does not know budgets' rules or who is called.
"""

from __future__ import annotations

import time

from feilun.gateway.hotpath.calls import Call, messages_of
from feilun.gateway.hotpath.reading import Reading
from feilun.gateway.hotpath.routes import Choice
from feilun.records import JSON, Permissions, Trace, Usage


def cost(choice: Choice, usage: Usage) -> int:
    """Return what a use costs at a target's prices, in nano-units of money."""
    target = choice.target
    return usage.prompt_tokens * target.price_in + usage.completion_tokens * target.price_out


def traces_of(call: Call, choice: Choice, model: str, reading: Reading, finish: str, first: float) -> list[Trace]:
    """Return the traces of a call, one per answer; the first one bears the whole use.

    ``finish`` says how the call ended where the model did not; ``first`` is the time to the first token (s).
    """
    usage = reading.count()
    price = cost(choice, usage)
    # Of texts that were only turned into vectors nothing is kept.
    messages = () if call.kind == "embedding" else tuple(messages_of(call))
    found: list[Trace] = []
    for index in sorted(reading.said) or [0]:
        said = reading.said.get(index)
        meta: JSON = {}
        if said is not None and said.tools:
            meta["tool_calls"] = [said.tools[key] for key in sorted(said.tools)]
        if reading.estimated and not found:
            meta["estimated"] = True
        found.append(
            Trace(
                id=call.id if not found else f"{call.id}-{index}",
                workspace=call.key.workspace,
                key=call.key.id,
                endpoint=call.name,
                model=model,
                messages=messages,
                answer="".join(said.parts) if said is not None else "",
                finish=finish if call.left else (said.finish if said is not None else "") or finish,
                usage=usage if not found else Usage(0, 0),
                deployment=choice.deployment,
                permissions=Permissions(train=call.learn),
                created=call.created,
                seconds=time.perf_counter() - call.began,
                member=call.key.member,
                kind=call.kind,
                cost=price if not found else 0,
                first=first,
                meta=meta,
            )
        )
    return found
