"""The health report of a curation: what came in, what was left out and why, what is there now.

This module knows the plain words of every reason (English and Chinese). It does not decide anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from feilun.curation.conflicts import Clash
from feilun.curation.documents import Skip
from feilun.curation.pairs import Pair

DROPS: dict[str, tuple[str, str]] = {
    "no_question": ("The question is missing.", "没有问题。"),
    "no_answer": ("The answer is missing or only a placeholder.", "没有答案，或只是占位符。"),
    "too_long": ("The question or the answer is too long.", "问题或答案过长。"),
    "echo": ("The answer only repeats the question.", "答案只是重复问题。"),
    "small_talk": ("Greetings, thanks or chat without information.", "寒暄或致谢，没有信息。"),
    "personal_only": ("It only identifies a person.", "只是核对个人身份。"),
    "needs_context": ("It cannot be understood without what was said before.", "离开上文无法理解。"),
    "superseded": ("It is marked as no longer valid.", "已标明作废或被取代。"),
    "duplicate": ("The same question and answer is there already.", "相同的问题和答案已存在。"),
    "corrected": ("A correction contradicts it.", "与用户更正不一致。"),
    "older_answer": ("There is a newer answer to this question.", "同一问题已有更新的答案。"),
    "conflict": (
        "The same question has different answers and none is newer; a person must decide.",
        "同一问题有不同答案且无法判断新旧，需要人工确定。",
    ),
    "in_exam": ("The question is asked in an exam.", "考试中有这道题。"),
    "copy": ("The document is a copy of another one.", "文件与另一份几乎相同。"),
    "held_out": ("Kept aside as an exam question.", "留作考题。"),
}
EXAMPLES = 3
READY_PAIRS, READY_GROUPS = 100, 20


@dataclass(slots=True)
class Report:
    """The health report, all of it plain JSON values (``as_json``).

    ``dropped`` and ``passages_dropped`` map a reason to ``{"count", "en", "zh", "examples"}``; ``skipped`` lists files
    with name, reason, en, zh; ``conflicts`` lists questions with their answers and what was kept (empty: nothing).
    ``groups`` counts the facts: answers that are asked for in one or more wordings.
    """

    files: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)
    pairs_found: int = 0
    pairs_kept: int = 0
    dropped: dict[str, dict[str, Any]] = field(default_factory=dict)
    passages_found: int = 0
    passages_kept: int = 0
    passages_dropped: dict[str, dict[str, Any]] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)
    topics: dict[str, int] = field(default_factory=dict)
    groups: int = 0
    groups_of_three: int = 0
    masked: dict[str, int] = field(default_factory=dict)
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    copies: dict[str, str] = field(default_factory=dict)
    pairs_by_file: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    readiness: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return asdict(self)

    def skip(self, skips: Iterable[Skip]) -> None:
        """Add files that were left out, each once."""
        known = {(entry["name"], entry["reason"]) for entry in self.skipped}
        for item in skips:
            if (item.name, item.reason) not in known:
                self.skipped.append(asdict(item))

    def drop(self, dropped: Iterable[tuple[Pair, str]]) -> None:
        """Count dropped pairs by reason and keep the first examples of each."""
        for pair, reason in dropped:
            example = {
                "question": pair.question[:200],
                "answer": pair.answer[:200],
                "file": pair.name,
                "place": pair.place,
            }
            _count(self.dropped, reason, example)

    def drop_passage(self, reason: str, name: str, text: str) -> None:
        """Count a dropped passage."""
        _count(self.passages_dropped, reason, {"text": text[:200], "file": name})

    def clash(self, clashes: Sequence[Clash]) -> None:
        """List the questions that had several answers."""
        for clash in clashes:
            answers = [
                {"answer": p.answer[:500], "file": p.name, "place": p.place, "day": p.age.day} for p in clash.answers
            ]
            self.conflicts.append({"question": clash.question[:500], "answers": answers, "kept": clash.kept[:500]})

    def describe(self, groups: Counter[str], languages: Counter[str], topics: Counter[str]) -> None:
        """Fill in what was kept, and say in plain words whether it is enough."""
        self.pairs_kept = languages.total()
        self.languages = dict(sorted(languages.items()))
        self.topics = dict(sorted(topics.items(), key=lambda item: (-item[1], item[0]))[:50])
        self.groups = len(groups)
        self.groups_of_three = sum(count >= 3 for count in groups.values())
        self.readiness = _readiness(self)


def _count(table: dict[str, dict[str, Any]], reason: str, example: dict[str, str]) -> None:
    en, zh = DROPS[reason]
    entry = table.setdefault(reason, {"count": 0, "en": en, "zh": zh, "examples": []})
    entry["count"] += 1
    if len(entry["examples"]) < EXAMPLES:
        entry["examples"].append(example)


def _readiness(report: Report) -> dict[str, str]:
    pairs, groups, open_ones = report.pairs_kept, report.groups, sum(not c["kept"] for c in report.conflicts)
    en = f"{pairs} question/answer pairs about {groups} facts."
    zh = f"共 {pairs} 个问答对，涉及 {groups} 个事实。"
    if pairs == 0:
        level = "empty"
        en += " There is nothing to learn from. Add a sheet with the columns question and answer."
        zh += "没有可学习的内容，请添加含“问题”“答案”两列的表格。"
    elif pairs >= READY_PAIRS and groups >= READY_GROUPS:
        level = "ready"
        en += " That is enough for a first model."
        zh += "足以训练第一个模型。"
    else:
        level = "thin"
        en += f" That is little: {READY_PAIRS} pairs about {READY_GROUPS} facts, each in three wordings, work better."
        zh += f"数量偏少：建议至少 {READY_PAIRS} 个问答对、{READY_GROUPS} 个事实，每个事实三种问法。"
    if open_ones:
        en += f" {open_ones} questions have answers that contradict each other; decide which are right."
        zh += f"有 {open_ones} 个问题的答案互相矛盾，请确定哪个正确。"
    return {"level": level, "en": en, "zh": zh}
