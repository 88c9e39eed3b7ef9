"""What an edit does to a face beside what it should, as an independent judge sees it.

Effect: the share of faces that lack an attribute and show it after the edit. Leakage: the share of
other attributes whose verdict turns over, either way, leaving out those that the judge does not
know well and those that go with the attribute in life (a smile lifts the cheeks). Two directions
can be compared at the same effect only: whoever does nothing leaks nothing.

An edit is looked at in two ways: `pure`, the decoder's edit against its own reconstruction, or
else the photograph with the edit laid over it, as on the page (detail 1), against the photograph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor

from vaegan import attributes, blend, images
from vaegan.data import FaceSet
from vaegan.editor import Editor
from vaegan.judge import Judge
from vaegan.models import RELATED
from vaegan.parallel import mapped

NUMBERS = ("effect", "change", "leakage")  # of an edit
GOAL = 0.85  # effect at which directions are compared
STRONGEST = 8.0  # up to so many times a direction's own length …
STRIDE = 2**0.5  # … in such strides, since an edit may overshoot: too much blond is white


@dataclass(frozen=True, eq=False)
class Known:
    """Labelled faces, and what the judge says of them.

    x: photographs, r: reconstructions, (N, 3, R, R) in [-1, 1]; z: (N, latent_dim)
    seen_x, seen_r: what the judge says of both, (N, A)
    people: (N,), equal numbers are one person
    """

    x: Tensor
    z: Tensor
    r: Tensor
    seen_x: Tensor
    seen_r: Tensor
    people: Tensor

    def seen(self, pure: bool) -> Tensor:
        """What the judge says of the reconstructions, or of the photographs: (N, A)."""
        return self.seen_r if pure else self.seen_x

    def rows(self, chosen: Tensor) -> Known:
        return Known(*(getattr(self, part.name)[chosen] for part in fields(self)))


def know(editor: Editor, judge: Judge, faces: FaceSet) -> tuple[Known, Tensor, Tensor]:
    """Encodes, decodes and judges faces; also the judge's features of photographs and of
    reconstructions, (N, F)."""
    x = images.to_float(faces.images)
    z = mapped(lambda part: editor.encoder(part)[0].detach(), x, label="encode")
    r = mapped(editor.decode, z, label="decode")
    (seen_x, features_x), (seen_r, features_r) = see(judge, x), see(judge, r)
    return Known(x, z, r, seen_x, seen_r, faces.identity), features_x, features_r


def see(judge: Judge, x: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (N, A) and features (N, F) of any number of pictures."""
    seen = mapped(lambda part: torch.cat(judge.see(part), dim=1), x, label="judge")
    return seen[:, : len(judge.names)], seen[:, len(judge.names) :]


def bystanders(judge: Judge, target: int) -> Tensor:
    """The judged attributes that an edit of `target` should leave alone: (A,) bool."""
    judged = torch.tensor([name in judge.judged for name in judge.names])
    others = judged & (judge.correlation[target].abs() <= RELATED)
    others[target] = False
    return others


def verdicts(before: Tensor, after: Tensor, target: int, others: Tensor, sign: int = 1) -> Tensor:
    """What `estimate` needs for an edit's NUMBERS.

    effect: the share that now has the attribute; change: of its logit; leakage: the share of
    other verdicts that changed, either way.

    Args:
        before, after: (N, A) scores. target: the edited attribute. others: (A,) bool.
        sign: -1 where the attribute is to go: effect is then the share that no longer has it.

    Returns:
        (N, 3, 2).
    """
    one = torch.ones(len(before))
    flipped = ((before > 0) != (after > 0)) & others
    numbers = [
        ((sign * after[:, target] > 0).float(), one),
        (sign * (after[:, target] - before[:, target]), one),
        (flipped.sum(dim=1).float(), one * others.sum()),
    ]
    return torch.stack([torch.stack(pair, dim=1) for pair in numbers], dim=1)


def judged_edit(
    editor: Editor, judge: Judge, target: int, pure: bool, x: Tensor, z: Tensor, r: Tensor
) -> Tensor:
    """The judge's scores, (N, A), of some faces whose `target` was edited to z.

    pure: the decoder's own picture; else the photograph with the edit laid over it (detail 1)
    """
    edited = editor.decode(z)
    if pure:
        return judge.see(edited)[0]
    coloured = edited if attributes.of_colour(judge.names[target]) else None
    change = blend.change(blend.Base(x, r), edited, detail=1, match=1, coloured=coloured)
    return judge.see((x + change).clamp(-1, 1))[0]


def scores_after(
    editor: Editor, judge: Judge, known: Known, target: int, shift: Tensor, pure: bool = True
) -> Tensor:
    """`judged_edit` of all faces of `known` with `shift`, (D,) or (N, D), added to z: (N, A)."""
    look = partial(judged_edit, editor, judge, target, pure)
    return mapped(look, known.x, known.z + shift, known.r)


def lacking(seen: Tensor, target: int, most: int, seed: int, sign: int = 1) -> Tensor:
    """Rows, in an order of their own, of at most so many faces that lack the target: (n,).

    sign: -1 for faces that have it.
    """
    rows = (sign * seen[:, target] < 0).nonzero().squeeze(1)
    generator = torch.Generator().manual_seed(seed)
    return rows[torch.randperm(len(rows), generator=generator)[:most]]


def matched(
    look: Callable[[float], Tensor], goal: float = GOAL, rounds: int = 5
) -> tuple[float, Tensor] | None:
    """The strength at which an edit has the effect `goal`, and its `verdicts` there.

    Strides until an edit has it, halves the last stride so many rounds, and interpolates at the end
    between what lies just below and just above.

    Args:
        look: strength → `verdicts` of the same faces.

    Returns:
        None if even STRONGEST times the direction does not get there.
    """
    low, high = (0.0, torch.zeros(())), (2.0, look(2.0))
    while _effect(high[1]) < goal:
        if high[0] >= STRONGEST:
            return None
        strength = min(STRONGEST, high[0] * STRIDE)
        low, high = high, (strength, look(strength))
    for _ in range(rounds):
        strength = (low[0] + high[0]) / 2
        seen = look(strength)
        if _effect(seen) >= goal:
            high = strength, seen
        else:
            low = strength, seen
    below = low[1] if low[0] else torch.zeros_like(high[1])
    effects = [_effect(seen) for seen in (below, high[1])]
    share = (goal - effects[0]) / max(effects[1] - effects[0], 1e-9)
    mixed = torch.lerp(below, high[1], share) if low[0] else high[1]
    return low[0] + share * (high[0] - low[0]) if low[0] else high[0], mixed


def _effect(seen: Tensor) -> float:
    return float(seen[:, 0, 0].mean())


def at_same_effect(
    editor: Editor,
    judge: Judge,
    faces: Known,
    target: int,
    direction: Tensor,
    goal: float = GOAL,
    pure: bool = True,
    sign: int = 1,
) -> tuple[float, Tensor] | None:
    """`matched` of a direction on faces that lack the target; pure as in `judged_edit`.

    direction: (D,), or (N, D) where each face has its own
    sign: -1 for the direction backwards, on faces that have the target.
    """
    others = bystanders(judge, target)
    before = faces.seen(pure)

    def look(strength: float) -> Tensor:
        after = scores_after(editor, judge, faces, target, sign * strength * direction, pure)
        return verdicts(before, after, target, others, sign)

    return matched(look, goal) if len(faces.z) else None
