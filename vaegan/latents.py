"""Ways through z: between two points, along a chain, around one point. Pure functions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaegan.errors import UserError


def between(a: Tensor, b: Tensor, t: Tensor, center: Tensor | None = None) -> Tensor:
    """From a to b: (N, D) for a, b of shape (D,) and t (N,) in [0, 1].

    center: (D,); given, the way is an arc around it: the direction turns evenly and the distance
        from the center changes evenly, so the middle of a morph is as far from the average face as
        its ends (spherical interpolation; Shoemake 1985, White 2016). None is the straight line.
    """
    t = t[:, None].to(a)
    if center is None:
        return torch.lerp(a, b, t)
    a, b = a - center, b - center
    lengths = a.norm(), b.norm()
    if min(lengths) < 1e-6:
        return center + torch.lerp(a, b, t)
    u, v = a / lengths[0], b / lengths[1]
    angle = torch.acos((u @ v).clamp(-1, 1))
    if angle < 1e-3 or math.pi - angle < 1e-3:  # nowhere to turn, or no one way to
        return center + torch.lerp(a, b, t)
    turned = (torch.sin((1 - t) * angle) * u + torch.sin(t * angle) * v) / torch.sin(angle)
    return center + torch.lerp(lengths[0], lengths[1], t) * turned


def along(points: Tensor, t: Tensor, center: Tensor | None = None) -> Tensor:
    """Along a chain of points (K, D), each leg taking as long: (N, D) for t (N,) in [0, 1]."""
    if len(points) < 2:
        raise UserError("A morph needs at least two faces.")
    legs = len(points) - 1
    position = t.clamp(0, 1) * legs
    leg = position.floor().clamp(max=legs - 1).long()
    steps = [
        between(points[k], points[k + 1], (position[n] - k)[None], center)
        for n, k in enumerate(leg.tolist())
    ]
    return torch.cat(steps)


def times(frames: int, legs: int = 1, ease: bool = True, back: bool = True) -> Tensor:
    """When each frame of a film is, on the way from 0 to 1 of `along`: (frames,) or more.

    ease: slow at every face and quick in between (3t² − 2t³).
    back: the way back follows, without the ends a second time, so that the film runs in a circle.
    """
    if frames < 2:
        raise UserError("A film needs at least two pictures.")
    position = torch.linspace(0, legs, frames, dtype=torch.double)
    if ease:
        leg = position.floor().clamp(max=legs - 1)
        t = position - leg
        position = leg + t * t * (3 - 2 * t)
    forth = (position / legs).float()
    return torch.cat([forth, forth.flip(0)[1:-1]]) if back else forth


def neighbours(z: Tensor, n: int, cholesky: Tensor, step: float, seed: int) -> Tensor:
    """n latents around z (1, D), a small step away in random directions: (n, D).

    The directions are those in which the training faces differ: cholesky (D, D) is that of their
    covariance. step: the share of a training face's distance from the mean, so 1 is another face.
    """
    generator = torch.Generator().manual_seed(seed)
    epsilon = torch.randn(n, z.shape[1], generator=generator)
    return z + step * epsilon @ cholesky.T
