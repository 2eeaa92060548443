"""The report: complete in both languages, whole in itself, safe with hostile texts."""

import dataclasses
import re
import string
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from tests.evaluation.pairs import comparison

from feilun.errors import BadRequest
from feilun.evaluation.compare import decide, flips
from feilun.evaluation.report import (
    DataHealth,
    Dropped,
    Example,
    Identity,
    ReportData,
    Skipped,
    Topic,
    examples,
    render,
    topics,
)
from feilun.evaluation.words import LANGUAGES, WORDS
from feilun.records import Eval, EvalAnswer, EvalItem, Verdict

HOSTILE = "<script>alert('x')</script><img src=\"http://evil.example/x\" onerror=alert(1)>{{ 7 * 7 }}"


def report(**changes):
    """Return a report's data with everything in it."""
    own, general = comparison(120, 3, 97, 1), comparison(110, 79, 5, 7)
    promoted, reason = decide(own, general, 0.10, 0.3)
    verdict = Verdict("verdict-1", "demo", "model-2", "model-1", promoted, reason, own, general, created=0.0)
    data = ReportData(
        workspace="Harbour Lane",
        verdict=verdict,
        margin=0.10,
        pass_mark=0.3,
        data=DataHealth(
            files=31,
            found=412,
            kept=356,
            skipped=(Skipped("broken.pdf", {"en": "It is encrypted.", "zh": "文件已加密。"}),),
            dropped=(Dropped({"en": "The same again", "zh": "重复"}, 38),),
            masked=23,
        ),
        topics=(Topic("Loans", 60, 0.0, 0.9), Topic("Cards", 60, 0.05, 0.5)),
        gained=tuple(Example(f"question {n}", "right", "wrong before", f"right now {n}") for n in range(7)),
        lost=(Example("lost question", "25", "25", ""),),
        loss=tuple((step, 3 / step) for step in range(1, 40)),
        tokens_per_second=418.0,
        steps=(("train", 402.6), ("someday", 1.0)),
        identity=Identity(24, 0.0031, 0.05),
        base="SmolLM2",
        hashes={"weights": "ab" * 32, "template": "cd" * 32},
        dataset="dataset-1",
        settings={"rank": 16},
        corrections=4,
        peak_mib=2811.0,
    )
    return dataclasses.replace(data, **changes)


class Page(HTMLParser):
    """What a browser would see: tags with attributes, and the words in each language's half."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self.half, self.style = [], {"en": [], "zh": [], "": []}, "", False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        """Keep the tag."""
        self.tags.append((tag, dict(attributes)))
        if tag == "main":
            self.half = dict(attributes)["lang"]
        self.style = tag == "style"

    def handle_endtag(self, tag):
        """Leave a half or the style sheet."""
        if tag == "main":
            self.half = ""
        self.style = False

    def handle_data(self, data):
        """Keep the words."""
        if not self.style and data.strip():
            self.words[self.half].append(data.strip())

    def text(self, half):
        """Return a half's words."""
        return " ".join(self.words[half])


def placeholders(text):
    """Return the names in a format text."""
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)


def test_words_are_complete():
    """Both languages have every key, in their own script, with the same placeholders."""
    assert set(WORDS) == set(LANGUAGES) == {"en", "zh"}
    assert WORDS["en"].keys() == WORDS["zh"].keys()
    han = re.compile("[\u4e00-\u9fff]")
    for key, english in WORDS["en"].items():
        chinese = WORDS["zh"][key]
        assert placeholders(english) == placeholders(chinese), key
        assert not han.search(english), key
        assert han.search(chinese) or not re.sub(r"\{\w+\}", "", chinese).strip("/ \u3001"), key
        assert not re.search("[\u4e00-\u9fff][,;:?!()]", chinese), f"{key}: half-width mark"


def test_words_are_all_used():
    """The template and the code use every word, and no word that is missing."""
    room = files("feilun.evaluation")
    template = room.joinpath("templates/report.html.j2").read_text(encoding="utf-8")
    code = room.joinpath("report.py").read_text(encoding="utf-8")
    named = set(re.findall(r"\bw\.([a-z_]+)", template))
    assert named <= WORDS["en"].keys()
    quoted = set(re.findall(r'"([a-z_]+)"', code + template))
    spare = {key for key in WORDS["en"].keys() - named - quoted if not key.startswith(("step_", "part_"))}
    assert spare == set()


def test_render_shows_everything():
    """All findings are in both halves, each in its language."""
    page = Page(render(report()))
    english, chinese = page.text("en"), page.text("zh")
    for half in (english, chinese):
        for shown in ("99", "120", "Loans", "question 6", "lost question", "30 / 31", "412", "356", "broken.pdf", "38"):
            assert shown in half, shown
        for shown in ("model-2", "model-1", "dataset-1", "verdict-1", "ab" * 32, "rank", "2811 MiB", "0.0031", "418"):
            assert shown in half, shown
    assert "It is encrypted." in english
    assert "文件已加密。" in chinese
    assert "6 min 43 s" in english
    assert "6 分 43 秒" in chinese
    assert "chat template" in english
    assert "对话模板" in chinese
    assert "someday" in english
    assert WORDS["en"]["own_better"] in english
    assert WORDS["zh"]["general_kept"] in chinese
    assert "It is encrypted." not in chinese
    assert "文件已加密。" not in english
    assert "1970-01-01 00:00 UTC" in english


def test_halves_match():
    """Both halves have the same tags in the same order: nothing is left out of a language."""
    html = render(report())
    halves = [Page(part).tags for part in re.findall(r"<main.*?</main>", html, re.DOTALL)]
    assert len(halves) == 2
    assert [tag for tag, _ in halves[0]] == [tag for tag, _ in halves[1]]


@pytest.mark.parametrize("language", LANGUAGES)
def test_render_opens_in_a_language(language):
    """The stated language is chosen at first, without any script."""
    page = Page(render(report(), language))
    chosen = [attributes["id"] for tag, attributes in page.tags if tag == "input" and "checked" in attributes]
    assert chosen == [f"show-{language}"]
    assert page.tags[0] == ("html", {"lang": language})
    labels = {attributes["for"] for tag, attributes in page.tags if tag == "label"}
    assert labels == {"show-en", "show-zh"}


def test_render_refuses_other_languages():
    """Another language is refused with the choices."""
    with pytest.raises(BadRequest) as caught:
        render(report(), "fr")
    assert "en, zh" in caught.value.hint


def test_render_escapes_hostile_texts():
    """Texts from files and models stay texts wherever they are shown."""
    reason = {"en": HOSTILE, "zh": HOSTILE}
    own = report().verdict.own
    page = Page(
        render(
            report(
                workspace=HOSTILE,
                verdict=Verdict(HOSTILE, HOSTILE, HOSTILE, HOSTILE, True, reason, own, own),
                data=DataHealth(1, 1, 1, (Skipped(HOSTILE, reason),), (Dropped(reason, 1),)),
                topics=(Topic(HOSTILE, 1, 0.0, 0.1),),
                gained=(Example(HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
                lost=(Example(HOSTILE, HOSTILE, HOSTILE, HOSTILE),) * 6,
                steps=((HOSTILE, 1.0),),
                identity=Identity(1, 0.0, 0.1, (HOSTILE,)),
                base=HOSTILE,
                hashes={HOSTILE: HOSTILE},
                dataset=HOSTILE,
                settings={HOSTILE: HOSTILE},
            )
        )
    )
    assert not {tag for tag, _ in page.tags} & {"script", "img", "iframe", "link", "object", "a"}
    assert page.text("en").count("<script>") > 30
    assert page.text("zh").count("{{ 7 * 7 }}") == page.text("en").count("{{ 7 * 7 }}") > 30


def test_render_asks_nothing_of_the_network():
    """No address, no import, no handler; the page's own policy forbids them as well."""
    html = render(report())
    assert not re.search(r"https?:|//[a-z]|@import|url\(|javascript:|\son\w+=", html)
    page = Page(html)
    assert not any({"src", "href", "srcset", "data", "action"} & attributes.keys() for _, attributes in page.tags)
    policy = [a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_render_a_refusal():
    """A refusal says that the current model stays, shows what differs, and what to do."""
    own, general = comparison(120, 3, 4, 2), comparison(40, 29, 1, 6)
    promoted, reason = decide(own, general, 0.10, 0.3)
    verdict = Verdict("verdict-1", "demo", "model-2", "model-1", promoted, reason, own, general)
    page = Page(render(report(verdict=verdict, identity=Identity(24, 1.91, 0.05, ("template",)))))
    english = page.text("en")
    for key in ("headline_kept", "own_unclear", "general_broken", "next_identity", "next_more", "next_gentler"):
        assert WORDS["en"][key] in english, key
        assert WORDS["zh"][key] in page.text("zh"), key
    assert WORDS["en"]["headline_promoted"] not in english
    assert "What differs: chat template" in english
    worse = Verdict("verdict-1", "demo", "model-2", "model-1", False, reason, comparison(120, 60, 2, 40), general)
    assert WORDS["en"]["own_worse"] in Page(render(report(verdict=worse))).text("en")


def test_render_with_almost_nothing():
    """A turn that ended early still gives a page."""
    verdict = Verdict("verdict-1", "demo", "model-2", "model-1", False, {"en": "Refused.", "zh": "拒绝。"})
    english = Page(render(ReportData("demo", verdict, 0.1, 0.3, DataHealth(1, 0, 0)))).text("en")
    for key in ("not_sat", "no_loss", "none_gained", "none_lost", "nothing_skipped", "identity_none"):
        assert WORDS["en"][key] in english, key


@pytest.mark.parametrize(
    ("identity", "same"),
    [
        (Identity(20, 0.05, 0.05), True),
        (Identity(20, 0.06, 0.05), False),
        (Identity(20, 0.0, 0.05, ("weights",)), False),
        (Identity(20, float("nan"), 0.05), False),
    ],
)
def test_identity(identity, same):
    """Same means nothing differs and the difference is within the tolerance."""
    assert identity.same is same


def test_examples_and_topics():
    """Both are made from the exam and the two runs' answers."""
    items = tuple(
        EvalItem(f"item-{n}", f"q{n}", ("a", "b"), meta={"topic": topic} if topic else {})
        for n, topic in enumerate(["Loans", "Cards", "Loans", ""])
    )
    exam = Eval("eval-1", "demo", "own", items)
    before = [EvalAnswer("a", f"item-{n}", f"q{n}", f"old {n}", float(score)) for n, score in enumerate([0, 1, 0, 0])]
    after = [EvalAnswer("b", f"item-{n}", f"q{n}", f"new {n}", float(score)) for n, score in enumerate([1, 0, 0, 0])]
    gained, lost = flips(exam, before, after)
    assert examples(gained) == (Example("q0", "a", "old 0", "new 0"),)
    assert examples(lost) == (Example("q1", "a", "old 1", "new 1"),)
    assert topics(exam, before, after) == (Topic("Loans", 2, 0.0, 0.5), Topic("Cards", 1, 1.0, 0.0))


def test_render_shows_power_and_guards():
    """What the exam can show, how many separate things it asks about, and every guard with its state."""
    own = dataclasses.replace(comparison(120, 3, 97, 1), meta={"clusters": 60, "sees": 0.094})
    small = dataclasses.replace(comparison(4, 3, 0, 0), meta={"clusters": 4, "sees": None})
    states = {"refusal": (60, 0, 0), "leakage": (12, 0, 0), "premises": (60, 0, 30)}
    guards = {n: dataclasses.asdict(comparison(q, q // 2, won, lost)) for n, (q, won, lost) in states.items()}
    verdict = dataclasses.replace(report().verdict, own=own, general=small, meta={"guards": guards})
    page = Page(render(report(verdict=verdict)))
    english, chinese = page.text("en"), page.text("zh")
    assert "difference of 10 points or more" in english
    assert "看出 10 个百分点以上" in chinese
    assert "120 questions are about 60 separate things" in english
    assert "涉及 60 件" in chinese
    assert WORDS["en"]["sees_nothing"] in english
    assert WORDS["zh"]["sees_nothing"] in chinese
    told = {"refusal": ("kept", "通过"), "leakage": ("cannot tell", "无法判断"), "premises": ("lost", "退步")}
    for name, (en, zh) in told.items():
        assert re.search(rf"{name}\s+{en}", english)
        assert re.search(rf"{name}\s+{zh}", chinese)
    assert WORDS["en"]["guards"] not in Page(render(report())).text("en")
