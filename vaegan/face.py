"""A face, taken out of a photograph and encoded by a model, or drawn by one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vaegan import images


@dataclass(frozen=True, eq=False)
class Face:
    """A face of a photograph, encoded. Nothing changes it, and the editor keeps no copy.

    photo: the whole photograph, or None for a face that the model drew
    matrix: (2, 3), photograph to crop (see `vaegan.align`), or None
    crop: (S, S, 3) uint8, the aligned face at its own size
    z: (1, latent_dim)
    reconstruction: (1, 3, R, R) in [-1, 1]: the decoder's picture of z
    warning: a sentence for the user, or ""
    """

    photo: Image.Image | None
    matrix: NDArray[np.float64] | None
    crop: NDArray[np.uint8]
    z: Tensor
    reconstruction: Tensor = field(repr=False)
    warning: str = ""


def shrunk(
    photo: Image.Image, matrix: NDArray[np.float64], longest: int
) -> tuple[Image.Image, NDArray[np.float64]]:
    """A photograph whose longer side is `longest` at most, and what then takes it to the crop.

    matrix: (2, 3), photograph to crop
    """
    scale = min(1.0, longest / max(photo.size))
    if scale == 1:
        return photo, matrix
    small = photo.resize([max(1, round(side * scale)) for side in photo.size], images.RESAMPLE)
    return small, matrix / [*np.divide(small.size, photo.size), 1]


def thumbnail(face: Face, size: int) -> NDArray[np.uint8]:
    """The aligned crop at size×size: (size, size, 3)."""
    if len(face.crop) == size:
        return face.crop
    return np.array(Image.fromarray(face.crop).resize((size, size), images.RESAMPLE))
