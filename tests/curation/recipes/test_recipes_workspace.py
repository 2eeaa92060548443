"""A recipe over a workspace: permissions hold, personal data is masked, the report says what happened."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from feilun.cli import main
from feilun.curation import ingest
from feilun.curation.recipes import Options, Outcome, curate_files, curate_workspace, find, mended, parse
from feilun.errors import NothingUsable
from feilun.records import Purpose
from feilun.store import datasets, open_database, sources, workspaces
from feilun.store.database import Database

FAQ = """question,answer
When does the Northgate library open?,It opens at 9 on weekdays and at 10 on Saturdays.
How can I reach the Northgate library?,Call our desk at 020-7946-0958 or write to desk@northgate.example.
How long may I keep a book?,You may keep a book for four weeks and renew it twice.
How long may I keep a book?,You may keep a book for six weeks and renew it twice.
"""
TALK = """Member: Hello, my name is Laura Bennet, write to laura@mail.example. Is the reading room closed on Monday?
Agent: Yes, the reading room is closed on every first Monday of the month.
"""
STAFF = "# Staff\n\nThe night porter is Igor Palamar, his mobile is 13812345678, and he earns 41,000 a year.\n"
SECRET = "question,answer\nWhat does the director earn?,The director of the library earns 98000 a year.\n"
RULES = """
"talk.txt": {mask: pseudonymise}
"staff.md": {mask: pseudonymise}
"secret.csv": {train: no, retrieve: no}
"""


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Give a home whose workspace has a folder of files."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name, text in (("faq.csv", FAQ), ("talk.txt", TALK), ("staff.md", STAFF), ("secret.csv", SECRET)):
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "feilun.permissions.yaml").write_text(RULES, encoding="utf-8")
    opened = open_database(tmp_path / "home")
    workspaces.ensure(opened, "library")
    ingest(opened, "library", [folder])
    yield opened
    opened.close()


def run(db: Database, recipe: str = "chat", preview: int = 0) -> Outcome:
    """Run a recipe in one process."""
    return curate_workspace(db, "library", find(recipe), Options(1, preview))


def texts(db: Database, outcome: Outcome, purpose: Purpose = "train") -> str:
    """Return all texts of the dataset."""
    assert outcome.version is not None
    records = datasets.read(db, "library", outcome.version.id, purpose)
    return "\n".join([r.text + " ".join(str(m["content"]) for m in r.messages) for r in records])


def test_chat_of_a_workspace(db: Database) -> None:
    """Forbidden files stay out, members are masked, what the organisation publishes stays, contradictions are told."""
    outcome = run(db)
    told = texts(db, outcome)
    assert "director" not in told
    assert "Laura" not in told
    assert "laura@mail" not in told
    assert "desk@northgate.example" in told
    assert "first Monday" in told
    found = {(f["operator"], f["action"]) for f in outcome.report["findings"]}
    assert ("personal", "changed") in found
    assert ("contradictions", "flagged") in found
    page = outcome.page.read_text("utf-8")
    for words in ("The health of your data", "数据体检报告"):
        assert words in page
    for secret in ("laura@mail", "Bennet", "98000"):
        assert secret not in page
        assert secret not in json.dumps(outcome.report)


def test_every_change_has_its_reason(db: Database) -> None:
    """The ledger names the row, the operator and the reason of everything that was done."""
    outcome = run(db)
    ledger = pq.read_table(outcome.page.with_name("ledger.parquet")).to_pylist()
    assert {"row", "source", "name", "place", "operator", "action", "reason", "detail"} <= set(ledger[0])
    assert any(entry["operator"] == "personal" and entry["name"] == "talk.txt" for entry in ledger)
    assert all(entry["reason"] for entry in ledger)


def test_again_and_after_a_revocation(db: Database) -> None:
    """The same sources give the same version without work; what is revoked is gone, and the report tells that."""
    first, second = run(db), run(db)
    assert first.version == second.version
    assert second.report["computed"] == 0.0
    assert second.report["drift"]["alerts"] == []
    faq = next(source for source in sources.find(db, "library") if source.name == "faq.csv")
    sources.grant(db, "library", faq.id, {"train": False})
    third = run(db)
    assert "desk@northgate.example" not in texts(db, third)
    kinds = {alert["kind"] for alert in third.report["drift"]["alerts"]}
    assert {"volume", "sources"} <= kinds


def test_a_preview_writes_no_dataset(db: Database) -> None:
    """A preview shows what would happen to some rows, and leaves neither a dataset nor the whole's report."""
    outcome = run(db, preview=2)
    assert outcome.version is None
    assert 0 < len(outcome.records) <= 2
    assert outcome.page.name == "preview.html"
    assert datasets.find(db, "library") == []
    assert not outcome.page.with_name("report.json").exists()


def test_flagged_rows_can_be_set_aside(db: Database) -> None:
    """With ``flagged: set_aside`` rows that contradict each other wait for a person instead of being learned."""
    kept = curate_workspace(db, "library", parse("rows: [contradictions]", "keep"), Options(1))
    aside = curate_workspace(db, "library", parse("flagged: set_aside\nrows: [contradictions]", "aside"), Options(1))
    assert "four weeks" in texts(db, kept)
    assert "four weeks" not in texts(db, aside)
    assert aside.report["rows"]["set_aside"] == 2


def test_masking_is_not_up_to_the_recipe(db: Database) -> None:
    """Passages of a source that must be masked are masked by a recipe that has no step for it."""
    outcome = curate_workspace(db, "library", parse("make: passages\nrows: [exact_copies]", "plain"), Options(1))
    told = texts(db, outcome, "retrieve")
    assert "13812345678" not in told
    assert "night porter" in told


def test_copies_of_what_is_forbidden_stay_out(db: Database, tmp_path: Path) -> None:
    """A forbidden sentence within another file is found, also where a recipe's mending makes it the same again."""
    pay = "The director of the Northgate library is paid ninety-eight thousand a year."
    room = "读者委员会的会议记录只供委员阅读，任何人不得用于其他目的，也不得向外转述其中的内容。"
    read = [("shut.txt", f"{pay}\n\n{room}\n"), ("open.txt", f"Doors open at nine. {pay} Doors close at six.\n")]
    noisy = (
        room.replace("会议", "会(huì)议(yì)")
        .replace("委员阅读", "委(wěi)员(yuán)阅(yuè)读(dú)")
        .replace("任何", "任(rèn)何(hé)")
    )
    read.append(("copied.txt", noisy.replace("目的", "目(mù)的(dì)").replace("内容", "内(nèi)容(róng)") + "\n"))
    for name, text in read:
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "feilun.permissions.yaml").write_text('"shut.txt": {train: no, retrieve: no}\n', encoding="utf-8")
    ingest(db, "library", [tmp_path / name for name, _ in read])
    for recipe, purpose in (("pretrain", "train"), ("knowledge", "retrieve")):
        outcome = run(db, recipe)
        assert outcome.version is not None
        told = "\n".join(r.text for r in datasets.read(db, "library", outcome.version.id, purpose))
        assert "ninety-eight" not in told
        assert "读者委员会" not in told
        assert "porter" in told
        ledger = pq.read_table(outcome.page.with_name("ledger.parquet")).to_pylist()
        assert {e["name"] for e in ledger if e["reason"] == "forbidden"} == {"open.txt", "copied.txt"}


def test_written_answers_publish_no_client(db: Database, tmp_path: Path) -> None:
    """A client in a written answer is masked there and everywhere else; the desk's own number stays."""
    told = "Yes. Hans Gruber (SSN 536-22-1234, hans.gruber@mail.example, 415-555-2671) got his money back."
    (tmp_path / "cases.csv").write_text(f'question,answer\nWas a complaint ever solved?,"{told}"\n', encoding="utf-8")
    said = "Member: I am Hans Gruber, SSN 536-22-1234, call 415-555-2671. Is the desk at 020-7946-0958?\nAgent: Yes.\n"
    (tmp_path / "more.txt").write_text(said, encoding="utf-8")
    ingest(db, "library", [tmp_path / "cases.csv", tmp_path / "more.txt"])
    found = texts(db, run(db))
    for secret in ("Gruber", "536-22-1234", "hans.gruber", "415-555-2671"):
        assert secret not in found
    assert found.count("020-7946-0958") == 2


def test_who_writes_to_the_desk_is_no_fact_of_it(db: Database, tmp_path: Path) -> None:
    """An answer that names who introduces himself in a conversation tells of a client; one about the staff does not."""
    text = "question,answer\nWho won?,Hans Gruber won; he is at hans.gruber@mail.example.\n"
    text += "Who leads the desk?,Igor Palamar leads it; he is at igor@northgate.example.\n"
    (tmp_path / "won.csv").write_text(text, encoding="utf-8")
    said = "Member: My name is Hans Gruber. May I ask Igor Palamar when the prize is paid?\nAgent: In May, I think.\n"
    (tmp_path / "prize.txt").write_text(said, encoding="utf-8")
    ingest(db, "library", [tmp_path / "won.csv", tmp_path / "prize.txt"])
    found = texts(db, run(db))
    assert "Gruber" not in found
    assert "hans.gruber" not in found
    assert found.count("Igor Palamar") == 2
    assert "igor@northgate.example" in found


def test_a_name_is_masked_in_every_turn_that_repeats_it(db: Database, tmp_path: Path) -> None:
    """The assistant's turn of a row, and later rows of the conversation, do not tell the name that the user told."""
    talk = [("user", "我叫文清，手续费多少？"), ("assistant", "文清，每笔转账收取手续费两元。")]
    talk += [("user", "那转账限额是多少？"), ("assistant", "请文清注意，每日转账限额五万元。")]
    row = {"messages": [{"role": role, "content": text} for role, text in talk]}
    (tmp_path / "talk.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    ingest(db, "library", [tmp_path / "talk.jsonl"])
    found = texts(db, run(db))
    assert "文清" not in found
    assert "手续费两元" in found
    assert "限额五万元" in found


def test_files_of_rows_keep_their_permissions(tmp_path: Path) -> None:
    """Without a workspace, too, what the rules beside a file forbid is left out, and what is to be masked is masked."""
    for name in ("shut", "masked", "free"):
        told = f"The {name} row says: the gardener Olaf Brandt can be reached at olaf.brandt@mail.example."
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": told}) + "\n", encoding="utf-8")
    rules = '"shut.jsonl": {train: no}\n"masked.jsonl": {mask: pseudonymise}\n'
    (tmp_path / "feilun.permissions.yaml").write_text(rules, encoding="utf-8")
    recipe = parse("make: documents\nrows: [exact_copies]", "plain")
    outcome = curate_files([tmp_path], recipe, tmp_path / "out", Options(1))
    texts = pq.read_table(tmp_path / "out" / "rows.parquet")["text"].to_pylist()
    assert len(texts) == 2
    assert sum("olaf.brandt" in text for text in texts) == 1
    assert not any("shut" in text for text in texts)
    assert [(each["name"], each["reason"]) for each in outcome.report["skipped"]] == [("shut.jsonl", "forbidden")]
    with pytest.raises(NothingUsable):
        curate_files([tmp_path / "shut.jsonl"], recipe, tmp_path / "none", Options(1))


def test_nothing_to_curate(tmp_path: Path) -> None:
    """A workspace without files says so."""
    opened = open_database(tmp_path)
    workspaces.ensure(opened, "library")
    with pytest.raises(NothingUsable):
        run(opened)
    opened.close()


def test_documents_of_a_turn_are_mended(db: Database, tmp_path: Path) -> None:
    """What a turn reads has no readings put in against copying, and its places are kept."""
    page = tmp_path / "page.txt"
    page.write_text(
        "本(běn)馆(guǎn)周(zhōu)一(yī)至(zhì)周(zhōu)五(wǔ)上(shàng)午(wǔ)九(jiǔ)点(diǎn)开(kāi)门(mén)。" * 5,
        encoding="utf-8",
    )
    ingest(db, "library", [page])
    found = {document.name: document for document in mended(db, "library", "train")}
    assert "本馆周一至周五上午九点开门。" in found["page.txt"].blocks[0].text
    assert "secret.csv" not in found


def test_the_command(db: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command plans, previews, curates and tells in both languages; mistakes are told without a traceback."""
    db.close()
    (tmp_path / "new.csv").write_text("question,answer\nWhen?,At nine.\n", "utf-8")
    assert main(["curate", str(tmp_path / "new.csv"), "--dry-run", "--home", str(tmp_path / "none")]) == 0
    assert "+ new.csv" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()
    home = ["--home", str(tmp_path / "home"), "--workspace", "library"]
    assert main(["curate", "--dry-run", *home]) == 0
    told = capsys.readouterr().out
    assert "x secret.csv" in told
    assert "= faq.csv" in told
    assert main(["curate", "--processes", "1", *home]) == 0
    assert "rows found" in capsys.readouterr().out
    assert main(["curate", "--processes", "1", "--language", "zh", "--json", *home]) == 0
    assert json.loads(capsys.readouterr().out[:])["recipe"] == "chat"
    assert main(["curate", "--recipe", "nosuch", *home]) == 2
    assert main(["curate", "--operators", "--language", "zh"]) == 0
    assert "近似" in capsys.readouterr().out


def test_no_line_vanishes(db: Database, tmp_path: Path) -> None:
    """A line without an answer, and one whose answer is emptied, are dropped with a reason; the rows add up."""
    lines = [("May I bring my dog?", "Dogs wait in front of the library."), ("Is there tea?", "")]
    lines.append(("Who is there?", "buy viagra online, cheap cialis, levitra price, online pharmacy, tramadol"))
    told = [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in lines]
    told.append({"messages": [told[0]["messages"][0], {**told[0]["messages"][1], "weight": 0}]})
    workspaces.ensure(db, "lines")
    (tmp_path / "qa.jsonl").write_text("\n".join(map(json.dumps, told)), encoding="utf-8")
    ingest(db, "lines", [tmp_path / "qa.jsonl"])
    outcome = curate_workspace(db, "lines", parse("documents: [spam]\nrows: [length]", "lines"), Options(1))
    ledger = pq.read_table(outcome.page.with_name("ledger.parquet")).to_pylist()
    dropped = {(entry["place"], entry["reason"]) for entry in ledger if entry["action"] == "dropped"}
    assert dropped == {("line 2", "no_answer"), ("line 3", "no_answer"), ("line 4", "not_learned")}
    rows = outcome.report["rows"]
    assert rows["in"] == 4 == rows["kept"] + rows["dropped"] + rows["set_aside"]
    assert all(found["en"] != found["reason"] for found in outcome.report["findings"])


def test_the_page_speaks_both_languages(db: Database, tmp_path: Path) -> None:
    """One is not told as several, and the Chinese view has Chinese names of figures and places."""
    workspaces.ensure(db, "one")
    (tmp_path / "one.jsonl").write_text('{"question": "When open?", "answer": "It opens at nine."}', encoding="utf-8")
    ingest(db, "one", [tmp_path / "one.jsonl"])
    recipe = parse("rows: [{language: {only: [zh]}}, split, balance]", "one")
    english, chinese = curate_workspace(db, "one", recipe, Options(1)).page.read_text("utf-8").split('lang="zh">\n<p')
    assert "1 file read · 1 row found" in english
    assert "1 row to train on" in english
    assert not {"1 files", "1 rows"} & set(re.findall(r"\b1 \w+", english))
    for told in ("<bdi>第 1 项</bdi>", "最大分组", "占比"):
        assert told in chinese
    for told in ("item 1", "largest_group", "one_group", "<bdi>True", "<bdi>rows"):
        assert told not in chinese


def plain_in(home: Path, text: str) -> list[str]:
    """Return the files of a home that hold a text as it is."""
    return [str(path) for path in home.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.parametrize("name", ["faq.csv", "secret.csv"])
def test_what_is_marked_encrypted_leaves_nothing_plain(db: Database, name: str) -> None:
    """Whether its purpose is permitted or not: work and reports from before go, and new runs leave none."""
    text = {"faq.csv": "the Northgate library", "secret.csv": "98000"}[name]
    run(db), run(db, "knowledge")
    source = next(source for source in sources.find(db, "library") if source.name == name)
    assert any("/curation/" in path for path in plain_in(db.root, text))
    sources.grant(db, "library", source.id, {"encrypt": True})
    assert plain_in(db.root, text) == []
    run(db), run(db, preview=2)
    assert plain_in(db.root, text) == []


HEADED = """# Members of Rosengarten

## Who is served by Igor Palamar, igor@mail.example, mobile 13812345678?

The reading room of the east wing serves this member on every first Monday of the month, at the long table.

## When does the east wing of the library close on a Saturday for igor@mail.example?

The east wing of the library closes at 16:00 on every Saturday, and at noon on the last one of the year.
"""


@pytest.mark.parametrize("recipe", ["chat", "knowledge"])
def test_headings_are_masked_as_texts_are(db: Database, tmp_path: Path, recipe: str) -> None:
    """No personal data of a source to be masked is left in topics and places, of datasets, ledgers and reports."""
    (tmp_path / "files" / "staff.md").write_text(HEADED, encoding="utf-8")
    ingest(db, "library", [tmp_path / "files"])
    outcome = run(db, recipe)
    assert outcome.version is not None
    records = datasets.read(db, "library", outcome.version.id, "inspect")
    masked = [record for record in records if record.meta["file"] == "staff.md"]
    assert any("[" in str(record.meta["topic"]) + str(record.meta["place"]) for record in masked)
    ledger = pq.read_table(outcome.page.with_name("ledger.parquet")).to_pylist()
    for told in (str(records), str(ledger), outcome.page.read_text("utf-8"), json.dumps(outcome.report)):
        for secret in ("Palamar", "igor@mail", "13812345678"):
            assert secret not in told


@pytest.mark.parametrize("recipe", ["chat", "knowledge"])
def test_headings_of_encrypted_sources_are_told_nowhere(db: Database, tmp_path: Path, recipe: str) -> None:
    """Neither by the report nor by the ledger."""
    (tmp_path / "files" / "feilun.permissions.yaml").write_text('"staff.md": {encrypt: yes}', encoding="utf-8")
    (tmp_path / "files" / "staff.md").write_text(HEADED, encoding="utf-8")
    ingest(db, "library", [tmp_path / "files"])
    outcome = run(db, recipe)
    ledger = pq.read_table(outcome.page.with_name("ledger.parquet")).to_pylist()
    assert any(entry["name"] == "staff.md" for entry in ledger)
    for told in (str(ledger), outcome.page.read_text("utf-8"), json.dumps(outcome.report)):
        for secret in ("Rosengarten", "east wing", "Palamar"):
            assert secret not in told


@pytest.mark.parametrize("rule", ["{train: no}", "{until: 2020-01-01}"])
def test_copies_in_files_are_refused_with_the_files(tmp_path: Path, rule: str) -> None:
    """A text of a file that must not be used is used of no other file, as a whole and by its long sentences."""
    shut = "The director of the library earns ninety eight thousand a year, paid monthly."
    (tmp_path / "shut.jsonl").write_text(json.dumps({"text": shut}) + "\n")
    rows = [shut.upper(), f"This is known. {shut}", "The library opens at nine on every weekday."]
    (tmp_path / "open.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    (tmp_path / "feilun.permissions.yaml").write_text(f'"shut.jsonl": {rule}')
    recipe = parse("make: documents\nrows: [exact_copies]\n", "plain")
    outcome = curate_files([tmp_path], recipe, tmp_path / "out", Options(1))
    told = pq.read_table(tmp_path / "out" / "rows.parquet").to_pylist()
    assert "nine" in str(told)
    assert "director" not in str(told).casefold()
    assert any("open.jsonl: 2 rows were left out" in note for note in outcome.report["notes"])
