"""JSON, JSONL and rows of tables -> conversations, preferences, labelled texts, texts: by what they look like.

This module knows the shapes in which people exchange such data: OpenAI's and Anthropic's messages, batches and
preferences, ShareGPT, BELLE, ChatGPT's exports, Alpaca, Dolly, SQuAD, prompt and completion, chosen and rejected (also
as Anthropic's HH transcripts), text and label. It does not know which of them are good, nor what they are used for.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from feilun.curation.clean import date_in
from feilun.curation.documents import MAX_CELL, MAX_CHARACTERS, MAX_COLUMNS, MAX_ROWS, Block, Unreadable
from feilun.curation.readers.encodings import decode
from feilun.curation.readers.text import table_rows
from feilun.curation.readers.turns import Turns, conversation_of, said_in, turns_of, value_text

_QUESTION = ("question", "query", "prompt", "instruction", "user_input", "q", "问题", "提问", "指令")
_ANSWER = ("answer", "answers", "response", "completion", "output", "reply", "a", "答案", "回答", "输出")
_BETTER = ("chosen", "preferred_output", "chosen_response", "response_chosen", "preferred")
_WORSE = ("rejected", "non_preferred_output", "rejected_response", "response_rejected", "dispreferred")
_TEXT = ("text", "content", "body", "sentence", "review", "正文", "文本", "内容", "句子")
_LABEL = ("label", "labels", "label_text", "category", "class", "sentiment", "intent", "标签", "类别", "情感", "意图")
_DAY = ("date", "started", "created", "created_at", "timestamp", "time", "日期")
_DAYS = frozenset(_DAY)
_BATCH = frozenset({"request", "body", "params", "input", "response", "result", "choices", "custom_id"})
_TITLE = ("title", "heading", "标题")
_ID = ("id", "_id", "idx", "index", "uid", "guid", "编号", "序号")
_BESIDE = frozenset(
    (*_TEXT, *_LABEL, *_TITLE, *_DAY, *_ID, "", "split", "url", "lang", "language", "file", "filename", "文件名")
)
_ONCE = (frozenset(_TEXT), frozenset(_LABEL) - {"label_text"})
_SPEAKER = re.compile(r"(?:\A|\n\n)(Human|Assistant|H|A): ?")
_BETWEEN = re.compile(r"\}\s{0,9},\s{0,9}(?=\{)")
_MORE = ("input", "context")
_CORPUS = 120  # characters of a text on average: shorter ones are cells
_DEEPEST = 6
_NAMED = 20
_FAILURES = 1_000


def read_json(data: bytes, notes: list[str]) -> list[Block]:
    """Return what a JSON or JSONL file holds; broken lines, and what is of no known shape, are told in the notes."""
    items = list(values(decode(data, notes), notes))
    if len(items) == 1 and _asks(items[0][1]):
        items = [(key, {"question": key, "answer": said}) for key, said in items[0][1].items()]
    given = [value for _, value in items]
    if is_table(given):
        names = list(dict.fromkeys(name for row in given for name in row))
        if len(names) > MAX_COLUMNS:
            notes.append(f"only the first {MAX_COLUMNS} columns were read")
        cells = ([row.get(name) for name in names] for row in given)
        return [Block("table", rows=table_rows(itertools.chain([names], cells), notes))]
    texts = (value for value in given if _field(value, *_TEXT) and unplaced(value) and _is_text(value))
    if left := dict.fromkeys(name for value in texts for name in unplaced(value)):
        notes.append(f"these columns were left out: {_list(list(left))}")
    blocks: list[Block] = []
    unused: list[str] = []
    budget = MAX_CHARACTERS
    for place, value in items:
        for block in blocks_of(value, place, unused):
            budget -= len(block.text) + sum(len(text) for _, text in (*block.turns, *block.parts))
            if budget < 0 or len(blocks) == MAX_ROWS:
                notes.append(f"only the first {len(blocks)} items were read")
                return blocks
            blocks.append(block)
    tell_unused(unused, notes)
    return blocks


def _asks(value: Any) -> bool:
    """Tell whether a value is a map of questions to their answers."""
    return isinstance(value, dict) and all(
        key.rstrip().endswith(("?", "？")) and isinstance(said, str) for key, said in value.items()
    )


def is_table(rows: Sequence[Any]) -> bool:
    """Tell whether decoded values are rows of a table: flat, and no text or conversation says all that they do."""
    if not rows or not all(isinstance(row, dict) and row for row in rows):
        return False
    if not unplaced(dict.fromkeys(name for row in rows for name in row)) and any(_field(row, *_TEXT) for row in rows):
        return False
    cells = [cell for row in rows for cell in row.values()]
    said = sum(len(_field(row, *_TEXT)) for row in rows)
    if said >= _CORPUS * len(rows) and said >= 0.8 * sum(len(cell) for cell in cells if isinstance(cell, str)):
        return False  # a corpus: where its texts are from stands beside them
    if not all(cell is None or isinstance(cell, str | bool | int | float) for cell in cells):
        return False
    texts = []
    for row in rows:
        if kinds := {block.kind for block in blocks_of(row, "")}:
            texts.append(row)
        if kinds - {"text"}:
            return False
    short = all(len(cell) <= MAX_CELL for cell in cells if isinstance(cell, str))
    return not texts or (short and any(map(unplaced, texts)))


def _is_text(value: Any) -> bool:
    return isinstance(value, dict) and any(block.kind == "text" for block in blocks_of(value, ""))


def unplaced(names: Iterable[str]) -> list[str]:
    """Return the columns that a text, with or without a label, has no place for."""
    known = [name for name in names if name.strip().casefold() in _BESIDE]
    extra = [name for name in names if name not in known]
    return extra + [name for group in _ONCE for name in [n for n in known if n.strip().casefold() in group][1:]]


def tell_unused(places: Sequence[str], notes: list[str]) -> None:
    """Note which items hold nothing of a known shape, if any."""
    if places:
        notes.append(f"{len(places)} items hold nothing of a known shape and were left out: {_list(places)}")


def _list(places: Sequence[str]) -> str:
    more = len(places) - _NAMED
    return ", ".join(places[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def values(text: str, notes: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield (place, value) of a JSON text: the items of a list, the lines of JSONL, or what is whole in a broken one.

    Raises Unreadable if nothing in it is JSON.
    """
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        yield from _lines(text, notes)
        return
    if isinstance(whole, list) and not turns_of(whole):
        yield from ((f"item {number}", item) for number, item in enumerate(whole, 1))
    else:
        yield "item 1", whole


def _lines(text: str, notes: list[str]) -> Iterator[tuple[str, Any]]:
    # Not splitlines: a JSON string may hold the other line ends of Unicode as they are.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    whole = sum(line.lstrip()[:1] in {"{", "["} and line.rstrip()[-1:] in {"}", "]"} for _, line in lines[:50])
    if len(lines) == 1 or whole * 2 < len(lines[:50]):
        yield from _pieces(text, notes)
        return
    broken: list[str] = []
    for number, line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            broken.append(f"line {number}")
            continue
        yield f"line {number}", value
    if len(broken) == len(lines):
        raise Unreadable("damaged", "It is not valid JSON.")
    if broken:
        notes.append(f"{len(broken)} lines are not valid JSON and were left out: {_list(broken)}")


def _pieces(text: str, notes: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield the objects of a broken list, or of several values one after the other, that are whole."""
    decoder = json.JSONDecoder()
    at, line, found, broken = 0, 1, 0, 0
    while broken < _FAILURES and (begin := text.find("{", at)) >= 0:
        line += text.count("\n", at, begin)
        try:
            value, end = decoder.raw_decode(text, begin)
        except (ValueError, RecursionError):
            broken += 1
            # Its own members are not items of the list: the next item begins as far left as this one did.
            margin = text[max(text.rfind("\n", 0, begin) + 1, begin - 200) : begin]
            after = text.find(f"\n{margin}{{", begin) if not margin.strip() else _next(text, begin)
            if after < 0:
                break
            line += text.count("\n", begin, after)
            at = after
            continue
        found += 1
        yield f"line {line}", value
        line += text.count("\n", begin, end)
        at = end
    if not found:
        raise Unreadable("damaged", "It is not valid JSON.")
    if broken:
        notes.append(f"{broken} items are not valid JSON and were left out")


def _next(text: str, begin: int) -> int:
    match = _BETWEEN.search(text, begin)
    return match.end() if match else -1


def blocks_of(value: Any, place: str, unused: list[str] | None = None, depth: int = 0) -> Iterator[Block]:
    """Yield a block for every conversation, preference or text in a decoded JSON value, to a depth of six.

    The places of items of lists that gave none are added to ``unused``.
    """
    if depth > _DEEPEST or not value or not isinstance(value, (list, dict)):
        if unused is not None and depth <= 1:
            unused.append(place)
        return
    if isinstance(value, dict):
        value = unwrapped(value)
    block = _preference(value, place) or _talk(value, place) or _pair(value, place) or _text(value, place)
    if block is not None:
        yield block
        return
    if isinstance(value, dict) and isinstance(value.get("qas"), list):
        shared = {"context": value.get("context", "")}
        value = [{**shared, **asked} if isinstance(asked, dict) else asked for asked in value["qas"]]
    inner: list[str] = []
    found = False
    for key, child in enumerate(value, 1) if isinstance(value, list) else value.items():
        missed: list[str] = []
        blocks = blocks_of(child, f"{place} {key}", missed, depth + 1)
        if (first := next(blocks, None)) is not None:
            found = True
            yield first
            yield from blocks
            inner += missed
        elif isinstance(value, list):
            inner.append(f"{place} {key}")
    if unused is not None:
        unused += inner if found else [place]


def table_blocks(rows: Sequence[tuple[str, ...]], table: str = "") -> list[Block]:
    """Return the rows of a table as preferences or labelled texts if its header says so, else nothing.

    Places are ``row 2`` for the first row below the header of a file, ``table!1`` for that of a named table.
    """
    names = [name.strip().casefold() for name in rows[0]] if rows else []
    known = set(names)
    preference = known & set(_BETTER) and known & set(_WORSE)
    labelled = known & set(_TEXT) and known & set(_LABEL) and not unplaced(names)
    if len(rows) < 2 or len(known) < len(names) or not (preference or labelled):
        return []
    found: list[Block] = []
    for number, row in enumerate(rows[1:], 2):
        value = dict(zip(names, row, strict=False))
        found.extend(blocks_of(value, f"{table}!{number - 1}" if table else f"row {number}") if any(row) else ())
    return found


def unwrapped(value: dict[str, Any]) -> dict[str, Any]:
    """Return a batch's line as the conversation that it holds; what is no line of a batch as it is."""
    if _BATCH.isdisjoint(value):
        return value
    request = next((value[k] for k in ("request", "body", "params", "input") if isinstance(value.get(k), dict)), None)
    if request is not None and isinstance(request.get("body"), dict):
        request = request["body"]
    answer = _answer(value)
    if (request is None or not isinstance(request.get("messages"), list)) and not (answer and "custom_id" in value):
        return value
    messages = list(request["messages"]) if request and isinstance(request.get("messages"), list) else []
    if request and request.get("system"):
        messages.insert(0, {"role": "system", "content": request["system"]})
    if answer:
        messages.append({"role": "assistant", "content": answer})
    rest = {key: item for key, item in value.items() if key in {*_BETTER, *_WORSE, *_DAY}}
    return {**rest, "messages": messages}


def _answer(value: dict[str, Any]) -> str:
    """Return the text that a batch's line of answers, or a recorded response, holds."""
    response: Any = value.get("response", value.get("result", value))
    for key in ("body", "message"):
        if isinstance(response, dict) and isinstance(response.get(key), dict):
            response = response[key]
    if isinstance(response, dict) and isinstance(choices := response.get("choices"), list) and choices:
        response = choices[0].get("message") if isinstance(choices[0], dict) else None
    return said_in(response.get("content")) or "" if isinstance(response, dict) and response is not value else ""


def _field(value: Any, *keys: str) -> str:
    if not isinstance(value, dict):
        return ""
    return next((v for key in keys if isinstance(v := value.get(key), str) and v.strip()), "")


def _answers(given: Any) -> Turns:
    """Return a better or worse answer as turns: a text, a message, messages, or a transcript with both speakers."""
    if isinstance(given, str):
        pieces = _SPEAKER.split(given)
        if len(pieces) > 2 and not pieces[0].strip():
            speakers = ("user" if name.startswith("H") else "assistant" for name in pieces[1::2])
            return tuple(zip(speakers, (text.strip() for text in pieces[2::2]), strict=True))
        return (("assistant", given),) if given.strip() else ()
    turns = turns_of(given if isinstance(given, list) else [given])
    if not turns and isinstance(given, dict):
        text = _field(given, "text", "content", "value")
        return (("assistant", text),) if text else ()
    return tuple(turn for turn in turns if turn[0] != "system")


def _preference(value: Any, place: str) -> Block | None:
    """Return a question with its better answer as the last turn, and the worse one beside it."""
    if not isinstance(value, dict) or not any(key in value for key in _WORSE):
        return None
    better, worse = (next((value[k] for k in keys if value.get(k)), None) for keys in (_BETTER, _WORSE))
    if better is None or worse is None:
        return None
    good, bad = _answers(better), _answers(worse)
    before, system = conversation_of(value)
    if not before:
        asked = value.get("prompt", value.get("input"))
        listed = turns_of(asked.get("messages") if isinstance(asked, dict) else asked)
        system = system or "\n".join(text for role, text in listed if role == "system")
        question = _question(value)
        before = tuple(turn for turn in listed if turn[0] != "system") or ((("user", question),) if question else ())
    same = [one == other for one, other in zip(good[:-1], bad[:-1], strict=False)]
    shared = good[: same.index(False) if False in same else len(same)]
    # Whole conversations on both sides repeat the question.
    turns = good if shared else (*before, *good)
    if not good or not bad or turns[-1][0] != "assistant":
        return None
    rejected = "\n".join(text for role, text in bad[len(shared) :] if role == "assistant")
    parts = (*((("system", system),) if system else ()), ("rejected", rejected))
    return Block("pair", place, _field(value, "topic", "category"), turns=turns, parts=parts, day=_day(value))


def _talk(value: Any, place: str) -> Block | None:
    turns, system = conversation_of(value)
    if not turns:
        return None
    # A better answer beside the messages is how they end.
    chosen = _answers(value.get("chosen")) if isinstance(value, dict) and value.get("chosen") else ()
    parts = [("system", system)] if system else []
    if label := _label(value, ("label",)):
        parts.append(("label", label))
    topic = _field(value, "topic", "category", "主题")
    return Block("turns", place, topic, turns=(*turns, *chosen), parts=tuple(parts), day=_day(value))


def _question(value: dict[str, Any]) -> str:
    """Return what is asked, with the input or the passage that belongs to it; an input alone is asked, too."""
    lowered = {str(key).strip().casefold(): item for key, item in value.items()}
    question = next((lowered[k] for k in _QUESTION if isinstance(lowered.get(k), str) and lowered[k].strip()), "")
    more = [said for key in _MORE if isinstance(said := lowered.get(key), str) and said.strip()]
    return "\n".join([question, *more]).strip() if question or isinstance(lowered.get("input"), str) else ""


def _pair(value: Any, place: str) -> Block | None:
    """Return one question with its answer, after the ``history`` of earlier ones (Alpaca)."""
    if not isinstance(value, dict):
        return None
    lowered = {str(key).strip().casefold(): item for key, item in value.items()}
    answer = next((said for k in (*_ANSWER, "chosen") if k in lowered and (said := value_text(lowered[k]))), "")
    if not answer or not _question(value):
        return None
    turns: list[tuple[str, str]] = []
    history = lowered.get("history")
    for said in history if isinstance(history, list) else []:
        if isinstance(said, list) and len(said) == 2 and all(isinstance(text, str) for text in said):
            turns += [("user", said[0]), ("assistant", said[1])]
    turns += [("user", _question(value)), ("assistant", answer)]
    parts = [("system", lowered["system"])] if isinstance(lowered.get("system"), str) and lowered["system"] else []
    if label := _label(value, ("label",)):
        parts.append(("label", label))
    topic = _field(value, "topic", "category", "主题")
    kind: Literal["turns", "pair"] = "turns" if len(turns) > 2 else "pair"
    return Block(kind, place, topic, turns=tuple(turns), parts=tuple(parts), day=_day(value))


def _text(value: Any, place: str) -> Block | None:
    text = _field(value, *_TEXT)
    if not text:
        return None
    label = _label(value, _LABEL)
    parts = (("label", label),) if label else ()
    return Block("text", place, _field(value, *_TITLE), text=text, parts=parts, day=_day(value))


def _label(value: Any, keys: Sequence[str]) -> str:
    """Return a label as text: a word, a number, yes or no, or several of them."""
    if not isinstance(value, dict):
        return ""
    given = next((value[key] for key in keys if value.get(key) is not None), None)
    each = given if isinstance(given, list) else [given]
    if not all(isinstance(one, (str, int, float)) for one in each):
        return ""
    return "|".join(
        str(one).strip() if not isinstance(one, bool) else str(one).lower() for one in itertools.islice(each, 20)
    )


def _day(value: Any) -> str:
    if isinstance(value, dict) and _DAYS.isdisjoint(value):
        return ""
    return date_in(_field(value, *_DAY))
