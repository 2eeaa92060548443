"""From passages to made-up rows: honest models, liars, permissions, shares, and the same again."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from feilun.curation.synthetic import KINDS, REASONS, Made, Plan, Scripted, Writer, keep, synthesise
from feilun.curation.synthetic.asking import confirmation, generation, objects, yes
from feilun.curation.synthetic.scripted import Lie
from feilun.errors import BadRequest
from feilun.records import JSON, Permissions, Record, Source
from feilun.store import Database, datasets, lineage, open_database, sources, workspaces

TEXTS = {
    "en": "The gold card costs 9 crowns a month; the basic card costs 4 crowns. The Northgate branch is open on "
    "Saturday, but not on Sunday. Lost cards are replaced within three working days.",
    "zh": "金卡每月费用为九元；普通卡每月费用为4元。城北网点周六营业，周日不营业。挂失后三个工作日内补发新卡。",
}
LIES: tuple[Lie, ...] = ("figures", "words", "negation", "uncited", "garbage", "text", "silent")
ENOUGH = Plan(KINDS, each=3, share=0.5, real=100)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Give a database with the workspace ``bank``."""
    database = open_database(tmp_path / "home")
    workspaces.ensure(database, "bank")
    yield database
    database.close()


@pytest.fixture
def passage(db: Database) -> Callable[..., Record]:
    """Give a way to make a passage of a source with permissions."""

    def make(name: str, text: str, **permissions: Any) -> Record:
        source = Source(f"source-{name}", "bank", f"{name}.txt", "", 0, permissions=Permissions(**permissions))
        sources.add(db, source, text.encode())
        return Record(f"record-{name}", "passage", (source.id,), text=text, meta={"place": "line 1"})

    return make


def make(db: Database, passages: Sequence[Record], writer: Any, plan: Plan = ENOUGH, **more: Any) -> Made:
    """Have a model inside write about passages."""
    return asyncio.run(synthesise(db, "bank", passages, Writer(writer, "script", False), plan, **more))


def halls(passage: Callable[..., Record], count: int) -> list[Record]:
    """Return passages of two sentences each, about halls of different names."""
    names = ("Aster", "Birch", "Cedar", "Dahlia", "Elm", "Fern")[:count]
    texts = {
        name: f"Hall {name} has {n + 50} doors. Hall {name} was built in {1900 + n}." for n, name in enumerate(names)
    }
    return [passage(name, text) for name, text in texts.items()]


def inside(script: Any) -> Writer:
    """Return a model of this machine that checks."""
    return Writer(script, "checker", False)


def reasons(made: Made) -> Counter[str]:
    """Return how often what failed."""
    return Counter(failure.reason for failure in made.failures)


def test_an_honest_model_makes_every_kind(db: Database, passage: Callable[..., Record]) -> None:
    """In both languages, each row with its sources, its passage, what it cites, and marked as made up."""
    passages = {name: passage(name, text) for name, text in TEXTS.items()}
    made = make(db, list(passages.values()), Scripted(), checker=inside(Scripted()))
    assert Counter((one.meta["made"], one.meta["lang"]) for one in made.records) == {
        **{(kind, lang): 3 for kind in ("qa", "paraphrase", "distractors", "negative") for lang in TEXTS},
        **{("dialogue", lang): 1 for lang in TEXTS},
    }
    for one in made.records:
        parent = passages[one.meta["lang"]]
        assert (one.meta["synthetic"], one.meta["parent"], one.sources) == (True, parent.id, parent.sources)
        assert one.meta["cited"]
        assert all(cited in parent.text for cited in one.meta["cited"])
        assert (one.meta["verified"], one.meta["made_by"]) == (["words", "model"], "script")
    (talk,) = [one for one in made.records if one.meta["made"] == "dialogue" and one.meta["lang"] == "zh"]
    assert [message["role"] for message in talk.messages] == ["user", "assistant"] * 2
    choice = next(one for one in made.records if one.meta["made"] == "distractors")
    assert len(set(choice.meta["distractors"])) == 3
    nothing = next(one for one in made.records if one.meta["made"] == "negative")
    assert nothing.meta["answerable"] is False


@pytest.mark.parametrize("lie", LIES)
def test_a_liar_gets_nothing_in(db: Database, passage: Callable[..., Record], lie: Lie) -> None:
    """Though it confirms its own lies: words, figures and citations are held against the passage."""
    passages = [passage(name, text) for name, text in TEXTS.items()]
    kinds = tuple(kind for kind in KINDS if kind != "paraphrase")
    made = make(db, passages, Scripted(lie), Plan(kinds, 3, 0.5, 100), checker=inside(Scripted(lie)))
    assert made.records == []
    assert {failure.kind for failure in made.failures} == {*kinds}
    assert reasons(made).keys() <= REASONS.keys()


@pytest.mark.parametrize("lie", LIES)
def test_other_wordings_are_checked_by_an_honest_model(db: Database, passage: Callable[..., Record], lie: Lie) -> None:
    """Other words are no lie by themselves: what a liar rewords does not pass a model that reads both."""
    plan = Plan(("paraphrase",), 3, 0.5, 9)
    made = make(db, [passage("en", TEXTS["en"])], Scripted(lie), plan, checker=inside(Scripted()))
    said = [sentence for one in made.records for sentence in one.meta["cited"]]
    assert lie == "text" or made.records == []  # that liar rewords honestly
    assert all(sentence in TEXTS["en"] for sentence in said)
    alone = make(db, [passage("zh", TEXTS["zh"])], Scripted(), plan)
    assert reasons(alone) == {"unverifiable": 3}


def test_what_a_checker_denies_is_left_out(db: Database, passage: Callable[..., Record]) -> None:
    """Also what words alone would let pass; an answer that is neither yes nor no confirms nothing."""

    async def unsure(_messages: Sequence[JSON], _tokens: int) -> str:
        return "Maybe."

    made = make(
        db, [passage("en", TEXTS["en"])], Scripted(), Plan(("qa", "negative"), 3, 0.5, 9), checker=inside(unsure)
    )
    assert reasons(made) == {"not_confirmed": 6}
    assert made.counts("zh") == {"核对的模型没有确认": 6}


def test_a_model_that_breaks_costs_its_rows_only(db: Database, passage: Callable[..., Record]) -> None:
    """Whatever it raises or returns: the other passages are written about."""
    honest = Scripted()

    async def broken(messages: Sequence[JSON], tokens: int) -> Any:
        text = str(messages[-1]["content"])
        if "Aster" in text:
            raise KeyError("choices")
        return None if "Birch" in text else await honest(messages, tokens)

    made = make(db, halls(passage, 3), broken, Plan(("qa",), 2, 0.5, 9))
    assert {one.meta["parent"] for one in made.records} == {"record-Cedar"}
    assert reasons(made) == {"no_answer": 2}
    assert any("KeyError" in failure.detail for failure in made.failures)


@pytest.mark.parametrize("which", ["writer", "checker"])
def test_what_must_not_leave_never_does(db: Database, passage: Callable[..., Record], which: str) -> None:
    """An outside model is sent nothing of a source that does not say that it may leave, nor one that writes for it."""
    kept, free = passage("kept", TEXTS["en"]), passage("free", TEXTS["zh"], leave=True)
    both = Record("record-both", "passage", ("source-kept", "source-free"), text="Both halls are closed in May.")
    copy = Record("record-copy", "passage", free.sources, text=TEXTS["en"])
    sources.note_digests(db, "bank", "source-kept", [next(iter(_digests(kept)))])
    script, other = Scripted(), Scripted()
    given = [Writer(script, "cloud", which == "writer"), Writer(other, "near", which == "checker")]
    made = asyncio.run(synthesise(db, "bank", [kept, free, both, copy], given[0], ENOUGH, checker=given[1]))
    assert {one.meta["parent"] for one in made.records} == {"record-free"}
    assert reasons(made)["must_not_leave"] == 3 * len(KINDS)
    sent = "\n".join(script.said + other.said)
    assert "gold" not in sent
    assert "halls" not in sent
    assert made.asked == len(script.said) + len(other.said) > 0


def _digests(record: Record) -> frozenset[str]:
    from_text = sources.record_digests(record)
    assert from_text
    return from_text


def test_permissions_are_asked_for_again(db: Database, passage: Callable[..., Record]) -> None:
    """What is revoked while models write is not asked about any more; what was made of it is not kept."""
    passages = [passage(f"p{n}", f"Hall number {n} has {n + 5} doors.") for n in range(4)]

    class Revoking(Scripted):
        """Has the permission of every source revoked by its first answer."""

        async def __call__(self, messages: Sequence[JSON], max_tokens: int) -> str:
            for one in passages:
                sources.set_permissions(db, "bank", one.sources[0], Permissions(train=False))
            return await super().__call__(messages, max_tokens)

    script = Revoking()
    made = make(db, passages, script, Plan(("qa",), 1, 0.5, 9, together=1))
    assert (len(script.said), len(made.records), reasons(made)) == (1, 1, Counter(not_permitted=3))
    assert keep(db, "bank", "made", made).rows == 0


@pytest.mark.parametrize(("share", "real", "most"), [(0.3, 7, 3), (0.5, 4, 4), (0.2, 3, 0), (0.0, 100, 0), (0.9, 1, 9)])
def test_the_share_is_capped(db: Database, passage: Callable[..., Record], share: float, real: int, most: int) -> None:
    """Made-up rows are at most this share of all rows, exactly; models are not asked for more."""
    passages = halls(passage, 6)
    script = Scripted()
    made = make(db, passages, script, Plan(("qa",), 2, share, real, together=2))
    assert len(made.records) == most
    assert len(made.records) <= share * (real + len(made.records)) + 1e-9
    assert reasons(made)["over_share"] > 0
    assert most or not script.said


def test_the_same_answers_give_the_same_rows(db: Database, passage: Callable[..., Record]) -> None:
    """Whatever the order of the passages, and however many are worked on at once."""
    passages = halls(passage, 5)
    plans = [Plan(KINDS, 2, 0.5, 20, together) for together in (1, 3, 50)]
    made = [make(db, passages, Scripted(), plan, checker=inside(Scripted())) for plan in plans]
    made.append(make(db, passages[::-1] + passages, Scripted(), plans[1], checker=inside(Scripted())))
    assert len(made[0].records) == 20
    assert all(one.records == made[0].records for one in made)


def test_nothing_is_there_twice(db: Database, passage: Callable[..., Record]) -> None:
    """Neither a question in another order of words, nor one that the data has already."""
    one = passage("a", "The north hall has 9 doors.")
    again = Record("record-b", "passage", one.sources, text="The north hall has 9 doors. It is old.")
    first = make(db, [one], Scripted(), Plan(("qa",), 1, 0.5, 9))
    assert len(first.records) == 1
    second = make(db, [one, again], Scripted(), Plan(("qa",), 1, 0.5, 9), known=first.records)
    assert second.records == []
    assert reasons(second) == {"duplicate": 2}
    liar = make(db, [one, again], Scripted("repeats"), Plan(("qa",), 1, 0.5, 9))
    assert (len(liar.records), reasons(liar)) == (1, Counter(duplicate=1))


def test_what_is_kept_is_linked(db: Database, passage: Callable[..., Record]) -> None:
    """The dataset says that it is made up and what failed, and leads to its sources; these rule it from then on."""
    one = passage("en", TEXTS["en"])
    data, _ = datasets.write(db, "bank", "passages", [one], "train")
    made = make(db, [one], Scripted(), Plan(("qa", "negative"), 3, 0.5, 9))
    version = keep(db, "bank", "made", made, [data.id, "model-1"])
    assert (version.rows, version.meta["synthetic"], version.meta["failures"]) == (3, True, {"unverifiable": 3})
    above = {edge.parent for edge in lineage.ancestors(db, "bank", version.id)}
    assert {"source-en", data.id, "model-1"} <= above
    sources.set_permissions(db, "bank", "source-en", Permissions(train=False))
    assert datasets.read(db, "bank", version.id, "train") == []


@pytest.mark.parametrize(
    "plan",
    [Plan(()), Plan(("song",)), Plan(share=1.0), Plan(share=-0.1), Plan(each=0), Plan(real=-1), Plan(together=0)],
)
def test_plans_that_cannot_be(db: Database, plan: Plan) -> None:
    """They are refused before anything is asked."""
    script = Scripted()
    with pytest.raises(BadRequest):
        make(db, [], script, plan)
    assert script.said == []


def test_answers_are_read_through_what_surrounds_them() -> None:
    """Fences, lists, chatter and broken pieces; nothing that is nested a thousand deep stops it."""
    said = 'Sure!\n```json\n[{"a": 1}, {"b": {"c": 2}}]\n```\n{"d": \n{"e": 3} and so on'
    assert objects(said) == [{"a": 1}, {"b": {"c": 2}}, {"e": 3}]
    assert objects('{"a":' * 50_000) == []
    assert objects("{" * 50_000) == []
    assert [yes(each) for each in ("YES", " **Yes.**", "是", "NO", "否。", "没有", "Well", "")] == [
        True, True, True, False, False, False, None, None,
    ]  # fmt: skip


def test_every_reason_has_words() -> None:
    """In both languages."""
    assert all(len(words) == 2 and all(words) for words in REASONS.values())


@pytest.mark.parametrize("lie", ["", *LIES, "repeats"])
def test_the_fake_keeps_to_the_contract(lie: Lie) -> None:
    """Every prompt gets a text, or one of our errors; an honest one writes what was asked for."""
    script = Scripted(lie)
    for kind in KINDS:
        asked = script(generation(kind, ("The hall has 9 doors.",), 1), 100)
        if lie == "silent":
            with pytest.raises(Exception, match="script says nothing"):
                asyncio.run(asked)
            continue
        found = objects(asyncio.run(asked))
        assert len(found) == (lie != "garbage")
        assert json.dumps(found)
    if lie != "silent":
        said = asyncio.run(script(confirmation("The hall has 9 doors.", "How many doors?", "8 doors."), 9))
        assert yes(said) is (lie != "")
