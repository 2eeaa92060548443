"""A model that is none: it writes about the sentences it is given by a script, honestly or with a chosen lie.

For tests and trials without a model. It knows the prompts and how to be right or wrong about them. It does not know
what is done with its answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Literal

from feilun.curation.synthetic.asking import kind_of
from feilun.curation.synthetic.grounding import is_chinese, stems, unsupported
from feilun.errors import EngineDown
from feilun.records import JSON

Lie = Literal["", "figures", "words", "negation", "uncited", "garbage", "text", "repeats", "silent"]
_NUMBERED = re.compile(r"^\[(\d+)\] (.*)$", re.MULTILINE)
_PARTS = re.compile(r"(?:Text|本文): (.*?)(?:\n\n(?:Question|问题): (.*?))?(?:\n\n(?:Answer|答案): (.*?))?", re.DOTALL)
_SECOND = re.compile(r"\n\n(?:Second text|第二段): (.*)", re.DOTALL)
_ELSEWHERE = (("Only in Norwick", "Only in Estmere", "Only in Halden"), ("仅在诺威城", "仅在霍登镇", "仅在艾斯湾"))
_CUT = re.compile(r"[\d\W零〇一二两三四五六七八九十百千万亿]+")


class Scripted:
    """A model that can be asked as any other; ``said`` holds every text that it was sent, in order."""

    def __init__(self, lie: Lie = "") -> None:
        """Be honest, or tell a lie of one kind; a liar also confirms whatever it is asked to check."""
        self.lie = lie
        self.said: list[str] = []

    async def __call__(self, messages: Sequence[JSON], max_tokens: int) -> str:
        """Return an answer to one of our prompts; raises EngineDown if it is to be silent."""
        text = str(messages[-1]["content"])
        self.said.append(text)
        if self.lie == "silent" or max_tokens < 1:
            raise EngineDown("The script says nothing.", "Try another one.")
        kind = kind_of(messages)
        if kind in {"confirm", "answered", "same"}:
            return self._check(kind, text)
        if self.lie == "garbage":
            return 'Certainly! Here is what you want: {"question": '
        task = str(messages[0]["content"])
        wanted = int((re.search(r"\d+", task) or ["3"])[0])
        return self._write(kind, [(int(n), said) for n, said in _NUMBERED.findall(text)], wanted)

    def _check(self, kind: str, text: str) -> str:
        words = ("YES", "NO") if not is_chinese(text) else ("是", "否")
        if self.lie:
            return words[0] if kind != "answered" else words[1]
        second = _SECOND.search(text)
        found = _PARTS.fullmatch(_SECOND.sub("", text))
        span, question, answer = (part or "" for part in (found.groups() if found else (text, "", "")))
        if kind == "same":
            good = second is not None and span in second[1]
        elif kind == "answered":
            good = question.startswith(("What is said about", "关于"))
        else:
            good = not unsupported(answer, span, question)
        return words[0] if good else words[1]

    def _write(self, kind: str, numbered: Sequence[tuple[int, str]], wanted: int) -> str:
        turns = [self._turn(number, sentence) for number, sentence in numbered]
        if kind == "paraphrase":
            made = [
                {"text": f"{_lead(said)}{turn['answer']}", "cites": turn["cites"]}
                for turn, (_, said) in _zip(turns, numbered)
            ]
        elif kind == "distractors":
            made = [{**turn, "distractors": _wrong(said)} for turn, (_, said) in _zip(turns, numbered)]
        elif kind == "dialogue":
            made = [{"turns": turns[at : at + 2]} for at in range(0, max(1, len(turns) - 1), 2)]
        elif kind == "negative":
            made = [
                {"question": self._unanswered(said), "cites": turn["cites"]}
                for turn, (_, said) in _zip(turns, numbered)
            ]
        else:
            made = list(turns)
        return "\n".join(json.dumps(each, ensure_ascii=False) for each in made[:wanted])

    def _turn(self, number: int, sentence: str) -> JSON:
        question = (
            f"关于{_subject(sentence)}，是怎么规定的？"
            if is_chinese(sentence)
            else f"What is said about {_subject(sentence)}?"
        )
        if self.lie == "text":
            question = "本文说了什么？" if is_chinese(sentence) else "What does the text say?"
        if self.lie == "repeats":
            question = "这是怎么规定的？" if is_chinese(sentence) else "What is said here?"
        cites = [999] if self.lie == "uncited" else [number]
        return {"question": question, "answer": self._answer(sentence), "cites": cites}

    def _answer(self, sentence: str) -> str:
        if self.lie == "figures":
            changed = re.sub(r"\d+", lambda found: str(int(found[0]) + 1), sentence)
            return changed if changed != sentence else f"{sentence} 77"
        if self.lie == "words":
            return f"{sentence.rstrip('.。')}{'，仅在诺威城。' if is_chinese(sentence) else ' in Norwick.'}"
        if self.lie == "negation":
            clause = re.split("[,，;；]", sentence)[0].rstrip(".。")
            return f"并不是{clause}。" if is_chinese(sentence) else f"Not so: {clause} never."
        return sentence

    def _unanswered(self, sentence: str) -> str:
        if self.lie:
            return self._turn(1, sentence)["question"] if self.lie == "text" else "Who painted the moon?"
        subject = _subject(sentence)
        return f"{subject}当初由哪位提议？" if is_chinese(sentence) else f"Which colleague proposed {subject}?"


def _zip(turns: Sequence[JSON], numbered: Sequence[tuple[int, str]]) -> list[tuple[JSON, tuple[int, str]]]:
    return list(zip(turns, numbered, strict=True))


def _subject(sentence: str) -> str:
    """Return a few words of a sentence that say what it is about, without its figures."""
    if is_chinese(sentence):
        return max(_CUT.split(sentence), key=len)[:12] or "此事"
    words = [word for word in re.findall(r"[^\W\d_]+", sentence) if stems(word)]
    return " ".join(words[:4]) or "this"


def _lead(sentence: str) -> str:
    return "请注意：" if is_chinese(sentence) else "Please keep in mind: "


def _wrong(sentence: str) -> list[str]:
    return list(_ELSEWHERE[is_chinese(sentence)])
