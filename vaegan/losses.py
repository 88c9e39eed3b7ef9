"""The losses, as pure functions.

Unless a docstring says otherwise: a sum over dimensions, a mean over the batch, a scalar back.
None of them knows an optimizer, a network or the phase it is used in.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


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


DISCRIMINATOR_LOSSES = {"hinge": discriminator_hinge, "bce": discriminator_bce}
DECODER_LOSSES = {"hinge": decoder_hinge, "bce": decoder_bce}
FEATURE_LOSSES = {"relative": feature_loss_relative, "gaussian": feature_loss_gaussian}
