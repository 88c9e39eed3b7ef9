"""What belongs to one visitor, and what all share: turns on the cores, limits, examples.

Nothing of a visitor lives anywhere but in that visitor's own `gr.State`.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import torch
from gradio.utils import get_upload_folder
from PIL import Image

from vaegan import images
from vaegan.editor import Editor, Face, thumbnail

ASTRONAUT = Path(__file__).parent.parent / "docs" / "astronaut.jpg"  # NASA, public domain
SIZE = 384  # pixels of the live picture

MAX_PHOTO = 16_000_000  # pixels of a photograph that is kept for pasting: 48 MB
SHRUNK = "The photograph was shrunk to 16 million pixels."
FORGET = 4 * 3600  # seconds after which a face is forgotten in any case

# Live pictures skip Gradio's queue, for its delay, so nothing else bounds how many are drawn at a
# time. One thread each: a decode is too small to share, and threads that wait for one another are
# many times slower on a busy machine.
CORES = os.cpu_count() or 1
turn = threading.BoundedSemaphore(CORES)
torch.set_num_threads(1)

# A live picture's request names what it is of by a key that nobody can guess. The references are
# weak: what a visitor opened lives in that visitor's gr.State, and is gone with it.
opened: WeakValueDictionary[str, Any] = WeakValueDictionary()

Updates = dict[Any, Any]  # what a listener returns: {component: its new value}
Faces = tuple[Face, ...]
PRIVATE = {"api_visibility": "private"}


@dataclass(frozen=True, eq=False)
class Sitting:
    """What one visitor has open.

    faces: those of the photograph, or the single one that the model drew
    face: the one being edited
    small: the same, its crop at the live picture's size, so that no move of a slider shrinks it
    """

    faces: Faces
    face: Face
    small: Face

    @classmethod
    def at(cls, faces: Faces, index: int = 0) -> Sitting:
        face = faces[index]
        return cls(faces, face, replace(face, crop=thumbnail(face, SIZE)))


def remember(what: object) -> dict[str, str]:
    """The value of a live picture that shows `what`."""
    key = secrets.token_urlsafe(16)
    opened[key] = what
    return {"key": key}


def open_faces(editor: Editor, path: str) -> Faces:
    """The faces of an uploaded photograph.

    Raises:
        BadImage, FaceNotFound, ModelNotFound: with a sentence for the visitor.
    """
    with turn:
        photo = images.open_image(path)
        shrink = (MAX_PHOTO / (photo.width * photo.height)) ** 0.5
        if shrink >= 1:
            return tuple(editor.open_all(photo))
        photo.thumbnail([side * shrink for side in photo.size], images.RESAMPLE)
        faces = editor.open_all(photo)
        return tuple(replace(face, warning=f"{SHRUNK} {face.warning}".strip()) for face in faces)


def examples(editor: Editor) -> list[Face]:
    """Faces that need nobody's permission: an astronaut of NASA's, and some the model drew."""
    drawn = [editor.face_of(z[None]) for z in editor.draw(5, truncation=1.0, seed=0)]
    if ASTRONAUT.is_file() and editor.encoder is not None:
        return [editor.open(ASTRONAUT), *drawn]
    return drawn


def download(
    editor: Editor, face: Face, settings: dict[str, float], detail: float, whole: bool = False
) -> str:
    """Writes an edit into the folder that Gradio serves and sweeps; its path.

    A PNG, or where the whole of a JPEG photograph is asked for, a JPEG.
    """
    with turn:
        if face.photo is None:  # at the model's own size it would be a stamp
            picture = Image.fromarray(editor.preview(face, settings, None, SIZE))
        else:
            picture = editor.edit(face, settings, detail, paste=whole)
        ending = "jpg" if whole and face.photo.format == "JPEG" else "png"
        profile = face.photo.info.get("icc_profile") if face.photo else None
        folder = Path(get_upload_folder())
        folder.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(dir=folder)) / f"{'photograph' if whole else 'face'}.{ending}"
        picture.save(path, quality=95, icc_profile=profile)
    return str(path)
