"""The leaderboard over a real store: figures, prices, sizes, incomplete runs, and reruns with a fake engine."""

import json
from dataclasses import replace

import pytest

from feilun.cli import main
from feilun.engines.fake import FakeEngine
from feilun.errors import BadRequest, NotFound
from feilun.evaluation.answered import inputs
from feilun.evaluation.leaderboard import board, rerun
from feilun.evaluation.leaderboard.rerun import newest
from feilun.evaluation.outlook import outlook
from feilun.evaluation.run import Sitting, sit
from feilun.evaluation.statistics import wilson
from feilun.records import Endpoint, Eval, EvalAnswer, EvalItem, EvalRun, ModelVersion, Provider, Target
from feilun.store import evals, models, open_database, workspaces
from feilun.store.access import endpoints, providers

WS, HOW = "bank", Sitting(batch=8, max_tokens=12)
MACHINE = {"engine": "fake", "threads": 2}
ITEMS = tuple(EvalItem(f"item-{n:02}", f"Which number is {n}?", (f"number {n}",)) for n in range(40))
EXAM = Eval("eval-1", WS, "own exam", ITEMS, created=1.0)


def weights(folder, size):
    """Make a folder with weights of so many bytes."""
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(size))
    return str(folder)


@pytest.fixture
def db(tmp_path):
    """Give a store with two bases, an adapter on the small one, and an exam."""
    db = open_database(tmp_path / "home")
    workspaces.ensure(db, WS)
    for name, size in (("small", 100), ("big", 900)):
        folder = weights(tmp_path / name, size)
        models.add(db, ModelVersion(f"model-{name}", "", name, "base", "", folder, {"weights": name}))
    tuned = weights(tmp_path / "tuned", 10)
    identity = {"weights": "small", "adapter": "a"}
    models.add(db, ModelVersion("model-tuned", WS, "tuned", "adapter", "model-small", tuned, identity))
    evals.add(db, EXAM)
    yield db
    db.close()


def engine(right):
    """Return an engine whose models answer so many of the questions right."""
    known = {
        model: {item.question: f"It is number {n}." if n < count else "Nobody knows." for n, item in enumerate(ITEMS)}
        for model, count in right.items()
    }
    return FakeEngine(known)


def by(answering):
    """Return what has a version answer again, by this engine."""

    async def again(version, exam, save, how, progress):
        await sit(answering, version, exam, "evalrun-again", save, (), progress, how)

    return again


async def sat(db, model, right, exam=EXAM, created=2.0):
    """Have a model sit an exam, as a turn does; return the run."""
    run = EvalRun(f"evalrun-{model}-{exam.id}", WS, exam.id, model, created=created)
    evals.add_run(db, run)

    async def save(rows):
        evals.add_answers(db, rows)

    await sit(engine({model: right}), models.get(db, WS, model), exam, run.id, save, how=HOW)
    how = {"batch": HOW.batch, "max_tokens": HOW.max_tokens}
    return evals.set_run(db, WS, run.id, "succeeded", {"inputs": inputs(exam, how, MACHINE)})


async def test_figures_sizes_and_the_smallest_that_passes(db):
    """Shares with Wilson's interval; an adapter is as large as with its base; the smallest proven model is named."""
    for model, right in (("model-small", 4), ("model-tuned", 38), ("model-big", 39)):
        await sat(db, model, right)
    found = board(db, WS, 0.6)
    cells = {cell.model: cell for cell in found.cells}
    assert (cells["model-tuned"].right, cells["model-tuned"].share) == (38, 0.95)
    assert cells["model-tuned"].interval == pytest.approx(wilson(38, 40))
    assert {model.id: model.size for model in found.models} == {
        "model-small": 100,
        "model-tuned": 110,
        "model-big": 900,
    }
    assert found.smallest == {"eval-1": "model-tuned", "": "model-tuned"}
    assert [cell.model for cell in found.ranked("eval-1")] == ["model-big", "model-tuned", "model-small"]
    assert board(db, WS, 0.05).smallest[""] == "model-tuned"  # 10 % right may be less than 5 % in truth
    assert board(db, WS, 0.0).smallest[""] == "model-small"
    assert board(db, WS, 0.99).smallest == {}
    assert len({cell.identity for cell in found.cells}) == 3
    cost = cells["model-tuned"].per_right()
    assert cost["seconds"] > 0
    assert cost["money"] is None


async def test_money_comes_from_endpoint_prices(db):
    """A provider's model and a priced local one cost what their tokens cost, for each right answer."""
    providers.put(db, Provider("provider-1", WS, "cloud", "openai", "https://cloud.example/v1"))
    targets = (Target("model-small", price_in=1000, price_out=4000), Target("giant", "cloud", 1.0, 2000, 8000))
    endpoints.put(db, Endpoint("endpoint-1", WS, "answers", targets))
    await sat(db, "model-small", 10)
    evals.add_run(db, EvalRun("evalrun-g", WS, "eval-1", "cloud/giant", "succeeded"))
    rows = [
        EvalAnswer(
            "evalrun-g",
            item.id,
            item.question,
            "It is.",
            1.0,
            {"sample": {"prompt_tokens": 10, "completion_tokens": 5}},
        )
        for item in ITEMS
    ]
    evals.add_answers(db, rows)
    cells = {cell.model: cell for cell in board(db, WS, 0.5).cells}
    assert cells["cloud/giant"].per_right()["money"] == pytest.approx((10 * 2000 + 5 * 8000) / 1e9)
    assert cells["cloud/giant"].per_right()["seconds"] is None
    small = cells["model-small"]
    spent = small.prompt_tokens * 1000 + small.completion_tokens * 4000
    assert small.per_right()["money"] == pytest.approx(spent / 1e9 / 10)
    assert board(db, WS, 0.5).smallest == {}  # nobody knows how large the provider's model is


async def test_an_incomplete_run_is_shown_last_and_never_passes(db):
    """Half an exam names no winner, however right the half was."""
    await sat(db, "model-big", 30)
    evals.add_run(db, EvalRun("evalrun-half", WS, "eval-1", "model-small", "running"))
    evals.add_answers(db, [EvalAnswer("evalrun-half", item.id, item.question, "x", 1.0) for item in ITEMS[:20]])
    found = board(db, WS, 0.5)
    assert [cell.model for cell in found.ranked("eval-1")] == ["model-big", "model-small"]
    assert not found.ranked("eval-1")[1].complete
    assert found.smallest == {"eval-1": "model-big", "": "model-big"}


async def test_the_newest_version_of_an_exam_is_shown(db):
    """Exams of one name are versions; --every shows them all; an unknown exam shows nothing."""
    later = replace(EXAM, id="eval-2", created=5.0)
    evals.add(db, later)
    await sat(db, "model-big", 30)
    await sat(db, "model-big", 20, later, 3.0)
    assert set(board(db, WS, 0.5).exams) == {"eval-2"}
    assert set(board(db, WS, 0.5, every=True).exams) == {"eval-1", "eval-2"}
    assert set(board(db, WS, 0.5, "eval-1").exams) == {"eval-1"}
    assert board(db, WS, 0.5, "nothing").cells == ()


async def test_runs_over_other_data_are_other_exams(db):
    """An eval of the API asked over two data sources has two columns, and clusters of its items count."""
    evals.add(db, Eval("eval-api", WS, "api", meta={"testing_criteria": []}))
    for mark in ("a", "b"):
        source = {"source": {"type": "file_content", "content": [{"item": {"q": mark}}]}}
        run = EvalRun(
            f"evalrun-{mark}", WS, "eval-api", "model-big", "succeeded", meta={"data_source": source, "total": 20}
        )
        evals.add_run(db, run)
        meta = {"item": {"cluster": "one"}} if mark == "a" else {"item": {}}
        rows = [EvalAnswer(run.id, f"item-{n}", "q", "x", float(n % 2), meta) for n in range(20)]
        evals.add_answers(db, rows)
    widths = sorted(cell.interval[1] - cell.interval[0] for cell in board(db, WS, 0.5).cells)
    assert len(widths) == 2
    assert widths[1] > 0.9 > widths[0]


@pytest.mark.parametrize("told", [None, "elsewhere", {}, {"type": "imported"}, {"type": "completions", "source": None}])
async def test_runs_that_do_not_say_where_their_rows_were_are_told_apart_by_them(db, told):
    """A run that was brought in without its source stands on the board, beside those over the same rows."""
    evals.add(db, Eval("eval-api", WS, "api", meta={"testing_criteria": []}))
    for model, mark in (("one", "a"), ("two", "a"), ("three", "b")):
        run = EvalRun(f"evalrun-{model}", WS, "eval-api", model, "succeeded", meta={"data_source": told, "total": 2})
        evals.add_run(db, run)
        rows = [EvalAnswer(run.id, f"item-{n}", "q", "x", 1.0, {"item": {"q": f"{mark}{n}"}}) for n in range(2)]
        evals.add_answers(db, rows)
    found = {cell.model: cell.exam for cell in board(db, WS, 0.5).cells}
    assert found["one"] == found["two"] != found["three"]


async def test_a_rerun_gives_the_same_answers(db):
    """The same model, exam and settings: every answer again, and nothing kept is changed."""
    run = await sat(db, "model-tuned", 30)
    before = evals.answers(db, WS, run.id)
    found = newest(db, WS, "tuned", "own exam")
    now = {**MACHINE, "batch": 64, "max_tokens": 99}
    again = await rerun(db, WS, found, by(engine({"model-tuned": 30})), now)
    assert again.reproduced
    assert (again.same, again.questions, again.changed, again.differing) == (40, 40, {}, ())
    assert evals.answers(db, WS, run.id) == before


async def test_a_rerun_says_what_changed(db):
    """Another model behind the id, and other threads, are named; so is which answers differ."""
    await sat(db, "model-tuned", 30)
    exam, run, version = newest(db, WS, "model-tuned", "eval-1")
    other = replace(version, identity={"weights": "small", "adapter": "b"})
    now = {**MACHINE, "threads": 8, "batch": 8, "max_tokens": 12}
    again = await rerun(db, WS, (exam, run, other), by(engine({"model-tuned": 28})), now)
    assert not again.reproduced
    assert set(again.changed) == {"model", "threads"}
    assert again.changed["threads"] == ("2", "8")
    assert again.differing == ("item-28", "item-29")
    assert again.scores == 2


async def test_reruns_that_cannot_be(db):
    """An unknown pair, and a model of somebody else's machine, get an answer that says what to do."""
    with pytest.raises(NotFound, match="no finished run"):
        newest(db, WS, "model-big", "own exam")
    evals.add_run(db, EvalRun("evalrun-g", WS, "eval-1", "cloud/giant", "succeeded"))
    with pytest.raises(BadRequest, match="not on this machine"):
        newest(db, WS, "cloud/giant", "own exam")


async def test_outlook_learns_from_earlier_runs(db):
    """What got worse between two runs tells how small a difference can be seen; without runs it is assumed."""
    first, known = outlook(db, WS, "own exam")
    assert not known
    assert first.questions == 40
    await sat(db, "model-small", 30)
    await sat(db, "model-big", 10, created=3.0)
    second, known = outlook(db, WS, "eval-1")
    assert known
    assert second.loss == pytest.approx(0.25)
    assert second.sees > first.sees
    with pytest.raises(NotFound, match="no exam 'other'"):
        outlook(db, WS, "other")


async def test_the_command_shows_it_in_both_languages(db, tmp_path, capsys, monkeypatch):
    """Figures, the smallest model and missing joules in English and Chinese; JSON holds the same."""
    monkeypatch.chdir(tmp_path)
    await sat(db, "model-big", 39)
    home = ("--home", str(tmp_path / "home"))
    assert main(["leaderboard", "--bar", "0.5", "--language", "en", *home]) == 0
    said = capsys.readouterr().out
    assert "97.5%" in said
    assert "smallest model that passes 50% on all of these: model-big" in said
    assert "39 of 40 right" in said
    assert main(["leaderboard", "--bar", "0.5", "--language", "zh", *home]) == 0
    assert "达到 50% 的最小模型：model-big" in capsys.readouterr().out
    assert main(["leaderboard", "--json", *home]) == 0
    assert json.loads(capsys.readouterr().out)["cells"][0]["right"] == 39
    assert main(["leaderboard", "again", *home]) == 2
    assert main(["leaderboard", "--bar", "7", *home]) == 2
    assert "hint: " in capsys.readouterr().err
    assert main(["power", "own exam", "--language", "en", *home]) == 0
    assert "With 40 questions you can see a difference of" in capsys.readouterr().out
    assert main(["power", "60", "--lost", "0", "--language", "zh", *home]) == 0
    assert "60 题可以看出 13 个百分点的差别；再加 40 题，就能看出 8 个。" in capsys.readouterr().out
    assert main(["power", "0", *home]) == 2
