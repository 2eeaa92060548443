"""The grader of formulas: symbolic equality of an answer's result and a reference.

This module knows where in an answer the result stands. It does not know algebra: the sandbox does.
"""

from __future__ import annotations

import re

import msgspec

from feilun.errors import EngineError
from feilun.grading.sandbox import ask
from feilun.grading.seam import Case, Grade, right_or_wrong
from feilun.grading.strings import OUTPUT, References

SECONDS = 5.0
LONGEST = 600  # characters of a result
_ANNOUNCED = re.compile(
    r"(?:####|(?:final\s+)?answer\s*(?:is|:|=)\s*:?|the\s+result\s+is\s*:?|答案\s*(?:是|为|為|：|:)|结果\s*(?:是|为|：|:))\s*",
    re.IGNORECASE,
)
_BOLD = re.compile(r"(?<![\w)*])\*\*(?=[^\s*])([^*]+)(?<=\S)\*\*(?![\w(*])")
_DOLLARS = re.compile(r"\$\$?([^$]+)\$\$?|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)


def result_of(text: str) -> str:
    """Return what an answer ends up with: its last box, what follows "the answer is", its last formula or line."""
    if boxes := _boxed(text):
        return boxes[-1]
    text = _BOLD.sub(r"\1", text)
    announced = list(_ANNOUNCED.finditer(text))
    if announced:
        rest = text[announced[-1].end() :].strip()
        line = rest.split("\n", 1)[0]
        return re.split(r"(?<!\d)\.(?:\s|$)|。", line)[0].strip()
    formulas = [next(str(part) for part in found if part) for found in _DOLLARS.findall(text)]
    if formulas:
        return formulas[-1].strip()
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1].rstrip(".。") if lines else ""


def _boxed(text: str) -> list[str]:
    found = []
    for match in re.finditer(r"\\(?:boxed|fbox)\s*\{", text):
        depth = 1
        for place in range(match.end(), len(text)):
            depth += (text[place] == "{") - (text[place] == "}")
            if depth == 0:
                found.append(text[match.end() : place].strip())
                break
    return found


class Maths(msgspec.Struct, tag="math", forbid_unknown_fields=True):
    """The answer's result equals a reference as a formula: values, expressions, equations, intervals, several at once.

    Several results may come in any order unless ``ordered``.
    """

    reference: References
    ordered: bool = False
    input: str = OUTPUT
    name: str = ""

    async def grade(self, case: Case) -> Grade:
        """Find the result and compare it."""
        said = case.fill(self.input)
        result, trouble = result_of(said), ""
        for reference in case.fill_all(self.reference):
            for answer in dict.fromkeys((result, said.strip())):
                if not answer or len(answer) > LONGEST:
                    continue
                try:
                    payload = {"answer": answer, "reference": reference, "ordered": self.ordered}
                    found = await ask("maths", payload, SECONDS)
                except EngineError as error:
                    # The answer's own trouble makes it wrong; that of the reference is the grader's, and says so.
                    trouble = error.message
                    await ask("maths", {"reference": reference}, SECONDS)
                    break
                if found["same"]:
                    return Grade(1.0, True)
        return right_or_wrong(False, f"Its result is {result[:80]!r}. {trouble}".strip())
