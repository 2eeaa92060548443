"""Text, Markdown, CSV/TSV and chat exports (JSON, JSONL) -> blocks.

This module knows encodings and line formats. It does not know which blocks hold questions and answers.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from charset_normalizer import from_bytes

from feilun.curation.clean import date_in
from feilun.curation.documents import MAX_CELL, MAX_CHARACTERS, MAX_COLUMNS, MAX_ROWS, Block, Unreadable

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LEGACY = ("gb18030", "big5", "cp1252", "cp1251", "shift_jis", "euc_kr")
_EVERYDAY = frozenset("的一是不在有我人这個个了上大中为為年用出国國于於，。、；：？！")
_KNOWN = re.compile("[\\s\\x20-\\x7e\u00a0-\u024f\u2010-\u206f\u3000-\u9fff\uff00-\uffef]")
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
_USER = {"user", "human", "customer", "member", "client", "caller", "用户", "客户", "会员"}
_ASSISTANT = {"assistant", "gpt", "agent", "advisor", "support", "bot", "model", "助手", "客服", "坐席"}
_QUESTION_KEYS = ("question", "query", "prompt", "instruction", "q", "问题", "提问")
_ANSWER_KEYS = ("answer", "response", "completion", "output", "chosen", "reply", "a", "答案", "回答")


def encoding_of(data: bytes) -> str:
    """Return the encoding of a text file; raise Unreadable (``wrong_name``) if it is no text at all."""
    for bom, name in _BOMS:
        if data.startswith(bom):
            return name
    head = data[: 1 << 20]
    if b"\0" in head[:4096]:
        return _wide(head[:4096])
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) == len(data))
    except UnicodeDecodeError:
        return _legacy(head)
    return "utf-8"


def _wide(head: bytes) -> str:
    """Return which UTF-16 a text with NUL bytes and without a mark is: the one with more everyday characters."""
    best, most = "", 0
    for name in ("utf-16-le", "utf-16-be"):
        text = head.decode(name, errors="replace")
        known = sum(bool(_KNOWN.match(char)) for char in text)
        everyday = sum(char.isascii() or char in _EVERYDAY for char in text)
        if known >= 0.95 * len(text) and everyday > most and "\0" not in text:
            best, most = name, everyday
    if not best:
        raise Unreadable("wrong_name", "It holds binary data, not text.")
    return best


def _legacy(head: bytes) -> str:
    """Choose between the legacy encodings: the first that decodes into mostly common Chinese, else the guess."""
    sample = head[:200_000]
    for name in ("gb18030", "big5"):
        text = sample.decode(name, errors="replace")
        common = sum("\u4e00" <= char <= "\u9fa5" for char in text)
        foreign = sum(ord(char) > 127 for char in text)
        rare = sum(char == "\ufffd" or "\ue000" <= char <= "\uf8ff" for char in text)
        ideograms = _EVERYDAY & set(text)
        if foreign and common >= 0.6 * foreign and rare <= 0.01 * foreign and ideograms:
            return name
    best = from_bytes(sample, cp_isolation=list(_LEGACY)).best()
    if best is None:
        raise Unreadable("wrong_name", "It holds binary data, not text.")
    return best.encoding


def decode(data: bytes) -> str:
    """Return the text of ``data``, bytes that fit nowhere replaced; raise Unreadable for binary data."""
    return data.decode(encoding_of(data), errors="replace").lstrip("\ufeff")


def capped(text: str, notes: list[str]) -> str:
    """Return at most MAX_CHARACTERS of ``text``; a cut is noted."""
    if len(text) > MAX_CHARACTERS:
        notes.append(f"only the first {MAX_CHARACTERS} characters were read")
    return text[:MAX_CHARACTERS]


def read_text(data: bytes, notes: list[str]) -> list[Block]:
    """Return a plain text as one block."""
    return [Block("text", text=capped(decode(data), notes))]


def read_markdown(data: bytes, notes: list[str]) -> list[Block]:
    """Return one text block per heading and one table block per table."""
    blocks: list[Block] = []
    lines: list[str] = []
    heading, start, fenced = "", 1, False

    def close() -> None:
        if any(line.strip() for line in lines) or heading:
            blocks.extend(_split_tables(lines, heading, start))
        lines.clear()

    for number, line in enumerate(capped(decode(data), notes).splitlines(), 1):
        fenced ^= line.lstrip().startswith("```")
        match = None if fenced else _HEADING.match(line)
        if match:
            close()
            heading, start = match[1], number
        else:
            lines.append(line)
    close()
    return blocks


def _split_tables(lines: list[str], heading: str, start: int) -> Iterator[Block]:
    """Yield the text and the pipe tables of one section, in order."""
    place = f"line {start}"
    found = False
    for is_table, group in itertools.groupby(lines, key=lambda line: line.strip().startswith("|")):
        part = list(group)
        rows = tuple(
            cells
            for cells in (_pipe_cells(line) for line in part)
            if not all(re.fullmatch(r"\s*:?-{2,}:?\s*", cell) for cell in cells)
        )
        if is_table and len(part) > 1:
            found = True
            yield Block("table", place, heading, rows=rows)
        elif any(line.strip() for line in part):
            found = True
            yield Block("text", place, heading, text="\n".join(part))
    if not found:
        yield Block("text", place, heading)


def _pipe_cells(line: str) -> tuple[str, ...]:
    cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return tuple(cell.strip().replace("\\|", "|") for cell in cells[:MAX_COLUMNS])


def read_csv(data: bytes, notes: list[str]) -> list[Block]:
    """Return a table of at most MAX_ROWS rows; the separator is sniffed (comma, semicolon, tab, bar)."""
    stream = io.TextIOWrapper(io.BytesIO(data), encoding_of(data), errors="replace", newline="")
    head = list(itertools.islice(iter(lambda: stream.readline(MAX_CELL), ""), 20))
    separator = max(",;\t|", key=lambda mark: (sum(min(line.count(mark), 3) for line in head), mark == ","))
    lines = (line.replace("\0", "") for line in itertools.chain(head, iter(lambda: stream.readline(1 << 20), "")))
    return [Block("table", rows=table_rows(csv.reader(lines, delimiter=separator), notes))]


def table_rows(rows: Iterable[Iterable[Any]], notes: list[str]) -> tuple[tuple[str, ...], ...]:
    """Return the rows as cells of text within the caps; a broken row ends the table; cuts are noted."""
    kept: list[tuple[str, ...]] = []
    budget = MAX_CHARACTERS
    iterator = iter(rows)
    while True:
        try:
            row = next(iterator, None)
        except csv.Error as error:
            notes.append(f"the table breaks off at row {len(kept) + 1}: {error}")
            break
        if row is None:
            break
        cells = tuple(cell_text(cell)[:MAX_CELL] for cell in itertools.islice(row, MAX_COLUMNS))
        budget -= sum(map(len, cells))
        if len(kept) >= MAX_ROWS or budget < 0:
            notes.append(f"only the first {len(kept)} rows were read")
            break
        kept.append(cells)
    return tuple(kept)


def cell_text(value: Any) -> str:
    """Return a cell as a person reads it: no ``None``, no ``12.0`` for 12, days without a midnight."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value).removesuffix(" 00:00:00").lstrip("\ufeff").strip()


def read_json(data: bytes, notes: list[str]) -> list[Block]:
    """Return the conversations of a JSON or JSONL export; lines that are no JSON are counted in the notes."""
    text = decode(data)
    try:
        values = [json.loads(text)]
    except (ValueError, RecursionError):
        values, broken = [], 0
        for line in text.splitlines():
            if line.strip():
                try:
                    values.append(json.loads(line))
                except (ValueError, RecursionError):
                    broken += 1
        if not values:
            raise Unreadable("damaged", "It is not valid JSON.") from None
        if broken:
            notes.append(f"{broken} lines are not valid JSON and were left out")
    blocks = list(itertools.islice(_conversations(values, "item"), MAX_ROWS))
    if len(blocks) == MAX_ROWS:
        notes.append(f"only the first {MAX_ROWS} conversations were read")
    return blocks


def _conversations(value: Any, place: str, depth: int = 0) -> Iterator[Block]:
    """Yield a block for every conversation or text found in a decoded JSON value, to a depth of six."""
    if depth > 6 or not isinstance(value, (list, dict)):
        return
    turns = _turns(value)
    if turns:
        day = date_in(_field(value, "date", "started", "created", "created_at", "timestamp", "time", "日期"))
        kind: Literal["turns", "pair"] = "turns" if isinstance(value, list) or _talk_key(value) else "pair"
        yield Block(kind, place, _field(value, "topic", "category", "主题"), turns=turns, day=day)
        return
    if text := _field(value, "text", "content", "body", "正文"):
        yield Block("text", place, _field(value, "title", "heading", "标题"), text=text)
        return
    pairs = enumerate(value, 1) if isinstance(value, list) else value.items()
    for key, child in pairs:
        yield from _conversations(child, f"{place} {key}" if depth else f"item {key}", depth + 1)


def _field(value: Any, *keys: str) -> str:
    if not isinstance(value, dict):
        return ""
    return next((v for key in keys if isinstance(v := value.get(key), str)), "")


def _talk_key(value: dict[str, Any]) -> str:
    """Return the key of an object under which its list of turns stands, or nothing."""
    keys = ("messages", "conversations", "conversation", "turns", "dialogue", "dialog")
    return next((key for key in keys if isinstance(value.get(key), list)), "")


def _turns(value: Any) -> tuple[tuple[str, str], ...]:
    """Return the turns of one conversation object, or nothing if it is none."""
    if isinstance(value, list):
        turns = [_turn(item) for item in value]
        return tuple(turn for turn in turns if turn and turn[0]) if turns and all(turns) else ()
    if key := _talk_key(value):
        chosen = value.get("chosen")
        said = [*value[key], chosen] if isinstance(chosen, dict) else value[key]
        return tuple(turn for turn in map(_turn, said) if turn and turn[0])
    lowered = {str(key).strip().casefold(): item for key, item in value.items()}
    question = next((lowered[k] for k in _QUESTION_KEYS if isinstance(lowered.get(k), str)), None)
    answer = next((lowered[k] for k in _ANSWER_KEYS if isinstance(lowered.get(k), str)), None)
    if question is None or answer is None:
        return ()
    more = lowered.get("input")
    if isinstance(more, str) and more.strip():
        question = f"{question}\n{more}"
    return (("user", question[:MAX_CELL]), ("assistant", answer[:MAX_CELL]))


def _turn(item: Any) -> tuple[str, str] | None:
    """Return (role, text) of one turn; the role is empty for turns of others (system, tools); None if it is no turn."""
    if not isinstance(item, dict):
        return None
    role = next((item[k] for k in ("role", "speaker", "from", "author") if isinstance(item.get(k), str)), None)
    text = next((item[k] for k in ("content", "text", "value", "message", "utterance") if k in item), None)
    if isinstance(text, list):
        parts = [part.get("text") for part in text if isinstance(part, dict)]
        text = "\n".join(part for part in parts if isinstance(part, str))
    if role is None or not isinstance(text, (str, type(None))):
        return None
    name = role.strip().casefold()
    kind = "user" if name in _USER else "assistant" if name in _ASSISTANT else ""
    return kind, (text or "")[:MAX_CELL]
