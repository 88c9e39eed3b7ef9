"""Where the latents of faces lie: what random faces are drawn from.

The aggregate posterior is not N(0, I), and the decoder draws better faces from where the training
faces really lie (Dai & Wipf 2019, "Diagnosing and enhancing VAE models"). Most of what makes it no
Gaussian is sparse: hats, bright backgrounds and the like, which few faces have. So its independent
components are Gaussianized, and a mixture of Gaussians tells how they go together. What that misses
the networks know: decoded and encoded again, which is an echo, a draw comes nearer to where faces
lie, as in the Markov chains with which Rezende et al. 2014 ("Stochastic backpropagation") fill in
missing pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vaegan.ica import KNOTS, from_scores, independent_axes, normal_scores, quantiles

COMPONENTS = 16
FACES_EACH = 200  # with fewer faces there are fewer components
FACES_A_DIMENSION = 20  # with fewer faces, axes and tables would be noise and are left out
SHARED = 256.0  # faces for which the covariance shared by all counts in each component's own
ROUNDS = 30  # of expectation maximisation
ECHOES = 2  # times that a draw is decoded and encoded again
HEARD = 500  # draws that tell how much nearer to the mean an echo lies
MOST_COMPONENTS, MOST_ECHOES = 256, 8  # of a prior that comes from elsewhere
LARGEST = torch.finfo(torch.float16).max  # of its numbers: products of larger ones may overflow
LOUDEST = 10.0  # stretch, of a model whose pictures all encode alike: it must be saved all the same


@dataclass(frozen=True, eq=False)
class Prior:
    """The one Gaussian nearest to the latents, and the distribution in its coordinates.

    z = mean + cholesky · axesᵀ · table(scores), the scores from a mixture of K Gaussians; D is the
    latents' dimension, Q the number of knots.

    mean: (D,); cholesky: (D, D), lower triangular: the one Gaussian
    axes: (D, D), a rotation; tables: (Q, D): independent components and their quantiles
    weights: (K,), adding up to 1; means: (K, D); factors: (K, D, D), lower triangular: the mixture
    stretches: (E,), what each of a draw's E echoes is multiplied by, seen from the mean
    """

    mean: Tensor
    cholesky: Tensor
    axes: Tensor
    tables: Tensor
    weights: Tensor
    means: Tensor
    factors: Tensor
    stretches: Tensor

    @classmethod
    def standard(cls, dimensions: int) -> Prior:
        """N(0, I)."""
        mean, axes = torch.zeros(dimensions), torch.eye(dimensions)
        one = torch.ones(1), mean[None], axes[None]
        return cls(mean, axes, axes, _straight(dimensions), *one, stretches=torch.ones(0))

    @classmethod
    def fit(cls, mu: Tensor, components: int = COMPONENTS) -> Prior:
        """To latents (N, D); the same latents give the same prior.

        The mixture comes by expectation maximisation, each component's covariance shrunk towards
        what all have in common.
        """
        mu = mu.float()
        n, dimensions = mu.shape
        mean = mu.mean(dim=0)
        cholesky = _factor((mu - mean).T @ (mu - mean) / max(1, n - 1))
        scores = torch.linalg.solve_triangular(cholesky, (mu - mean).T, upper=False).T
        axes, tables = torch.eye(dimensions), _straight(dimensions)
        if n >= FACES_A_DIMENSION * dimensions:
            axes = independent_axes(scores)
            independent = scores @ axes.T
            tables, scores = quantiles(independent), normal_scores(independent)
        components = max(1, min(components, n // FACES_EACH))
        found = mixture(scores, components)
        return cls(mean, cholesky, axes, tables, *found, stretches=torch.ones(0))

    def with_echoes(self, again: Callable[[Tensor], Tensor], echoes: int = ECHOES) -> Prior:
        """The same prior, its draws decoded and encoded `echoes` times.

        An echo lies nearer to the mean than what it comes from, since the decoder draws what is
        likely; its stretch gives back the spread of the faces' own latents.

        Args:
            again: z (N, D) → mu of the decoded z.
        """
        spread = self.cholesky.square().sum().sqrt()
        z = self.draw(HEARD, 1.0, torch.Generator().manual_seed(0))
        stretches = []
        for _ in range(echoes):
            apart = again(z) - self.mean
            left = apart.square().sum(dim=1).mean().sqrt()
            stretches.append((spread / left.clamp_min(1e-6)).clamp(max=LOUDEST))
            z = self.mean + stretches[-1] * apart
        return replace(self, stretches=torch.stack(stretches))

    def draw(
        self,
        n: int,
        truncation: float,
        generator: torch.Generator,
        again: Callable[[Tensor], Tensor] | None = None,
    ) -> Tensor:
        """(n, D).

        Args:
            truncation: scales the distance from the mean.
            again: as in `with_echoes`; None leaves the echoes out.
        """
        component = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        epsilon = torch.randn(n, len(self.mean), generator=generator)
        scores = self.means[component]
        for k in component.unique():
            rows = component == k
            scores[rows] += epsilon[rows] @ self.factors[k].T
        apart = from_scores(scores, self.tables) @ self.axes @ self.cholesky.T
        for stretch in self.stretches if again else ():
            apart = stretch * (again(self.mean + apart) - self.mean)
        return self.mean + truncation * apart

    def tensors(self) -> dict[str, Tensor]:
        """By the names that they have in a snapshot."""
        return {f"prior_{field.name}": getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> Prior:
        """The inverse of `tensors`; whatever else is there is passed over.

        Raises:
            ValueError: nothing could be drawn from it.
        """
        prior = cls(**{field.name: tensors[f"prior_{field.name}"].float() for field in fields(cls)})
        sound = all((tensor.abs() <= LARGEST).all() for tensor in prior.tensors().values())
        sound &= (prior.weights >= 0).all() and prior.weights.sum() > 0
        sound &= (prior.cholesky.diagonal() > 0).all()
        sound &= len(prior.weights) <= MOST_COMPONENTS and len(prior.stretches) <= MOST_ECHOES
        if not sound:
            raise ValueError("nothing can be drawn from its prior")
        return prior

    @classmethod
    def like(cls, tensors: dict[str, Tensor], dimensions: int) -> dict[str, Tensor]:
        """What a snapshot with these tensors should hold of a prior, for its names and shapes."""
        d = dimensions
        none = torch.empty(0)
        k, e = (tensors.get(f"prior_{name}", none).numel() for name in ("weights", "stretches"))
        shapes = [(d,), (d, d), (d, d), (len(KNOTS), d), (k,), (k, d), (k, d, d), (e,)]
        return cls(*map(torch.empty, shapes)).tensors()


def mixture(scores: Tensor, components: int) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (K,), means (K, D) and factors (K, D, D) of K Gaussians fitted to scores (N, D)."""
    generator = torch.Generator().manual_seed(0)
    means = scores[torch.randperm(len(scores), generator=generator)[:components]]
    belongs = F.one_hot(torch.cdist(scores, means).argmin(dim=1), components).to(scores)
    for _ in range(ROUNDS if components > 1 else 1):
        weights, means, factors = _maximise(scores, belongs)
        belongs = (weights.log() + log_densities(scores, means, factors)).softmax(dim=1)
    return weights, means, factors


def blended(z: Tensor, u: Tensor) -> Tensor:
    """Latents that lie about where z lie, each blended from K of them: (M, D).

    z: (N, D). u: (M, K) in [0, 1), which of z. With mean m it is m + Σ (z_k − m) / √K: of the mean
    and covariance of z, between z themselves (K = 1) and their Gaussian (K → ∞) in shape.
    """
    mean = z.mean(dim=0)
    apart = z[(u * len(z)).long()] - mean
    return mean + apart.sum(dim=1) / math.sqrt(u.shape[1])


def log_densities(z: Tensor, means: Tensor, factors: Tensor) -> Tensor:
    """(N, K): log N(z | mean, factor · factorᵀ). z: (N, D); means: (K, D); factors: (K, D, D)."""
    columns = []
    for mean, factor in zip(means, factors, strict=True):
        white = torch.linalg.solve_triangular(factor, (z - mean).T, upper=False)
        volume = factor.diagonal().log().sum() + 0.5 * len(mean) * math.log(2 * math.pi)
        columns.append(-0.5 * white.square().sum(dim=0) - volume)
    return torch.stack(columns, dim=1)


def _straight(dimensions: int) -> Tensor:
    """The tables of components that are Gaussian already."""
    return KNOTS[:, None].repeat(1, dimensions)


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
