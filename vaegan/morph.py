"""Morphs from the command line: faces that turn into one another, as a film.

python -m vaegan.morph a.jpg b.jpg --out morph.mp4
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vaegan import align, latents, video
from vaegan.editor import ALONE, Editor, Turn
from vaegan.errors import UserError, command_line
from vaegan.face import Face, shrunk, thumbnail
from vaegan.view import plain

MOST = 250_000_000  # pixels of a film's different pictures, which take three bytes each of memory
EXAMPLES = """
Faces are photographs, of which the largest face counts, or faces of nobody: random:7 is the one
that the seed 7 draws.

examples:
  python -m vaegan.morph me.jpg you.jpg --out morph.mp4
  python -m vaegan.morph me.jpg random:7 you.jpg --seconds 1.5 --out morph.gif
  python -m vaegan.morph me.jpg you.jpg --whole --size 720 --out in-the-photograph.mp4
"""


def film_times(seconds: float, fps: int, legs: int, ease: bool, back: bool) -> torch.Tensor:
    """The `latents.times` of a film that takes so many seconds from one face to the next."""
    return latents.times(max(2, round(seconds * fps * legs) + 1), legs, ease, back)


def film(
    editor: Editor,
    faces: Sequence[Face],
    times: torch.Tensor,
    size: int = 384,
    spherical: bool = False,
    whole: bool = False,
    turn: Turn = ALONE,
) -> list[Image.Image]:
    """The frames of a morph along `faces`.

    Args:
        times: (N,) in [0, 1], such as `latents.times` gives.
        size: of a frame in pixels; with `whole`, of the photograph's longer side, at most.
        spherical: an arc around the mean of the training faces, in place of a straight line.
        whole: in the first face's photograph.
        turn: held while a picture is drawn, and let go between two, where many share the cores.

    Raises:
        UserError: fewer than two faces, too large a film, or `whole` without a photograph.
    """
    first = scaled(faces[0], size) if whole else faces[0]
    if whole and first.photo is None:
        raise UserError("The first face was drawn by the model: there is no photograph behind it.")
    width, height = first.photo.size if whole else (size, size)
    if (pixels := len(set(times.tolist())) * width * height) > MOST:
        raise UserError(
            f"This film would have {pixels / 1e6:.0f} million pixels, more than {MOST / 1e6:.0f}: "
            "make it shorter or smaller."
        )
    side = len(first.crop) if whole else size
    center = editor.prior.mean if spherical else None
    path = latents.along(torch.cat([face.z for face in faces]), times, center)
    textures = [texture(face, side) for face in faces]
    seen: dict[float, Image.Image] = {}  # the way back shows the same pictures
    for t, z in zip(times.tolist(), path, strict=True):
        if t in seen:
            continue
        with turn:
            pixels = plain(editor.decode(z[None]), side).astype(np.float32)
            for index, detail in enumerate(textures):
                pixels += nearness(t, index, len(faces)) ** 2 * detail
            pixels = pixels.clip(0, 255)
            if whole:
                change = (oval(side) * (pixels - first.crop)).astype(np.float32)
                seen[t] = align.paste(first.photo, change, first.matrix)
            else:
                seen[t] = Image.fromarray(pixels.round().astype(np.uint8))
    return [seen[t] for t in times.tolist()]


def texture(face: Face, size: int) -> NDArray[np.float32]:
    """What a photograph has and its reconstruction has not: (size, size, 3) grey levels.

    It fades with the square of the distance, so that a film begins and ends with photographs and
    is in between the decoder's alone, without ghosts of two hairlines.
    """
    if face.photo is None:
        return np.zeros((size, size, 3), np.float32)
    soft = plain(face.reconstruction, size).astype(np.float32)
    return thumbnail(face, size).astype(np.float32) - soft


def nearness(t: float, index: int, count: int) -> float:
    """How near t in [0, 1] is to a face of the chain: 1 at it, 0 from its neighbours on."""
    return max(0.0, 1 - abs(t * (count - 1) - index))


def oval(size: int) -> NDArray[np.float64]:
    """1 where an aligned face lies, falling softly to 0 around it: (size, size, 1)."""
    x, y = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2)
    radius = np.hypot((x - 0.5) / 0.42, (y - 0.53) / 0.47)
    edge = np.clip((1 - radius) / 0.3, 0, 1)
    return (edge * edge * (3 - 2 * edge))[..., None]


def scaled(face: Face, longest: int) -> Face:
    """The face in a smaller copy of its photograph, whose longer side is `longest` at most."""
    if face.photo is None or face.matrix is None:
        return face
    photo, matrix = shrunk(face.photo, face.matrix, longest)
    if photo is face.photo:
        return face
    side = min(len(face.crop), max(face.reconstruction.shape[-1], align.crop_size(matrix)))
    return replace(face, photo=photo, matrix=matrix, crop=thumbnail(face, side))


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m vaegan.morph",
        description="Morphs two or more faces into one another, as MP4 or GIF.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("faces", nargs="+", metavar="FACE", help="a photograph, or random:SEED; two or more")
    add("--out", type=film_path, required=True, help="the film to write: .mp4 or .gif")
    add("--seconds", type=float, default=2.0, help="from one face to the next (default 2)")
    add("--fps", type=int, help="pictures a second (default 24, of a GIF 20)")
    add("--size", type=int, default=384, help="pixels; with --whole, of the photograph's longer "
        "side (default 384)")  # fmt: skip
    add("--spherical", action="store_true", help="along an arc around the average face, so that "
        "the middle is as distinct as the ends")  # fmt: skip
    add("--steady", action="store_true", help="at one speed, not slower near each face")
    add("--once", action="store_true", help="only forth, not back again")
    add("--whole", action="store_true", help="in the first photograph, not the face alone")
    add("--model", help="a folder or a Hub repository user/repo; otherwise the bundled model")
    add("--revision", help="a branch, tag or commit of the Hub repository")
    flags = parser.parse_args(arguments)
    if len(flags.faces) < 2:
        parser.error("a morph needs at least two faces")
    if not (math.isfinite(flags.seconds) and 0 < flags.seconds <= 60):
        parser.error("--seconds lies between 0 and 60")
    if not 32 <= flags.size <= 2048:
        parser.error("--size lies between 32 and 2048")
    if flags.fps is None:
        flags.fps = video.RATES[flags.out.suffix.lower()]
    if not 1 <= flags.fps <= 60:
        parser.error("--fps lies between 1 and 60")
    return flags


def film_path(text: str) -> Path:
    """A path whose ending says a format in which films can be written."""
    if Path(text).suffix.lower() not in video.RATES:
        raise argparse.ArgumentTypeError(f"{text!r} does not end in {' or '.join(video.RATES)}")
    return Path(text)


def open_face(editor: Editor, name: str) -> Face:
    """A photograph's largest face, or the one that `random:SEED` names."""
    if drawn := re.fullmatch(r"random:(\d{1,9})", name):
        return editor.face_of(editor.draw(1, truncation=1.0, seed=int(drawn[1])))
    return editor.open(name)


@command_line
def main(arguments: list[str] | None = None) -> int:
    flags = parse(arguments)
    editor = Editor.from_pretrained(flags.model, revision=flags.revision)
    faces = [open_face(editor, name) for name in flags.faces]
    legs = len(faces) - 1
    times = film_times(flags.seconds, flags.fps, legs, not flags.steady, not flags.once)
    pictures = film(editor, faces, times, flags.size, flags.spherical, flags.whole)
    video.write(pictures, flags.out, flags.fps)
    for warning in {face.warning for face in faces} - {""}:
        print(warning, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
