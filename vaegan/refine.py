"""A closer z for one face: a few seconds of optimisation.

An encoder answers at once for every face there is; for a single one gradient descent through the
decoder finds a better z (optimisation-based inversion, from the encoder's start as in Zhu et al.
2016, "Generative visual manipulation on the natural image manifold", section 4). A GAN has no
encoder: there the search begins at the average face.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

STEPS = 60
FROM_AFAR = 200  # steps where the start is the average face
RATE = 0.05  # of Adam, in standard deviations of the latents
EDGES = 1.0  # weight of the gradients' difference beside the pixels'
NEAR = 3e-3  # weight of the distance from the start: far from it, sliders lose their meaning


def refine(
    decoder: nn.Module, z: Tensor, x: Tensor, cholesky: Tensor, steps: int = STEPS
) -> Iterator[Tensor]:
    """Yields the best z so far after each step: (1, latent_dim).

    Args:
        z: (1, latent_dim), the start. x: (1, 3, R, R) in [-1, 1].
        cholesky: (latent_dim, latent_dim), lower triangular: of the covariance of many faces'
            latents. Steps are taken, and the way from the start is measured, in its units, so that
            z leaves its place in the ways in which faces differ.
    """
    start, x, cholesky = (tensor.clone() for tensor in (z, x, cholesky))  # of inference mode
    offset = torch.zeros_like(start).requires_grad_()
    optimizer = torch.optim.Adam([offset], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, RATE / 10)
    best, least = start, float("inf")
    for _ in range(steps):
        with torch.enable_grad():
            here = start + offset @ cholesky.T
            loss = _loss(decoder(here), x) + NEAR * offset.square().mean()
            (offset.grad,) = torch.autograd.grad(loss, [offset])
        if loss.item() < least:
            best, least = here.detach().clone(), loss.item()
        optimizer.step()
        schedule.step()
        yield best


def _loss(x_tilde: Tensor, x: Tensor) -> Tensor:
    """Mean squared difference of the pixels and of their gradients; mean over everything."""
    difference = x_tilde - x
    edges = difference.diff(dim=-1).square().mean() + difference.diff(dim=-2).square().mean()
    return difference.square().mean() + EDGES * edges
