"""A face on a screen: at a fixed size, and quick enough for every move of a slider.

What no edit changes is worked out when a view is made; a frame costs a decode and a few sums.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vaegan import align, blend, images
from vaegan.blend import Base
from vaegan.face import Face, shrunk, thumbnail
from vaegan.settings import Settings


@dataclass(frozen=True, eq=False)
class FaceView:
    """The aligned face alone, at size×size.

    face: its crop of that size; base: None for a face that the model drew
    """

    face: Face
    size: int
    base: Base | None

    @classmethod
    def of(cls, face: Face, size: int) -> FaceView:
        if face.photo is None:
            return cls(face, size, None)
        face = replace(face, crop=thumbnail(face, size))
        return cls(face, size, Base(_tensor(face.crop), face.reconstruction))

    def frame(
        self, edited: Tensor, settings: Settings, coloured: Tensor | None = None
    ) -> NDArray[np.uint8]:
        """edited: (1, 3, R, R), the decoder's picture of the edit; coloured: see `blend.change`.
        Returns (size, size, 3)."""
        if self.base is None:
            return plain(edited, self.size)
        # The decoder alone at detail 0, the photograph's colours from 0.5 on.
        match = min(1.0, 2 * settings.detail)
        change = blend.change(self.base, edited, settings.detail, match, coloured)
        return images.add(self.face.crop, change)


@dataclass(frozen=True, eq=False)
class PhotoView:
    """The whole photograph, shrunk, with the face edited in it.

    picture: (H, W, 3)
    box: left, top, right, bottom of what the face's crop touches, in pixels of the picture
    grid: (1, h, w, 2), where in the crop each pixel of the box lies, as `grid_sample` counts
    """

    face: Face
    picture: NDArray[np.uint8]
    base: Base
    box: tuple[int, int, int, int]
    grid: Tensor

    @classmethod
    def of(cls, face: Face, photo: Image.Image, side: int) -> PhotoView:
        """photo: what to show around the face, of the size of `face.photo`; side: its longer."""
        small, matrix = shrunk(photo, face.matrix, side)
        x = _tensor(thumbnail(face, align.crop_size(matrix)))
        box, grid = align.places(matrix, small.size)
        base = Base(x, face.reconstruction)
        return cls(face, np.array(small), base, box, torch.from_numpy(grid))

    @torch.inference_mode()
    def frame(
        self, edited: Tensor, settings: Settings, coloured: Tensor | None = None
    ) -> NDArray[np.uint8]:
        """edited: (1, 3, R, R), the decoder's picture of the edit; coloured: see `blend.change`.
        Returns (H, W, 3)."""
        left, top, right, bottom = self.box
        result = self.picture.copy()
        if left < right and top < bottom:
            change = blend.change(self.base, edited, settings.detail, match=1, coloured=coloured)
            change *= torch.from_numpy(align.mask(change.shape[-1], settings.softness))
            change = F.grid_sample(change, self.grid, align_corners=False)
            inside = result[top:bottom, left:right]
            inside[:] = images.add(inside, change)
        return result


View = FaceView | PhotoView


def plain(x: Tensor, size: int) -> NDArray[np.uint8]:
    """A decoder's picture (1, 3, R, R), enlarged: (size, size, 3)."""
    pixels = images.to_uint8(blend.enlarge(x, size)[0])
    return pixels.permute(1, 2, 0).contiguous().numpy()


def _tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) → (1, 3, H, W) in [-1, 1]."""
    return images.to_float(torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None]).contiguous()
