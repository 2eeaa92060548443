"""The operators of this room, for recipes.

This module knows names, parameters, reasons in plain words and sources. It does not know how copies are found.
"""

from __future__ import annotations

from feilun.curation.copies import contamination, exact, near, semantic, versions
from feilun.curation.seam import Operator, Parameter, Surroundings

_SCRIPTS = (
    "Take Traditional and Simplified Chinese for the same.",
    "将繁体与简体视为相同。",
)


def _exact(_: Surroundings, scripts: bool) -> exact.ExactCopies:
    return exact.ExactCopies(scripts)


def _near(_: Surroundings, similarity: float, scripts: bool) -> near.NearCopies:
    return near.NearCopies(similarity, scripts)


def _semantic(around: Surroundings, cosine: float) -> semantic.SemanticCopies:
    return semantic.SemanticCopies(around.embed, cosine)


def _versions(_: Surroundings) -> versions.OldVersions:
    return versions.OldVersions()


def _decontaminate(around: Surroundings, containment: float, meaning: bool) -> contamination.Decontaminate:
    return contamination.Decontaminate(around.exams, containment, around.embed if meaning else None)


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

SEMANTIC = Operator(
    name="semantic_copies",
    version=1,
    about=(
        "Keeps the first of rows that mean the same in other words; needs an embedding model.",
        "对换了说法但意思相同的行只保留第一条；需要向量模型。",
    ),
    origin="Cosine of embeddings, exact within blocks (as SemDeDup: Abbas et al. 2023).",
    reasons={
        semantic.REASON: ("means the same as another row", "与另一行意思相同"),
        semantic.SKIPPED: ("not compared by meaning: no embedding model is set", "未按语义比较：没有设置向量模型"),
    },
    make=_semantic,
    parameters={
        "cosine": Parameter(
            0.95,
            ("From which cosine of embeddings on rows mean the same.", "向量余弦达到多少算作意思相同。"),
            0.5,
            1.0,
        ),
    },
)

VERSIONS = Operator(
    name="old_versions",
    version=2,
    about=(
        "Keeps the newest version of a document: by title, dates, version numbers, drafts and revisions.",
        "同一文档有多个版本时只保留最新版：依据标题、日期、版本号、草案与修订标记。",
    ),
    origin="Titles without marks of age must be the same, and the texts alike (MinHash); observed on dated statutes.",
    reasons={versions.REASON: ("an older version of another document", "是另一文档的旧版本")},
    make=_versions,
)

DECONTAMINATE = Operator(
    name="decontaminate",
    version=3,
    about=(
        "Drops rows that give away an item of an exam, also reordered, in another script or without blanks.",
        "删除泄露考题的行，包括打乱选项、繁简转换或去掉空白的考题。",
    ),
    origin="Containment of n-grams, as in the decontamination of GPT-3 (Brown et al. 2020, app. C), with characters.",
    reasons={
        contamination.SAME: ("is an item of an exam", "就是一道考题"),
        contamination.CONTAINED: ("contains an item of an exam", "包含一道考题"),
        contamination.SLIP: ("contains an item of an exam but for one character", "包含一道考题，只差一个字符"),
        contamination.PART: ("is part of an item of an exam", "是一道考题的一部分"),
        contamination.OPTIONS: ("is an item of an exam with its choices in another order", "是打乱了选项顺序的考题"),
        contamination.MEANING: ("means the same as an item of an exam", "与一道考题意思相同"),
        contamination.PERHAPS: ("shares half of an item of an exam", "与一道考题有一半相同"),
    },
    make=_decontaminate,
    parameters={
        "containment": Parameter(
            contamination.MOST,
            (
                "From which share of an item's telling shingles on a row contains it.",
                "考题中有区分度的字符片段有多大比例出现在行中，算作包含该考题。",
            ),
            0.5,
            1.0,
        ),
        "meaning": Parameter(
            False,
            (
                "Flag rows that mean the same as an item; needs an embedding model.",
                "标记与考题意思相同的行；需要向量模型。",
            ),
        ),
    },
)

OPERATORS: tuple[Operator, ...] = (EXACT, NEAR, SEMANTIC, VERSIONS, DECONTAMINATE)
