"""A photograph's z where no encoder can tell it: found by optimisation.

A GAN's decoder draws faces, and nothing leads back. So z is sought, step by step, until the
decoder's picture looks like the photograph (Zhu et al. 2016, "Generative visual manipulation on
the natural image manifold"). It takes hundreds of decodes where an encoder takes one pass.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STEPS = 150
RATE = 0.1
PRIOR = 1e-3  # weight of how unlikely z is, against the mean difference of pixels in [-1, 1]


@torch.inference_mode(False)
def invert(
    decoder: nn.Module, x: Tensor, mean: Tensor, cholesky: Tensor, steps: int = STEPS
) -> Tensor:
    """z (1, D) whose picture is near x (1, 3, R, R), from the mean (D,) on.

    The steps are taken in e of z = mean + cholesky e, where every direction varies alike, and
    large e cost: (1, D) numbers would else leave the faces for anything that fits the pixels.
    """
    x, mean, cholesky = (tensor.clone() for tensor in (x, mean, cholesky))
    with torch.enable_grad():
        e = torch.zeros(1, len(mean), requires_grad=True)
        optimizer = torch.optim.Adam([e], RATE)
        for _ in range(steps):
            optimizer.zero_grad()
            difference = (decoder(mean + e @ cholesky.T) - x).abs().mean()
            (difference + PRIOR * e.square().mean()).backward()
            optimizer.step()
    return (mean + e @ cholesky.T).detach()
