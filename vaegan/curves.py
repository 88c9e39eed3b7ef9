"""A run's metrics file as a picture: a chart for each loss."""

from __future__ import annotations

import json
import math
from pathlib import Path

from vaegan import charts

TITLES = {
    "pixel": "Pixel loss",
    "feature": "Feature loss",
    "kl": "KL divergence, nats",
    "adversarial": "Adversarial loss of the decoder",
    "discriminator": "Loss of the discriminator",
    "naming": "Loss of naming attributes",
    "likeness": "Loss of likeness in attributes",
    "edit": "Loss of edits",
}
POINTS = 200  # of a line, at most: more are a scribble


def read(metrics: Path) -> dict[str, list[tuple[float, float]]]:
    """By name, (step, mean value) in rising steps; neighbouring lines are averaged."""
    if not metrics.is_file():
        return {}
    lines = [json.loads(line) for line in metrics.read_text("utf-8").splitlines()]
    together = max(1, math.ceil(len(lines) / POINTS))
    found: dict[str, list[tuple[float, float]]] = {}
    for start in range(0, len(lines), together):
        few = lines[start : start + together]
        for name in few[-1].keys() - {"step", "seconds"}:
            values = [line[name] for line in few if name in line]
            found.setdefault(name, []).append((few[-1]["step"], sum(values) / len(values)))
    return found


def draw(metrics: Path, picture: Path) -> None:
    """Writes `picture` (.svg); nothing without a metrics file."""
    found = read(metrics)
    scores = {
        "photographs": found.pop("score_real", []),
        "fakes": found.pop("score_fake", []),
    }
    order = [*TITLES, *sorted(found.keys() - TITLES.keys())]
    drawn = [
        charts.lines({"": found[name]}, TITLES.get(name, name), "step", "")
        for name in order
        if name in found
    ]
    if scores["photographs"]:
        drawn.append(charts.lines(scores, "Scores of the discriminator", "step", ""))
    if drawn:
        charts.write(picture, charts.panels(drawn))
