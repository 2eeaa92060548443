"""Words are found in batches where a pattern would find them in each text, whatever stands beside."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.curation.repair.script import Script
from feilun.curation.repair.sieve import Sieve, matches

WORDS = ("国产精品", "国产", "彩票网", "casino", "casinos", "xxx", "sex chat", "poker", "av片")
PIECES = st.sampled_from((*WORDS, "国", "产", "彩", "x", "Casi", "se", " ", "\n", "。", "\ud800", "😀", "İ", "的是"))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(PIECES, max_size=12).map("".join), min_size=1, max_size=6))
def test_the_sieve_leaves_out_nothing_that_the_pattern_finds(texts: list[str]) -> None:
    """Trying the spots only gives the matches of ``finditer``, at the ends of texts and in a batch of one too."""
    pattern = re.compile("|".join(WORDS), re.ASCII)
    counts, spots = Sieve(WORDS, frozenset({"国产"})).spots(texts)
    for text, count, places in zip(texts, counts, spots, strict=True):
        assert [each.span() for each in matches(pattern, text, places)] == [m.span() for m in pattern.finditer(text)]
        rare = [word for word in re.findall("|".join(WORDS), text) if not word.startswith("国产") and len(word) > 3]
        assert count >= len(rare)
        assert Sieve(WORDS, frozenset({"国产"})).spots([text]) == ([count], [places])


def test_a_text_with_a_nul_is_converted_to_its_end() -> None:
    """OpenCC stops at a NUL; what stands behind must not be lost."""
    found = Script("simplified", "always").mend(["這個問題\0還沒有解決"], [""])[0]
    assert found is not None
    assert found.text == "这个问题\0还没有解决"
