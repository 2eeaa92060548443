"""The operators of this room, for recipes.

This module knows names, parameters, reasons in plain words and sources. It does not know how copies are found.
"""

from __future__ import annotations

from feilun.curation.copies import exact, near
from feilun.curation.seam import Operator, Parameter, Surroundings

_SCRIPTS = (
    "Take Traditional and Simplified Chinese for the same.",
    "将繁体与简体视为相同。",
)


def _exact(_: Surroundings, scripts: bool) -> exact.ExactCopies:
    return exact.ExactCopies(scripts)


def _near(_: Surroundings, similarity: float, scripts: bool) -> near.NearCopies:
    return near.NearCopies(similarity, scripts)


EXACT = Operator(
    name="exact_copies",
    version=1,
    about=(
        "Keeps the first of rows that are the same but for blanks, punctuation, case and width.",
        "对除空白、标点、大小写和全半角外完全相同的行，只保留第一条。",
    ),
    origin="Sums of folded texts: Unicode NFKC (UAX #15) and case folding; BLAKE2b (RFC 7693).",
    reasons={exact.REASON: ("the same as another row", "与另一行相同")},
    make=_exact,
    parameters={"scripts": Parameter(False, _SCRIPTS)},
)

NEAR = Operator(
    name="near_copies",
    version=1,
    about=(
        "Keeps the first of rows that say nearly the same: typing errors, sentences moved, added or left out.",
        "对内容几乎相同的行（错别字、句子移动、增删）只保留第一条。",
    ),
    origin="MinHash (Broder 1997) in one permutation (Li, Owen, Zhang 2012), b-bit (Li, König 2010), in bands.",
    reasons={near.REASON: ("nearly the same as another row", "与另一行几乎相同")},
    make=_near,
    parameters={
        "similarity": Parameter(
            0.6,
            (
                "From which Jaccard index of shingles on (estimated) rows are near copies; 1 is the same.",
                "字符片段 Jaccard 相似度（估计值）达到多少算作近似重复；1 表示相同。",
            ),
            0.4,
            1.0,
        ),
        "scripts": Parameter(True, _SCRIPTS),
    },
)

OPERATORS: tuple[Operator, ...] = (EXACT, NEAR)
