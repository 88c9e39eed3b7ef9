"""A decoded edit laid over the photograph.

A decoder of 64 pixels cannot hold a face's detail; the photograph can. With x the photograph's
crop, R = Dec(z) the decoder's picture of it, E the edited one, Dec(z + δ) with colours that hardly
burn (`toned`) and keep to the photograph's, and a little farther from R (`Base.led`), `up` an
enlargement to the crop's size, and k between 0 and 1 for each pixel:

    result = up(E) + k · (x − up(R))

k = 0 is the decoder alone, and k = 1 keeps all of the photograph's texture. Between the two, M
decides: 0 where R and E have the same structure, whatever their colours, and 1 where it is another
(see `keep`). So hair that turns gray keeps its strands, while a smile that is gone leaves no teeth,
which with k = 1 would stay behind like ghosts. What is drawn anew still gets the photograph's own
pores and noise (see `Base.removable`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from vaegan.colours import Guide, blur, toned
from vaegan.metrics import moments

DETAIL = 0.7  # the highest at which a smile that is taken away leaves no teeth behind
WINDOW = 5  # pixels of the decoder, a side: where structures are compared
FLAT = 0.005  # a variance there, in [-1, 1] units, that is hardly any structure
TOLERANCE = 1 / 3  # a likeness this far from 1 counts as another structure
SPREAD = 0.12  # deviation of the blur that parts colour from texture, in crop sides
DRAWN = 0.02  # as FLAT, to tell where an edit draws something from where it only colours
BOLD = 1.1  # times a decoded edit, since a photograph's own texture hides some of it, …
BOLDER = 1.25  # … and times one of colours alone, which is averaged more widely
FINE = 128  # pixels a side: what these do not show of a photograph is fine, …
FAINT = 3.0  # … and faint within so many times its median magnitude


@dataclass(frozen=True, eq=False)
class Base:
    """What no edit changes: worked out once for each face and size. N is 1 on the page.

    x: (N, 3, S, S), the photograph's crop in [-1, 1]; reconstruction: R, (N, 3, R, R)
    """

    x: Tensor
    reconstruction: Tensor

    @cached_property
    @torch.inference_mode()
    def texture(self) -> Tensor:
        """x − up(R), (N, 3, S, S): what the decoder cannot draw."""
        return self.x - enlarge(self.reconstruction, self.x.shape[-1])

    @cached_property
    @torch.inference_mode()
    def removable(self) -> Tensor:
        """What an edit may take away of `texture`.

        Neither the colours in which the decoder is off, nor what is fine and faint: pores and the
        camera's noise are everywhere, and a forehead under bangs that are gone has them, too.
        """
        size = self.x.shape[-1]
        small = enlarge(self.texture, min(self.reconstruction.shape[-1], size))
        colours = enlarge(blur(small, SPREAD), size)
        fine = self.x - enlarge(enlarge(self.x, min(FINE, size)), size)
        faint = FAINT * fine.abs().flatten(1).median(dim=1).values.view(-1, 1, 1, 1)
        return self.texture - colours - fine.clamp(-faint, faint)

    @cached_property
    @torch.inference_mode()
    def guide(self) -> Guide:
        return Guide(enlarge(self.x, self.reconstruction.shape[-1]))

    def led(self, edited: Tensor, coloured: Tensor | None = None) -> Tensor:
        """A decoded edit that the photograph leads, and farther from R: (N, 3, R, R).

        What is a change of colours alone becomes what `Guide.far` makes of it, and all else what
        `Guide.near` does where it draws nothing anew.

        Args:
            edited: E, (N, 3, R, R) in [-1, 1].
            coloured: the same of the sliders that change nothing but colours, if any is set.
        """
        led, rest = self.reconstruction, edited - self.reconstruction
        if coloured is not None:
            colours = coloured - self.reconstruction
            led = led + BOLDER * self.guide.far(colours)
            rest = rest - colours
        if rest.any():
            anew = _unlike(self.reconstruction, edited, DRAWN).clamp_max(1)
            led = led + BOLD * torch.lerp(self.guide.near(rest), rest, anew)
        return led


@torch.inference_mode()
def change(
    base: Base, edited: Tensor, detail: float, match: float = 0, coloured: Tensor | None = None
) -> Tensor:
    """What an edit adds to x: result − x, (N, 3, S, S).

    Written as up(E − R) − (1 − k) · (x − up(R)), so that it is 0 to the last bit where k is 1 and
    E is R.

    Args:
        edited: Dec(z + δ), (N, 3, R, R) in [-1, 1].
        detail: 0 to 1, see `keep`.
        match: 0 to 1, how far to keep to the photograph's colours (`Base.led`), and to take its
            colours, pores and noise where its texture is gone.
        coloured: see `Base.led`.

    Raises:
        ValueError: detail outside [0, 1].
    """
    size = base.x.shape[-1]
    edited = toned(base.reconstruction, edited)
    if match:
        colours = None if coloured is None else toned(base.reconstruction, coloured)
        edited = torch.lerp(edited, base.led(edited, colours), match)
    result = enlarge(edited - base.reconstruction, size)
    if detail < 1:
        lost = torch.lerp(base.texture, base.removable, match) if match < 1 else base.removable
        gone = 1 - keep(base.reconstruction, edited, detail)
        result.addcmul_(enlarge(gone, size), lost, value=-1)
    elif detail > 1:
        raise ValueError(f"detail lies between 0 and 1, not at {detail}")
    return result


def keep(reconstruction: Tensor, edited: Tensor, detail: float) -> Tensor:
    """k, the share of the photograph's texture that stays: (N, 1, R, R).

    With M, how far structures are `_unlike`: 0 at detail 0, 1 − M at 0.5, and from there
    1 − (√a · M)^(1/a) with a = 2 · (1 − detail), M not capped before it is multiplied: that falls
    only where the structure is quite another. 1 at 1.

    Args:
        reconstruction, edited: R and E, (N, 3, R, R) in [-1, 1]. detail: 0 to 1.

    Raises:
        ValueError: detail outside [0, 1].
    """
    if not 0 <= detail <= 1:
        raise ValueError(f"detail lies between 0 and 1, not at {detail}")
    if detail == 1:
        return torch.ones_like(edited[:, :1])
    m = _unlike(reconstruction, edited)
    if detail <= 0.5:
        return 2 * detail * (1 - m.clamp_max(1))
    a = 2 * (1 - detail)
    return 1 - (a**0.5 * m).clamp_max(1) ** (1 / a)


def drawn_anew(reconstruction: Tensor, edited: Tensor) -> Tensor:
    """How far pictures are from having the same structure, 0 to 2: (N,), means over places."""
    return (1 - structure(reconstruction, edited)).clamp_min(0).mean(dim=(1, 2, 3))


def _unlike(reconstruction: Tensor, edited: Tensor, flat: float = FLAT) -> Tensor:
    """How far `structure` is from 1 around each pixel, in TOLERANCEs: (N, 1, R, R)."""
    return _mean(1 - structure(reconstruction, edited, flat)).clamp_min(0) / TOLERANCE


def structure(x: Tensor, y: Tensor, flat: float = FLAT) -> Tensor:
    """How alike two pictures are drawn, place by place: (N, 1, R, R), at most 1.

    SSIM without its first factor, which compares brightness (Wang et al. 2004, eq. 13): another
    colour costs nothing, and where both are flat there is nothing to be unlike.

    x, y: (N, 3, R, R) in [-1, 1]; flat: the variance that is hardly any structure
    """
    x, y = (picture.mean(dim=1, keepdim=True) for picture in (x, y))
    *_, variances, covariance = moments(x, y, _mean)
    return (2 * covariance + flat) / (variances + flat)


def _mean(x: Tensor) -> Tensor:
    """The mean around each pixel of (N, C, R, R), WINDOW pixels to a side; edges are repeated."""
    weights = _windows(x.shape[-1])
    return weights @ x @ weights.T


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # whoever asked first, others may want gradients through them
def _windows(size: int) -> Tensor:
    """(size, size), each row adding up to 1."""
    places = torch.arange(size)[:, None] + torch.arange(WINDOW) - WINDOW // 2
    return F.one_hot(places.clamp(0, size - 1), size).float().mean(dim=1)


def enlarge(x: Tensor, size: int) -> Tensor:
    """(N, C, R, R) → (N, C, size, size), bicubic; it shrinks as well."""
    if x.shape[-1] == size:
        return x
    weights = _bicubic(x.shape[-1], size)
    return weights @ x @ weights.T


@lru_cache(maxsize=32)
def _bicubic(resolution: int, size: int) -> Tensor:
    """The weights of bicubic interpolation: (size, resolution).

    As a product of matrices it takes a sixth of the time of `F.interpolate`, for each move of a
    slider.
    """
    rows = torch.eye(resolution)[None, None]
    weights = F.interpolate(rows, (size, resolution), mode="bicubic", antialias=size < resolution)
    return weights[0, 0]
