"""The tab where a face is edited."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr

from page.visitors import (
    FORGET,
    PRIVATE,
    SIZE,
    Faces,
    Sitting,
    Updates,
    download,
    examples,
    open_faces,
    opened,
    remember,
    turn,
)
from page.widgets import SAVE, heading, jpeg, live, message, picture, pictures, thumbnails, uploader
from vaegan.editor import Editor, FaceNotFound
from vaegan.hub import ModelNotFound
from vaegan.images import BadImage

DETAILS = {"Photograph": 1.0, "In between": 0.5, "Decoder": 0.0}


def edit_tab(editor: Editor) -> tuple[list[Any], Callable[[Faces], Updates]]:
    """The outputs of a listener that opens faces, and the function that fills them."""

    def settings(positions: dict[str, float | None]) -> dict[str, float]:
        """What the sliders say; an emptied field is 0, and a typed 7 is as far as 3."""
        return {
            a.name: min(max(float(position), a.low), a.high)
            for a in editor.attributes
            if (position := positions.get(a.name))
        }

    def draw(wish: dict[str, Any]) -> str:
        """One frame of the live picture: a decode, a blend, a JPEG."""
        if (state := opened.get(wish["key"])) is None:
            return ""
        with turn:
            detail = DETAILS[wish["detail"]]
            return jpeg(editor.preview(state.small, settings(wish["sliders"]), detail, SIZE))

    samples = examples(editor)
    with gr.Row(elem_id="edit"):
        with gr.Column(elem_id="source", min_width=0):
            photo = uploader("Photograph", show_label=False)
            note = message()
            with gr.Column(visible=False, min_width=0, elem_classes="faces") as several:
                heading("Faces in this photograph")
                others = pictures()
            with gr.Row(elem_id="tiles"):
                aligned = picture("aligned", "Aligned")
                reconstruction = picture("reconstruction", "Reconstruction")
            heading("Examples")
            example = pictures(thumbnails("Example", samples))
        with gr.Column(elem_id="result", min_width=0):
            stage = live("stage", draw, "Choose a photograph of a face, or try an example.")
            with gr.Row(elem_id="controls"):
                detail = gr.Radio(
                    list(DETAILS), value="Photograph", label="Texture", elem_id="detail"
                )
                save_face = gr.Button("Save face", size="sm", interactive=False)
                save_photo = gr.Button("Save photograph", size="sm", interactive=False)
        with gr.Column(elem_id="rail", min_width=0):
            reset = gr.Button("Reset all", size="sm", elem_id="reset")
            sliders = rail(editor)
    saved = gr.File(visible=False)
    sitting = gr.State(None, time_to_live=FORGET)

    def show(state: Sitting) -> Updates:
        """A face that was just opened; the live picture draws itself."""
        photographed = state.face.photo is not None
        with turn:
            decoded = editor.preview(state.small, {}, None, SIZE)
        return {
            sitting: state,
            stage: remember(state),
            photo: None,
            note: state.face.warning,
            aligned: jpeg(state.small.crop) if photographed else "",
            reconstruction: jpeg(decoded),
            detail: gr.Radio(value="Photograph", interactive=photographed),
            save_face: gr.Button(interactive=True),
            save_photo: gr.Button(interactive=photographed),
            **dict.fromkeys(sliders, 0),
        }

    def show_first(faces: Faces) -> Updates:
        many = len(faces) > 1
        return {
            several: gr.Column(visible=many),
            others: thumbnails("Face", faces) if many else [],
            **show(Sitting.at(faces)),
        }

    def upload(file: dict[str, Any] | None) -> Updates:
        if file is None:  # the field was emptied, by `show` most likely
            return gr.skip()
        try:
            return show_first(open_faces(editor, file["path"]))
        except (BadImage, FaceNotFound, ModelNotFound) as error:
            return {photo: None, note: str(error)}

    def pick_example(event: gr.EventData) -> Updates:
        return show_first((samples[event.index],))

    def pick_other(state: Sitting | None, event: gr.EventData) -> Updates:
        return gr.skip() if state is None else show(Sitting.at(state.faces, event.index))

    def save(whole: bool, state: Sitting | None, detail: str, *values: float | None) -> str | None:
        if state is None:
            return None
        names = (attribute.name for attribute in editor.attributes)
        wanted = settings(dict(zip(names, values, strict=True)))
        return download(editor, state.face, wanted, DETAILS[detail], whole)

    outputs = [sitting, stage, photo, note, several, others, aligned, reconstruction, detail,
               save_face, save_photo, *sliders]  # fmt: skip
    opening = {"show_progress": "minimal", "show_progress_on": stage, **PRIVATE}
    # preprocess=False passes the file's path. Gradio would open the picture itself, and fail on
    # odd ones in its own words.
    photo.change(upload, photo, outputs, preprocess=False, **opening)
    example.click(pick_example, None, outputs, **opening)
    others.click(pick_other, sitting, outputs, **opening)
    reset.click(None, None, sliders, js=f"() => Array({len(sliders)}).fill(0)", **PRIVATE)
    for button, whole in ((save_face, False), (save_photo, True)):
        button.click(
            partial(save, whole), [sitting, detail, *sliders], saved, preprocess=False, **PRIVATE
        ).then(None, saved, None, js=SAVE, **PRIVATE)
    return outputs, show_first


def rail(editor: Editor) -> list[gr.Slider]:
    """One slider an attribute, in the editor's order, which keeps groups together."""
    sliders = []
    groups = dict.fromkeys(attribute.group for attribute in editor.attributes)
    for group in groups:
        # The first group needs no click to reach.
        with gr.Accordion(group, open=not sliders, elem_classes="group"):
            sliders += [
                gr.Slider(
                    attribute.low,
                    attribute.high,
                    value=0,
                    step=attribute.step,
                    label=attribute.label,
                    buttons=["reset"],
                    interactive=True,
                    elem_id=f"slider-{attribute.name}",
                )
                for attribute in editor.attributes
                if attribute.group == group
            ]
    return sliders
