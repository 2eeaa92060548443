"""The health report as a page that people read, in English and Chinese.

This module knows words and layout. It does not know how anything was counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from feilun.curation.health import names
from feilun.curation.health.pictures import band, bars, histogram
from feilun.records import JSON

_MOST = 40  # lines of a table
ACTIONS = ("dropped", "set_aside", "flagged", "changed", "noted")
_WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "The health of your data",
        "came": "What came in",
        "file": "file read",
        "files": "files read",
        "row": "row found",
        "rows": "rows found",
        "kept": "Kept",
        "dropped": "Dropped",
        "set_aside": "Set aside",
        "flagged": "Flagged for a person",
        "changed": "Changed",
        "noted": "Noted",
        "unflagged": "Kept",
        "ready": "What it is ready for",
        "train": "Training",
        "retrieve": "Search and citation",
        "exam": "Exams",
        "since": "Since the last time",
        "first": "This is the first report of this recipe.",
        "quiet": "Nothing that calls for attention has changed.",
        "person": "What is left for a person to decide",
        "nothing": "Nothing.",
        "found": "What was found, and what was done about it",
        "before": "before",
        "after": "after",
        "where": "where",
        "times": "times",
        "in_row": "row",
        "in_rows": "rows",
        "like": "What the data is like now",
        "languages": "Languages",
        "lengths": "Lengths of rows in characters (each column twice the one before)",
        "by_file": "Rows by file",
        "topics": "Topics",
        "skipped": "Files that could not be used",
        "notes": "Notes",
        "source": "Why",
        "tables": "What was seen in all rows together",
        "how": "How this was made",
        "recipe": "Recipe",
        "anew": "of the work was done anew",
        "hash": "Content",
    },
    "zh": {
        "title": "数据体检报告",
        "came": "收到了什么",
        "file": "个文件已读取",
        "files": "个文件已读取",
        "row": "行数据",
        "rows": "行数据",
        "kept": "保留",
        "dropped": "删除",
        "set_aside": "搁置",
        "flagged": "待人工确认",
        "changed": "已修改",
        "noted": "已记录",
        "unflagged": "保留",
        "ready": "可以用来做什么",
        "train": "训练",
        "retrieve": "检索与引用",
        "exam": "考试",
        "since": "与上次相比",
        "first": "这是此配方的第一份报告。",
        "quiet": "没有需要注意的变化。",
        "person": "留给人决定的事",
        "nothing": "没有。",
        "found": "发现了什么，做了什么",
        "before": "之前",
        "after": "之后",
        "where": "位置",
        "times": "处",
        "in_row": "行",
        "in_rows": "行",
        "like": "数据现在的样子",
        "languages": "语言",
        "lengths": "每行的字符数（每一列是前一列的两倍）",
        "by_file": "各文件的行数",
        "topics": "主题",
        "skipped": "未能使用的文件",
        "notes": "备注",
        "source": "依据",
        "tables": "整体观察",
        "how": "生成方式",
        "recipe": "配方",
        "anew": "的工作为本次重新计算",
        "hash": "内容摘要",
    },
}


def page(report: JSON, language: str = "en") -> str:
    """Return the page of a report; ``language`` is the one that is shown first."""
    environment = Environment(
        loader=PackageLoader("feilun.curation.health"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    views = [_view(report, lang) for lang in ("en", "zh")]
    first = language if language in _WORDS else "en"
    return environment.get_template("health.html.j2").render(report=report, views=views, language=first)


def _view(report: JSON, lang: str) -> JSON:
    w, shape, rows = _WORDS[lang], report["shape"], report["rows"]
    clean = rows["kept"] - shape["flagged"]
    parts = [(w["unflagged"], clean, "kept"), (w["flagged"], shape["flagged"], "flagged")]
    parts += [(w[name], rows[name], name) for name in ("set_aside", "dropped")]
    steps: dict[str, JSON] = {}
    for finding in report["findings"]:
        step = steps.setdefault(finding["operator"], {**_about(report, finding["operator"], lang), "findings": []})
        step["findings"].append(_finding(finding, w, lang))
    flagged = [_finding(f, w, lang) for f in report["findings"] if f["action"] in {"flagged", "set_aside"}]
    named = [(name, shape[name]) for name in ("languages", "topics", "files")]
    return {
        "lang": lang,
        "w": w,
        "band": band([part for part in parts if part[1]], w["came"]),
        "steps": list(steps.values()),
        "person": flagged,
        "lengths": histogram(shape["lengths"], _bins(len(shape["lengths"])), w["lengths"]),
        **{name: bars(list(counts.items())[:12], w.get(name, name)) for name, counts in named if counts},
        "has": [name for name, counts in named if counts],
        "alerts": [alert[lang] for alert in report["drift"]["alerts"]],
        "uses": [(w[use], told["level"], told[lang]) for use, told in report["readiness"].items()],
        "skipped": [(item["name"], item[lang]) for item in report["skipped"]],
        "tables": [
            {**_about(report, table["operator"], lang), "tables": list(_tables(table["report"], lang))}
            for table in report["tables"]
        ],
    }


def _about(report: JSON, operator: str, lang: str) -> JSON:
    known = report["operators"].get(operator, {"en": operator, "zh": operator, "origin": ""})
    return {"name": operator, "about": known[lang], "origin": known["origin"]}


def _finding(finding: JSON, w: dict[str, str], lang: str) -> JSON:
    examples = [
        {**shown, "place": names.place(shown["place"], lang), **_marked(shown["before"], shown["after"])}
        for shown in finding["examples"]
    ]
    told = {"action": finding["action"], "did": w[finding["action"]], "why": finding[lang], "examples": examples}
    return {**told, "rows": finding["rows"], "times": finding["times"]}


def _marked(before: str, after: str) -> dict[str, Markup]:
    """Return both texts with what differs marked; a text without its other half is shown as it is."""
    if not after:
        return {"before": escape(before), "after": Markup("")}
    old, new = Markup(""), Markup("")
    for kind, a, b, c, d in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        gone, come = escape(before[a:b]), escape(after[c:d])
        old += gone if kind == "equal" else Markup("<del>{}</del>").format(gone) if gone else ""
        new += come if kind == "equal" else Markup("<ins>{}</ins>").format(come) if come else ""
    return {"before": old, "after": new}


def _tables(report: JSON, lang: str) -> Iterator[JSON]:
    """Yield what an operator saw in all rows as tables: its plain figures first, then each list of findings."""
    plain = [[names.figure(name, lang), _told(value, lang)] for name, value in report.items() if not _listed(value)]
    if plain:
        yield {"title": "", "head": [], "rows": plain}
    for name, value in report.items():
        if _listed(value) and value:
            head = list(dict.fromkeys(key for each in value for key in each))
            rows = [[_told(each.get(key, ""), lang) for key in head] for each in value[:_MOST]]
            heads = [names.figure(key, lang) for key in head]
            yield {"title": names.figure(name, lang), "head": heads, "rows": rows}


def _listed(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _told(value: Any, lang: str) -> str:
    if isinstance(value, bool):
        return names.figure(str(value), lang)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        found = list(value.items())[:_MOST]
        return ", ".join(f"{names.figure(name, lang)}: {_told(each, lang)}" for name, each in found)
    if isinstance(value, list | tuple):
        return ", ".join(_told(each, lang) for each in value[:_MOST])
    return str(value)[:300]


def _bins(count: int) -> list[str]:
    return [str(1 << place >> 1) if place < 11 else f"{(1 << place >> 1) // 1024}k" for place in range(count)]
