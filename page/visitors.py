"""What belongs to one visitor, and what all share: turns on the cores, limits, files.

Nothing of a visitor lives anywhere but in that visitor's own `gr.State`.
"""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Self
from weakref import WeakKeyDictionary, WeakValueDictionary

import gradio as gr
import torch
from gradio.utils import get_upload_folder
from PIL import Image

from vaegan import images
from vaegan.editor import Editor
from vaegan.face import Face
from vaegan.parallel import cores
from vaegan.settings import Settings
from vaegan.view import FaceView, PhotoView, View

TRUNCATION = 0.85  # of faces that the model draws before anybody has asked for some
SIZE = 384  # pixels of the live picture
LARGE = 512  # of the whole photograph's longer side
FACE, PHOTOGRAPH = VIEWS = ("Face", "Photograph")
FORGET = 4 * 3600  # seconds that Gradio keeps a face, counted anew whenever a listener writes it
MOST_OPEN = 100  # faces, sets and morphs that all visitors have open
FORGOTTEN = "This face was forgotten after a while. Please open it again."

# Live pictures skip Gradio's queue, for its delay, so nothing else bounds how many are drawn at a
# time. One thread each: a decode is too small to share, and threads that wait for one another are
# many times slower on a busy machine.
CORES = cores()
turn = threading.BoundedSemaphore(CORES)
torch.set_num_threads(1)

Updates = dict[Any, Any]  # what a listener returns: {component: its new value}
Faces = tuple[Face, ...]
PRIVATE = {"api_visibility": "private"}


class EditTab(NamedTuple):
    """What another tab needs to have faces edited.

    opens: makes a listener of that tab open what its function finds
    show: what such a function returns for faces
    """

    opens: Callable[..., None]
    show: Callable[[Faces], Updates]


class Receiver(NamedTuple):
    """What another tab needs to send a face on.

    state: what is added to; outputs: of a listener that adds; add: its function, which gets the
    state and the face, and raises `page.sets.FullSet`
    """

    state: gr.State
    outputs: list[Any]
    add: Callable[..., Updates]


class Opened:
    """What visitors have open.

    A live picture's request names what it is of by a key that nobody can guess. The references are
    weak: it lives in its visitor's gr.State, and is gone with it. Gradio forgets whoever called it
    longest ago, but neither counts live pictures as calls nor tells faces from calls of the API. So
    it may keep many, and here is counted what is large, which is true as long as it holds a face:
    of more than MOST_OPEN the one that was looked at longest ago has to `forget`.
    """

    def __init__(self) -> None:
        self._keys: WeakValueDictionary[str, Any] = WeakValueDictionary()
        self._used: WeakKeyDictionary[Any, None] = WeakKeyDictionary()  # the last used at the end
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._used)

    def add(self, what: Any) -> str:
        """A new key of `what`."""
        key = secrets.token_urlsafe(16)
        with self._lock:
            self._keys[key] = what
            self._use(what)
        return key

    def get(self, key: str) -> Any:
        """What has that key; None if it is gone, or had to forget."""
        with self._lock:
            what = self._keys.get(key)
            if what is not None:
                self._use(what)
        return what

    def _use(self, what: Any) -> None:
        self._used.pop(what, None)
        if what:
            self._used[what] = None
        while len(self._used) > MOST_OPEN:
            self._forget(next(self._used.keys()))

    def _forget(self, what: Any) -> None:
        del self._used[what]
        for key in [key for key, known in self._keys.items() if known is what]:
            del self._keys[key]
        what.forget()


opened = Opened()


class Belongings:
    """Base of dataclasses: what one visitor has that several listeners change, some taking long.

    Gradio hands a listener its visitor's state as it is at the start, and keeps what it returns.
    Were that another object each time, whoever ends last would undo what all others did. So it is
    this one all along: a listener first works out what takes long, then changes what stands by
    then, and shows it, while it holds `changing`.
    """

    def __post_init__(self) -> None:
        self.changing = threading.Lock()  # not a field: Gradio copies those of the first one

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        """What a new visitor begins with: a lock of their own too, since none can be copied."""
        return replace(self)


class Openings:
    """How many things one visitor has chosen to open."""

    count = 0

    def begin(self) -> Callable[[], bool]:
        """Counts one more; what is returned says whether it is the last still."""
        mine = self.count = self.count + 1
        return lambda: mine == self.count


@dataclass(frozen=True, eq=False)
class Sitting:
    """What one visitor has open; false once it was forgotten.

    faces: those of the photograph, or the single one that the model drew
    edits: what was set for each of them; that of the face being edited is as old as its opening
    index: which is being edited
    views: the same face alone, and in its photograph, as the live picture shows them
    before: the sitting before the last Apply, unless another face was chosen since
    id: the same as long as the sliders' history goes on
    photograph: the same as long as no other photograph is opened
    """

    faces: Faces
    edits: tuple[Settings, ...]
    index: int
    views: dict[str, View]
    before: Sitting | None = None
    id: str = field(default_factory=partial(secrets.token_urlsafe, 8))
    photograph: str = field(default_factory=partial(secrets.token_urlsafe, 8))

    @classmethod
    def at(
        cls,
        faces: Faces,
        index: int = 0,
        edits: tuple[Settings, ...] | None = None,
        editor: Editor | None = None,
    ) -> Sitting:
        """editor: needed where other faces of the photograph are edited, which takes a turn."""
        edits = edits or (Settings(),) * len(faces)
        face = faces[index]
        views: dict[str, View] = {FACE: FaceView.of(face, SIZE)}
        if face.photo is not None:
            others = [
                edit
                for number, edit in enumerate(zip(faces, edits, strict=True))
                if number != index and not edit[1].idle
            ]
            around = face.photo
            if others:
                with turn:
                    around = editor.compose(others)
            views[PHOTOGRAPH] = PhotoView.of(face, around, LARGE)
        return cls(faces, edits, index, views)

    def __bool__(self) -> bool:
        return bool(self.faces)

    def forget(self) -> None:
        """Lets go of all faces."""
        for name, nothing in {"faces": (), "views": {}, "before": None}.items():
            object.__setattr__(self, name, nothing)  # whoever still holds it holds nothing then

    @property
    def face(self) -> Face:
        return self.faces[self.index]

    def setting(self, settings: Settings) -> Sitting:
        """With `settings` for the face being edited."""
        edits = (*self.edits[: self.index], settings, *self.edits[self.index + 1 :])
        return replace(self, edits=edits)

    def again(
        self, editor: Editor, faces: Faces, index: int, edits: tuple[Settings, ...]
    ) -> Sitting:
        """The same photograph with other faces or edits, or another of its faces."""
        return replace(Sitting.at(faces, index, edits, editor), photograph=self.photograph)

    def replaced(self, editor: Editor, face: Face) -> Sitting:
        """With `face`, unedited, in the place of the one being edited, and its photograph."""
        faces = tuple(
            face if number == self.index else replace(other, photo=face.photo)
            for number, other in enumerate(self.faces)
        )
        return self.again(editor, faces, self.index, self.setting(Settings()).edits)


def remember(what: Any) -> dict[str, str]:
    """The value of a live picture that shows `what`."""
    return {"key": opened.add(what)}


def gone(what: Any, shown: dict[str, str] | None) -> bool:
    """Whether a live picture, whose value is `shown`, is of what was forgotten, not of `what`."""
    return bool(shown) and opened.get(shown["key"]) is not what


def download_edit(editor: Editor, sitting: Sitting, whole: bool) -> str:
    """Writes the face being edited, or the photograph with all its faces; the file's path."""
    settings = sitting.edits[sitting.index]
    with turn:
        if whole:
            edits = list(zip(sitting.faces, sitting.edits, strict=True))
            return keep(editor.compose(edits), "photograph")
        size = SIZE if sitting.face.photo is None else len(sitting.face.crop)
        picture = Image.fromarray(editor.frame(FaceView.of(sitting.face, size), settings))
        picture.info.update(sitting.face.photo.info if sitting.face.photo else {})
        return keep(picture, "face")


def keep(picture: Image.Image, stem: str) -> str:
    """Writes a picture where Gradio serves it, in the format that it came in; its path."""
    path = new_file(f"{stem}.{images.ending(picture)}")
    images.save(picture, path)
    return str(path)


def new_file(name: str) -> Path:
    """A place for a file of that name, in the folder that Gradio serves and `page.disk` sweeps."""
    folder = Path(get_upload_folder())
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=folder)) / name
