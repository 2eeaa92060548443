"""What is different about a turn that makes a model without what was revoked.

This module knows which exam questions nobody can be expected to answer any more, and when the new version is good
enough. It does not know how a turn is made, nor what becomes of the versions before it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from feilun.evaluation.compare import signed_points
from feilun.records import JSON, Comparison, EvalItem, Record, normalise_text
from feilun.store import datasets
from feilun.store.access import revoked
from feilun.store.database import Database

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")


def gone_records(db: Database, ws: str) -> list[Record]:
    """Return the records that some version of the workspace has learnt and that must not be trained on any more."""
    found: dict[str, Record] = {}
    for model in revoked.all_models(db, ws):
        for version in revoked.learnt(db, ws, model):
            found |= {record.id: record for record, _ in datasets.withdrawn(db, ws, version, "train")}
    return [found[record_id] for record_id in sorted(found)]


def still_asked(items: Sequence[EvalItem], gone: Sequence[Record], left: Sequence[Record]) -> list[EvalItem]:
    """Return the questions whose answer does not stand in ``gone`` rather than in ``left``.

    A question belongs to the record that holds a right answer and shares most of its words, rare ones counting more.
    """
    lost, known = _texts(gone), _texts(left)
    often = Counter(word for _, words in (*lost, *known) for word in words)

    def near(item: EvalItem, texts: Sequence[tuple[str, frozenset[str]]]) -> float:
        wanted = [normalise_text(accept) for accept in item.accept]
        asked = _words(item.question)
        return max(
            (sum(1 / often[word] for word in asked & words) for text, words in texts if any(w in text for w in wanted)),
            default=0.0,
        )

    return [item for item in items if near(item, lost) <= near(item, known)]


def decide_without(own: Comparison, general: Comparison, margin: float) -> tuple[bool, JSON]:
    """Return whether a version without revoked data takes the place of one with it, and why (``en`` and ``zh``).

    It need not be better: on the questions that can still be answered it may be worse by ``margin`` at most, and in
    general it is not (lower bound of the 95 % interval above ``-margin``).
    """
    near, kept = own.difference >= -margin, general.interval[0] > -margin
    promoted = near and kept
    head = ("The model without the revoked data is promoted.", "不含已撤回数据的模型已上线。")
    if not promoted:
        head = ("The model without the revoked data is too much worse.", "不含已撤回数据的模型退步过多。")
    figures = (signed_points(own.difference), signed_points(general.interval[0]), f"{margin:.0%}")
    en = "Own exam: {}; in general not below {} (95 %); allowed: {} worse.".format(*figures)
    zh = "专属考试：{}；通用考试不低于 {}（95%）；允许退步 {}。".format(*figures)
    return promoted, {"en": f"{head[0]} {en}", "zh": f"{head[1]}{zh}"}


def _words(text: str) -> frozenset[str]:
    """Return the words of a text, Chinese ones as single characters."""
    return frozenset(_WORD.findall(normalise_text(text)))


def _texts(records: Sequence[Record]) -> list[tuple[str, frozenset[str]]]:
    """Return of each record what could hold an answer, normalised, and all its words."""
    found = []
    for record in records:
        answer = record.text or str(record.messages[-1].get("content") or "")
        whole = " ".join([record.text, *(str(message.get("content") or "") for message in record.messages)])
        found.append((normalise_text(answer), _words(whole)))
    return found
