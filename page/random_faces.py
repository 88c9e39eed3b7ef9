"""The tab that draws faces of nobody."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import gradio as gr
from torch import Tensor

from page.visitors import FORGET, PRIVATE, Faces, Updates, turn
from page.widgets import pictures, thumbnails
from vaegan import images
from vaegan.editor import Editor


def random_tab(
    editor: Editor, tabs: gr.Tabs, outputs: list[Any], show: Callable[[Faces], Updates]
) -> None:
    first = editor.draw(8, truncation=1.0, seed=0)
    with gr.Row(elem_id="random"):
        with gr.Column(elem_id="draw", min_width=0):
            count = gr.Slider(1, 24, value=len(first), step=1, label="How many")
            truncation = gr.Slider(
                0, 1, value=1, step=0.05, label="Truncation",
                info="0: the average face. 1: as varied as the photographs it learned from.",
            )  # fmt: skip
            seed = gr.Number(0, label="Seed", precision=0, info="The same seed, the same faces.")
            draw = gr.Button("Draw", variant="primary", size="md")
            surprise = gr.Button("Surprise me", size="md")
        with gr.Column(elem_id="drawn", min_width=0):
            drawn = pictures(thumbnails("Random face", map(images.to_pil, editor.decode(first))))
            edit = gr.Button("Edit this face", size="md", interactive=False, elem_id="edit-this")
    latents = gr.State(first, time_to_live=FORGET)
    chosen = gr.State(0, time_to_live=FORGET)

    def draw_faces(count: int, truncation: float, seed: float | None) -> Updates:
        with turn:
            z = editor.draw(int(count), truncation, int(seed or 0) % 2**32)
            shown = thumbnails("Random face", map(images.to_pil, editor.decode(z)))
        return {latents: z, drawn: shown, edit: gr.Button(interactive=False, variant="secondary")}

    def draw_others(count: int, truncation: float) -> Updates:
        number = random.randrange(100_000)
        return {seed: number, **draw_faces(count, truncation, number)}

    def pick(event: gr.EventData) -> Updates:
        return {chosen: event.index, edit: gr.Button(interactive=True, variant="primary")}

    def send(z: Tensor, index: int) -> Updates:
        if index >= len(z):  # forgotten, after hours of rest
            return gr.skip()
        face = editor.face_of(z[index : index + 1])
        return {tabs: gr.Tabs(selected="edit"), **show((face,))}

    draw.click(draw_faces, [count, truncation, seed], [latents, drawn, edit], **PRIVATE)
    surprise.click(draw_others, [count, truncation], [seed, latents, drawn, edit], **PRIVATE)
    drawn.click(pick, None, [chosen, edit], queue=False, show_progress="hidden", **PRIVATE)
    edit.click(send, [latents, chosen], [tabs, *outputs], **PRIVATE)
