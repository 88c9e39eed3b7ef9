"""The editor: everything that the page, the command line and Python users can do to a face.

    from vaegan import Editor

    editor = Editor.from_pretrained()
    face = editor.open("portrait.jpg")
    editor.edit(face, {"Smiling": 2.0}).save("smile.png")

An `Editor` holds a model and nothing of any user; what belongs to a photograph lives in its
immutable `Face`. So one editor serves any number of people at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vaegan import align, attributes, checkpoint, hub, images
from vaegan.align import Detection
from vaegan.attributes import LIMIT, SLIDERS, AttributeVectors, VectorError
from vaegan.checkpoint import Snapshot
from vaegan.hub import ModelNotFound
from vaegan.networks import fold

MAX_CROP = 1024  # pixels; a larger face is edited at this size, and its texture is not lost by it
CHANGE = 0.25  # a difference of this much, in [-1, 1] units, counts as wholly changed
OUTSIDE = 0.3  # share of the crop outside the photograph from which on the user is warned


class FaceNotFound(ValueError):
    """No face, or not that many, in a photograph; said in one sentence."""


@dataclass(frozen=True)
class Attribute:
    """A slider. `name` is CelebA's key; `low` and `high` are in slider units.

    measured: what it did at +2 to people it had not seen, if that is known (`vaegan.select`):
        `effect` and `leakage`, shares; `moves`, {other attribute: share that it turned over}
    """

    name: str
    label: str
    group: str
    low: float = -LIMIT
    high: float = LIMIT
    step: float = 0.1
    measured: dict[str, Any] | None = None


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


class Editor:
    """A model with its attribute vectors. Make one with `from_pretrained`."""

    def __init__(self, snapshot: Snapshot, vectors: AttributeVectors | None, name: str) -> None:
        self.name = name
        self.config = snapshot.config
        self.training = snapshot.training
        self.encoder = fold(snapshot.encoder) if snapshot.encoder else None
        self.decoder = fold(snapshot.decoder)
        self.prior_mean = snapshot.prior_mean
        self.prior_cholesky = snapshot.prior_cholesky
        self.vectors = vectors
        known = vectors.names if vectors else ()
        measured = dict(zip(known, vectors.measured, strict=False)) if vectors else {}
        self.attributes: tuple[Attribute, ...] = tuple(
            Attribute(key, slider.label, slider.group, measured=measured.get(key))
            for key, slider in SLIDERS.items()
            if key in known
        )

    @classmethod
    def from_pretrained(
        cls, model: str | Path | None = None, *, revision: str | None = None
    ) -> Editor:
        """Loads the bundled model, a folder, or `user/repo` from the Hub.

        Raises:
            ModelNotFound: it is nowhere to be had.
            SnapshotError, VectorError, FileError: it is there, and cannot be used.
        """
        folder, vectors = hub.locate(model, revision)
        snapshot = checkpoint.load_snapshot(folder)
        found = attributes.load(vectors, snapshot.sha256) if vectors.is_file() else None
        if found and found.vectors.shape[1] != snapshot.config.latent_dim:
            raise VectorError(f"The vectors in {vectors} have another length than z.")
        return cls(snapshot, found, str(model or hub.BUNDLED))

    # ------------------------------------------------------------ photographs

    def detect(self, image: Image.Image | str | Path | bytes) -> list[Detection]:
        """The faces in a photograph, largest first.

        Raises:
            BadImage: not a picture that can be used.
        """
        return align.detect(images.open_image(image))

    def open(
        self,
        image: Image.Image | str | Path | bytes,
        face: int = 0,
        box: tuple[float, float, float, float] | None = None,
    ) -> Face:
        """Detects, aligns and encodes a face.

        Args:
            face: which of the detected faces, 0 being the largest.
            box: left, top, right, bottom in pixels of a face framed by hand, in place of detection.

        Raises:
            BadImage: not a picture that can be used.
            FaceNotFound: no face, or fewer than `face` + 1.
        """
        photo = images.open_image(image)
        if box is not None:
            return self._encode(photo, align.from_box(*box))
        found = _found(photo)
        if not 0 <= face < len(found):
            raise FaceNotFound(f"There is no face {face + 1}: {len(found)} were found.")
        return self._encode(photo, align.similarity(found[face].landmarks))

    def open_all(self, image: Image.Image | str | Path | bytes, most: int = 8) -> list[Face]:
        """The faces of a photograph as `open` gives them, largest first, at most `most`.

        Raises:
            BadImage: not a picture that can be used.
            FaceNotFound: no face.
        """
        photo = images.open_image(image)
        found = _found(photo)[:most]
        return [self._encode(photo, align.similarity(face.landmarks)) for face in found]

    @torch.inference_mode()
    def _encode(self, photo: Image.Image, matrix: NDArray[np.float64]) -> Face:
        if self.encoder is None:
            raise ModelNotFound("This model is a GAN: it draws faces, but cannot take one in.")
        resolution = self.config.resolution
        size = min(max(align.crop_size(matrix), resolution), MAX_CROP)
        crop = align.align(photo, matrix, size)
        x = images.from_pil(crop, resolution)[None]
        z, _ = self.encoder(x.contiguous(memory_format=torch.channels_last))
        outside = align.outside(matrix, photo.size)
        warning = (
            "The face reaches beyond the picture's edge, so part of it is filled in by mirroring."
            if outside > OUTSIDE
            else ""
        )
        return Face(photo, matrix, np.array(crop), z, self.decode(z), warning)

    def face_of(self, z: Tensor) -> Face:
        """A face that the model draws: z is (1, latent_dim)."""
        drawn = self.decode(z)
        return Face(None, None, np.array(images.to_pil(drawn[0])), z, drawn)

    # ------------------------------------------------------------ latents

    @torch.inference_mode()
    def decode(self, z: Tensor) -> Tensor:
        """z: (N, latent_dim) → (N, 3, R, R) in [-1, 1]."""
        return self.decoder(z)

    def direction(self, settings: dict[str, float]) -> Tensor:
        """What `settings` add to z: (latent_dim,).

        Raises:
            VectorError: the model has no such attribute.
        """
        if self.vectors is None:
            raise VectorError("This model has no attribute vectors.")
        return self.vectors.direction(settings)

    # ------------------------------------------------------------ editing

    def edit(
        self,
        face: Face,
        settings: dict[str, float],
        detail: float | None = None,
        paste: bool = False,
    ) -> Image.Image:
        """The face with `settings` ({attribute: slider value}) applied.

        Args:
            detail: None: the decoder's picture at the model's resolution. 0 to 1: at the size of
                the aligned crop, from the decoder's picture (0) over the photograph where the edit
                does nothing (0.5) to all of the photograph's texture (1).
            paste: the whole photograph at its own size, with the face edited in it; detail is 1
                unless given.

        Raises:
            VectorError: an unknown attribute.
            ValueError: detail outside [0, 1], or nothing to paste into.
        """
        if paste:
            return self._paste(face, settings, 1.0 if detail is None else detail)
        edited = self.decode(face.z + self.direction(settings))
        if detail is None:
            return images.to_pil(edited[0])
        return Image.fromarray(self._blend(face, edited, detail, face.crop))

    def preview(
        self, face: Face, settings: dict[str, float], detail: float | None, size: int
    ) -> NDArray[np.uint8]:
        """`edit` at size×size, (size, size, 3) uint8: quick enough for every move of a slider."""
        edited = self.decode(face.z + self.direction(settings))
        return self.show(face, edited, detail, size)

    def show(
        self, face: Face, edited: Tensor, detail: float | None, size: int
    ) -> NDArray[np.uint8]:
        """A decoded edit (1, 3, R, R) of `face`, at size×size; detail as in `edit`."""
        if detail is None or face.photo is None:
            return _bytes(_enlarge(edited, size))
        return self._blend(face, edited, detail, thumbnail(face, size))

    @torch.inference_mode()
    def _blend(
        self, face: Face, edited: Tensor, detail: float, crop: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """up(E) + k · (x − up(R)), at the size of `crop`.

        Written as up(E − R) + x − (1 − k) · (x − up(R)), so that k = 1 without an edit gives the
        photograph's own pixels.
        """
        if not 0 <= detail <= 1:
            raise ValueError(f"detail lies between 0 and 1, not at {detail}")
        size = len(crop)
        difference = edited - face.reconstruction
        x = images.to_float(torch.from_numpy(crop).permute(2, 0, 1)[None])
        result = x + _enlarge(difference, size)
        if detail < 1:
            # k rises from 0 over 1 − M at detail 0.5 to 1.
            changed = _enlarge(_changed(difference), size)
            k = 2 * detail * (1 - changed) if detail <= 0.5 else 1 - 2 * (1 - detail) * changed
            result = result - (1 - k) * (x - _enlarge(face.reconstruction, size))
        return _bytes(result)

    def _paste(self, face: Face, settings: dict[str, float], detail: float) -> Image.Image:
        if face.photo is None or face.matrix is None:
            raise ValueError("This face was drawn by the model: there is no photograph behind it.")
        edited = self.edit(face, settings, detail)
        return align.paste(face.photo, edited, face.matrix, base=Image.fromarray(face.crop))

    # ------------------------------------------------------------ morphs and random faces

    def between(self, a: Face, b: Face, t: float) -> Tensor:
        """The latent at t in [0, 1] on the straight line from a to b: (1, latent_dim)."""
        return torch.lerp(a.z, b.z, t)

    def interpolate(self, a: Face, b: Face, steps: int = 9) -> list[Image.Image]:
        """`steps` pictures from a to b, both included, along the straight line in z."""
        if steps < 2:
            raise ValueError("a morph needs at least two pictures")
        z = torch.cat([self.between(a, b, t) for t in np.linspace(0, 1, steps)])
        return [images.to_pil(x) for x in self.decode(z)]

    def draw(self, n: int, truncation: float = 0.7, seed: int | None = None) -> Tensor:
        """n latents from the Gaussian fitted to the training faces: (n, latent_dim).

        Args:
            truncation: scales the distance from the mean face; 0 is the mean face itself.
            seed: the same seed draws the same faces.
        """
        generator = torch.Generator()
        generator.manual_seed(seed) if seed is not None else generator.seed()
        epsilon = torch.randn(n, self.config.latent_dim, generator=generator)
        return self.prior_mean + truncation * epsilon @ self.prior_cholesky.T

    def sample(
        self, n: int = 4, truncation: float = 0.7, seed: int | None = None
    ) -> list[Image.Image]:
        """n random faces at the model's resolution; see `draw`."""
        return [images.to_pil(x) for x in self.decode(self.draw(n, truncation, seed))]


def thumbnail(face: Face, size: int) -> NDArray[np.uint8]:
    """The aligned crop at size×size: (size, size, 3)."""
    if len(face.crop) == size:
        return face.crop
    return np.array(Image.fromarray(face.crop).resize((size, size), images.RESAMPLE))


def _found(photo: Image.Image) -> list[Detection]:
    found = align.detect(photo)
    if not found:
        raise FaceNotFound(
            "No face was found in this picture; one that looks at the camera works best."
        )
    return found


def _enlarge(x: Tensor, size: int) -> Tensor:
    """(1, C, R, R) → (1, C, size, size), bicubic."""
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


def _changed(difference: Tensor) -> Tensor:
    """M: 0 where the edit does nothing, 1 where it changes all: (1, 1, R, R), blurred."""
    amount = difference.abs().mean(dim=1, keepdim=True)
    blurred = F.avg_pool2d(F.pad(amount, (4,) * 4, mode="replicate"), 5, stride=1)
    blurred = F.avg_pool2d(blurred, 5, stride=1)
    return (blurred / CHANGE).clamp(0, 1)


def _bytes(x: Tensor) -> NDArray[np.uint8]:
    """(1, 3, H, W) in [-1, 1] → (H, W, 3)."""
    return images.to_uint8(x[0]).permute(1, 2, 0).contiguous().numpy()
