"""Several models on one page: each has an address of its own, and they stand side by side.

A model is chosen by going to its page, so the choice is a visitor's own, can be bookmarked, and
changes nothing for anybody else; every editor stays as it was loaded. Which models there are is for
the person who starts the app to say, since each takes memory: `app.py --model A --model B`. With
`--any-model` there is also a page where visitors name one on the Hub.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from page.photographs import largest_face
from page.visitors import PRIVATE, SIZE, Updates, turn
from page.widgets import html, jpeg, message, uploader
from vaegan import hub
from vaegan.editor import Editor
from vaegan.errors import UserError
from vaegan.hub import ModelNotFound
from vaegan.view import plain

KINDS = {"autoencoder": "AutoEncoder", "vae": "VAE", "gan": "GAN", "vaegan": "VAE-GAN"}
LOADED = 8  # models that visitors asked for and that are kept, those used last


def title(editor: Editor) -> str:
    """What a model is called on the page: of runs/mine/model it is "mine"."""
    name, at, revision = editor.name.partition("@")
    if Path(editor.name).is_dir():
        name, at, revision = editor.name, "", ""
    path = Path(name)
    short = path.parent.name if path.name == "model" and path.parent.name else path.name
    return short + at + revision


def titles(editors: Sequence[Editor]) -> list[str]:
    """Those of several models; the second of the same name is "mine 2"."""
    found: list[str] = []
    for editor in editors:
        name = title(editor)
        taken = sum(title(other) == name for other in editors[: len(found)])
        found.append(f"{name} {taken + 1}" if taken else name)
    return found


def address(name: str) -> str:
    """A name as part of a page's address: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "model"


class Shelf:
    """Models that visitors asked for by name; the few that were used last are kept.

    editors: by name and commit, which is "" for a bundled model; the last used at the end
    """

    def __init__(self) -> None:
        self.editors: dict[tuple[str, str], Editor] = {}
        self.using, self.loading = threading.Lock(), threading.Lock()

    def find(self, name: str, revision: str) -> tuple[str, str]:
        """The name and commit of a bundled model or of one that anybody may have of the Hub.

        What only a folder of this machine or the token of its owner holds is none of a visitor's
        business.

        Raises:
            ModelNotFound: with a sentence for the visitor.
        """
        name, revision = name.strip(), revision.strip()
        if name in hub.bundled():
            return name, ""
        if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) or Path(name).exists():
            raise ModelNotFound("A model of the Hub is named as in user/repo.")
        return name, hub.public_commit(name, revision or None)

    def get(self, name: str, revision: str) -> Editor:
        """The model of `find`; one that is on the shelf is not looked for again.

        Raises:
            ModelNotFound, SnapshotError, VectorError, FileError: with a sentence for the visitor.
        """
        if known := self._take((name, revision)):
            return known
        name, commit = self.find(name, revision)
        hub.locate(name, commit or None)  # not under the lock: a download takes long
        with self.loading:
            return self._take((name, commit)) or self._put(
                (name, commit), Editor.from_pretrained(name, revision=commit or None)
            )

    def _take(self, key: tuple[str, str]) -> Editor | None:
        with self.using:
            if editor := self.editors.pop(key, None):
                self.editors[key] = editor
            return editor

    def _put(self, key: tuple[str, str], editor: Editor) -> Editor:
        with self.using:
            while len(self.editors) >= LOADED:
                del self.editors[next(iter(self.editors))]
            self.editors[key] = editor
            return editor


class Lent:
    """Stands for an editor of the shelf, and takes it anew for each use.

    A page that held the editor would keep it in memory long after its visitor has gone.
    """

    def __init__(self, take: Callable[[], Editor]) -> None:
        self._take = take

    def __getattr__(self, name: str) -> Any:
        return getattr(self._take(), name)


def any_model(lay_out: Callable[[Editor], None]) -> None:
    """A page whose visitors name the model that `lay_out` then shows them."""
    shelf = Shelf()
    with gr.Row(elem_id="which"):
        name = gr.Textbox(label="Model", placeholder="user/repo", info="On the Hugging Face Hub.")
        revision = gr.Textbox(label="Revision", placeholder="main",
                              info="A branch, tag or commit; may stay empty.")  # fmt: skip
        load = gr.Button("Load", variant="primary")
    note = message()
    chosen = gr.State(None)

    def choose(name: str, revision: str) -> Updates:
        try:
            found = shelf.find(name, revision)
            shelf.get(*found)
        except (UserError, OSError) as error:
            return {note: str(error)}  # and what was there stays
        return {note: "", chosen: found}

    gr.on([load.click, name.submit, revision.submit], choose, [name, revision], [note, chosen],
          **PRIVATE)  # fmt: skip

    @gr.render(inputs=chosen)
    def show(which: tuple[str, str] | None) -> None:
        if which is not None:
            lay_out(Lent(partial(shelf.get, *which)))


def compare(editors: Sequence[Editor]) -> None:
    """A page that shows what each model makes of the same photograph."""
    eye = next((editor for editor in editors if editor.encoder is not None), None)
    with gr.Column(elem_id="compare", min_width=0):
        html(COMPARED)
        photo = uploader("Photograph", show_label=False)
        note = message()
        side_by_side = html(FIGURES, elem_id="figures", value=[])

    def look(file: dict[str, Any] | None) -> Updates:
        if file is None:
            return gr.skip()
        try:
            if eye is None:
                raise ModelNotFound("None of these models can take in a photograph.")
            face = largest_face(eye, file["path"])
        except UserError as error:
            return {photo: None, note: str(error)}
        shown = [{"source": jpeg(face.crop), "name": "Photograph", "how": ""}]
        for editor, name in zip(editors, titles(editors), strict=True):
            seen = editor.adopt(face, turn)
            with turn:
                picture = jpeg(plain(seen.reconstruction, SIZE))
            how = KINDS[editor.config.model]
            if editor.encoder is None:
                how += ": it has no encoder, so its z was found by optimisation"
            shown.append({"source": picture, "name": name, "how": how})
        return {photo: None, note: face.warning, side_by_side: shown}

    photo.change(look, photo, [photo, note, side_by_side], preprocess=False,
                 show_progress_on=side_by_side, **PRIVATE)  # fmt: skip


COMPARED = """
<p class="how">The same photograph, as each model describes it by z and draws it again.</p>
"""
FIGURES = """
{{#each value}}
<figure>
    <img src="{{source}}" alt="{{name}}" draggable="false">
    <figcaption><b>{{name}}</b> {{how}}</figcaption>
</figure>
{{/each}}
"""
