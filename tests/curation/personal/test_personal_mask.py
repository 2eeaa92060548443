"""Masking: labels, pseudonyms under a key, placeholders that a key undoes; the operator of recipes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.curation.personal import Finder
from feilun.curation.personal.masking import Pseudonyms, Reversible, label, replaced
from feilun.curation.personal.operators import OPERATORS, KeyMissingError, UnknownKindError
from feilun.curation.seam import Mend, MendRows, Row, Surroundings

TEXT = "联系人：李建国，手机13800138000，或 138-0013-8000；[PHONE_1] 原样。"
(PERSONAL,) = OPERATORS
DEFAULTS = {name: parameter.default for name, parameter in PERSONAL.parameters.items()}


def test_labels_replace_values() -> None:
    """Plain placeholders name the kind only."""
    masked = replaced(TEXT, Finder().find(TEXT), label)
    assert masked == "联系人：[NAME]，手机[PHONE]，或 [PHONE]；[PHONE_1] 原样。"


def test_pseudonyms_are_consistent_under_a_key_only() -> None:
    """The same number written in two ways has one pseudonym; another key gives another."""
    one, other = Pseudonyms(b"k" * 32), Pseudonyms(b"q" * 32)
    assert one("PHONE", "13800138000") == one("PHONE", "+86 138-0013-8000")
    assert one("PHONE", "13800138000") != one("PHONE", "13800138001")
    assert one("PHONE", "13800138000") != other("PHONE", "13800138000")
    assert "k" * 32 not in repr(one)


def test_reversible_masking_tells_nothing_and_comes_back() -> None:
    """The key undoes it, in any text that it was copied into; equal values look equal; another key undoes nothing."""
    ours, theirs = Reversible(b"k" * 32), Reversible(b"q" * 32)
    masked = replaced(TEXT, Finder().find(TEXT), ours)
    assert "13800138000" not in masked
    assert ours.restored(masked) == (TEXT, 3)
    assert ours.restored(f"He said: {ours('NAME', '李建国')}!") == ("He said: 李建国!", 1)
    assert ours("NAME", "李建国") == ours("NAME", "李建国")
    assert len(ours("NAME", "李建")) == len(ours("NAME", "李建国"))  # what names are like is not told by their length
    assert theirs.restored(masked) == (masked, 0)


def test_placeholders_that_were_changed_do_not_open() -> None:
    """Another kind, another letter or a cut end leaves the placeholder as it is."""
    ours = Reversible(b"k" * 32)
    place = ours("PHONE", "13800138000")
    other = place[:-9] + ("a" if place[-9] != "a" else "b") + place[-8:]
    for changed in (place.replace("PHONE", "EMAIL"), other, place[:-9] + "]", place[:30] + "]"):
        assert ours.restored(changed) == (changed, 0)


@given(st.text(max_size=40), st.sampled_from(["PHONE", "NAME", "ADDRESS"]))
@settings(max_examples=80, deadline=None)
def test_every_value_comes_back(value: str, kind: str) -> None:
    """Whatever it is: empty, with zeros at its end, in any script."""
    ours = Reversible(b"k" * 32)
    assert ours.restored(ours(kind, value)) == (value, 1)


def test_the_operator_masks_and_tells() -> None:
    """``personal`` masks texts, notes each kind by a reason that it explains, and leaves others alone."""
    working = PERSONAL.make(Surroundings(), **DEFAULTS)
    assert isinstance(working, Mend)
    masked, none = working.mend([TEXT, "今天天气很好。"], ["zh", "zh"])
    assert none is None
    assert masked is not None
    assert "[PHONE]" in masked.text
    assert {note.reason: note.times for note in masked.notes} == {"personal_name": 1, "personal_phone": 2}
    assert all(note.reason in PERSONAL.reasons for note in masked.notes)


def test_people_of_a_row_are_masked_in_all_its_texts() -> None:
    """Who is named in one text is masked where another repeats, cries or calls the name; other rows keep the word."""
    said = ("I am Hans Gruber, who are you?", "Thank you, Hans. We wrote to HANS GRUBER about Gruber Street 5, Hans.")
    rows = [
        Row("1", "s", "a", "", ("user", "assistant"), said),
        Row("2", "s", "a", "", ("user", "assistant"), ("我叫文清，怎么查余额？", "请文清到首页查看。")),
        Row(
            "3", "s", "a", "", ("user", "assistant"), ("And now?", "So 文清 and Ilse smile."), meta={"people": ["Ilse"]}
        ),
    ]
    twice = rows[1:2]
    working = PERSONAL.make(Surroundings(), **DEFAULTS)
    assert isinstance(working, MendRows)
    masked = [[None if one is None else one.text for one in row] for row in working.mend_rows(rows)]
    assert masked == [
        ["I am [NAME], who are you?", "Thank you, [NAME]. We wrote to [NAME] about Gruber Street 5, [NAME]."],
        ["我叫[NAME]，怎么查余额？", "请[NAME]到首页查看。"],
        [None, "So 文清 and [NAME] smile."],
    ]
    rows = [
        Row("4", "s", "a", "", ("user", "assistant"), ("Priya Raghunathan here.", "Dear Ms Raghunathan, hello Priya.")),
        Row("5", "s", "a", "", ("user", "assistant"), ("我是欧阳震华，怎么开户？", "欧阳先生请到网点。")),
    ]
    assert [[one and one.text for one in row] for row in working.mend_rows(rows)] == [
        ["[NAME] here.", "Dear Ms [NAME], hello [NAME]."],
        ["我是[NAME]，怎么开户？", "[NAME]先生请到网点。"],
    ]
    pseudonyms = PERSONAL.make(Surroundings(key=b"k" * 32), **{**DEFAULTS, "mode": "pseudonym"})
    assert isinstance(pseudonyms, MendRows)
    asked, told = pseudonyms.mend_rows(twice)[0]
    assert asked is not None
    assert told is not None
    assert asked.text[2:-8] == told.text[1:-7]


def test_the_operator_says_what_is_wrong() -> None:
    """Unknown kinds and pseudonyms without a key are errors, not silence."""
    with pytest.raises(UnknownKindError):
        PERSONAL.make(Surroundings(), **{**DEFAULTS, "kinds": ("PHOEN",)})
    for mode in ("pseudonym", "reversible"):
        with pytest.raises(KeyMissingError):
            PERSONAL.make(Surroundings(), **{**DEFAULTS, "mode": mode})
