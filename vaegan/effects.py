"""Edits measured: each slider at each strength, and the shipped vectors against plain ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vaegan.data import FaceSet
from vaegan.directions import difference_of_means
from vaegan.editor import Editor
from vaegan.judge import Judge
from vaegan.leakage import (
    GOAL,
    NUMBERS,
    Known,
    at_same_effect,
    bystanders,
    lacking,
    scores_after,
    verdicts,
)
from vaegan.metrics import estimate, ratio

POSITIVES = 40  # test faces that have an attribute, from which on its leakage is compared
MODES = ("reconstruction", "photograph")


class Edits:
    """Every slider at every strength, on faces that the judge says lack the attribute.

    mode: "reconstruction": the decoder's edit against its own reconstruction; "photograph": the
        photograph with the edit laid over it (detail 1) against the photograph.
    """

    def __init__(
        self,
        editor: Editor,
        judge: Judge,
        known: Known,
        mode: str,
        strengths: tuple[float, ...] = (1.0, 2.0, 3.0),
        faces: int = 200,
        seed: int = 0,
    ) -> None:
        pure = mode == "reconstruction"
        before = known.seen(pure)
        self.people = known.people
        self.sliders = [s.name for s in editor.attributes if s.name in judge.names]
        self.judged = [i for i, name in enumerate(self.sliders) if name in judge.judged]
        # (N, S, 3, 2) for each strength; faces that were not edited stay 0 and count for nothing.
        self.parts = {
            strength: torch.zeros(len(before), len(self.sliders), 3, 2) for strength in strengths
        }
        for column, name in enumerate(self.sliders):
            target = judge.names.index(name)
            chosen = lacking(before, target, faces, seed)
            if not len(chosen):
                continue
            few, others = known.rows(chosen), bystanders(judge, target)
            for strength in strengths:
                shift = editor.direction(few.z, {name: strength})
                after = scores_after(editor, judge, few, target, shift, pure)
                seen = verdicts(before[chosen], after, target, others)
                self.parts[strength][chosen, column] = seen

    def report(self) -> dict[str, Any]:
        return {
            "average": self.by_strength(self.judged),
            "attributes": {
                name: {
                    "judged": column in self.judged,
                    "strengths": self.by_strength([column], column in self.judged),
                }
                for column, name in enumerate(self.sliders)
            },
        }

    def count(self, column: int, faces: Tensor) -> int:
        """How many of `faces`, (N,) bool, a slider was tried on."""
        sums = next(iter(self.parts.values()))
        return int((sums[faces, column, 0, 1] != 0).sum())

    def by_strength(
        self, columns: list[int], judged: bool = True, faces: Tensor | slice = slice(None)
    ) -> dict[str, Any]:
        """The NUMBERS of the mean over some sliders, for each strength.

        A judge that does not know the attribute cannot say whether an edit worked.
        """
        return {
            f"{strength:g}": {
                name: estimate(sums[faces][:, columns, index], self.people[faces])
                if judged or name != "effect"
                else None
                for index, name in enumerate(NUMBERS)
            }
            for strength, sums in self.parts.items()
        }


def against_plain(
    editor: Editor,
    judge: Judge,
    known: Known,
    labels: Tensor,
    train: FaceSet,
    mu: Tensor,
    faces: int = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """Leakage of the editor's vectors and of plain differences of means, at the same effect.

    Over the sliders that the judge knows and at least POSITIVES of these faces have. A slider that
    either cannot bring to the effect is left out, and named.
    """
    plain = difference_of_means(mu, train.attributes)
    leaks: dict[str, list[Tensor]] = {"shipped": [], "plain": []}
    rows, left_out = {}, []
    for slider in editor.attributes:
        name = slider.name
        if name not in judge.judged or name not in train.attribute_names:
            continue
        column = train.attribute_names.index(name)
        if (labels[:, column] == 1).sum() < POSITIVES:
            continue
        target = judge.names.index(name)
        chosen = lacking(known.seen_r, target, faces, seed)
        few = known.rows(chosen)
        steps = {"shipped": editor.direction(few.z, {name: 1.0}), "plain": plain[column]}
        found = {
            kind: at_same_effect(editor, judge, few, target, step) for kind, step in steps.items()
        }
        if not all(found.values()):
            left_out.append(name)
            continue
        rows[name] = {}
        for kind, (strength, parts) in found.items():
            spread = torch.zeros(len(known.people), 1, 2)
            spread[chosen, 0] = parts[:, 2]
            leaks[kind].append(spread)
            rows[name][kind] = {
                "strength": round(strength, 3), "leakage": estimate(spread, known.people)
            }  # fmt: skip
    report: dict[str, Any] = {"effect": GOAL, "left_out": left_out, "attributes": rows}
    if rows:
        joined = {kind: torch.cat(parts, dim=1) for kind, parts in leaks.items()}
        report |= {kind: estimate(parts, known.people) for kind, parts in joined.items()}
        report["ratio"] = ratio(joined["shipped"], joined["plain"], known.people)
    return report
