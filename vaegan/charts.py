"""Line charts as SVG: small, sharp at any size, and readable without another library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

from vaegan import files

WIDTH, HEIGHT = 640, 320
COLUMNS = 2  # of charts in one picture
TICKS = 5  # numbers along an axis, about
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 40, 48  # room for numbers, names, title and axis
COLOURS = ("#3b6fd4", "#d4572f", "#2f9e5b", "#8a56c2", "#c79a1e", "#4a9fb0", "#c2508d", "#7a7a7a")
INK, FAINT = "#6b7280", "#9ca3af55"  # both are seen on white and on black

Points = Sequence[tuple[float, float]]


def lines(series: Mapping[str, Points], title: str, x: str, y: str) -> str:
    """A chart with a line for each series.

    Args:
        series: by name, (x, y) in rising x; points that are not finite are left out.
        x, y: what the axes show.
    """
    drawn = {
        name: [point for point in points if all(map(math.isfinite, point))]
        for name, points in series.items()
    }
    drawn = {name: points for name, points in drawn.items() if points}
    every = [point for points in drawn.values() for point in points] or [(0.0, 0.0), (1.0, 1.0)]
    x_ticks = ticks(min(a for a, _ in every), max(a for a, _ in every))
    y_ticks = ticks(min(b for _, b in every), max(b for _, b in every))
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def across(value: float) -> float:
        return _place(value, x_ticks, LEFT, right)

    def up(value: float) -> float:
        return _place(value, y_ticks, bottom, TOP)

    parts = [_text(LEFT, 22, title, size=14, weight=600)]
    for tick in y_ticks:
        parts.append(_line(LEFT, up(tick), right, up(tick)))
        parts.append(_text(LEFT - 8, up(tick) + 4, f"{tick:g}", anchor="end"))
    for tick in x_ticks:
        parts.append(_text(across(tick), bottom + 18, f"{tick:g}", anchor="middle"))
    parts.append(_text((LEFT + right) / 2, HEIGHT - 8, x, anchor="middle"))
    middle = (TOP + bottom) / 2
    parts.append(_text(14, middle, y, anchor="middle", turn=f"rotate(-90 14 {middle:g})"))
    ends = _apart([up(points[-1][1]) for points in drawn.values()])
    for index, ((name, points), end) in enumerate(zip(drawn.items(), ends, strict=True)):
        colour = COLOURS[index % len(COLOURS)]
        path = " ".join(f"{across(a):.1f},{up(b):.1f}" for a, b in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if len(points) <= 12:
            parts += [
                f'<circle cx="{across(a):.1f}" cy="{up(b):.1f}" r="3" fill="{colour}"/>'
                for a, b in points
            ]
        parts.append(_text(right + 10, end + 4, name, colour=colour))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="system-ui, sans-serif">\n' + "\n".join(parts) + "\n</svg>\n"
    )


def panels(charts: Sequence[str]) -> str:
    """Several charts in one picture, row by row."""
    rows = math.ceil(len(charts) / COLUMNS)
    placed = [
        chart.replace(
            "<svg ",
            f'<svg x="{index % COLUMNS * WIDTH}" y="{index // COLUMNS * HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}" ',
            1,
        )
        for index, chart in enumerate(charts)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {COLUMNS * WIDTH} '
        f'{max(1, rows) * HEIGHT}">\n' + "".join(placed) + "</svg>\n"
    )


def ticks(low: float, high: float) -> list[float]:
    """Round numbers, evenly spaced, from at most `low` to at least `high`."""
    if high <= low:
        low, high = low - 0.5, low + 0.5
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 2.5, 5, 10) if power * times >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def write(path: Path, chart: str) -> None:
    with files.atomic(path) as temporary:
        temporary.write_text(chart, encoding="utf-8")


def _place(value: float, between: list[float], start: float, end: float) -> float:
    return start + (value - between[0]) / (between[-1] - between[0]) * (end - start)


def _apart(places: list[float], least: float = 15) -> list[float]:
    """The same heights, moved down where names would lie on one another."""
    moved = list(places)
    order = sorted(range(len(places)), key=places.__getitem__)
    for before, index in pairwise(order):
        moved[index] = max(moved[index], moved[before] + least)
    return moved


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:g}" y1="{y1:.1f}" x2="{x2:g}" y2="{y2:.1f}" stroke="{FAINT}"/>'


def _text(
    x: float,
    y: float,
    text: str,
    anchor: str = "start",
    size: int = 12,
    weight: int = 400,
    colour: str = INK,
    turn: str = "",
) -> str:
    turned = f' transform="{turn}"' if turn else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'font-weight="{weight}" fill="{colour}"{turned}>{escape(text)}</text>'
    )
