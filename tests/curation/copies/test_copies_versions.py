"""Old versions of documents: by titles and contents; different documents stay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from feilun.curation.copies.titles import dates, head_title, title_of
from feilun.curation.copies.versions import OldVersions
from feilun.curation.seam import Row, Ruling

LAWS = next(
    (p / "shared" / "data" / "zh_laws" for p in Path(__file__).resolve().parents if (p / "shared" / "data").is_dir()),
    Path("none"),
)
TRAVEL = """Staff book trains through the office. Flights need the consent of the head of department.
A day away is paid with forty euros, a night with a hundred and ten. Receipts are handed in within two weeks.
Taxis are paid where no bus runs. Who uses the own car gets thirty cents a kilometre."""
LEAVE = """员工每年享有十五天年假，入职满五年增加三天。请假应当提前一周在系统中提出，由部门负责人批准。
病假超过三天的，应当提交医院证明。未休完的年假可以顺延到次年三月底，逾期作废。"""


def document(name: str, text: str, modified: float = 0.0) -> Row:
    """Return a document as a row."""
    return Row(f"row-{name}".replace(" ", "_"), "source", name, "", ("text",), (text,), "", {"modified": modified})


def older(rows: Sequence[Row]) -> dict[str, str]:
    """Return the names of dropped documents, and of those that they yield to."""
    operator = OldVersions()
    decided = operator.decide([operator.sketch([row]) for row in rows])
    found: dict[str, str] = {}
    for row, rulings in zip(rows, operator.apply(rows, decided), strict=True):
        for ruling in rulings:
            assert isinstance(ruling, Ruling)
            assert ruling.note.reason == "old_version"
            found[row.name] = ruling.note.detail.split(" ", 1)[1]
    return found


@pytest.mark.parametrize(
    ("title", "base", "date", "version", "stage"),
    [
        ("预算管理办法_v1.2", "预算管理办法", 0, (1, 2), 0),
        ("# 员工手册（2023年修订版）", "员工手册", 20230000, (), 1),
        ("Travel policy 2024-03-01 draft", "travel policy", 20240301, (), -1),
        ("差旅费管理办法(试行)", "差旅费管理办法", 0, (), -1),
        ("个人所得税法实施条例（2018年修正）", "个人所得税法实施条例", 20180000, (), 1),
        ("report_20240301_v2", "report", 20240301, (2,), 0),
        ("安全手册 第三版", "安全手册", 0, (3,), 0),
        ("合同模板 - 副本 (2)", "合同模板", 0, (), 0),
        ("刑法修正案十一", "刑法修正案十一", 0, (), 0),
    ],
)
def test_titles(title: str, base: str, date: int, version: tuple[int, ...], stage: int) -> None:
    """Marks of age are told apart from what a document is called."""
    found = title_of(title)
    assert (found.base, found.date, found.version, found.stage) == (base, date, version, stage)


def test_dates() -> None:
    """Dates are found as they are written, and none where there is none."""
    assert dates("2018年12月29日，2019.3.5, 20240102; 2021年") == [20240102, 20181229, 20190305, 20210000]
    assert dates("call 13820181229, room 120181") == []
    assert head_title("# 慈善工作规定\n\n2016年3月16日通过\n\n2023年12月29日修正\n\n第一条").date == 20231229


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("travel policy v2.docx", "Travel Policy v10.docx"),
        ("travel policy (2023-01-01).docx", "travel policy (2024-02-01).docx"),
        ("travel policy draft.docx", "travel policy final.docx"),
        ("travel policy.docx", "travel policy revised.docx"),
    ],
)
def test_the_newest_version_stays(old: str, new: str) -> None:
    """By version, date or stage, in whatever order the documents come, with a few changes in the text."""
    rows = [document(old, TRAVEL), document(new, TRAVEL.replace("forty", "fifty") + " Bicycles are free.")]
    assert older(rows) == older(rows[::-1]) == {old: new}


def test_versions_in_chinese_by_heading() -> None:
    """Documents whose files have other names are known by their titles; the newest is named for all older ones."""
    rows = [
        document("a.docx", f"员工休假制度（2021年修订）\n{LEAVE}"),
        document("最终.docx", f"员工休假制度（2023年修订）\n{LEAVE.replace('十五', '十六')}"),
        document("b.docx", f"员工休假管理办法（试行）\n2019年5月1日发布\n{LEAVE.replace('三天', '两天')}"),
    ]
    assert older(rows) == {"a.docx": "最终.docx", "b.docx": "最终.docx"}


def test_other_documents_stay() -> None:
    """Same title and nothing in common, monthly minutes, tables of many rows, dates alone: no versions."""
    minutes = [
        document(f"minutes 2024-0{month}-01.txt", f"Minutes\n{text}")
        for month, text in enumerate((TRAVEL, "The roof was mended and the gate painted. Nobody was ill.", LEAVE), 1)
    ]
    other = [document("Travel policy v1.txt", TRAVEL), document("Leave policy v2.txt", TRAVEL)]
    table = [document("rows.jsonl", f"{TRAVEL} {number}") for number in range(3)]
    assert older([*minutes, *table]) == {}
    assert older([document("rules v1.txt", TRAVEL), document("rules v2.txt", LEAVE)]) == {}
    assert older(other) == {}
    assert older([document("policy.txt", TRAVEL, 1.0), document("old/policy.txt", TRAVEL, 2.0)]) == {}


@pytest.mark.parametrize(
    "name",
    [
        "Annual report {}.docx",
        "{}年年报（终稿）.docx",
        "{}年度工作总结.docx",
        "Invoice {}-03.pdf",
        "门店{}年3月报表 v1.xlsx",
    ],
)
def test_papers_of_a_time_stay(name: str) -> None:
    """A report of this year is no version of last year's, however alike they are; its draft is one of it."""
    text = f"{TRAVEL}\n{LEAVE}"
    last, this = name.format(2023), name.format(2024)
    assert older([document(last, text), document(this, text.replace("forty", "fifty"))]) == {}
    draft = this.replace(".", " draft.").replace("（终稿）", "")
    assert older([document(draft, text), document(this, text)]) == {draft: this}


def test_a_report_that_is_issued_again_is_replaced() -> None:
    """Two days on which one report was issued are not two times that it is about."""
    rows = [
        document("a.docx", f"2023年度工作报告\n2024年2月1日发布\n{LEAVE}"),
        document("b.docx", f"2023年度工作报告\n2024年3月1日修订\n{LEAVE.replace('三天', '两天')}"),
    ]
    assert older(rows) == {"a.docx": "b.docx"}


@pytest.mark.parametrize("name", ["事故报告制度 {}.docx", "通讯录 {}.docx", "Expense report policy {}.docx"])
def test_rules_about_papers_of_a_time_are_replaced(name: str) -> None:
    """How reports are to be written holds until it is written anew."""
    old, new = name.format(2023), name.format(2024)
    assert older([document(old, LEAVE), document(new, LEAVE.replace("三天", "两天"))]) == {old: new}


def test_dated_statutes() -> None:
    """Of statutes in several dated versions the newest stays, and no statute yields to another one."""
    if not LAWS.is_dir():
        pytest.skip("the shared data is not here")
    rows = [document(str(path.relative_to(LAWS)), path.read_text("utf-8")) for path in sorted(LAWS.rglob("*.md"))]
    titles = defaultdict[str, list[str]](list)
    for row in rows:
        if "(" in row.name:
            titles[Path(row.name).name.split("(")[0]].append(row.name)
    wanted = {name for names in titles.values() for name in sorted(names, key=lambda n: n.split("(")[1])[:-1]}
    found = older([row for row in rows if row.name != "SOURCE.md"])
    right = {old for old, new in found.items() if Path(old).name.split("(")[0] == Path(new).name.split("(")[0]}
    assert wanted
    assert 2 * len(right & wanted) / (len(found) + len(wanted)) >= 0.95
