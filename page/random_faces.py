"""The tab that draws faces of nobody, and what lies around them."""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from page.sets import FullSet
from page.visitors import (
    FORGET,
    FORGOTTEN,
    PRIVATE,
    TRUNCATION,
    EditTab,
    Receiver,
    Updates,
    turn,
)
from page.widgets import heading, html, message, pictures, thumbnails
from vaegan import images, latents
from vaegan.editor import Editor
from vaegan.face import Face

SEED = 12  # of the faces that are there at first
AROUND = 11  # neighbours that are drawn, beside the face itself
FROM = {"The training faces": True, "N(0, I)": False}


@dataclass(frozen=True, eq=False)
class Drawing:
    """Faces that one visitor had drawn.

    z: (N, latent_dim)
    chosen: which of them, if any
    id: the page has it too, for Gradio puts the first drawing in the place of a forgotten one
    """

    z: Tensor
    chosen: int | None = None
    id: str = field(default_factory=partial(secrets.token_urlsafe, 8))

    def latent(self, shown: str) -> Tensor | None:
        """z of the chosen face, (1, latent_dim); None where the page shows another drawing."""
        if self.id != shown or self.chosen is None:
            return None
        return self.z[self.chosen : self.chosen + 1]


def random_tab(
    editor: Editor,
    tabs: gr.Tabs,
    edit_tab: EditTab,
    morph: Receiver,
    own: Receiver,
) -> None:
    opens, show = edit_tab
    first = Drawing(editor.draw(12, TRUNCATION, seed=SEED))
    with gr.Row(elem_id="random"):
        with gr.Column(elem_id="draw", min_width=0):
            count = gr.Slider(1, 24, value=len(first.z), step=1, label="How many")
            truncation = gr.Slider(
                0, 1, value=TRUNCATION, step=0.05, label="Truncation",
                info="0: the average face. 1: as varied as the photographs it learned from.",
            )  # fmt: skip
            source = gr.Radio(
                list(FROM), value=next(iter(FROM)), label="Drawn from",
                info="Where the faces lie that it learned from, or the plain normal distribution "
                "that training aims at.",
            )  # fmt: skip
            seed = gr.Number(SEED, label="Seed", precision=0, info="The same seed, the same faces.")
            draw = gr.Button("Draw", variant="primary", size="md")
            surprise = gr.Button("Surprise me", size="md")
        with gr.Column(elem_id="drawn", min_width=0):
            drawn = pictures(thumbnails("Random face", map(images.to_pil, editor.decode(first.z))))
            html('<p class="how">Choose one, and send it somewhere:</p>')
            with gr.Row(elem_id="send"):
                edit = sending("Edit this face", elem_id="edit-this")
                to_morph = sending("Add to the morph")
                to_with = sending("Add to “With it”")
                to_without = sending("Add to “Without it”")
            heading("What lies around it")
            with gr.Row(elem_id="around"):
                step = gr.Slider(0.05, 1, value=0.3, step=0.05, label="Step",
                                 info="Small: nearly the same face. 1: another one.")  # fmt: skip
                neighbours = sending("Its neighbours")
            sent = message("sent")
    drawing = gr.State(first, time_to_live=FORGET)
    shown = gr.Textbox(first.id, visible=False)
    buttons = [edit, to_morph, to_with, to_without, neighbours]

    def ready(yes: bool) -> Updates:
        return {
            edit: gr.Button(interactive=yes, variant="primary" if yes else "secondary"),
            **{button: gr.Button(interactive=yes) for button in buttons[1:]},
        }

    def lay_out(z: Tensor, label: str) -> Updates:
        with turn:
            small = thumbnails(label, map(images.to_pil, editor.decode(z)))
        new = Drawing(z)
        return {drawing: new, shown: new.id, drawn: small, sent: "", **ready(False)}

    def draw_faces(count: int, truncation: float, source: str, seed: float | None) -> Updates:
        number = int(seed or 0) % 2**32
        with turn:
            z = editor.draw(int(count), truncation, number, FROM[source])
        return lay_out(z, "Random face")

    def draw_others(count: int, truncation: float, source: str) -> Updates:
        number = random.randrange(100_000)
        return {seed: number, **draw_faces(count, truncation, source, number)}

    def draw_around(state: Drawing, shown: str, step: float) -> Updates:
        if (center := state.latent(shown)) is None:
            return {sent: FORGOTTEN}
        near = latents.neighbours(
            center, AROUND, editor.prior.cholesky, step, random.randrange(2**32)
        )
        return lay_out(torch.cat([center, near]), "Neighbour")

    def pick(state: Drawing, event: gr.EventData) -> Updates:
        return {drawing: replace(state, chosen=event.index), sent: "", **ready(True)}

    def face(state: Drawing, shown: str) -> Face | None:
        if (z := state.latent(shown)) is None:
            return None
        with turn:
            return editor.face_of(z)

    def send_to_edit(_: gr.EventData, state: Drawing, shown: str) -> Updates:
        if (one := face(state, shown)) is None:
            return {sent: FORGOTTEN}
        return {tabs: gr.Tabs(selected="edit"), **show((one,))}

    def send_to_morph(state: Drawing, shown: str, chain: Any) -> Updates:
        if (one := face(state, shown)) is None:
            return {sent: FORGOTTEN}
        try:
            return {sent: "It is the last face of the morph now.", **morph.add(chain, one)}
        except FullSet as error:
            return {sent: str(error)}

    def send_to_set(which: int, state: Drawing, shown: str, work: Any) -> Updates:
        if (one := face(state, shown)) is None:
            return {sent: FORGOTTEN}
        try:
            return {sent: "It is in the set of “Your own” now.", **own.add(which, work, one)}
        except FullSet as error:
            return {sent: str(error)}

    laid = [drawing, shown, drawn, sent, *buttons]
    source_of = [count, truncation, source]
    draw.click(draw_faces, [*source_of, seed], laid, **PRIVATE)
    surprise.click(draw_others, source_of, [seed, *laid], **PRIVATE)
    neighbours.click(draw_around, [drawing, shown, step], laid, **PRIVATE)
    # Every click counts, also one that comes while the last is under way.
    drawn.click(
        pick, drawing, [drawing, sent, *buttons], queue=False, trigger_mode="multiple",
        show_progress="hidden", **PRIVATE,
    )  # fmt: skip
    opens(edit.click, send_to_edit, [drawing, shown], (tabs, sent))
    to_morph.click(send_to_morph, [drawing, shown, morph.state], [sent, *morph.outputs], **PRIVATE)
    for which, button in enumerate((to_with, to_without)):
        button.click(
            partial(send_to_set, which),
            [drawing, shown, own.state],
            [sent, *own.outputs],
            **PRIVATE,
        )


def sending(text: str, elem_id: str | None = None) -> gr.Button:
    return gr.Button(text, size="md", interactive=False, elem_id=elem_id)
