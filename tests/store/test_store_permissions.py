"""No way round the permissions: each test tries one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from feilun.errors import BadRequest, Forbidden, NotFound
from feilun.records import PURPOSES, Permissions, Record, Source, text_digest
from feilun.store import Database, changes, datasets, lineage, record_digests, sources

Add = Callable[..., Source]
Chat = Callable[..., Record]
SECRET = "The board agreed to close the branch in Lindholm next spring."


def _trained(db: Database, records: list[Record], ws: str = "bank") -> list[str]:
    """Return the ids that training gets when these records are written and read for it."""
    version, _ = datasets.write(db, ws, "samples", records, "train")
    return [record.id for record in datasets.read(db, ws, version.id, "train")]


@pytest.mark.parametrize(
    ("permissions", "granted"),
    [
        (Permissions(), {"train", "retrieve", "evaluate", "inspect"}),
        (Permissions(train=False), {"retrieve", "inspect"}),
        (Permissions(retrieve=False), {"train", "evaluate", "inspect"}),
        (Permissions(leave=True), {"train", "retrieve", "send_outside", "evaluate", "inspect"}),
        (Permissions(leave=True, until="2020-02-29"), {"inspect"}),
        (Permissions(until="2999-12-31"), {"train", "retrieve", "evaluate", "inspect"}),
    ],
)
def test_each_purpose_needs_its_permission(db: Database, permissions: Permissions, granted: set[str]) -> None:
    """Content, listing, writing and reading agree on what a source may be used for."""
    sources.add(db, Source("source-a", "bank", "a", "", 0, permissions=permissions), b"a")
    record = Record("record-1", "passage", ("source-a",), text="Some text of this source.")
    everything, _ = datasets.write(db, "bank", "all", [record], "inspect")
    for purpose in PURPOSES:
        expected = [record] if purpose in granted else []
        version, left_out = datasets.write(db, "bank", purpose, [record], purpose)
        assert datasets.read(db, "bank", everything.id, purpose) == expected
        assert version.rows == len(expected)
        assert [one for one, _ in left_out] == [one for one in [record] if one not in expected]
        assert [one.id for one in sources.permitted(db, "bank", purpose)] == ["source-a"] * len(expected)
        if expected:
            assert sources.content(db, "bank", "source-a", purpose) == b"a"
        else:
            with pytest.raises(Forbidden, match="source-a"):
                sources.content(db, "bank", "source-a", purpose)


def test_by_id_directly(db: Database, add_source: Add, chat: Chat) -> None:
    """A record of a forbidden source is left out and the reason names the source; it is still found for retrieval."""
    add_source("open"), add_source("closed", train=False)
    records = [chat(1, "open"), chat(2, "closed")]
    version, left_out = datasets.write(db, "bank", "samples", records, "train")
    assert [(one.id, "source-closed" in reason) for one, reason in left_out] == [("record-2", True)]
    assert datasets.read(db, "bank", version.id, "inspect") == [records[0]]
    found, _ = datasets.write(db, "bank", "passages", records, "retrieve")
    assert datasets.read(db, "bank", found.id, "retrieve") == records


def test_through_a_dataset_written_for_another_purpose(db: Database, add_source: Add, chat: Chat) -> None:
    """What was written for retrieval or inspection is filtered when it is read for training."""
    add_source("closed", train=False)
    for purpose in ("retrieve", "inspect"):
        version, _ = datasets.write(db, "bank", purpose, [chat(1, "closed")], purpose)
        assert version.rows == 1
        assert datasets.read(db, "bank", version.id, "train") == []
        assert datasets.read(db, "bank", version.id, "evaluate") == []


def test_through_an_old_version_after_revocation(db: Database, add_source: Add, chat: Chat) -> None:
    """A version that was written when the source was permitted gives nothing once it is not."""
    add_source("open"), add_source("later")
    version, _ = datasets.write(db, "bank", "samples", [chat(1, "open"), chat(2, "later")], "train")
    sources.set_permissions(db, "bank", "source-later", Permissions(train=False))
    assert [one.id for one in datasets.read(db, "bank", version.id, "train")] == ["record-1"]
    sources.set_permissions(db, "bank", "source-later", Permissions())
    assert len(datasets.read(db, "bank", version.id, "train")) == 2


@pytest.mark.parametrize("first", ["forbidden", "permitted"])
def test_through_an_exact_copy(db: Database, add_source: Add, chat: Chat, first: str) -> None:
    """The same bytes under another name, before or after the forbidden one, uploaded or not, are forbidden too."""
    add_source("one", SECRET.encode(), train=first != "forbidden")
    copy = Source("file-2", "bank", "copy.txt", "", 0, origin="upload", permissions=Permissions(leave=True))
    copy = replace(copy, permissions=replace(copy.permissions, train=first == "forbidden"))
    assert sources.add(db, copy, SECRET.encode()).permissions == Permissions(train=False)
    assert [one.permissions.train for one in sources.find(db, "bank")] == [False, False]
    with pytest.raises(Forbidden):
        sources.content(db, "bank", "file-2", "train")
    assert _trained(db, [chat(1, "one"), replace(chat(2), sources=("file-2",))]) == []


def test_forbidding_one_copy_afterwards(db: Database, add_source: Add, chat: Chat) -> None:
    """Forbidding any copy forbids all of them, and permitting another copy does not undo it."""
    add_source("one", SECRET.encode()), add_source("two", SECRET.encode())
    assert _trained(db, [chat(1, "one")]) == ["record-1"]
    sources.set_permissions(db, "bank", "source-two", Permissions(train=False, until="2999-01-01"))
    kept = sources.set_permissions(db, "bank", "source-one", Permissions(leave=True))
    assert kept.permissions == Permissions(train=False, until="2999-01-01")
    assert _trained(db, [chat(1, "one")]) == []


def test_deleting_and_adding_again(db: Database, add_source: Add, chat: Chat) -> None:
    """A deleted source is remembered by its bytes, under its own and any other id, until somebody permits them."""
    add_source("one", SECRET.encode(), train=False)
    sources.delete(db, "bank", "source-one")
    assert _trained(db, [chat(1, "one")]) == []
    add_source("one", SECRET.encode()), add_source("two", SECRET.encode())
    assert _trained(db, [chat(1, "one"), chat(2, "two")]) == []
    sources.set_permissions(db, "bank", "source-one", Permissions())
    assert _trained(db, [chat(1, "one"), chat(2, "two")]) == ["record-1", "record-2"]


def test_permitting_after_a_deleted_copy(db: Database, add_source: Add, chat: Chat) -> None:
    """Setting the permissions of a living source is a new decision about bytes whose other copy was deleted."""
    add_source("one", SECRET.encode(), train=False)
    sources.note_digests(db, "bank", "source-one", [text_digest(SECRET)])
    sources.delete(db, "bank", "source-one")
    add_source("two", SECRET.encode())
    assert sources.get(db, "bank", "source-two").permissions.train is False
    sources.set_permissions(db, "bank", "source-two", Permissions())
    assert _trained(db, [chat(1, "two", answer=SECRET)]) == ["record-1"]


def test_the_same_text_inside_another_source(db: Database, add_source: Add, chat: Chat) -> None:
    """A text of a forbidden source is refused in a permitted one, as passage, message or question and answer."""
    add_source("closed", train=False), add_source("open")
    question, answer = "What did the board decide?", "Yes, close it."
    noted = [text_digest(SECRET), text_digest(f"{question} {answer}")]
    sources.note_digests(db, "bank", "source-closed", noted)
    records = [
        Record("record-0", "passage", ("source-open",), text=f"  {SECRET.upper().replace(' ', chr(10))}!"),
        chat(1, "open", answer=SECRET),
        chat(2, "open", question=SECRET),
        chat(3, "open", question=question, answer=answer),
        chat(4, "open", question=question, answer="Nothing of note was decided."),
    ]
    version, left_out = datasets.write(db, "bank", "samples", records, "train")
    assert [one.id for one in datasets.read(db, "bank", version.id, "train")] == ["record-4"]
    assert all("source-closed" in reason for _, reason in left_out)


def test_the_same_text_noted_after_the_dataset_was_written(db: Database, add_source: Add, chat: Chat) -> None:
    """A forbidden source that is brought in later takes its texts out of the versions that are there."""
    add_source("open")
    version, _ = datasets.write(db, "bank", "samples", [chat(1, "open", answer=SECRET)], "train")
    add_source("closed", train=False)
    sources.note_digests(db, "bank", "source-closed", [text_digest(SECRET)])
    assert datasets.read(db, "bank", version.id, "train") == []
    assert len(datasets.read(db, "bank", version.id, "retrieve")) == 1


def test_the_text_of_a_deleted_source(db: Database, add_source: Add, chat: Chat) -> None:
    """What a deleted source forbade stays forbidden elsewhere, though the source is gone."""
    add_source("closed", train=False), add_source("open")
    sources.note_digests(db, "bank", "source-closed", [text_digest(SECRET)])
    sources.delete(db, "bank", "source-closed")
    assert _trained(db, [chat(1, "open", answer=SECRET), chat(2, "open")]) == ["record-2"]


def test_short_and_system_texts_do_not_block(db: Database, add_source: Add, chat: Chat) -> None:
    """A forbidden transcript with ``yes`` or the usual system prompt does not forbid every other transcript."""
    add_source("closed", train=False), add_source("open")
    common = ["yes", "Hello!", "好的，谢谢", "You are a helpful assistant."]
    sources.note_digests(db, "bank", "source-closed", [text_digest(text) for text in common])
    record = chat(1, "open", question="Hello!", answer="yes")
    prompt = {"role": "system", "content": "You are a helpful assistant."}
    longer = replace(chat(2, "open"), messages=(prompt, *chat(2).messages))
    assert _trained(db, [record, longer]) == ["record-1", "record-2"]
    sources.note_digests(db, "bank", "source-closed", [text_digest("营业部将于明年春天关闭")])
    assert _trained(db, [chat(3, "open", answer="营业部将于明年春天关闭。")]) == []


def test_an_expired_date(db: Database, add_source: Add, chat: Chat) -> None:
    """After its day a source is for inspection only, and so are its copies."""
    add_source("old", SECRET.encode(), until="2020-01-31"), add_source("copy", SECRET.encode(), until="2999-01-31")
    assert _trained(db, [chat(1, "old"), chat(2, "copy")]) == []
    with pytest.raises(Forbidden, match="2020-01-31"):
        sources.content(db, "bank", "source-copy", "retrieve")
    assert sources.content(db, "bank", "source-copy", "inspect") == SECRET.encode()


def test_a_foreign_workspace(db: Database, add_source: Add, chat: Chat) -> None:
    """Ids of another workspace are unknown: source, dataset version, and records that name its sources."""
    add_source("mine")
    version, _ = datasets.write(db, "bank", "mine", [chat(1, "mine")], "train")
    assert _trained(db, [chat(1, "mine")], ws="other") == []
    for attempt in (
        lambda: sources.get(db, "other", "source-mine"),
        lambda: sources.content(db, "other", "source-mine", "inspect"),
        lambda: sources.set_permissions(db, "other", "source-mine", Permissions()),
        lambda: sources.note_digests(db, "other", "source-mine", ["0"]),
        lambda: sources.delete(db, "other", "source-mine"),
        lambda: datasets.read(db, "other", version.id, "inspect"),
        lambda: datasets.get(db, "other", version.id),
        lambda: datasets.latest(db, "other", "mine"),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert sources.find(db, "other") == []
    assert datasets.find(db, "other", "mine") == []


def test_a_record_of_two_sources(db: Database, add_source: Add, chat: Chat) -> None:
    """One forbidden source among several is enough; an unknown one, and no source at all, count as forbidden."""
    add_source("open"), add_source("closed", train=False)
    records = [chat(1, "open", "closed"), chat(2, "closed", "open"), chat(3, "open", "unknown"), chat(4)]
    assert _trained(db, records) == []


@pytest.mark.parametrize("purpose", ["", "Train", "training", None, "train\0", "*"])
def test_an_unknown_purpose(db: Database, add_source: Add, chat: Chat, purpose: Any) -> None:
    """Whatever is no purpose is refused everywhere, also where there is nothing to read."""
    add_source("open")
    version, _ = datasets.write(db, "bank", "samples", [chat(1, "open")], "train")
    for attempt in (
        lambda: sources.content(db, "bank", "source-open", purpose),
        lambda: sources.permitted(db, "other", purpose),
        lambda: datasets.read(db, "bank", version.id, purpose),
        lambda: datasets.write(db, "bank", "samples", [], purpose),
    ):
        with pytest.raises(BadRequest, match="purpose"):
            attempt()


@pytest.mark.parametrize("how", ["meta", "link"])
def test_feedback_on_a_forbidden_source(db: Database, add_source: Add, chat: Chat, how: str) -> None:
    """A correction that derives from a forbidden source, by any number of steps, is forbidden with it."""
    add_source("origin")
    meta = {"parents": ["source-origin"]} if how == "meta" else {}
    sources.add(db, Source("source-feedback", "bank", "correction", "", 0, origin="feedback", meta=meta), b"corrected")
    if how == "link":
        lineage.link(db, "bank", [("source-origin", "source-feedback", "derived")])
    add_source("second")
    lineage.link(db, "bank", [("source-feedback", "source-second", "derived")])
    lineage.link(db, "bank", [("source-second", "source-origin", "derived")])  # a cycle must not hang
    add_source("copy-of-second", b"second")
    records = [chat(1, "feedback"), chat(2, "second"), chat(3, "copy-of-second")]
    assert len(_trained(db, records)) == 3
    sources.set_permissions(db, "bank", "source-origin", Permissions(train=False))
    assert _trained(db, records) == []
    assert sources.get(db, "bank", "source-copy-of-second").permissions.train is False


def test_a_parent_must_be_known(db: Database) -> None:
    """A source that says it was made of something unknown is refused: nobody could tell what is permitted."""
    with pytest.raises(NotFound, match="source-nowhere"):
        sources.add(db, Source("source-a", "bank", "a", "", 0, meta={"parents": ["source-nowhere"]}), b"a")
    assert sources.find(db, "bank") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("train", "no"), ("retrieve", 1), ("leave", None), ("mask", "None"), ("until", "soon"), ("until", 20261231)],
)
def test_malformed_permissions(db: Database, add_source: Add, name: str, value: Any) -> None:
    """A wrong value, such as the truthy text ``no``, is refused and changes nothing."""
    add_source("a")
    for attempt in (
        lambda: add_source("b", **{name: value}),
        lambda: sources.set_permissions(db, "bank", "source-a", Permissions(**{name: value})),
    ):
        with pytest.raises(BadRequest, match=name):
            attempt()
    assert [one.permissions for one in sources.find(db, "bank")] == [Permissions()]


def test_the_strictest_permissions() -> None:
    """Each part is the strictest of all, and dates compare by the calendar."""
    given = [Permissions(leave=True, until="2027-01-01"), Permissions(mask="pseudonymise", until="2026-12-31")]
    assert sources.strictest(given) == Permissions(mask="pseudonymise", until="2026-12-31")
    assert sources.strictest([Permissions(leave=True)]) == Permissions(leave=True)


def test_dates_are_kept_in_one_form(add_source: Add) -> None:
    """``20200131`` and ``2020-01-31`` are one day, so that the earlier of two dates is found by comparing."""
    assert add_source("a", until="20261231").permissions.until == "2026-12-31"


def test_record_digests_know_a_text_again() -> None:
    """Case, width, marks and spaces make no difference; another word does."""
    one = Record("record-1", "passage", (), text="The fee is 12 crowns.")
    same = Record("record-2", "passage", (), text="ＴＨＥ  fee\nis “12” crowns")
    other = Record("record-3", "passage", (), text="The fee is 13 crowns.")
    assert record_digests(one) == record_digests(same) != record_digests(other)
    assert len(record_digests(one)) == 1


def test_permission_changes_are_counted(db: Database, add_source: Add) -> None:
    """A new source, a permission change and a deletion are news; adding the same again is none."""
    numbers = [changes.number(db)]
    for act in (
        lambda: add_source("a"),
        lambda: add_source("a"),
        lambda: sources.set_permissions(db, "bank", "source-a", Permissions(train=False)),
        lambda: sources.delete(db, "bank", "source-a"),
    ):
        act()
        numbers.append(changes.number(db))
    assert numbers == [0, 1, 1, 2, 3]
