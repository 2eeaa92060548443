"""The pictures say what the numbers say."""

import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.evaluation.charts import bars, change, curve, interval

SHARES = st.floats(0, 1)


def parsed(svg):
    """Return the picture's tree, which must be well-formed."""
    return ET.fromstring(str(svg))


def numbers(svg):
    """Return every percentage in the picture."""
    return [float(value) for value in re.findall(r'"(-?[\d.]+)%"', str(svg))]


@given(st.lists(st.tuples(st.text(st.characters(categories=["L", "N", "P", "S"])), SHARES), min_size=1, max_size=5))
def test_bars(rows):
    """Each bar is as wide as its share, and its figure is written beside it."""
    tree = parsed(bars([(label, share, "after") for label, share in rows], "t"))
    widths = [float(rect.get("width").rstrip("%")) for rect in tree.iter("rect") if "bar" in rect.get("class")]
    assert widths == pytest.approx([100 * share for _, share in rows], abs=0.006)
    values = [text.text for text in tree.iter("text") if text.get("class").startswith("value")]
    assert values == [f"{100 * share:.0f} %" for _, share in rows]


def test_bars_escape():
    """Labels are texts."""
    svg = str(bars([("<b onload=x>", 0.5, "before")], '"><script>'))
    assert "<b" not in svg
    assert "<script" not in svg


@given(st.floats(-1, 1), SHARES, SHARES, st.one_of(st.none(), st.floats(0.01, 0.99)))
def test_interval(difference, below, above, margin):
    """The dot lies inside its interval, zero and margin lie where they should, all inside the picture."""
    ends = (max(-1.0, difference - below), min(1.0, difference + above))
    svg = interval(difference, ends, "t", ("zero", "limit"), margin)
    tree = parsed(svg)
    dot = float(next(tree.iter("circle")).get("cx").rstrip("%"))
    lines = {line.get("class"): float(line.get("x1").rstrip("%")) for line in tree.iter("line")}
    whiskers = [line for line in tree.iter("line") if line.get("class") == "whisker"]
    left, right = (float(whiskers[0].get(name).rstrip("%")) for name in ("x1", "x2"))
    assert left - 0.01 <= dot <= right + 0.01
    assert (dot > lines["zero"]) == (difference > 0) or math.isclose(dot, lines["zero"], abs_tol=0.02)
    assert ("margin" in lines) == (margin is not None)
    if margin is not None:
        assert (left > lines["margin"]) == (ends[0] > -margin) or math.isclose(left, lines["margin"], abs_tol=0.02)
    assert all(0 <= value <= 100 for value in numbers(svg))


@given(SHARES, SHARES)
def test_change(before, after):
    """The hollow dot is before, the full dot after, on one scale."""
    circles = list(parsed(change(before, after, "t")).iter("circle"))
    assert [circle.get("class") for circle in circles] == ["dot before", "dot after"]
    at = [float(circle.get("cx").rstrip("%")) for circle in circles]
    assert at == pytest.approx([3 + 94 * before, 3 + 94 * after], abs=0.006)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=60))
def test_curve(losses):
    """Every point is drawn inside the frame; the trend starts and ends where the data do."""
    svg = curve(list(enumerate(losses)), "t", ("step", "loss"))
    raw, trend = (
        [tuple(map(float, at.split(","))) for at in line.get("points").split()] for line in parsed(svg).iter("polyline")
    )
    assert len(raw) == len(trend) == len(losses)
    assert all(-0.01 <= value <= 100.01 for point in raw + trend for value in point)
    assert trend[0] == pytest.approx(raw[0], abs=0.02)
    assert trend[-1] == pytest.approx(raw[-1], abs=0.02)
    assert [point[0] for point in raw] == sorted(point[0] for point in raw)


@pytest.mark.parametrize("points", [[], [(1, 2.0)], [(1, math.nan), (2, 1.0)], [(1, math.inf), (2, math.nan)]])
def test_curve_of_nothing(points):
    """Too few finite points draw nothing."""
    assert curve(points, "t", ("step", "loss")) == ""


def test_curve_leaves_out_what_is_not_finite():
    """A diverged step is left out, the rest is drawn."""
    svg = curve([(1, 3.0), (2, math.nan), (3, 1.0)], "t", ("step", "loss"))
    assert "nan" not in str(svg)
    assert len(next(parsed(svg).iter("polyline")).get("points").split()) == 2
