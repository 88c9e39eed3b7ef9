"""Where the latents of faces lie: what random faces are drawn from.

The aggregate posterior is not N(0, I), and the decoder draws better faces from where the training
faces really lie. A mixture of Gaussians fitted to their latents is the cheapest form of a two-stage
VAE (Dai & Wipf 2019, "Diagnosing and enhancing VAE models").
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

COMPONENTS = 16
FACES_EACH = 200  # with fewer faces there are fewer components
SHARED = 256.0  # faces for which the covariance shared by all counts in each component's own
ROUNDS = 30  # of expectation maximisation


@dataclass(frozen=True, eq=False)
class Prior:
    """A mixture of K Gaussians, and the one Gaussian nearest to it; D is the latents' dimension.

    mean: (D,); cholesky: (D, D), lower triangular: the one Gaussian
    weights: (K,), adding up to 1; means: (K, D); factors: (K, D, D), lower triangular: the mixture
    """

    mean: Tensor
    cholesky: Tensor
    weights: Tensor
    means: Tensor
    factors: Tensor

    @classmethod
    def standard(cls, dimensions: int) -> Prior:
        """N(0, I)."""
        mean, cholesky = torch.zeros(dimensions), torch.eye(dimensions)
        return cls(mean, cholesky, torch.ones(1), mean[None], cholesky[None])

    @classmethod
    def fit(cls, mu: Tensor, components: int = COMPONENTS) -> Prior:
        """To latents (N, D), by expectation maximisation; the same latents give the same mixture.

        Each component's covariance is shrunk towards what all have in common.
        """
        mu = mu.float()
        mean = mu.mean(dim=0)
        cholesky = _factor((mu - mean).T @ (mu - mean) / max(1, len(mu) - 1))
        components = max(1, min(components, len(mu) // FACES_EACH))
        generator = torch.Generator().manual_seed(0)
        means = mu[torch.randperm(len(mu), generator=generator)[:components]]
        belongs = F.one_hot(torch.cdist(mu, means).argmin(dim=1), components).to(mu)
        for _ in range(ROUNDS if components > 1 else 1):
            weights, means, factors = _maximise(mu, belongs)
            belongs = (weights.log() + log_densities(mu, means, factors)).softmax(dim=1)
        return cls(mean, cholesky, weights, means, factors)

    def draw(self, n: int, truncation: float, generator: torch.Generator) -> Tensor:
        """(n, D). truncation: scales the distance from the mean."""
        component = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        epsilon = torch.randn(n, len(self.mean), generator=generator)
        z = self.means[component]
        for k in component.unique():
            rows = component == k
            z[rows] += epsilon[rows] @ self.factors[k].T
        return torch.lerp(self.mean, z, truncation)

    def tensors(self) -> dict[str, Tensor]:
        """By the names that they have in a snapshot."""
        return {f"prior_{field.name}": getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> Prior:
        """The inverse of `tensors`; whatever else is there is passed over."""
        return cls(**{field.name: tensors[f"prior_{field.name}"].float() for field in fields(cls)})

    @classmethod
    def like(cls, tensors: dict[str, Tensor], dimensions: int) -> dict[str, Tensor]:
        """What a snapshot with these tensors should hold of a prior, for its names and shapes."""
        d, k = dimensions, len(tensors.get("prior_weights", ()))
        empty = torch.empty
        return cls(empty(d), empty(d, d), empty(k), empty(k, d), empty(k, d, d)).tensors()


def log_densities(z: Tensor, means: Tensor, factors: Tensor) -> Tensor:
    """(N, K): log N(z | mean, factor · factorᵀ). z: (N, D); means: (K, D); factors: (K, D, D)."""
    columns = []
    for mean, factor in zip(means, factors, strict=True):
        white = torch.linalg.solve_triangular(factor, (z - mean).T, upper=False)
        volume = factor.diagonal().log().sum() + 0.5 * len(mean) * math.log(2 * math.pi)
        columns.append(-0.5 * white.square().sum(dim=0) - volume)
    return torch.stack(columns, dim=1)


def _maximise(mu: Tensor, belongs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    counts = belongs.sum(dim=0).clamp_min(1e-3)
    means = (belongs.T @ mu) / counts.unsqueeze(1)
    scatters = torch.stack(
        [
            ((mu - mean) * share.unsqueeze(1)).T @ (mu - mean)
            for mean, share in zip(means, belongs.T, strict=True)
        ]
    )
    shared = scatters.sum(dim=0) / len(mu)
    covariances = (scatters + SHARED * shared) / (counts + SHARED).view(-1, 1, 1)
    return counts / counts.sum(), means, torch.stack([_factor(one) for one in covariances])


def _factor(covariance: Tensor) -> Tensor:
    ridge = 1e-4 * covariance.diagonal().mean() + 1e-8  # few faces leave it without full rank
    return torch.linalg.cholesky(covariance + ridge * torch.eye(len(covariance)).to(covariance))
