"""Masking: labels, pseudonyms under a key, vaults that undo it; the operator of recipes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.curation.personal import Finder
from feilun.curation.personal.masking import Pseudonyms, SealError, Vault, label, replaced, restore
from feilun.curation.personal.operators import OPERATORS, KeyMissingError, UnknownKindError
from feilun.curation.seam import Mend, Surroundings

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


def test_vaults_restore_and_seal() -> None:
    """A vault undoes its masking, also after it was sealed; placeholders that were there before stay."""
    vault, key = Vault(), b"0" * 32
    masked = vault.masked(TEXT, Finder().find(TEXT))
    assert "13800138000" not in masked
    sealed = vault.sealed(key)
    assert "李建国".encode() not in sealed
    opened = Vault.opened(sealed, key)
    assert restore(masked, opened) == TEXT
    again = "另一位：手机13911112222"
    assert opened.masked(again, Finder().find(again)) not in masked


@pytest.mark.parametrize("change", ["key", "bytes", "short"])
def test_sealed_vaults_open_for_nobody_else(change: str) -> None:
    """Another key, a changed byte or a cut end is a SealError."""
    sealed = Vault({"[PHONE_1]": "13800138000"}).sealed(b"0" * 32)
    wrong = {"key": sealed, "bytes": sealed[:-1] + bytes([sealed[-1] ^ 1]), "short": sealed[:9]}[change]
    with pytest.raises(SealError):
        Vault.opened(wrong, b"1" * 32 if change == "key" else b"0" * 32)


@given(st.lists(st.sampled_from([TEXT, "mail a.b@example.org", "[NAME_1]", "", "京A12345 13800138000"]), max_size=5))
@settings(max_examples=60, deadline=None)
def test_every_text_comes_back(texts: list[str]) -> None:
    """One vault for many texts gives each of them back, whatever they held before."""
    for text in texts:
        vault = Vault()
        assert vault.restored(vault.masked(text, Finder().find(text))) == text


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


def test_the_operator_says_what_is_wrong() -> None:
    """Unknown kinds and pseudonyms without a key are errors, not silence."""
    with pytest.raises(UnknownKindError):
        PERSONAL.make(Surroundings(), **{**DEFAULTS, "kinds": ("PHOEN",)})
    with pytest.raises(KeyMissingError):
        PERSONAL.make(Surroundings(), **{**DEFAULTS, "mode": "pseudonym"})
