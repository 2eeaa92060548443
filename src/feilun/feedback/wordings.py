"""One question in other wordings: a correction teaches a fact, and a fact must hold however it is asked for.

Two disjoint sets of carriers, one for training and one for the exam, so that no exam question is ever trained on. This
module knows carriers. It does not know facts.
"""

from __future__ import annotations

import unicodedata

_TRAINING = {
    "en": (
        "{q}",
        "Please tell me: {q}",
        "Hi! {q}",
        "I would like to know something. {q}",
        "{q} Thank you.",
        "Could you help me? {q}",
        "I am asking for a friend: {q}",
        "{q} A short answer is fine.",
    ),
    "zh": (
        "{q}",
        "请告诉我：{q}",
        "您好，{q}",
        "我想了解一下，{q}",
        "{q}谢谢。",
        "麻烦帮我查一下，{q}",
        "帮朋友问一下：{q}",
        "{q}简单回答即可。",
    ),
}
_EXAM = {
    "en": (
        "Can you tell me this? {q}",
        "Hello, {q}",
        "Quick question: {q}",
        "{q} Please answer in one sentence.",
        "A customer has just asked: {q}",
        "Sorry to bother you. {q}",
        "One more thing: {q}",
        "{q} Thanks in advance!",
        "My colleague wants to know: {q}",
        "Do you happen to know? {q}",
        "Good morning. {q}",
        "I need an answer to this: {q}",
    ),
    "zh": (
        "你知道吗？{q}",
        "你好！{q}",
        "问个小问题：{q}",
        "{q}请用一句话回答。",
        "有位客户刚刚问：{q}",
        "不好意思打扰了，{q}",
        "还有一件事：{q}",
        "{q}先谢谢了！",
        "同事想知道：{q}",
        "请问你清楚吗？{q}",
        "早上好。{q}",
        "我需要知道答案：{q}",
    ),
}


def _language(question: str) -> str:
    han = sum(unicodedata.name(char, "").startswith("CJK") for char in question)
    return "zh" if han * 3 > len(question.replace(" ", "")) else "en"


def training_wordings(question: str) -> list[str]:
    """Return the wordings in which a lesson is trained; the first is the question itself."""
    return [carrier.replace("{q}", _clean(question)) for carrier in _TRAINING[_language(question)]]


def exam_wordings(question: str) -> list[str]:
    """Return the wordings in which a lesson is examined: none of them is ever trained."""
    return [carrier.replace("{q}", _clean(question)) for carrier in _EXAM[_language(question)]]


def _clean(question: str) -> str:
    return " ".join(question.split())
