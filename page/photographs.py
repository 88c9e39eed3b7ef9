"""From a photograph to faces: what is uploaded, and the examples."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from PIL import Image

from page.visitors import TRUNCATION, Faces, turn
from vaegan import images
from vaegan.editor import MOST_FACES, Editor
from vaegan.face import Face

ASTRONAUT = Path(__file__).parent.parent / "docs" / "astronaut.jpg"  # NASA, public domain
SEED = 22  # of the faces among the examples that the model draws
MAX_PHOTO = 16_000_000  # pixels of a photograph that is kept for pasting: 48 MB, twice after Apply
SHRUNK = "The photograph was shrunk to 16 million pixels."
MANY = f"Only the {MOST_FACES} largest faces of this photograph can be edited."

# The detector takes one photograph at a time. Who waits for it must not hold a turn meanwhile, or
# two uploads would stop every live picture on two cores.
detecting = threading.Lock()


def open_photo(path: str) -> tuple[Image.Image, str]:
    """An uploaded photograph, and a sentence about what was done to it, or "".

    Raises:
        BadImage: with a sentence for the visitor.
    """
    photo = images.open_image(path)
    shrink = (MAX_PHOTO / (photo.width * photo.height)) ** 0.5
    if shrink >= 1:
        return photo, ""
    photo.thumbnail([side * shrink for side in photo.size], images.RESAMPLE)
    return photo, SHRUNK


def open_faces(editor: Editor, path: str) -> Faces:
    """The faces of an uploaded photograph.

    Raises:
        BadImage, FaceNotFound, ModelNotFound: with a sentence for the visitor.
    """
    with detecting, turn:
        photo, said = open_photo(path)
        faces = editor.open_all(photo, MOST_FACES + 1)
        if len(faces) > MOST_FACES:
            said = f"{said} {MANY}"
        return tuple(_warned(face, said) for face in faces[:MOST_FACES])


def largest_face(editor: Editor, path: str) -> Face:
    """That of an uploaded photograph; raises as `open_faces` does."""
    with detecting, turn:
        photo, said = open_photo(path)
        return _warned(editor.open(photo), said)


def _warned(face: Face, said: str) -> Face:
    """With a sentence before its own, if there is any."""
    return replace(face, warning=f"{said} {face.warning}".strip())


def examples(editor: Editor) -> Faces:
    """Faces that need nobody's permission: an astronaut of NASA's, and some the model drew."""
    drawn = tuple(editor.face_of(z[None]) for z in editor.draw(5, TRUNCATION, seed=SEED))
    if ASTRONAUT.is_file() and editor.encoder is not None:
        return (editor.open(ASTRONAUT), *drawn)
    return drawn
