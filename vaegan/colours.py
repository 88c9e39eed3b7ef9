"""Colours of a decoded edit that is to be laid over a photograph.

They hardly burn (`toned`), and they keep to the photograph's: what belongs together there changes
together (`Guide`). `vaegan.blend` says where.
"""

from __future__ import annotations

from functools import cached_property, lru_cache

import torch
from torch import Tensor

GLOW = 0.2  # that `toned` lets an edit add to a colour: distance from gray, in [-1, 1]
AROUND = 0.02  # crop sides: deviation of the blur within which colours are kept together, …
ALIKE = 0.02  # … those with a variance below this, in [-1, 1] units, counting as one
MADE_UP = 1.5  # how many times what is left of a change is strengthened at most
REACH = 0.25  # crop sides: how far what has a colour still changes with it, a deviation …
SHADE = 0.15  # … as this is of the colour, in [-1, 1] units
FARTHER = 0.4  # share of that in a change of colours alone
ASKED = 16  # places a side that are asked how they change


def toned(reconstruction: Tensor, edited: Tensor) -> Tensor:
    """A decoded edit, its colours hardly stronger than they were: (N, 3, R, R).

    Where an edit leads far from the faces it burns: foreheads turn red and skin orange, which in a
    photograph nobody overlooks. A colour's distance from gray may grow by GLOW at most; its hue and
    brightness are free.

    reconstruction, edited: (N, 3, R, R) in [-1, 1].
    """
    colour, before = (x - x.mean(dim=1, keepdim=True) for x in (edited, reconstruction))
    strength = colour.norm(dim=1, keepdim=True)
    more = (strength - before.norm(dim=1, keepdim=True)).clamp_min(0)
    too_much = more - GLOW * torch.tanh(more / GLOW)
    return edited - too_much / strength.clamp_min(1e-6) * colour


class Guide:
    """A photograph whose colours say what belongs together.

    z holds colours by place: a vector darkens hair where most people have it, and stops where they
    have a forehead. The photograph carries such a change on into a fringe, and off the skin beside
    it.

    x: (N, 3, R, R) in [-1, 1], at the decoder's size
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def near(self, change: Tensor) -> Tensor:
        """A change of colours, the same around each place for pixels of one colour: (N, 3, R, R).

        A guided filter (He et al. 2010, "Guided image filtering", eq. 14 to 16). Over the whole
        picture it is as strong as it was, or MADE_UP times what was left of it.
        """
        mean, inverse = self._near
        change_mean = blur(change, AROUND)
        covariance = _around(self.x[:, :, None] * change[:, None])
        covariance = covariance - mean[:, :, None] * change_mean[:, None]
        slope = (inverse[:, :, :, None] * covariance[:, None]).sum(dim=2)
        offset = change_mean - (slope * mean[:, :, None]).sum(dim=1)
        filtered = (_around(slope) * self.x[:, :, None]).sum(dim=1) + blur(offset, AROUND)
        return _strengthened(filtered, change)

    @cached_property
    def _near(self) -> tuple[Tensor, Tensor]:
        """The colours' mean around each place, (N, 3, R, R), and the inverse of their covariance,
        (N, 3, 3, R, R)."""
        x, mean = self.x, blur(self.x, AROUND)
        covariance = _around(x[:, :, None] * x[:, None]) - mean[:, :, None] * mean[:, None]
        ridge = covariance.movedim((1, 2), (-2, -1)) + ALIKE * torch.eye(3)
        return mean, torch.linalg.inv(ridge).movedim((-2, -1), (1, 2))

    def far(self, change: Tensor) -> Tensor:
        """From `near` on, FARTHER towards how pixels of like colours change around: (N, 3, R, R).

        That is a mean, weighted by how near they are and how alike (Tomasi and Manduchi 1998,
        "Bilateral filtering", with the photograph in the place of the picture itself).
        """
        asked = _asked(blur(change, AROUND)).flatten(2)  # (N, 3, P)
        alike = (asked @ self._far).view_as(change)
        return _strengthened(torch.lerp(self.near(change), alike, FARTHER), change)

    @cached_property
    def _far(self) -> Tensor:
        """Weights of the pixels that are asked, for each pixel: (N, P, R · R)."""
        ticks = torch.arange(self.x.shape[-1]) / self.x.shape[-1]
        places = torch.stack(torch.meshgrid(ticks, ticks, indexing="ij")) / REACH
        known = torch.cat([self.x / SHADE, places.expand(len(self.x), -1, -1, -1)], dim=1)
        asked, all_of_them = (part.flatten(2).mT for part in (_asked(known), known))
        return torch.softmax(-torch.cdist(asked, all_of_them).square() / 2, dim=1)


def _asked(x: Tensor) -> Tensor:
    """Pixels of (N, C, R, R) on a grid of about ASKED a side."""
    apart = max(1, x.shape[-1] // ASKED)
    return x[..., apart // 2 :: apart, apart // 2 :: apart]


def _strengthened(filtered: Tensor, change: Tensor) -> Tensor:
    """As strong over each whole picture as the change was, or MADE_UP times as it is."""
    before, after = (part.flatten(1).norm(dim=1) for part in (change, filtered))
    gain = (before / after.clamp_min(1e-6)).clamp(1, MADE_UP)
    return gain.view(-1, 1, 1, 1) * filtered


def _around(x: Tensor) -> Tensor:
    """`blur` of (N, 3, 3, R, R) with the deviation AROUND."""
    return blur(x.flatten(1, 2), AROUND).unflatten(1, (3, 3))


def blur(x: Tensor, deviation: float) -> Tensor:
    """A Gaussian blur of (N, C, S, S); its deviation in sides. Nothing darkens at the edges."""
    weights = _gaussian(x.shape[-1], deviation)
    return weights @ x @ weights.T


@lru_cache(maxsize=32)
def _gaussian(size: int, deviation: float) -> Tensor:
    """(size, size), each row adding up to 1."""
    ticks = torch.arange(size) / size
    weights = torch.exp(-((ticks - ticks[:, None]) ** 2) / (2 * deviation**2))
    return weights / weights.sum(dim=1, keepdim=True)
