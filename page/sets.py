"""Several photographs at a time: where they are dropped, what is kept of them, what was wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from page.photographs import largest_face
from page.visitors import Faces
from page.widgets import message, pictures
from vaegan.editor import Editor
from vaegan.errors import UserError
from vaegan.face import Face


class FullSet(UserError):
    """A set that takes no more, said in one sentence."""


@dataclass(frozen=True, eq=False)
class Set:
    """The widgets of a set of faces."""

    files: gr.File
    shown: gr.HTML
    note: gr.HTML
    clear: gr.Button


def face_set(title: str) -> Set:
    files = gr.File(label=title, file_count="multiple", file_types=["image"], height=64,
                    elem_classes="drop")  # fmt: skip
    shown = pictures(does="Take out")
    note = message()
    clear = gr.Button(f"Empty “{title}”", size="sm", visible=False, elem_classes="clear")
    return Set(files, shown, note, clear)


def open_set(
    editor: Editor, paths: list[str], keep: Callable[[Face], Face], room: int
) -> tuple[Faces, list[str]]:
    """The largest face of each photograph, and a sentence for each one that has none to use.

    keep: makes of a face what the visitor's state shall hold. room: the most faces to add.
    """
    faces, problems = [], []
    for path in paths[:room]:
        try:
            faces.append(keep(largest_face(editor, path)))
        except UserError as error:
            problems.append(f"{Path(path).name}: {error}")
    return tuple(faces), problems + left_out(len(paths) - room)


def with_one(faces: Faces, face: Face, most: int) -> Faces:
    """
    Raises:
        FullSet: there are `most` already.
    """
    if len(faces) >= most:
        raise FullSet(f"There are {most} faces already: take one out first.")
    return (*faces, face)


def with_more(faces: Faces, more: Faces, most: int) -> tuple[Faces, list[str]]:
    """As many as there may be, and a sentence if that leaves some out."""
    room = most - len(faces)
    return faces + more[:room], left_out(len(more) - room)


def left_out(count: int) -> list[str]:
    return [f"{count} more were left out: the set is full."] if count > 0 else []


def without(faces: Faces, index: int) -> Faces:
    return faces[:index] + faces[index + 1 :]
