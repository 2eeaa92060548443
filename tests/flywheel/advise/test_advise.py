"""Advice over real files: what helps is found, what does not is not called help, and a kill costs nothing."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.models import tiny_model

from feilun.cli import main
from feilun.curation import ingest
from feilun.errors import BadRequest, EngineDown, NotFound
from feilun.flywheel.advise import Options, Outside, advise, questions
from feilun.flywheel.advise.advice import best, measured, recommendation
from feilun.flywheel.advise.finding import Index
from feilun.settings import Settings
from feilun.store import Journal, open_database, sources, workspaces

WS = "harbour"
COLOURS = ("amber", "blue", "coral", "green", "ivory", "lilac", "olive", "pink", "red", "white")
NAMES = ("otter", "heron", "walrus", "badger", "falcon", "marten", "osprey", "lynx", "beaver", "puffin")


def facts():
    """Return doors with their colours: forty of them."""
    wings = ("north", "south", "east", "west")
    places = [(n, w) for n in range(len(NAMES)) for w in range(len(wings))]
    return [(f"{NAMES[n]} door {wings[w]}", COLOURS[(3 * n + 7 * w) % 10]) for n, w in places]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Give a tiny base model."""
    return tiny_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def home(tmp_path, base):
    """Give settings with the fake engine, which says back what it is asked, and a workspace with a handbook."""
    settings = Settings(home=str(tmp_path / "home"), engine="fake", model=str(base))
    db = open_database(settings.root)
    workspaces.ensure(db, WS)
    handbook = tmp_path / "handbook.md"
    written = (f"# The {door}\n\nThe {door} was painted in {colour} last spring." for door, colour in facts())
    handbook.write_text("\n\n".join(written))
    ingest(db, WS, [handbook])
    lines = [
        {"id": f"q{n}", "question": f"In which colour was the {door} painted?", "accept": [colour]}
        for n, (door, colour) in enumerate(facts())
    ]
    (tmp_path / "exam.jsonl").write_text("\n".join(map(json.dumps, lines)))
    yield settings, db, tmp_path / "exam.jsonl"
    db.close()


async def test_passages_are_found_to_help(home):
    """A model that only reads what is before it: the passages are recommended, with their gain and cost."""
    settings, db, file = home
    exam = questions(db, WS, str(file))
    found = await advise(db, settings, WS, exam, Options(sample=36, most=400))
    means = {each["name"]: each for each in found["means"]}
    assert means["as is"]["share"] == 0
    assert found["recommendation"]["means"] == "passages"
    assert found["recommendation"]["tells"]
    assert means["passages"]["share"] > 0.8
    assert means["passages"]["better"]
    assert 0.5 < means["passages"]["interval"][0] < means["passages"]["gain"]
    assert means["passages"]["tokens"] > means["as is"]["tokens"]
    assert means["passages"]["points_per_100_tokens"] > 0
    assert not means["prompt: brief"]["better"]
    assert means["prompt: brief"]["stopped"] or means["prompt: brief"]["gain"] == 0
    assert "show the nearest passages" in found["recommendation"]["en"]
    assert "附上" in found["recommendation"]["zh"]
    assert "adapter" in found["left"]
    assert json.loads((settings.root / "reports" / f"{found['advice']}.json").read_text())["exam"] == exam.id


async def test_what_may_not_be_retrieved_is_not_shown(home):
    """Without the permission to retrieve there are no passages to try, and the model gains nothing."""
    settings, db, file = home
    for source in sources.find(db, WS):
        sources.grant(db, WS, source.id, {"retrieve": False})
    found = await advise(db, settings, WS, questions(db, WS, str(file)), Options(sample=24, most=400))
    assert {"passages", "examples", "adapter"} <= set(found["left"])
    assert found["recommendation"]["means"] == ""
    assert "passages" not in {each["name"] for each in found["means"]}


KILLED = """
import asyncio, os, signal, sys
from feilun.flywheel.advise import Options, advise, questions
from feilun.settings import Settings
from feilun.store import open_database

home, model, file = sys.argv[1:]
settings = Settings(home=home, engine="fake", model=model)
db = open_database(settings.root)

def stop(message):
    if message.get("exam") == "passages" and message["at"]:
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(advise(db, settings, "harbour", questions(db, "harbour", file), Options(sample=24, most=400), stop))
"""


async def test_a_killed_advice_goes_on(home):
    """What was answered before kill -9 is not asked again, and the end is the same as without a kill."""
    settings, db, file = home
    exam, options = questions(db, WS, str(file)), Options(sample=24, most=400)
    child = [sys.executable, "-c", KILLED, settings.home, settings.model, str(file)]
    assert (await asyncio.to_thread(subprocess.run, child, check=False)).returncode == -signal.SIGKILL
    (job,) = Journal(db).unfinished("advise")
    before = Journal(db).steps(job.id)
    assert any(name.startswith("passages") for name, *_ in before)
    found = await advise(db, settings, WS, exam, options)
    assert found["advice"] == job.id
    assert Journal(db).steps(job.id)[: len(before)] == before
    again = await advise(db, settings, WS, exam, options)
    assert again["advice"] != job.id

    def figures(one):
        return [{name: value for name, value in each.items() if name != "seconds"} for each in one["means"]]

    assert figures(again) == figures(found)


class Shop(BaseHTTPRequestHandler):
    """A chat model of another house that is right when it is told to be brief."""

    status = 200

    def do_POST(self):
        """Answer."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        question = body["messages"][-1]["content"]
        known = dict(facts())
        colour = next((c for door, c in known.items() if door in question), "nothing")
        brief = body["messages"][0]["role"] == "system" and "short sentence" in body["messages"][0]["content"]
        said = {"model": "shop-1", "choices": [{"message": {"content": f"It is {colour}." if brief else "Well."}}]}
        said["usage"] = {"prompt_tokens": len(str(body["messages"])) // 4, "completion_tokens": 3}
        text = json.dumps(said if "door" in question else {}).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Keep quiet."""


@pytest.fixture
def shop():
    """Give the address of a chat model on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_model_behind_an_address(home, shop):
    """It is asked like any other, with money for its tokens; the cheapest of what helps is recommended."""
    settings, db, file = home
    options = Options(sample=24, outside=Outside(shop, "m"), prices=(2.0, 8.0))
    found = await advise(db, settings, WS, questions(db, WS, str(file)), options)
    assert found["recommendation"]["means"] == "prompt: brief"
    means = {each["name"]: each for each in found["means"]}
    assert means["prompt: brief"]["share"] == 1
    assert means["prompt: brief"]["money"] > means["as is"]["money"] > 0
    with pytest.raises(BadRequest, match="no address"):
        await advise(db, settings, WS, questions(db, WS, str(file)), replace(options, outside=Outside("ftp://x", "m")))
    dead = replace(options, outside=Outside("http://127.0.0.1:9/v1", "m"))
    with pytest.raises(EngineDown):
        await advise(db, settings, WS, questions(db, WS, str(file)), dead)


def replies(scores, tokens=10, identity="a"):
    """Return replies with these scores."""
    return [
        {
            "item": str(n),
            "score": s,
            "prompt_tokens": tokens,
            "completion_tokens": 0,
            "seconds": 0.1,
            "identity": identity,
        }
        for n, s in enumerate(scores)
    ]


def told(answers, whole=40, left=(), least=0.02):
    """Return the recommendation on these replies."""
    about = {name: ((name, name), 0.0) for name in answers}
    return recommendation(measured(answers, about, {}, whole, None), left, least)


def test_a_few_lucky_questions_cannot_tell():
    """Three more right of forty: no means is recommended, and it says how many questions would tell."""
    found = told({"as is": replies([0] * 40), "one": replies([1] * 3 + [0] * 37)})
    assert (found["means"], found["tells"]) == ("", False)
    assert "Cannot tell" in found["en"]
    assert "questions would tell" in found["en"]
    assert "无法判断" in found["zh"]


def test_many_means_are_held_against_their_number():
    """Seven gains of forty are proven for one means alone, and not where it is the best of ten."""
    lucky = replies([1] * 7 + [0] * 33)
    assert told({"as is": replies([0] * 40), "one": lucky})["means"] == "one"
    many = {"as is": replies([0] * 40), "one": lucky} | {f"m{n}": replies([0] * 40) for n in range(9)}
    assert told(many)["means"] == ""


def test_nothing_to_gain_is_said():
    """A model that answers everything needs no means, and means that change nothing are not worth it."""
    assert "nothing to gain" in told({"as is": replies([1] * 40)})["en"]
    found = told({"as is": replies([1] * 200 + [0] * 200), "one": replies([1] * 200 + [0] * 200)}, 400, ("adapter",))
    assert found["tells"]
    assert "None of the means" in found["en"]
    assert "Not tried" in found["en"]


def test_the_cheapest_of_equals():
    """Of two that help alike the one with fewer tokens; a much better one is worth its tokens; a given-up one never."""
    usual = replies([0] * 40)
    near = {"as is": usual, "dear": replies([1] * 38 + [0] * 2, 900), "cheap": replies([1] * 37 + [0] * 3, 30)}
    assert told(near)["means"] == "cheap"
    far = {"as is": usual, "dear": replies([1] * 38 + [0] * 2, 900), "cheap": replies([1] * 20 + [0] * 20, 30)}
    assert told(far)["means"] == "dear"
    about = {name: ((name, name), 0.0) for name in ("as is", "half")}
    assert best(measured({"as is": usual, "half": replies([1] * 20)}, about, {}, 40, None)) is None


def test_the_nearest_text_is_found():
    """Rare words count; Chinese is found by its pairs; nothing in common finds nothing."""
    index = Index(
        ["The pool opens at nine.", "The library opens at ten.", "信用社的贷款利率是百分之四。", "信用卡的年费是十元。"]
    )
    assert index.find("When does the library open, and at ten?", 1) == [1]
    assert index.find("贷款利率是多少？", 1) == [2]
    assert index.find("zzz", 3) == []
    assert Index([]).find("anything", 3) == []


async def test_bad_input(home, tmp_path):
    """A sample too small, an unknown exam and an empty file are refused with a hint."""
    settings, db, file = home
    with pytest.raises(BadRequest, match="12 questions"):
        await advise(db, settings, WS, questions(db, WS, str(file)), Options(sample=3))
    with pytest.raises(NotFound, match="no exam"):
        questions(db, WS, "no such exam")
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(BadRequest, match="no question"):
        questions(db, WS, str(tmp_path / "empty.jsonl"))


def test_the_command(home, capsys, monkeypatch, tmp_path):
    """It prints every means with its figures and what to do, in the language asked for."""
    settings, _, file = home
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEILUN_ENGINE", "fake")
    monkeypatch.setenv("FEILUN_MODEL", settings.model)
    home_of = ("--home", settings.home, "--workspace", WS)
    assert main(["advise", str(file), "--sample", "24", "--language", "zh", *home_of]) == 0
    said = capsys.readouterr().out
    assert "附上贵机构文件中最相关的段落 [passages]" in said
    assert "建议：" in said
    assert main(["advise", "nothing.jsonl", *home_of]) == 2
    assert "hint" in capsys.readouterr().err
