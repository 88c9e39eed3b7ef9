"""Directions tuned through the decoder: what an edit shows counts, not where it leads in z.

Directions that are read off the latents alone assume that the decoder is linear. It is not, so a
direction may show more of a bystander than the latents said. Here a small classifier on pixels,
trained on the labelled training people alone, looks at the decoded edits, and gradient descent
moves each direction until the target shows and the others stay as they were, in no other colours
than tell labelled photographs with the target from those without, and with as little drawn anew as
can be. The judge of `vaegan.judge` takes no part in it, so that its verdict stays independent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import trange

from vaegan import images
from vaegan.blend import drawn_anew
from vaegan.directions import least_squares

BATCH = 64
GOAL = 0.9  # share of faces on which an edit should work
RATE = 0.03  # of learning, at first
STEEPNESS = 4.0  # of the soft verdict, per deviation of a score
MARGIN = 0.3  # deviations beyond the threshold that a flipped target should reach
LEAKS = 4.0  # weight of what turns over among bystanders
CALM = 0.5  # weight of a bystander's moving at all, beside its turning over
IMPATIENCE = 0.1  # how fast a target that falls short gains weight
# Weight of a direction's squared length, in deviations between one person's photographs. With less,
# it leaves the faces behind and finds what convinces classifiers alone (docs/experiments.md).
SHORT = 0.02
CELLS = 16  # a side: how coarsely it is looked at what an edit paints
ODD = 24.0  # weight of an edit's changes of colour that photographs do not show
# Weight of what an edit draws anew, where the photograph's texture then has to go: eyes would do
# without lids if only the classifier looked (docs/experiments.md).
ANEW = 8.0


class PixelClassifier(nn.Module):
    """Names all attributes of a face at one look; four strided convolutions and a linear head."""

    def __init__(self, attributes: int, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        widths = (3, 32, 64, 128, 192)
        for before, after in pairwise(widths):
            layers += [
                nn.Conv2d(before, after, 4, 2, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.LeakyReLU(0.1),
            ]
        cells = (side // 16) ** 2
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Dropout(0.5), nn.Linear(192 * cells, attributes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, 3, R, R) in [-1, 1] → logits (N, A)."""
        return self.layers(x.contiguous(memory_format=torch.channels_last))


def train_classifier(
    pixels: Tensor, labels: Tensor, epochs: int = 8, seed: int = 0
) -> PixelClassifier:
    """A classifier of faces, at rest; both sides of an attribute weigh the same.

    Args:
        pixels: (N, 3, R, R) uint8. labels: (N, A): 1, -1, 0 for unknown.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier = PixelClassifier(labels.shape[1], pixels.shape[-1])
        classifier.to(memory_format=torch.channels_last)
        batch = min(BATCH, len(pixels))
        steps = max(1, epochs * len(pixels) // batch)
        optimizer = torch.optim.AdamW(classifier.parameters(), weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps + 1)
        shares = torch.stack([(labels == side).float().mean(dim=0) for side in (1, -1)])
        heavier = (0.5 / shares.clamp_min(1e-6)).clamp(max=10)  # a rare side must not shout
        for step in trange(steps, desc="pixel classifier", disable=None):
            if step % (len(pixels) // batch) == 0:
                order = torch.randperm(len(pixels))
            rows = order[step % (len(pixels) // batch) * batch :][:batch]
            x, y = _disturbed(images.to_float(pixels[rows]), step), labels[rows].float()
            weight = torch.where(y > 0, heavier[0], heavier[1]) * (y != 0)
            loss = (weight * F.softplus(-y * classifier(x))).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return classifier.eval().requires_grad_(False)


def _disturbed(x: Tensor, step: int) -> Tensor:
    """Another contrast, brightness and place, and every second batch mirrored."""
    x = x.flip(-1) if step % 2 else x
    x = x * (0.8 + 0.4 * torch.rand(len(x), 1, 1, 1)) + 0.1 * torch.randn(len(x), 1, 1, 1)
    right, down = torch.randint(-3, 4, (2,)).tolist()
    return x.roll((down, right), dims=(2, 3))


def tints(pixels: Tensor, labels: Tensor) -> Tensor:
    """Which colours, and where, tell faces with an attribute from others: (A, 3, CELLS, CELLS).

    Directions in colour; squared, each is as long as what an edit may change along it: from 0,
    where faces look alike, to 1, where they differ half as much as they do anywhere, or more.
    Differences are least squares on all labels, and the same in the mirror.

    Args:
        pixels: (N, 3, R, R) uint8. labels: (N, A): 1, -1, 0 for unknown.
    """
    cells = torch.cat([_cells(images.to_float(part)) for part in pixels.split(1024)])
    slopes = least_squares(cells.flatten(1), labels).view(-1, *cells.shape[1:])
    slopes = (slopes + slopes.flip(-1)) / 2
    lengths = slopes.norm(dim=1, keepdim=True).clamp_min(1e-6)
    most = lengths.amax(dim=(2, 3), keepdim=True)
    return slopes / lengths * (2 * lengths / most).clamp_max(1).sqrt()


def odd(change: Tensor, tint: Tensor) -> Tensor:
    """What an edit changes that is not along its `tints`: both (N, 3, CELLS, CELLS), → (N,)."""
    along = (change * tint).sum(dim=1, keepdim=True) * tint
    return (change - along).abs().mean(dim=(1, 2, 3))


def _cells(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, CELLS)


@dataclass(frozen=True, eq=False)
class Faces:
    """Training people, as `tune` needs them.

    x: (N, 3, R, R) uint8, photographs; z: (N, D), their mu; r: (N, 3, R, R) uint8, reconstructions
    seen_x, seen_r: (N, A) what the classifier says of both, in deviations from its threshold
    """

    x: Tensor
    z: Tensor
    r: Tensor
    seen_x: Tensor
    seen_r: Tensor


def tune(
    directions: Tensor,
    decode: Callable[[Tensor], Tensor],
    see: Callable[[Tensor], Tensor],
    faces: Faces,
    root: Tensor,
    targets: Tensor,
    lengths: Tensor,
    bystanders: Tensor,
    tint: Tensor,
    sign: int = 1,
    steps: int = 500,
    seed: int = 0,
) -> Tensor:
    """Moves directions so that GOAL of the faces that lack the target show it, and little else;
    or so that as many that have it do not.

    Edits are looked at as people look at them: every second one laid over its photograph. How much
    a target weighs against its bystanders rises as long as it falls short of the goal (dual
    ascent), so no weight has to be chosen for each.

    Args:
        directions: (T, D), where to begin: about as long as needed.
        decode, see: z → x → scores in deviations from the threshold, both differentiable.
        root: (D, D), as `directions.covariance_root` gives it.
        targets: (T,), columns of the scores. bystanders: (T, A), weights of the scores to keep.
        lengths: (N, T), of the step that each face is moved, see `directions.step_length`.
        tint: (T, 3, CELLS, CELLS), as `tints` gives it.
        sign: 1 to give targets, -1 to take them away.
        steps: of Adam.

    Returns:
        (T, D): z + length · direction shows the target, or does not.
    """
    generator = torch.Generator().manual_seed(seed)
    # Descent where a person's own deviations are all as long, so that it keeps the person.
    white = torch.linalg.solve_triangular(root, directions.T, upper=False).T.clone()
    white.requires_grad_(True)
    optimizer = torch.optim.Adam([white], betas=(0.9, 0.99))
    urgency = torch.zeros(len(targets))  # logarithm of each target's weight
    shares = bystanders / bystanders.sum(dim=1, keepdim=True).clamp_min(1e-6)
    lacking = [
        [(sign * seen[:, target] < 0).nonzero().squeeze(1) for target in targets.tolist()]
        for seen in (faces.seen_r, faces.seen_x)
    ]
    over = torch.arange(BATCH) % 2  # 1: laid over the photograph
    for step in trange(steps, desc="tuning", disable=None):
        optimizer.param_groups[0]["lr"] = RATE * (1 - step / steps)
        index = (torch.arange(BATCH) + step * (BATCH + 1)) % len(targets)
        drawn = torch.rand(BATCH, generator=generator).tolist()
        rows = torch.tensor(
            [
                int(lacking[mode][one][int(u * len(lacking[mode][one]))])
                for mode, one, u in zip(over.tolist(), index.tolist(), drawn, strict=True)
            ]
        )
        shift = lengths[rows, index].unsqueeze(1) * (white @ root.T)[index]
        laid = over.view(-1, 1, 1, 1)
        x = decode(faces.z[rows] + shift)
        r, photo = images.to_float(faces.r[rows]), images.to_float(faces.x[rows])
        strange = odd(_cells(x - r), tint[index])
        anew = drawn_anew(r, x)
        x = x + laid * (photo - r)
        after = see(x.clamp(-1, 1))
        before = torch.where(over.bool()[:, None], faces.seen_x[rows], faces.seen_r[rows])
        shown = sign * after.gather(1, targets[index, None]).squeeze(1)
        missing = F.softplus(STEEPNESS * (MARGIN - shown)) / STEEPNESS
        turned = ((STEEPNESS * after).sigmoid() - (STEEPNESS * before).sigmoid()).abs()
        moved = F.smooth_l1_loss(after, before, reduction="none", beta=0.5)
        leaked = ((turned + CALM * moved) * shares[index]).sum(dim=1)
        loss = urgency.exp()[index] * missing + LEAKS * leaked + ODD * strange + ANEW * anew
        optimizer.zero_grad()
        (loss.mean() + SHORT * white.square().sum(dim=1).mean()).backward()
        optimizer.step()
        short = GOAL - (shown.detach() > 0).float()
        urgency.index_add_(0, index, IMPATIENCE * short)
        urgency.clamp_(-3, 5)
    return (white @ root.T).detach()
