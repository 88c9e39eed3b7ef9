"""What a model is worth, in numbers, on people it has never seen.

    python -m vaegan.evaluate MODEL --data SET --json FILE [--judge FILE] [--identity]

Reconstruction (PSNR, SSIM, attributes kept), samples (Fréchet and kernel distance to the training
photographs) and edits (effect, leakage, identity). An independent judge says which attributes a
face has (see `vaegan.judge`). Every number comes with its count and a 95 % interval from resampled
people, 1000 times, seeded; an interval tells the luck of the draw of test people, and nothing of
another training run.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dlib
import torch
import torch.nn.functional as F
from torch import Tensor

from vaegan import align, checkpoint, data, files, images, judge
from vaegan.attributes import VectorError
from vaegan.data import FaceSet
from vaegan.editor import Editor
from vaegan.hub import ModelNotFound
from vaegan.judge import Judge, JudgeError

FORMAT = 1
RESAMPLES = 1000
CORRELATED = 0.5  # labels that correlate above this go together in life, and are no leakage
PEOPLE = 100  # among whom an edited face must find itself
IDENTITY_STRENGTH = 2.0
EMBEDDING_SIDE = 256  # pixels; dlib's landmarks are whole ones, so not too few
NUMBERS = ("effect", "change", "leakage")  # of an edit


@dataclass(frozen=True)
class Options:
    """How much to measure.

    faces: at most so many for each attribute. samples: faces drawn from the fitted Gaussian.
    strengths: slider positions. identity: whether to embed faces, which is slow.
    """

    faces: int = 200
    samples: int = 10_000
    strengths: tuple[float, ...] = (1.0, 2.0, 3.0)
    identity: bool = False
    seed: int = 0


def evaluate(editor: Editor, faces: FaceSet, critic: Judge, options: Options) -> dict[str, Any]:
    """All numbers, as plain values that JSON can hold; see the module for what they are.

    Args:
        faces: the faces to measure on, such as the test people's; `critic` was trained on others.

    Raises:
        VectorError: the model has no encoder, no attribute vectors, or there is no labelled face.
    """
    labelled = (faces.attributes != 0).any(dim=1)
    if editor.encoder is None:
        raise VectorError("A GAN has no encoder, so it cannot be measured on photographs.")
    if not labelled.any():
        raise VectorError("None of these faces has a label.")
    x = images.to_float(faces.images)
    z = judge.mapped(lambda part: editor.encoder(part)[0].detach(), x, label="encode")
    r = judge.mapped(editor.decode, z, label="decode")
    # Scores and features side by side, so that one look gives both.
    seen_x, seen_r = (
        judge.mapped(lambda part: torch.cat(critic.see(part), dim=1), pictures, label="judge")
        for pictures in (x, r)
    )
    split = len(critic.names)
    known = Known(
        *(part[labelled] for part in (x, z, r, seen_x[:, :split], seen_r[:, :split])),
        people=faces.identity[labelled],
    )
    report = {
        "reconstruction": {
            "labelled": _fidelity(known.x, known.r, known.people),
            "all": _fidelity(x, r, faces.identity),
        },
        "kept": _kept(known, critic),
        "distance": _distances(editor, critic, seen_x[:, split:], seen_r[:, split:], options),
        "editing": {
            mode: _edits(editor, critic, known, mode, options)
            for mode in ("reconstruction", "photograph")
        },
    }
    if options.identity:
        report["identity"] = _identity(editor, known, options)
    return report


@dataclass(frozen=True, eq=False)
class Known:
    """The labelled faces.

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


# ---------------------------------------------------------------- numbers with intervals


def estimate(parts: Tensor, people: Tensor, seed: int = 0) -> dict[str, float | int | None]:
    """A mean of K shares, Σ parts[:, k, 0] / Σ parts[:, k, 1], with a 95 % bootstrap interval.

    People are drawn anew, not faces: two photographs of one person are not two opinions.

    Args:
        parts: (N, K, 2), what each face adds to the upper and to the lower sum. Shares whose lower
            sum is 0 are left out of the mean.
        people: (N,), equal numbers are one person.

    Returns:
        value, low, high (None where nothing was counted) and count: faces that count anywhere.
    """
    _, person = people.unique(return_inverse=True)
    total = int(person.max()) + 1 if len(person) else 0
    sums = torch.zeros(total, *parts.shape[1:], dtype=torch.float64)
    sums.index_add_(0, person, parts.double())
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(max(total, 1), (RESAMPLES, total), generator=generator)
    times = torch.zeros(RESAMPLES, total, dtype=torch.float64)
    times.scatter_add_(1, drawn, torch.ones_like(times))
    value = _mean_share(sums.sum(dim=0))
    resampled = _mean_share((times @ sums.flatten(1)).unflatten(1, parts.shape[1:]))
    limits = torch.tensor([0.025, 0.975], dtype=torch.float64)
    low, high = resampled.nanquantile(limits)
    numbers = {"value": value, "low": low, "high": high}
    return {
        **{name: float(n) if n.isfinite() else None for name, n in numbers.items()},
        "count": int((parts[..., 1] != 0).any(dim=1).sum()),
    }


def mean(values: Tensor, people: Tensor) -> dict[str, float | int | None]:
    """`estimate` of a plain mean of values (N,)."""
    return estimate(torch.stack([values, torch.ones_like(values)], dim=1).unsqueeze(1), people)


def _mean_share(sums: Tensor) -> Tensor:
    """(…, K, 2) → (…): the mean of those quotients that exist."""
    return (sums[..., 0] / sums[..., 1]).nanmean(dim=-1)


# ---------------------------------------------------------------- pictures


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture in dB, at most 100.

    x, y: (N, 3, H, W) in [-1, 1], so the peak is 2.
    """
    error = (x - y).square().mean(dim=(1, 2, 3)).clamp_min(4e-10)
    return 10 * (4 / error).log10()


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity of each picture, mean over pixels and colours (Wang et al. 2004).

    Gaussian window of 11×11, σ = 1.5, K1 = 0.01, K2 = 0.03; only windows wholly inside.
    x, y: (N, 3, H, W) in [-1, 1] → (N,).
    """
    offsets = torch.arange(11.0) - 5
    window = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = window / window.sum()

    def smooth(picture: Tensor) -> Tensor:
        flat = picture.flatten(0, 1).unsqueeze(1)
        flat = F.conv2d(F.conv2d(flat, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
        return flat.view(*picture.shape[:2], *flat.shape[2:])

    x, y = ((picture.float() + 1) / 2 for picture in (x, y))
    mean_x, mean_y = smooth(x), smooth(y)
    variance_x, variance_y = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2
    covariance = smooth(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (luminance * structure).mean(dim=(1, 2, 3))


def _fidelity(x: Tensor, r: Tensor, people: Tensor) -> dict[str, Any]:
    numbers = {"psnr": psnr, "ssim": ssim}
    return {
        name: mean(judge.mapped(function, x, r), people) for name, function in numbers.items()
    }


# ---------------------------------------------------------------- attributes kept


def agreement(before: Tensor, after: Tensor) -> Tensor:
    """What `estimate` needs for the balanced agreement of two sets of verdicts.

    Always answering what most faces have would agree on 80 % of the raw count; balanced, it gets
    50 %.

    before, after: (N, A) bool → (N, 2 A, 2).
    """
    has = torch.stack([before & after, before], dim=-1)
    has_not = torch.stack([~before & ~after, ~before], dim=-1)
    return torch.cat([has, has_not], dim=1)


def _kept(known: Known, critic: Judge) -> dict[str, Any]:
    before, after = known.seen_x > 0, known.seen_r > 0
    columns = {name: critic.names.index(name) for name in critic.judged}

    def agreed(chosen: list[int]) -> dict[str, Any]:
        return estimate(agreement(before[:, chosen], after[:, chosen]), known.people)

    return {
        "average": agreed(list(columns.values())),
        "attributes": {name: agreed([column]) for name, column in columns.items()},
    }


# ---------------------------------------------------------------- distances of distributions


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|μa − μb|² + tr(Σa + Σb − 2 (Σa Σb)^½), of Gaussians fitted to features (Heusel et al. 2017).

    a: (N, F), b: (M, F). It falls with N and M, so compare it at equal counts only.
    """
    return frechet(a, b)[0]


def frechet(a: Tensor, b: Tensor) -> tuple[float, Tensor]:
    """`frechet_distance`, and how much each row of `a` moves it: (N,), mean 0.

    To first order, the distance of rows drawn anew is the distance plus the mean of their moves
    (the distance's derivative by μa and Σa). So it can be resampled without a thousand
    eigenvalue problems.
    """
    a, b = a.double(), b.double()
    mean_a, mean_b = a.mean(dim=0), b.mean(dim=0)
    sigma_a, sigma_b = torch.cov(a.T).reshape(a.shape[1], -1), torch.cov(b.T).reshape(b.shape[1], -1)
    values, vectors = torch.linalg.eigh(sigma_a)
    values = values.clamp_min(0)
    root = vectors * values.sqrt() @ vectors.T
    # tr (Σa Σb)^½ = tr (Σa^½ Σb Σa^½)^½, which is symmetric.
    inner_values, inner = torch.linalg.eigh(root @ sigma_b @ root)
    inner_values = inner_values.clamp_min(0).sqrt()
    difference = mean_a - mean_b
    distance = (
        difference.square().sum() + sigma_a.trace() + sigma_b.trace() - 2 * inner_values.sum()
    )
    centred = a - mean_a
    real = values > 1e-10 * values.max()  # fewer rows than features leave the rest empty
    white = (centred @ vectors[:, real] / values[real].sqrt()) @ vectors[:, real].T
    transported = ((white @ inner).square() * inner_values).sum(dim=1)
    moves = 2 * centred @ difference + centred.square().sum(dim=1) - transported
    return float(distance), moves - moves.mean()


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Squared maximum mean discrepancy, without bias, under (x·y / F + 1)³ (Bińkowski et al. 2018).

    a: (N, F), b: (M, F). Also known as KID; it does not depend on N and M but for chance, and can
    fall below 0.
    """
    return kernel(a, b)[0]


def kernel(a: Tensor, b: Tensor) -> tuple[float, Tensor]:
    """`kernel_distance`, and how much each row of `a` moves it, as in `frechet`."""
    within_a, within_b = _similarity(a, a, same=True), _similarity(b, b, same=True)
    across = _similarity(a, b)
    distance = within_a.mean() + within_b.mean() - 2 * across.mean()
    moves = 2 * (within_a - across)
    return float(distance), moves - moves.mean()


def _similarity(a: Tensor, b: Tensor, same: bool = False) -> Tensor:
    """The mean kernel of each row of `a` with the rows of `b`, or with the other rows: (N,)."""
    a, b = a.float(), b.float()
    totals = torch.cat([(part @ b.T / a.shape[1] + 1).pow(3).sum(1) for part in a.double().split(512)]) if False else torch.cat(
        [(part @ b.T / a.shape[1] + 1).double().pow(3).sum(dim=1) for part in a.split(512)]
    )
    if not same:
        return totals / len(b)
    own = (a.square().sum(dim=1) / a.shape[1] + 1).double().pow(3)
    return (totals - own) / (len(a) - 1)


def _distances(
    editor: Editor, critic: Judge, photographs: Tensor, reconstructions: Tensor, options: Options
) -> dict[str, Any]:
    """Of each kind of picture's features to the training photographs'."""
    drawn = editor.draw(options.samples, truncation=1.0, seed=options.seed)
    samples = judge.mapped(lambda z: critic.see(editor.decode(z))[1], drawn, label="samples")
    kinds = {
        # Real faces of other people: as near as anything of that count can get.
        "photographs": photographs,
        "reconstructions": reconstructions,
        "samples": samples,
    }
    reference = critic.reference.float()
    distances: dict[str, Any] = {"extractor": judge.EXTRACTOR, "reference": len(reference)}
    for name, features in kinds.items():
        each = torch.arange(len(features))
        measured = {"frechet": frechet, "kernel": kernel}
        distances[name] = {
            key: _moved(*function(features, reference), each) for key, function in measured.items()
        }
    return distances


def _moved(value: float, moves: Tensor, each: Tensor) -> dict[str, Any]:
    return mean(value + moves, each)
