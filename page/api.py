"""What programs can call: `gradio_client` finds these by name, and docs/python.md shows each.

Every call stands alone. What it needs comes with it, so nothing of one caller can reach another.
Gradio documents each from its type hints, which must not be strings for that.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr
import torch
from gradio.utils import get_upload_folder
from PIL import Image

from page import morph, own
from page.photographs import largest_face, open_faces
from page.visitors import SIZE, keep, turn
from vaegan import custom, images, latents
from vaegan.blend import DETAIL
from vaegan.editor import Editor, FaceNotFound
from vaegan.errors import UserError
from vaegan.face import Face
from vaegan.morph import scaled

MOST = 64  # faces in one answer
FARTHEST = 3  # step to a neighbour
MISTAKEN = "An argument is missing, too large, or of another kind than the documentation says."


def endpoints(editor: Editor, prefix: str = "") -> None:
    """Registers them on the page that is being built, their names beginning with `prefix`."""

    def attributes() -> list[dict]:
        """The sliders: for each its name, label, group, low and high."""
        return [
            {"name": a.name, "label": a.label, "group": a.group, "low": a.low, "high": a.high}
            for a in editor.attributes
        ]

    def open_photo(photo: gr.FileData) -> list[dict]:
        """The faces in a photograph, largest first: for each its z and a warning, or "".

        Parameters:
            photo: the photograph
        """
        with sentences():
            return [
                {"z": face.z[0].tolist(), "warning": face.warning}
                for face in open_faces(editor, _path(photo))
            ]

    def decode(z: list[float]) -> gr.FileData:
        """The decoder's picture of z, as PNG.

        Parameters:
            z: as many numbers as /open gives for a face
        """
        with sentences(), turn:
            return _picture(editor.decode(_latent(editor, z)), "face")

    def edit(
        photo: gr.FileData,
        settings: dict,
        detail: float = DETAIL,
        face: int = 1,
        whole: bool = True,
        own_attribute: gr.FileData | None = None,
        own_strength: float = 0.0,
    ) -> gr.FileData:
        """The edited photograph, as PNG.

        Parameters:
            photo: the photograph
            settings: {attribute: slider value}, such as {"Smiling": 2}
            detail: 0, the decoder's picture, to 1, all of the photograph's texture
            face: which of the faces, 1 being the largest
            whole: the whole photograph, or the aligned face alone
            own_attribute: a file that /own_attribute made, if any
            own_strength: the slider value of that
        """
        with sentences():
            opened = _face(editor, photo, face)
            wanted = {name: float(value) for name, value in settings.items()}
            if own_attribute:
                wanted[editor.load_attribute(_path(own_attribute))] = float(own_strength)
            with turn:
                return _file(editor.edit(opened, wanted, float(detail), paste=whole), "edited")

    def sample(
        count: int = 4, truncation: float = 0.7, seed: int = 0, fitted: bool = True
    ) -> tuple[list[gr.FileData], list[list[float]]]:
        """Faces of nobody: their pictures, as PNG, and their z.

        Parameters:
            count: how many, 1 to 64
            truncation: 0, the average face, to 1, as varied as the training faces
            seed: the same seed draws the same faces
            fitted: from where the training faces lie, or else from N(0, I)
        """
        with sentences(), turn:
            truncation = _between("truncation", truncation, 0, 1)
            z = editor.draw(_count(count), truncation, int(seed) % 2**32, fitted)
            return _pictures(editor, z)

    def neighbours(
        z: list[float], count: int = 8, step: float = 0.3, seed: int = 0
    ) -> tuple[list[gr.FileData], list[list[float]]]:
        """Faces around a face: their pictures, as PNG, and their z.

        Parameters:
            z: as /open or /sample gives it
            count: how many, 1 to 64
            step: how far away, 0 to 3; 1 is another person
            seed: the same seed draws the same neighbours
        """
        with sentences(), turn:
            near = latents.neighbours(
                _latent(editor, z),
                _count(count),
                editor.prior.cholesky,
                _between("step", step, 0, FARTHEST),
                int(seed) % 2**32,
            )
            return _pictures(editor, near)

    def morph_film(
        photos: list[gr.FileData],
        gif: bool = False,
        size: int = 384,
        seconds: float = 1.5,
        spherical: bool = False,
        ease: bool = True,
        back: bool = True,
        whole: bool = False,
    ) -> gr.FileData:
        """A film in which the largest faces of the photographs turn into one another, as MP4.

        Parameters:
            photos: two or more photographs, in order
            gif: a GIF in place of an MP4
            size: of the picture in pixels, 32 to 1024
            seconds: from one face to the next, at most 5
            spherical: along an arc around the average face, not straight
            ease: slow at each face
            back: back again too
            whole: in the first photograph, not the face alone
        """
        with sentences():
            if not 2 <= len(photos) <= morph.MOST:
                raise UserError(f"A morph takes 2 to {morph.MOST} photographs.")
            if not (32 <= size <= morph.KEPT and 0 < seconds <= 5):
                raise UserError(f"size lies in 32 to {morph.KEPT}, seconds between 0 and 5.")
            faces = tuple(
                scaled(largest_face(editor, _path(photo)), morph.KEPT) for photo in photos
            )
            path = morph.write_film(editor, faces, ".gif" if gif else ".mp4", int(size),
                                    float(seconds), ease, back, spherical, whole)  # fmt: skip
            return gr.FileData(path=path)

    def own_attribute(
        with_it: list[gr.FileData],
        without_it: list[gr.FileData],
        name: str,
    ) -> tuple[gr.FileData, float | None, str]:
        """A slider of one's own: its file, how well it separates (0.5 to 1, or None), in words.

        Parameters:
            with_it: photographs of faces that have it
            without_it: photographs of faces that have it not; of one each, the slider adds what
                the first has that the second has not
            name: what to call it
        """
        with sentences():
            if len(with_it) > own.LARGEST or len(without_it) > own.LARGEST:
                raise UserError(f"A set takes at most {own.LARGEST} photographs.")
            sets = [
                [own.small(largest_face(editor, _path(photo))) for photo in part]
                for part in (with_it, without_it)
            ]
            made = editor.attribute_from(*sets, name=name, turn=turn)
            return gr.FileData(path=own.write(made)), made.separation, custom.in_words(made)

    named: dict[str, Callable] = {
        "attributes": attributes,
        "open": open_photo,
        "decode": decode,
        "edit": edit,
        "sample": sample,
        "neighbours": neighbours,
        "morph": morph_film,
        "own_attribute": own_attribute,
    }
    for name, function in named.items():
        limits = morph.ONE if function is morph_film else {}
        gr.api(function, api_name=prefix + name, **limits)


@contextmanager
def sentences() -> Iterator[None]:
    """What is wrong with a call, in one sentence for the caller."""
    try:
        yield
    except UserError as error:
        raise gr.Error(str(error), print_exception=False) from error
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        raise gr.Error(MISTAKEN, print_exception=False) from error


def _path(file: gr.FileData) -> str:
    """Where an uploaded file lies. A caller could write any path of this machine into a request,
    and Gradio lets it through where there is no component."""
    path = Path(str(dict(file).get("path", ""))).resolve()
    if not path.is_relative_to(Path(get_upload_folder()).resolve()):
        raise UserError("Only files that were uploaded can be opened.")
    return str(path)


def _face(editor: Editor, photo: gr.FileData, which: int) -> Face:
    faces = open_faces(editor, _path(photo))
    if not 1 <= which <= len(faces):
        raise FaceNotFound(f"There is no face {which}: {len(faces)} were found.")
    return faces[which - 1]


def _latent(editor: Editor, z: list[float]) -> torch.Tensor:
    found = torch.tensor([float(value) for value in z])
    if found.shape != (editor.config.latent_dim,) or not torch.isfinite(found).all():
        raise UserError(f"z has {editor.config.latent_dim} finite numbers.")
    return found[None]


def _count(count: int) -> int:
    return int(_between("count", count, 1, MOST))


def _between(name: str, value: float, least: float, most: float) -> float:
    if not least <= value <= most:
        raise UserError(f"{name} lies between {least} and {most}.")
    return float(value)


def _pictures(editor: Editor, z: torch.Tensor) -> tuple[list[gr.FileData], list[list[float]]]:
    drawn = [_picture(x[None], f"face-{n}") for n, x in enumerate(editor.decode(z), 1)]
    return drawn, z.tolist()


def _picture(x: torch.Tensor, name: str) -> gr.FileData:
    """A decoder's picture, enlarged: at the model's own size it would be a stamp."""
    return _file(images.to_pil(x[0]).resize((SIZE, SIZE), images.RESAMPLE), name)


def _file(picture: Image.Image, name: str) -> gr.FileData:
    """A PNG, with the mark that it was edited."""
    picture.format = "PNG"
    return gr.FileData(path=keep(picture, name))
