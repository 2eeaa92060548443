"""What the report's figures are called, and where rows stand, in Chinese.

This module knows the fixed names that operators give to figures, and readers to places. English ones are shown as they
are; a name that is not known here, such as a label or a class, is somebody's own and stays.
"""

from __future__ import annotations

import re

_FIGURES = {
    "associations": "关联",
    "beside": "同现内容",
    "classes": "类别",
    "confused": "混淆",
    "count": "数量",
    "covered": "已覆盖",
    "deviation": "离差",
    "examples": "例子",
    "estimated_share_wrong": "估计错误占比",
    "exam": "考题",
    "excess": "超出",
    "False": "否",
    "family": "大类",
    "flagged": "待确认",
    "format": "形式",
    "given": "所给标签",
    "group": "群体",
    "groups": "分组",
    "label": "标签",
    "labelled": "已标注",
    "language": "语言",
    "languages": "语言",
    "lang": "语言",
    "largest_group": "最大分组",
    "length": "长度",
    "likely": "可能标签",
    "log_odds": "对数优势比",
    "median": "中位数",
    "mentions": "提及次数",
    "missing": "缺少",
    "model": "模型",
    "nearness": "相近程度",
    "of": "总数",
    "of_others": "其他总数",
    "one_group": "只有一组",
    "others": "其他",
    "question": "问题",
    "questions": "问题数",
    "refusals": "拒答",
    "row": "行",
    "rows": "行数",
    "share": "占比",
    "shares": "占比",
    "significant": "显著",
    "source": "来源",
    "times": "次数",
    "topic": "主题",
    "True": "是",
    "unfit_answers": "不合格回答",
    "words": "词语占比",
    "z": "z 值",
}
_NUMBERED = {"line": "行", "row": "行", "item": "项", "page": "页", "slide": "张幻灯片"}
_PLACE = re.compile(rf"\b({'|'.join(_NUMBERED)}) (\d+)\b")


def figure(name: str, lang: str) -> str:
    """Return what a figure, a column of figures, or yes and no are called."""
    return _FIGURES.get(name, name) if lang == "zh" else name


def place(told: str, lang: str) -> str:
    """Return where a row stands: ``line 3`` is 第 3 行."""
    return _PLACE.sub(lambda match: f"第 {match[2]} {_NUMBERED[match[1]]}", told) if lang == "zh" else told
