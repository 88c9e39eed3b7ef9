"""The tab that morphs one face into another."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import gradio as gr

from page.visitors import FORGET, PRIVATE, SIZE, Pair, Updates, open_faces, opened, remember, turn
from page.widgets import jpeg, live, message, picture, pictures, thumbnails, uploader
from vaegan.editor import Editor, FaceNotFound
from vaegan.face import thumbnail
from vaegan.hub import ModelNotFound
from vaegan.images import BadImage

STEPS = 9  # pictures in the strip


def morph_tab(editor: Editor) -> None:
    def draw(wish: dict[str, Any]) -> str:
        """One frame of the live picture."""
        pair = opened.get(wish["key"])
        if pair is None or pair.a is None or pair.b is None:
            return ""
        with turn:
            t = min(max(float(wish["sliders"]["t"]), 0), 1)
            z = editor.between(pair.a, pair.b, t)
            return jpeg(editor.show(pair.a, editor.decode(z), None, SIZE))

    with gr.Row(elem_id="morph"):
        with gr.Column(elem_id="ends", min_width=0):
            ends = [morph_end(name) for name in "AB"]
            random_pair = gr.Button("Two random faces", size="sm")
        with gr.Column(elem_id="between", min_width=0):
            stage = live("morphed", draw, "Choose two faces, A and B.")
            # As the output of a listener alone it would be greyed out.
            t = gr.Slider(0, 1, value=0.5, step=0.01, label="From A to B", elem_id="slider-t",
                          interactive=True)  # fmt: skip
            strip = pictures()
    pair = gr.State(Pair(), time_to_live=FORGET)

    def show(state: Pair) -> Updates:
        updates = {pair: state, stage: remember(state), strip: []}
        for face, (photo, note, tile) in zip((state.a, state.b), ends, strict=True):
            updates |= {photo: None, note: face.warning if face else ""}
            updates[tile] = jpeg(face.crop) if face else ""
        if state.a and state.b:
            with turn:
                steps = editor.interpolate(state.a, state.b, STEPS)
            updates[strip] = thumbnails("Step", steps)
        return updates

    def upload(end: int, file: dict[str, Any] | None, state: Pair) -> Updates:
        if file is None:
            return gr.skip()
        photo, note, _ = ends[end]
        try:
            face = open_faces(editor, file["path"])[0]
        except (BadImage, FaceNotFound, ModelNotFound) as error:
            return {photo: None, note: str(error)}
        # A morph takes the latent and shows a thumbnail: the photograph need not be kept.
        face = replace(face, photo=None, matrix=None, crop=thumbnail(face, SIZE))
        return show(replace(state, **{"ab"[end]: face}))

    def two() -> Updates:
        with turn:
            a, b = (editor.face_of(z[None]) for z in editor.draw(2, truncation=1.0))
        return show(Pair(a, b))

    def jump(event: gr.EventData) -> float:
        return event.index / (STEPS - 1)

    outputs = [pair, stage, strip, *(component for end in ends for component in end)]
    opening = {"show_progress": "minimal", "show_progress_on": stage, **PRIVATE}
    for end, (photo, *_) in enumerate(ends):
        photo.change(partial(upload, end), [photo, pair], outputs, preprocess=False, **opening)
    random_pair.click(two, None, outputs, **opening)
    strip.click(jump, None, t, queue=False, show_progress="hidden", **PRIVATE)


def morph_end(name: str) -> tuple[gr.Image, gr.HTML, gr.HTML]:
    """One end of a morph: where its face comes from, what was wrong with it, and the face."""
    with gr.Row(elem_classes="end"):
        photo = uploader(f"Face {name}")
        tile = picture(f"end-{name}", name)
    return photo, message(), tile
