"""The editor: everything that the page, the command line and Python users can do to a face.

    from vaegan import Editor

    editor = Editor.from_pretrained()
    face = editor.open("portrait.jpg")
    editor.edit(face, {"Smiling": 2.0}).save("smile.png")

An `Editor` holds a model and nothing of any user; what belongs to a photograph lives in its
immutable `Face`. So one editor serves any number of people at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vaegan import align, attributes, blend, checkpoint, custom, hub, images, latents
from vaegan import refine as optimisation
from vaegan.align import Detection
from vaegan.attributes import LIMIT, AttributeVectors, VectorError
from vaegan.checkpoint import Snapshot
from vaegan.custom import OwnAttribute, Space
from vaegan.errors import UserError
from vaegan.face import Face
from vaegan.hub import ModelNotFound
from vaegan.networks import echo, fold
from vaegan.settings import Settings
from vaegan.view import FaceView, View

MAX_CROP = 1024  # pixels; a larger face is edited at this size, and its texture is not lost by it
PhotoLike = Image.Image | str | Path | bytes  # what a photograph may be given as
Turn = AbstractContextManager[Any]  # for those who share the cores with others …
ALONE: Turn = nullcontext()  # … and for those who do not
MOST_FACES = 8  # of a photograph, that are opened
OUTSIDE = 0.3  # share of the crop outside the photograph from which on the user is warned


class FaceNotFound(UserError):
    """No face, or not that many, in a photograph; said in one sentence."""


@dataclass(frozen=True)
class Attribute:
    """A slider. `name` is as the face set has it; `low` and `high` are in slider units.

    measured: what it did at +2 to validation people, on whom its vector was chosen, if that is
        known (`vaegan.select`):
        `effect` and `leakage`, shares; `moves`, {other attribute: share that it turned over};
        `below`, the same of −2, if that was measured
    """

    name: str
    label: str
    group: str
    low: float = -LIMIT
    high: float = LIMIT
    step: float = 0.1
    measured: dict[str, Any] | None = None


class Editor:
    """A model with its attribute vectors. Make one with `from_pretrained`."""

    def __init__(self, snapshot: Snapshot, vectors: AttributeVectors | None, name: str) -> None:
        self.name = name
        self.config = snapshot.config
        self.training = snapshot.training
        self.model = snapshot.sha256
        self.encoder = fold(snapshot.encoder) if snapshot.encoder else None
        self.decoder = fold(snapshot.decoder)
        self.prior = snapshot.prior
        self.vectors = vectors
        known = vectors.names if vectors else ()
        measured = dict(zip(known, vectors.measured, strict=False)) if vectors else {}
        self.attributes: tuple[Attribute, ...] = tuple(
            Attribute(key, slider.label, slider.group, measured=measured.get(key))
            for key, slider in attributes.sliders(known).items()
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
        found = attributes.load(vectors, snapshot) if vectors.is_file() else None
        name = str(model or hub.BUNDLED)
        return cls(snapshot, found, f"{name}@{revision}" if revision else name)

    # ------------------------------------------------------------ photographs

    def detect(self, image: PhotoLike) -> list[Detection]:
        """The faces in a photograph, largest first.

        Raises:
            BadImage: not a picture that can be used.
        """
        return align.detect(images.open_image(image))

    def open(
        self,
        image: PhotoLike,
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
            ModelNotFound: the model is a GAN, which has no encoder.
            ValueError: nothing is in the box.
        """
        photo = images.open_image(image)
        if box is not None:
            return self._encode(photo, align.from_box(*box))
        found = _found(photo)
        if not 0 <= face < len(found):
            raise FaceNotFound(f"There is no face {face + 1}: {len(found)} were found.")
        return self._encode(photo, align.similarity(found[face].landmarks))

    def open_all(self, image: PhotoLike, most: int = MOST_FACES) -> list[Face]:
        """The faces of a photograph as `open` gives them, largest first, at most `most`.

        Raises:
            BadImage: not a picture that can be used.
            FaceNotFound: no face.
            ModelNotFound: the model is a GAN, which has no encoder.
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

    def direction(
        self, z: Tensor, settings: dict[str | OwnAttribute, float], hold: Sequence[str] = ()
    ) -> Tensor:
        """What `settings` add to z, orthogonal to the vectors of those in `hold`.

        z: (N, latent_dim), as is what is returned. How long each step is depends on the face, see
        `AttributeVectors.direction`; one's own attributes move all faces alike.

        Raises:
            VectorError: the model has no such attribute, or it was made for another model.
        """
        own = {each: s for each, s in settings.items() if isinstance(each, OwnAttribute)}
        named = {name: s for name, s in settings.items() if name not in own}
        if self.vectors is None and (named or (own and hold)):
            raise VectorError("This model has no attribute vectors.")
        total = torch.zeros_like(z)
        for attribute, strength in own.items():
            if attribute.model != self.model:
                raise VectorError(f"{attribute.name!r} was made for another model.")
            vector = self.vectors.without(attribute.vector, hold) if hold else attribute.vector
            total = total + strength * vector
        return total + self.vectors.direction(z, named, hold) if named else total

    # ------------------------------------------------------------ editing

    def edit(
        self,
        face: Face,
        settings: dict[str | OwnAttribute, float],
        detail: float | None = None,
        paste: bool = False,
        hold: Sequence[str] = (),
        softness: float = align.SOFTNESS,
    ) -> Image.Image:
        """The face with `settings` ({attribute: slider value}) applied.

        Args:
            detail: None: the decoder's picture at the model's resolution. 0 to 1: at the size of
                the aligned crop, from the decoder's picture (0) over the photograph's texture where
                the edit draws nothing anew (0.5) to all of it (1).
            paste: the whole photograph at its own size, with the face edited in it; detail is
                `blend.DETAIL` unless given.
            hold: attributes to leave alone, see `AttributeVectors.direction`.
            softness: of the edge when pasted, 0 to 1.

        Raises:
            VectorError: an unknown attribute.
            SettingsError: a slider's value is no number; detail or softness outside [0, 1].
            UserError: nothing to paste into.
        """
        wanted = Settings(
            settings, tuple(hold), blend.DETAIL if detail is None else detail, softness
        )
        if paste:
            return self.compose([(face, wanted)])
        if detail is None:
            return images.to_pil(self.draw_edit(face, wanted)[0])
        crop = Image.fromarray(self.frame(FaceView.of(face, len(face.crop)), wanted))
        crop.info.update(face.photo.info if face.photo else {})  # its colour profile
        return crop

    def draw_edit(self, face: Face, settings: Settings) -> Tensor:
        """The decoder's picture of an edit: (1, 3, R, R) in [-1, 1]."""
        return self.decode(self._edited(face, settings))

    def _draw_both(self, face: Face, settings: Settings) -> tuple[Tensor, Tensor | None]:
        """`draw_edit`, and the same of the sliders alone that change nothing but colours; None if
        none of those is set, or if there is no photograph that would lead them."""
        moved = {name: value for name, value in settings.sliders.items() if value}
        colours = {name: value for name, value in moved.items() if attributes.of_colour(name)}
        if not colours or face.photo is None:
            return self.draw_edit(face, settings), None
        if colours == moved:
            edited = self.draw_edit(face, settings)
            return edited, edited
        alone = replace(settings, sliders=colours)
        z = torch.cat([self._edited(face, settings), self._edited(face, alone)])
        edited, coloured = self.decode(z).split(1)
        return edited, coloured

    def _edited(self, face: Face, settings: Settings) -> Tensor:
        return face.z + self.direction(face.z, settings.sliders, settings.hold)

    def frame(self, shown: View, settings: Settings) -> NDArray[np.uint8]:
        """An edit as `shown` shows it, (H, W, 3): quick enough for every move of a slider."""
        edited, coloured = self._draw_both(shown.face, settings)
        return shown.frame(edited, settings, coloured)

    def compose(self, edits: Iterable[tuple[Face, Settings]]) -> Image.Image:
        """The photograph with several of its faces edited, at its own size.

        Args:
            edits: faces of one photograph, each with its settings.

        Raises:
            VectorError: an unknown attribute.
            UserError: a face without a photograph, or no face.
        """
        photo = None
        for face, settings in edits:
            if face.photo is None or face.matrix is None:
                raise UserError("This face was drawn by the model: there is no photograph of it.")
            photo = photo or face.photo
            x = images.from_pil(Image.fromarray(face.crop))[None]
            base = blend.Base(x, face.reconstruction)
            edited, coloured = self._draw_both(face, settings)
            change = blend.change(base, edited, settings.detail, match=1, coloured=coloured)
            levels = images.to_levels(change)
            photo = align.paste(photo, levels, face.matrix, settings.softness)
        if photo is None:
            raise UserError("There is no face to edit.")
        return photo

    def filmstrip(
        self,
        face: Face,
        name: str,
        settings: Settings | None = None,
        count: int = 7,
        size: int | None = None,
    ) -> list[Image.Image]:
        """One slider at `count` places from -3 to 3, the others as in `settings`.

        Args:
            size: of each picture, in pixels; the aligned crop's own unless given.

        Raises:
            VectorError: an unknown attribute.
        """
        settings = settings or Settings()
        strip = FaceView.of(face, size or len(face.crop))
        places = np.linspace(-LIMIT, LIMIT, count)
        wanted = [replace(settings, sliders={**settings.sliders, name: s}) for s in places.tolist()]
        return [Image.fromarray(self.frame(strip, each)) for each in wanted]

    def apply(self, face: Face, settings: Settings) -> Face:
        """A face that begins where an edit ends: all sliders at 0 show the edit.

        Its photograph is the edited one, and its z the edited z.

        Raises:
            VectorError: an unknown attribute.
        """
        z = self._edited(face, settings)
        if face.photo is None:
            return self.face_of(z)
        photo = self.compose([(face, settings)])
        crop = np.array(align.align(photo, face.matrix, len(face.crop)))
        return Face(photo, face.matrix, crop, z, self.decode(z), face.warning)

    def refine(self, face: Face, steps: int = optimisation.STEPS) -> Iterator[Face]:
        """Yields the face with a closer and closer z, once for each step; see `vaegan.refine`.

        Raises:
            UserError: the model drew this face, so there is nothing to come closer to.
        """
        if face.photo is None:
            raise UserError("The model drew this face itself, so z fits it already.")
        x = images.from_pil(Image.fromarray(face.crop), self.config.resolution)[None]
        for z in optimisation.refine(self.decoder, face.z, x, self.prior.cholesky, steps):
            yield replace(face, z=z, reconstruction=self.decode(z))

    # ------------------------------------------------------------ morphs and random faces

    def between(self, a: Face, b: Face, t: float, spherical: bool = False) -> Tensor:
        """The latent at t in [0, 1] on the way from a to b: (1, latent_dim).

        spherical: on an arc around the mean of the training faces, not on the straight line.
        """
        center = self.prior.mean if spherical else None
        return latents.between(a.z[0], b.z[0], torch.tensor([float(t)]), center)

    def interpolate(
        self, a: Face, b: Face, steps: int = 9, spherical: bool = False
    ) -> list[Image.Image]:
        """`steps` pictures from a to b, both included; see `between`.

        Raises:
            UserError: fewer than two.
        """
        if steps < 2:
            raise UserError("A morph needs at least two pictures.")
        z = torch.cat([self.between(a, b, t, spherical) for t in np.linspace(0, 1, steps)])
        return [images.to_pil(x) for x in self.decode(z)]

    def draw(
        self,
        n: int,
        truncation: float = 0.7,
        seed: int | None = None,
        fitted: bool = True,
        echoes: bool = True,
    ) -> Tensor:
        """n latents from the prior fitted to the training faces: (n, latent_dim).

        Args:
            truncation: scales the distance from the mean face; 0 is the mean face itself.
            seed: the same seed draws the same faces.
            fitted: False draws from N(0, I), the distribution that training aims at.
            echoes: False leaves out what `Prior.with_echoes` adds.
        """
        generator = torch.Generator()
        generator.manual_seed(seed) if seed is not None else generator.seed()
        if not fitted:
            return truncation * torch.randn(n, self.config.latent_dim, generator=generator)
        again = partial(echo, self.encoder, self.decoder) if self.encoder and echoes else None
        return self.prior.draw(n, truncation, generator, again)

    def sample(
        self, n: int = 4, truncation: float = 0.7, seed: int | None = None
    ) -> list[Image.Image]:
        """n random faces at the model's resolution; see `draw`."""
        return [images.to_pil(x) for x in self.decode(self.draw(n, truncation, seed))]

    @torch.no_grad()
    def adopt(self, face: Face, turn: Turn = ALONE) -> Face:
        """A face that another model opened, as this one sees it.

        A GAN has no encoder: its z is found by optimisation, in some seconds.

        turn: held while something is worked out, and let go between two steps of the search.
        """
        x = images.from_pil(Image.fromarray(face.crop), self.config.resolution)[None]
        if self.encoder is None:
            z, steps = self.prior.mean[None], optimisation.FROM_AFAR
            search = optimisation.refine(self.decoder, z, x, self.prior.cholesky, steps)
            for _ in range(steps):
                with turn:
                    z = next(search)
        else:
            with turn:
                z, _ = self.encoder(x.contiguous(memory_format=torch.channels_last))
        with turn:
            return replace(face, z=z, reconstruction=self.decode(z))

    # ------------------------------------------------------------ attributes of one's own

    def attribute_from(
        self,
        with_images: Sequence[PhotoLike | Face],
        without_images: Sequence[PhotoLike | Face],
        name: str,
        turn: Turn = ALONE,
    ) -> OwnAttribute:
        """A slider from two sets: photographs (their largest face), or faces already open.

        Of one face each, it adds what the first has that the second has not.

        turn: held while something is worked out, and let go between two faces.

        Raises:
            VectorError: a set is empty, or the name is no name.
            BadImage, FaceNotFound: a photograph that cannot be used.
        """

        def latents_of(faces: Sequence[PhotoLike | Face]) -> Tensor:
            found = []
            for face in faces:
                with turn:
                    found.append(self.mirrored_mean(face))
            return torch.cat(found) if found else torch.empty(0)

        has, has_not = latents_of(with_images), latents_of(without_images)
        with turn:
            return self._space.learn(has, has_not, name, self.model)

    def score(self, own: OwnAttribute, mu: Tensor) -> Tensor:
        """How much faces have of it, (N,): higher is more. mu: (N, latent_dim), mirrored means."""
        return mu @ self._space.normal(own.vector).float()

    def load_attribute(self, path: str | Path) -> OwnAttribute:
        """A slider that `vaegan.custom.save` wrote.

        Raises:
            VectorError: damaged, or made for another model.
        """
        return custom.load(path, self.model, self.config.latent_dim)

    @torch.inference_mode()
    def mirrored_mean(self, image: PhotoLike | Face) -> Tensor:
        """The mean of z and of the mirrored face's z: who looks where then matters less.

        Returns (1, latent_dim).
        """
        face = image if isinstance(image, Face) else self.open(image)
        if self.encoder is None:
            return face.z
        x = images.from_pil(Image.fromarray(face.crop), self.config.resolution).flip(2)[None]
        return (face.z + self.encoder(x.contiguous(memory_format=torch.channels_last))[0]) / 2

    @cached_property
    def _space(self) -> Space:
        return Space(self.prior.cholesky, self.vectors.above if self.vectors else None)


def _found(photo: Image.Image) -> list[Detection]:
    found = align.detect(photo)
    if not found:
        raise FaceNotFound(
            "No face was found in this picture; one that looks at the camera works best."
        )
    return found
