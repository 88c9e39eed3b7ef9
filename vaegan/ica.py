"""Independent components, and each one's own distribution turned into N(0, 1) and back.

One step of Gaussianization (Chen & Gopinath 2000): what is sparse or skewed in the latents moves
into one table per component, and what is left looks much more like a Gaussian. Pure functions.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 60  # of FastICA; in the last the axes still turn by less than a degree on average
KNOTS = torch.linspace(-4.0, 4.0, 81)  # normal scores at which a distribution is tabled
NORMAL = torch.distributions.Normal(0.0, 1.0)


def independent_axes(white: Tensor) -> Tensor:
    """The rotation (D, D) whose rows are axes along which the points are least Gaussian.

    Symmetric FastICA with the contrast log cosh (Hyvärinen 1999, eq. 20 and 45).

    Args:
        white: (N, D), of mean 0 and covariance I.
    """
    axes = torch.eye(white.shape[1]).to(white)
    for _ in range(ROUNDS):
        bent = torch.tanh(white @ axes.T)
        slopes = (1 - bent.square()).mean(dim=0)
        u, _, v = torch.linalg.svd(bent.T @ white / len(white) - slopes[:, None] * axes)
        axes = u @ v
    return axes


def normal_scores(x: Tensor) -> Tensor:
    """Every column of x (N, D) by its ranks: N(0, 1), whatever it was before."""
    ranks = x.argsort(dim=0).argsort(dim=0)
    return NORMAL.icdf((ranks + 0.5) / len(x))


def quantiles(x: Tensor) -> Tensor:
    """Of every column of x (N, D): its values where normal scores would be `KNOTS`, (K, D)."""
    ordered = x.sort(dim=0).values  # Tensor.quantile takes no more than 16 million numbers
    place = NORMAL.cdf(KNOTS) * (len(x) - 1)
    below = place.long()
    above = (below + 1).clamp(max=len(x) - 1)
    return torch.lerp(ordered[below], ordered[above], (place - below)[:, None])


def from_scores(scores: Tensor, table: Tensor) -> Tensor:
    """The inverse of `normal_scores`, (N, D), by the `quantiles` (K, D); straight between knots."""
    step = KNOTS[1] - KNOTS[0]
    place = ((scores - KNOTS[0]) / step).clamp(0, len(KNOTS) - 1.001)
    knot = place.long()
    return torch.lerp(table.gather(0, knot), table.gather(0, knot + 1), place - knot)
