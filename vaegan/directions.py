"""Directions in latent space that change one attribute, as pure functions of latents and labels.

mu: (N, D) latents; labels: (N, A), 1 has it, -1 has it not, 0 unknown. Every method returns (A, D),
from "has it not" to "has it"; rows of attributes without faces on one side are 0. How long a row is
differs from method to method: `to_class_means` gives all the same measure.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

DECAY = 0.03  # weight decay of the linear classifiers, on standardised latents
SHRINKAGE = 0.1  # share of a covariance that is replaced by its mean variance
RAISED = 0.05  # the same, where only distances are wanted
ALIKE = 4  # differences within people, for each dimension, from which on their covariance is known
RIDGE = 0.3  # on the labels' correlations, whose small eigenvalues are noise
NOISE = 0.3  # the same on the latents' covariance, times latents for each face
LEAST, MOST = 0.6, 1.5  # of a step's length, however little or much of the attribute a face lacks


def difference_of_means(mu: Tensor, labels: Tensor) -> Tensor:
    """The plain definition: mean of those who have it minus mean of those who have it not."""
    has, has_not = (labels == 1).to(mu), (labels == -1).to(mu)
    means = [(side.T @ mu) / side.sum(dim=0).clamp_min(1).unsqueeze(1) for side in (has, has_not)]
    return (means[0] - means[1]) * both_sides(labels).to(mu).unsqueeze(1)


def balanced_difference(mu: Tensor, labels: Tensor, ridge: float = 0.02) -> Tensor:
    """The difference of weighted means, faces being weighted so that all other labels match.

    The weights of each side are those nearest to equal (in entropy) that give the other labels
    the mean they have among all faces (Hainmueller 2012, "Entropy balancing").

    Args:
        ridge: how far from matching the means may stay; weights explode without it.
    """
    y = _filled(labels).double()
    rows = []
    for column in range(labels.shape[1]):
        others = _standardised(torch.cat([y[:, :column], y[:, column + 1 :]], dim=1))
        sides = [labels[:, column] == side for side in (1, -1)]
        if not all(side.any() for side in sides):
            rows.append(torch.zeros_like(mu[0]))
            continue
        means = [_balance(others[side], ridge).to(mu) @ mu[side] for side in sides]
        rows.append(means[0] - means[1])
    return torch.stack(rows)


def _balance(x: Tensor, ridge: float) -> Tensor:
    """Weights (N,), adding up to 1, with which the mean of x (N, K) is about 0."""
    slope = torch.zeros(x.shape[1], dtype=x.dtype)
    eye = torch.eye(x.shape[1], dtype=x.dtype)
    for _ in range(30):  # Newton's method on the convex dual
        weights = (x @ slope).softmax(dim=0)
        mean = weights @ x
        gradient = mean + ridge * slope
        curvature = (x * weights.unsqueeze(1)).T @ x - mean.outer(mean) + ridge * eye
        move = torch.linalg.solve(curvature, gradient)
        slope = slope - move / max(1.0, float(move.norm()))
    return (x @ slope).softmax(dim=0)


def least_squares(mu: Tensor, labels: Tensor, ridge: float = RIDGE) -> Tensor:
    """Slopes of the latents on all labels at once: what each adds while the others stand still.

    Args:
        labels: or scores of any kind, (N, A). What is not known of a face counts as the mean of
            what is known of others, and so for neither side.
        ridge: 0 holds the others fast; the larger, the nearer to the difference of means.
    """
    y = _filled(labels.to(mu))
    deviations = y.std(dim=0, correction=0)
    y = _standardised(y)
    matrix = y.T @ y / len(y) + ridge * torch.eye(y.shape[1]).to(mu)
    slopes = torch.linalg.solve(matrix, y.T @ (mu - mu.mean(dim=0)) / len(y))
    return 2 * slopes / deviations.clamp_min(1e-6).unsqueeze(1) * (deviations > 0).unsqueeze(1)


def classifier_normal(mu: Tensor, labels: Tensor, decay: float = DECAY) -> Tensor:
    """Normals of logistic classifiers: the quickest way across, however unlike a face it leads."""
    deviations = _deviations(mu)
    weight, _ = logistic_regression(_standardised(mu), labels, decay)
    # The step that a standardised normal w stands for is w deviations along each latent.
    return weight * deviations * both_sides(labels).to(mu).unsqueeze(1)


def lda_normal(mu: Tensor, labels: Tensor, shrinkage: float = SHRINKAGE) -> Tensor:
    """Σ⁻¹ d with the shrunk within-class covariance Σ and the difference of means d (Fisher).

    Σ is 1 where the faces on either side, such as one on each, do not differ among themselves.
    """
    deviations = _deviations(mu)
    x = _standardised(mu)
    rows = []
    for difference, column in zip(difference_of_means(x, labels), labels.T, strict=True):
        sides = [x[column == side] for side in (1, -1) if (column == side).sum() > 1]
        scatter = torch.zeros(x.shape[1], x.shape[1]).to(x)
        for side in sides:
            scatter += (side - side.mean(dim=0)).T @ (side - side.mean(dim=0))
        if not scatter.any():
            rows.append(difference)
            continue
        within = scatter / sum(map(len, sides))
        rows.append(torch.linalg.solve(_shrunk(within, shrinkage), difference))
    return torch.stack(rows) * deviations


def pattern(mu: Tensor, labels: Tensor, ridge: float = RIDGE) -> Tensor:
    """`least_squares` on the scores of linear classifiers in place of the labels.

    A classifier's normal says what to look at, not what to add; what goes along with its score is
    its pattern Cov(z, score) (Haufe et al. 2014). Scores tell a broad smile from a faint one, which
    labels do not; so "the others stand still" is held more exactly.
    """
    weight, _ = logistic_regression(_standardised(mu), labels, DECAY)
    scores = _standardised(mu) @ weight.T
    return least_squares(mu, scores, ridge) * both_sides(labels).to(mu).unsqueeze(1)


def readouts(mu: Tensor, labels: Tensor) -> Tensor:
    """By which numbers latents tell how much of each attribute a face has: (A, D + 1).

    z · row[:-1] + row[-1] is 0 in the mean of those who have it not, and 1 in the mean of those who
    have it: least squares of each attribute's known labels on the latents, so scaled.
    """
    rows = []
    for column, both in zip(labels.T, both_sides(labels).tolist(), strict=True):
        row = torch.zeros(mu.shape[1] + 1).to(mu)
        if both:
            known = mu[column != 0]
            x, y = _standardised(known), column[column != 0].to(mu)
            ridge = NOISE * mu.shape[1] / len(x) * torch.eye(mu.shape[1]).to(mu)
            normal = torch.linalg.solve(x.T @ x / len(x) + ridge, x.T @ (y - y.mean()) / len(x))
            normal = normal / _deviations(known)
            has, has_not = (mu[column == side].mean(dim=0) @ normal for side in (1, -1))
            row[:-1], row[-1] = normal, -has_not
            row = row / (has - has_not).clamp_min(1e-6)
        rows.append(row)
    return torch.stack(rows)


def step_length(readout: Tensor, z: Tensor, sign: int = 1) -> Tensor:
    """How long a step each face needs, where the mean face that lacks the attribute needs 1: (N,).

    A face at p on the way from the mean of those who have it not to the mean of those who have it
    needs 1 − p to get it, and p to lose it; but never less than LEAST, nor more than MOST.

    Args:
        readout: (D + 1,), a row of `readouts`. z: (N, D).
        sign: -1 to take the attribute away.
    """
    has = z @ readout[:-1] + readout[-1]
    return (1 - has if sign > 0 else has).clamp(LEAST, MOST)


METHODS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "difference of means": difference_of_means,
    "balanced difference": balanced_difference,
    "least squares": least_squares,
    "classifier normal": classifier_normal,
    "LDA normal": lda_normal,
    "pattern of scores": pattern,
}


def conditioned(directions: Tensor, others: Tensor, mu: Tensor) -> Tensor:
    """`directions` less what lies along `others`: (K, D) that an edit should not touch.

    Right angles are those of standardised latents.
    """
    deviations = _deviations(mu)
    axes = torch.linalg.qr((others / deviations).T).Q
    flat = directions / deviations
    return (flat - flat @ axes @ axes.T) * deviations


def to_class_means(directions: Tensor, mu: Tensor, labels: Tensor) -> Tensor:
    """The same directions, each as long as the way between the class means along it.

    Measured in standardised latents; a direction that leads the wrong way is turned round.
    """
    deviations = _deviations(mu)
    flat = directions / deviations
    between = difference_of_means(mu, labels) / deviations
    along = (flat * between).sum(dim=1) / flat.square().sum(dim=1).clamp_min(1e-12)
    return directions * along.unsqueeze(1)


def covariance_root(mu: Tensor, people: Tensor) -> Tensor:
    """L with L Lᵀ the covariance of one person's latents, its smallest variances raised: (D, D).

    Smiles, makeup and light come and go between one person's photographs and so are near; what
    differs between people alone is far. Where few have two photographs, it is the covariance of
    all.

    Args:
        people: (N,), equal numbers are one person.
    """
    _, person, photographs = people.unique(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(photographs), mu.shape[1]).index_add_(0, person, mu)
    apart = mu - (sums / photographs.unsqueeze(1))[person]
    differences = len(mu) - len(photographs)
    known = differences >= ALIKE * mu.shape[1]
    covariance = apart.T @ apart / differences if known else torch.cov(mu.T)
    return torch.linalg.cholesky(_shrunk(covariance, RAISED))


def distance(step: Tensor, root: Tensor) -> float:
    """How far a step (D,) leads, in the deviations of a `covariance_root` (Mahalanobis)."""
    return float(torch.linalg.solve_triangular(root, step.unsqueeze(1), upper=False).norm())


def logistic_regression(
    inputs: Tensor, labels: Tensor, decay: float, steps: int = 40
) -> tuple[Tensor, Tensor]:
    """A linear classifier for each attribute, both sides weighing the same.

    Args:
        inputs: (N, D), standardised. labels: (N, A) with 1, -1 and 0 for unknown.

    Returns:
        weight (A, D) and bias (A,).
    """
    has, has_not = (labels == 1).to(inputs), (labels == -1).to(inputs)
    counts = has.sum(dim=0).clamp_min(1), has_not.sum(dim=0).clamp_min(1)
    weights = 0.5 * (has / counts[0] + has_not / counts[1])
    sign = labels.to(inputs)
    weight = torch.zeros(labels.shape[1], inputs.shape[1], requires_grad=True)
    bias = torch.zeros(labels.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=steps, history_size=10, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = inputs @ weight.T + bias
        loss = (weights * F.softplus(-sign * logits)).sum() + decay / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach(), bias.detach()


def correlation(labels: Tensor) -> Tensor:
    """How attributes go together in life: (A, A) in [-1, 1], of faces of which both are known.

    0 where there is no such face, or all of them are alike; and so for an attribute with itself.
    """
    y, known = labels.double(), (labels != 0).double()
    both = known.T @ known
    sums = y.T @ known / both  # [i, j]: the mean of i where j is known, too
    squares = y.square().T @ known / both
    deviations = (squares - sums.square()).clamp_min(0).sqrt()
    covariance = y.T @ y / both - sums * sums.T
    return (covariance / (deviations * deviations.T)).nan_to_num(0, 0, 0).float()


def _filled(labels: Tensor) -> Tensor:
    """Labels (N, A), an unknown one at the mean of those that are known of its attribute."""
    unknown = labels == 0
    means = labels.sum(dim=0) / (~unknown).sum(dim=0).clamp_min(1)
    return torch.where(unknown, means, labels)


def _standardised(x: Tensor) -> Tensor:
    return (x - x.mean(dim=0)) / _deviations(x)


def _deviations(x: Tensor) -> Tensor:
    """Of each column of x (N, K), to divide by: (K,), never 0, and of a single row not NaN."""
    return x.std(dim=0, correction=0).clamp_min(1e-6)


def _shrunk(covariance: Tensor, share: float) -> Tensor:
    mean = covariance.diagonal().mean()
    return (1 - share) * covariance + share * mean * torch.eye(len(covariance)).to(covariance)


def both_sides(labels: Tensor) -> Tensor:
    """Which attributes some faces have and others have not: (N, A) → (A,) bool."""
    return (labels == 1).any(dim=0) & (labels == -1).any(dim=0)
