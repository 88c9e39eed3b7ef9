"""The losses, as pure functions.

Unless a docstring says otherwise: a sum over dimensions, a mean over the batch, a scalar back.
None of them knows an optimizer, a network or the phase it is used in.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SURE = 2.0  # slider position at which an edit is to show beyond doubt
OTHERS = 4.0  # what all other attributes together weigh against the edited one


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, I)) in nats (Kingma & Welling 2014, appendix B).

    Args:
        mu, logvar: (N, latent_dim). Summed over dimensions, mean over the batch.
    """
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(dim=1).mean()


def pixel_loss(x_tilde: Tensor, x: Tensor) -> Tensor:
    """Mean absolute error over pixels and batch; (N, 3, H, W) in [-1, 1], so at most 2."""
    return F.l1_loss(x_tilde, x)


def feature_loss_gaussian(features_tilde: Sequence[Tensor], features: Sequence[Tensor]) -> Tensor:
    """-log N(Dis_l(x) | Dis_l(x_tilde), I) less its constant (Larsen et al. 2016, eq. 7–8).

    Half the squared error, summed over layers and dimensions, mean over the batch.
    """
    return sum(
        0.5 * (tilde - real.detach()).square().flatten(1).sum(dim=1).mean()
        for tilde, real in zip(features_tilde, features, strict=True)
    )


def feature_loss_relative(features_tilde: Sequence[Tensor], features: Sequence[Tensor]) -> Tensor:
    """Mean absolute error of each layer over that layer's mean magnitude; mean over layers.

    Dividing by the photographs' own mean magnitude makes the loss indifferent to the scale of the
    discriminator's features, which drifts while it trains: 1 means "as wrong as predicting zero".
    """
    terms = [
        (tilde - real.detach()).abs().mean(dtype=torch.float32)
        / real.detach().abs().mean(dtype=torch.float32).clamp_min(1e-6)
        for tilde, real in zip(features_tilde, features, strict=True)
    ]
    return torch.stack(terms).mean()


def discriminator_hinge(real: Tensor, fakes: Sequence[Tensor]) -> Tensor:
    """mean max(0, 1 - real) + mean over the kinds of fake of mean max(0, 1 + fake).

    Args:
        real: (N,) scores of photographs. fakes: one (M,) tensor per kind (x_tilde, x_hat).
    """
    down = torch.stack([F.relu(1 + fake).mean() for fake in fakes]).mean()
    return F.relu(1 - real).mean() + down


def decoder_hinge(fakes: Sequence[Tensor]) -> Tensor:
    """-mean score, mean over the kinds of fake (Lim & Ye 2017)."""
    return -torch.stack([fake.mean() for fake in fakes]).mean()


def discriminator_bce(real: Tensor, fakes: Sequence[Tensor]) -> Tensor:
    """-log Dis(x) - Σ over the kinds of fake log(1 - Dis(fake)) (Larsen et al. 2016, eq. 4 and 9).

    Scores are logits; each term is a mean over its batch.
    """
    return F.softplus(-real).mean() + sum(F.softplus(fake).mean() for fake in fakes)


def decoder_bce(fakes: Sequence[Tensor]) -> Tensor:
    """-Σ over the kinds of fake log Dis(fake): the non-saturating form (Goodfellow et al. 2014)."""
    return sum(F.softplus(-fake).mean() for fake in fakes)


def naming_loss(logits: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
    """Cross entropy over the known labels, both sides of each attribute weighing the same.

    Args:
        logits: (N, A). labels: (N, A) with 1, -1 and 0 for unknown.
        shares: (A,), of the training faces that have the attribute.

    A mean over what is known; 0 where nothing is.
    """
    shares = shares.clamp(0.02, 0.98)  # the rarest would shake the others with every find
    weights = torch.where(labels > 0, 0.5 / shares, 0.5 / (1 - shares)) * (labels != 0)
    errors = F.softplus(-logits.float() * labels)
    return (weights * errors).sum() / (labels != 0).sum().clamp_min(1)


def likeness_loss(logits_tilde: Tensor, logits: Tensor) -> Tensor:
    """Cross entropy of what a reconstruction is named under what its photograph is named.

    (N, A) each; a mean over both. The photograph's side is detached.
    """
    return F.binary_cross_entropy_with_logits(
        logits_tilde.float(), logits.detach().float().sigmoid()
    )


def edit_loss(
    logits: Tensor, logits_before: Tensor, index: Tensor, strength: Tensor, related: Tensor
) -> Tensor:
    """Whether edits did what their sliders say, and nothing else.

    The edited attribute goes from where it was to certain at a slider of `SURE`, in proportion;
    every other attribute stays, but for those that go along with it in life.

    Args:
        logits, logits_before: (N, A), after and before; before is detached.
        index: (N,), the edited attribute. strength: (N,), slider positions.
        related: (A, A) bool: what may move along, itself included.

    Cross entropies: the edited attribute's plus `OTHERS` times the mean of the others', a mean
    over the batch.
    """
    wanted = logits_before.detach().float().sigmoid()
    rows = torch.arange(len(index), device=index.device)
    end = (strength > 0).to(wanted)
    reached = (strength.abs() / SURE).clamp(max=1).to(wanted)
    wanted[rows, index] = torch.lerp(wanted[rows, index], end, reached)
    errors = F.binary_cross_entropy_with_logits(logits.float(), wanted, reduction="none")
    others = ~related[index]
    aside = (errors * others).sum() / others.sum().clamp_min(1)
    return errors[rows, index].mean() + OTHERS * aside


DISCRIMINATOR_LOSSES = {"hinge": discriminator_hinge, "bce": discriminator_bce}
DECODER_LOSSES = {"hinge": decoder_hinge, "bce": decoder_bce}
FEATURE_LOSSES = {"relative": feature_loss_relative, "gaussian": feature_loss_gaussian}
