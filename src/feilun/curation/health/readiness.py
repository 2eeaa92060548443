"""Whether data is enough, and good enough, for each use, in plain words.

This module knows thresholds and says them. It does not know how anything was counted.
"""

from __future__ import annotations

from feilun.records import JSON

# What the sample organisation's first promoted model learned from: about a hundred pairs on twenty facts.
TRAIN_ROWS, RETRIEVE_ROWS, EXAM_ROWS = 100, 20, 60
_FLAGS = 0.2


def readiness(made: str, shape: JSON, findings: list[JSON]) -> dict[str, JSON]:
    """Return for each use its level (``ready``, ``thin``, ``empty``, ``look``) and what it means, in both languages."""
    rows, flagged = shape["rows"], shape["flagged"]
    open_questions = sum(f["rows"] for f in findings if f["action"] == "flagged" and f["operator"] == "contradictions")
    return {
        "train": _use(rows if made != "passages" else 0, TRAIN_ROWS, flagged, open_questions, _TRAIN),
        "retrieve": _use(rows if made in {"passages", "documents"} else 0, RETRIEVE_ROWS, flagged, 0, _RETRIEVE),
        "exam": _use(rows if made in {"chat", "labels"} else 0, EXAM_ROWS, 0, open_questions, _EXAM),
    }


_TRAIN = ("to train on", "用于训练", "question/answer pairs, preferences or texts", "问答、偏好或文本")
_RETRIEVE = ("to be found and cited", "用于检索和引用", "passages", "段落")
_EXAM = ("to make an exam of", "用于出题", "questions with agreed answers", "有一致答案的问题")


def _use(rows: int, wanted: int, flagged: int, contradicting: int, words: tuple[str, str, str, str]) -> JSON:
    en, zh, kind_en, kind_zh = words
    if not rows:
        return {
            "level": "empty",
            "en": f"There is nothing {en}: it needs {kind_en}.",
            "zh": f"没有可{zh}的内容，需要{kind_zh}。",
        }
    told_en, told_zh = f"{rows} {'row' if rows == 1 else 'rows'} {en}.", f"共 {rows} 行可{zh}。"
    level = "ready" if rows >= wanted else "thin"
    if level == "thin":
        told_en += f" That is little: {wanted} or more work better."
        told_zh += f"数量偏少，建议至少 {wanted} 行。"
    if flagged > _FLAGS * rows:
        level = "look"
        told_en += f" {flagged} of them {'is' if flagged == 1 else 'are'} flagged; look there first."
        told_zh += f"其中 {flagged} 行有疑问，请先查看。"
    if contradicting:
        level = "look"
        told_en += f" {contradicting} contradict each other; decide which are right."
        told_zh += f"有 {contradicting} 行互相矛盾，请确定哪个正确。"
    return {"level": level, "en": told_en, "zh": told_zh}
