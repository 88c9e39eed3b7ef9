"""The tab that draws faces of nobody, and what lies around them."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from page.sets import FullSet
from page.visitors import FORGET, PRIVATE, TRUNCATION, EditTab, Receiver, Updates, turn
from page.widgets import heading, html, message, pictures, thumbnails
from vaegan import images, latents
from vaegan.editor import Editor
from vaegan.face import Face

SEED = 12  # of the faces that are there at first
AROUND = 11  # neighbours that are drawn, beside the face itself
FROM = {"The training faces": True, "N(0, I)": False}


def random_tab(
    editor: Editor,
    tabs: gr.Tabs,
    edit_tab: EditTab,
    morph: Receiver,
    own: Receiver,
) -> None:
    opens, show = edit_tab
    first = editor.draw(12, TRUNCATION, seed=SEED)
    with gr.Row(elem_id="random"):
        with gr.Column(elem_id="draw", min_width=0):
            count = gr.Slider(1, 24, value=len(first), step=1, label="How many")
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
            drawn = pictures(thumbnails("Random face", map(images.to_pil, editor.decode(first))))
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
    latent = gr.State(first, time_to_live=FORGET)
    chosen = gr.State(0, time_to_live=FORGET)
    buttons = [edit, to_morph, to_with, to_without, neighbours]

    def ready(yes: bool) -> Updates:
        return {
            edit: gr.Button(interactive=yes, variant="primary" if yes else "secondary"),
            **{button: gr.Button(interactive=yes) for button in buttons[1:]},
        }

    def lay_out(z: Tensor, label: str) -> Updates:
        with turn:
            shown = thumbnails(label, map(images.to_pil, editor.decode(z)))
        return {latent: z, drawn: shown, sent: "", **ready(False)}

    def draw_faces(count: int, truncation: float, source: str, seed: float | None) -> Updates:
        number = int(seed or 0) % 2**32
        with turn:
            z = editor.draw(int(count), truncation, number, FROM[source])
        return lay_out(z, "Random face")

    def draw_others(count: int, truncation: float, source: str) -> Updates:
        number = random.randrange(100_000)
        return {seed: number, **draw_faces(count, truncation, source, number)}

    def draw_around(z: Tensor, index: int, step: float) -> Updates:
        if index >= len(z):  # forgotten, after hours of rest
            return gr.skip()
        center = z[index : index + 1]
        near = latents.neighbours(
            center, AROUND, editor.prior.cholesky, step, random.randrange(2**32)
        )
        return lay_out(torch.cat([center, near]), "Neighbour")

    def pick(event: gr.EventData) -> Updates:
        return {chosen: event.index, sent: "", **ready(True)}

    def face(z: Tensor, index: int) -> Face | None:
        if index >= len(z):
            return None
        with turn:
            return editor.face_of(z[index : index + 1])

    def send_to_edit(_: gr.EventData, z: Tensor, index: int) -> Updates:
        if (one := face(z, index)) is None:
            return gr.skip()
        return {tabs: gr.Tabs(selected="edit"), **show((one,))}

    def send_to_morph(z: Tensor, index: int, state: Any) -> Updates:
        if (one := face(z, index)) is None:
            return gr.skip()
        try:
            return {sent: "It is the last face of the morph now.", **morph.add(state, one)}
        except FullSet as error:
            return {sent: str(error)}

    def send_to_set(which: int, z: Tensor, index: int, state: Any) -> Updates:
        if (one := face(z, index)) is None:
            return gr.skip()
        try:
            return {sent: "It is in the set of “Your own” now.", **own.add(which, state, one)}
        except FullSet as error:
            return {sent: str(error)}

    laid = [latent, drawn, sent, *buttons]
    source_of = [count, truncation, source]
    draw.click(draw_faces, [*source_of, seed], laid, **PRIVATE)
    surprise.click(draw_others, source_of, [seed, *laid], **PRIVATE)
    neighbours.click(draw_around, [latent, chosen, step], laid, **PRIVATE)
    # Every click counts, also one that comes while the last is under way.
    drawn.click(
        pick, None, [chosen, sent, *buttons], queue=False, trigger_mode="multiple",
        show_progress="hidden", **PRIVATE,
    )  # fmt: skip
    opens(edit.click, send_to_edit, [latent, chosen], (tabs,))
    to_morph.click(send_to_morph, [latent, chosen, morph.state], [sent, *morph.outputs], **PRIVATE)
    for which, button in enumerate((to_with, to_without)):
        button.click(
            partial(send_to_set, which),
            [latent, chosen, own.state],
            [sent, *own.outputs],
            **PRIVATE,
        )


def sending(text: str, elem_id: str | None = None) -> gr.Button:
    return gr.Button(text, size="md", interactive=False, elem_id=elem_id)
