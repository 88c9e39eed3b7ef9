import xml.etree.ElementTree as tree

import pytest

from vaegan import charts

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0.1, 0.9, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-3, 7, [-4, -2, 0, 2, 4, 6, 8]),
        (5, 5, [4.4, 4.6, 4.8, 5.0, 5.2, 5.4, 5.6]),
    ],
)
def test_ticks_are_round_and_hold_everything(low, high, expected):
    found = charts.ticks(low, high)
    assert found[0] <= low and found[-1] >= high
    assert found == pytest.approx(expected)


def test_lines_go_through_their_points():
    root = tree.fromstring(
        charts.lines({"a < b": [(0, 0), (5, 50), (10, 100)], "none": []}, "T", "step", "loss")
    )
    (line,) = root.findall(f"{SVG}polyline")
    points = [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]
    right, bottom = charts.WIDTH - charts.RIGHT, charts.HEIGHT - charts.BOTTOM
    assert points == [
        (charts.LEFT, bottom),
        ((charts.LEFT + right) / 2, (charts.TOP + bottom) / 2),
        (right, charts.TOP),
    ]
    texts = [text.text for text in root.findall(f"{SVG}text")]
    assert {"a < b", "T", "step", "loss"} <= set(texts) and "none" not in texts


def test_nothing_finite_is_an_empty_chart():
    root = tree.fromstring(charts.lines({"lost": [(0, float("nan"))]}, "T", "x", "y"))
    assert not root.findall(f"{SVG}polyline")


def test_names_do_not_lie_on_one_another():
    assert charts._apart([10, 12, 100]) == [10, 25, 100]
