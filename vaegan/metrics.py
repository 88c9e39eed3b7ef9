"""Metrics as pure functions of pictures, verdicts and features, and intervals around them."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

RESAMPLES = 1000


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
    sums = _resampled(parts, people, seed)
    return {**_interval(_mean_share(sums)), "count": int((parts[..., 1] != 0).any(dim=1).sum())}


def ratio(upper: Tensor, lower: Tensor, people: Tensor, seed: int = 0) -> dict[str, float | None]:
    """`estimate` of the mean of `upper` over the mean of `lower`, of the same faces."""
    sums = [_mean_share(_resampled(parts, people, seed)) for parts in (upper, lower)]
    return _interval(sums[0] / sums[1])


def _resampled(parts: Tensor, people: Tensor, seed: int) -> Tensor:
    """Sums of parts (N, K, 2) over all people, then over people drawn anew: (1 + R, K, 2)."""
    _, person = people.unique(return_inverse=True)
    total = int(person.max()) + 1 if len(person) else 0
    sums = torch.zeros(total, *parts.shape[1:], dtype=torch.float64)
    sums.index_add_(0, person, parts.double())
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(max(total, 1), (RESAMPLES, total), generator=generator)
    times = torch.zeros(RESAMPLES, total, dtype=torch.float64)
    times.scatter_add_(1, drawn, torch.ones_like(times))
    everyone = torch.ones(1, total, dtype=torch.float64)
    return (torch.cat([everyone, times]) @ sums.flatten(1)).unflatten(1, parts.shape[1:])


def _interval(values: Tensor) -> dict[str, float | None]:
    """The first value, and the middle 95 % of the others."""
    limits = torch.tensor([0.025, 0.975], dtype=torch.float64)
    low, high = values[1:].nanquantile(limits)
    numbers = {"value": values[0], "low": low, "high": high}
    return {name: float(n) if n.isfinite() else None for name, n in numbers.items()}


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
    window = (window / window.sum()).double()  # variances are small differences of squares

    def smooth(picture: Tensor) -> Tensor:
        flat = picture.flatten(0, 1).unsqueeze(1)
        flat = F.conv2d(F.conv2d(flat, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
        return flat.view(*picture.shape[:2], *flat.shape[2:])

    x, y = ((picture.double() + 1) / 2 for picture in (x, y))
    mean_x, mean_y, variances, covariance = moments(x, y, smooth)
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variances + c2)
    return (luminance * structure).mean(dim=(1, 2, 3))


def moments(x: Tensor, y: Tensor, smooth: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
    """Around each pixel: the means of x and of y, the sum of their variances, their covariance.

    x, y: (N, C, H, W). smooth: the weighted mean around each pixel, of any number of channels.
    """
    mean_x, mean_y, xx, yy, xy = smooth(torch.cat([x, y, x * x, y * y, x * y], dim=1)).chunk(5, 1)
    variances = (xx - mean_x.square()) + (yy - mean_y.square())
    return mean_x, mean_y, variances, xy - mean_x * mean_y


# ---------------------------------------------------------------- verdicts


def agreement(before: Tensor, after: Tensor) -> Tensor:
    """What `estimate` needs for the balanced agreement of two sets of verdicts.

    Always answering what most faces have would agree on 80 % of the raw count; balanced, it gets
    50 %.

    before, after: (N, A) bool → (N, 2 A, 2).
    """
    has = torch.stack([before & after, before], dim=-1)
    has_not = torch.stack([~before & ~after, ~before], dim=-1)
    return torch.cat([has, has_not], dim=1)


def nearest_own(embedded: Tensor, originals: Tensor) -> Tensor:
    """Whether each row's nearest original is its own, that of the same row: (N, D)² → (N,) bool.

    Blurred faces embed alike, so that a bare distance would flatter; this does not.
    """
    distances = torch.cdist(embedded, originals)
    return distances.argmin(dim=1) == torch.arange(len(embedded))


# ---------------------------------------------------------------- distances of distributions


def frechet(a: Tensor, b: Tensor) -> tuple[float, Tensor]:
    """|μa − μb|² + tr(Σa + Σb − 2 (Σa Σb)^½), of Gaussians fitted to features (Heusel et al. 2017),
    and how much each row of `a` moves it: (N,), mean 0.

    a: (N, F), b: (M, F). It falls with N and M, so compare it at equal counts only.

    To first order, the distance of rows drawn anew is the distance plus the mean of their moves
    (the distance's derivative by μa and Σa). So it can be resampled without a thousand
    eigenvalue problems.
    """
    a, b = a.double(), b.double()
    mean_a, mean_b = a.mean(dim=0), b.mean(dim=0)
    sigma_a, sigma_b = (
        torch.cov(a.T).reshape(a.shape[1], -1),
        torch.cov(b.T).reshape(b.shape[1], -1),
    )
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


def kernel(a: Tensor, b: Tensor) -> tuple[float, Tensor]:
    """Squared maximum mean discrepancy, without bias, under (x·y / F + 1)³ (Bińkowski et al. 2018),
    and how much each row of `a` moves it, as in `frechet`.

    a: (N, F), b: (M, F). Also known as KID; it does not depend on N and M but for chance, and can
    fall below 0.
    """
    within_a, within_b = _similarity(a, a, same=True), _similarity(b, b, same=True)
    across = _similarity(a, b)
    distance = within_a.mean() + within_b.mean() - 2 * across.mean()
    moves = 2 * (within_a - across)
    return float(distance), moves - moves.mean()


def _similarity(a: Tensor, b: Tensor, same: bool = False) -> Tensor:
    """The mean kernel of each row of `a` with the rows of `b`, or with the other rows: (N,)."""
    a, b = a.float(), b.float()
    totals = torch.cat(
        [(part @ b.T / a.shape[1] + 1).double().pow(3).sum(dim=1) for part in a.split(512)]
    )
    if not same:
        return totals / len(b)
    own = (a.square().sum(dim=1) / a.shape[1] + 1).double().pow(3)
    return (totals - own) / (len(a) - 1)
