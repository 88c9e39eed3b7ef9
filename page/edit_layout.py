"""The tab where a face is edited: its widgets, in three columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from page.visitors import FACE, VIEWS, Faces
from page.widgets import (
    framer,
    heading,
    html,
    live,
    picture,
    pictures,
    progress,
    search,
    thumbnails,
    tools,
    upload_message,
    uploader,
)
from vaegan.attributes import sliders
from vaegan.editor import Attribute, Editor
from vaegan.settings import Settings


@dataclass
class SourceColumn:
    """Where a face comes from: the left column."""

    photo: gr.Image
    note: gr.HTML
    several: gr.Column
    others: gr.HTML
    frame: gr.Button
    framing: gr.Column
    square: gr.HTML
    aligned: gr.HTML
    reconstruction: gr.HTML
    example: gr.HTML


@dataclass
class Result:
    """The live picture and what is done with it."""

    stage: gr.HTML
    tools: gr.HTML
    view: gr.Radio
    save_face: gr.Button
    save_photo: gr.Button
    more: More


@dataclass
class More:
    """What is needed less often."""

    detail: gr.Slider
    softness: gr.Slider
    strip_of: gr.Dropdown
    strip: gr.HTML
    apply: gr.Button
    take_back: gr.Button
    refine: gr.Button
    stop: gr.Button
    bar: gr.HTML
    keep: gr.Button
    load: gr.UploadButton
    copy: gr.Button


def outputs_of(source: SourceColumn, result: Result) -> list[Any]:
    """What changes when a face is opened, the sliders aside."""
    more = result.more
    return [
        source.photo, source.note, source.several, source.others, source.frame, source.framing,
        source.square, source.aligned, source.reconstruction, result.stage, result.view,
        result.save_face, result.save_photo, more.strip_of, more.strip, more.bar,
        more.take_back, more.stop, more.refine, more.copy,
    ]  # fmt: skip


def source_column(samples: Faces) -> SourceColumn:
    photo = uploader("Photograph", show_label=False)
    note = upload_message()
    with gr.Column(visible=False, min_width=0, elem_classes="faces") as several:
        heading("Faces in this photograph")
        others = pictures()
    with gr.Column(visible=False, min_width=0, elem_id="framing") as framing:
        square = framer()
    with gr.Row(elem_id="tiles"):
        aligned = picture("aligned", "Aligned")
        reconstruction = picture("reconstruction", "Reconstruction")
    frame = gr.Button("Frame another face by hand", size="sm", visible=False, elem_classes="quiet")
    heading("Examples")
    example = pictures(thumbnails("Example", samples))
    return SourceColumn(photo, note, several, others, frame, framing, square, aligned,
                        reconstruction, example)  # fmt: skip


def result_column(editor: Editor, draw: Callable[[dict[str, Any]], str]) -> Result:
    plain = Settings()
    stage = live("stage", draw, "Choose a photograph of a face, or try an example.")
    with gr.Row(elem_id="controls"):
        deeds = tools({"detail": plain.detail, "softness": plain.softness})
        view = gr.Radio(list(VIEWS), value=FACE, label="Show", elem_id="view")
        with gr.Row(elem_id="saves"):
            save_face = gr.Button("Save face", size="sm", interactive=False)
            save_photo = gr.Button("Save photograph", size="sm", interactive=False)
    return Result(stage, deeds, view, save_face, save_photo, more_tools(editor, plain))


def more_tools(editor: Editor, plain: Settings) -> More:
    with gr.Accordion("More", elem_id="more"):
        with gr.Column(min_width=0, elem_classes="lines"):
            detail, softness = (
                gr.Slider(0, 1, value=value, step=0.05, label=label, buttons=["reset"],
                          interactive=True, elem_id=elem_id)
                for label, value, elem_id in (
                    ("Texture", plain.detail, "slider-detail"),
                    ("Edge softness", plain.softness, "slider-softness"),
                )
            )  # fmt: skip
        html(WHAT_TEXTURE_IS)
        choices = [(attribute.label, attribute.name) for attribute in editor.attributes]
        strip_of = gr.Dropdown(choices, value=None, label="One slider from −3 to 3",
                               elem_id="strip-of", visible=bool(choices))  # fmt: skip
        strip = pictures()
        with gr.Row(elem_classes="deeds"):
            apply = gr.Button("Apply, and go on from here", size="sm")
            take_back = gr.Button("Take back what was applied", size="sm", visible=False)
            refine = gr.Button("Refine the likeness", size="sm", interactive=False,
                               elem_classes="refine")  # fmt: skip
            stop = gr.Button("Stop", size="sm", visible=False, elem_classes="refine")
            keep = gr.Button("Save settings", size="sm")
            load = gr.UploadButton("Load settings", size="sm", file_types=[".json"])
            copy = gr.Button("Same settings for all faces", size="sm", visible=False)
        bar = progress()
        html(WHAT_THEY_DO)
    return More(detail, softness, strip_of, strip, apply, take_back, refine, stop, bar, keep,
                load, copy)  # fmt: skip


def rail(editor: Editor) -> tuple[list[gr.Slider], gr.CheckboxGroup]:
    """One slider an attribute, in the editor's order, which keeps groups together; what to hold."""
    search({
        slider_id(a.name): {"hint": hint(a) if a.measured else "", "words": WORDS.get(a.name, "")}
        for a in editor.attributes
    })  # fmt: skip
    if not editor.attributes:
        html(NO_SLIDERS)
    sliders = []
    groups = dict.fromkeys(attribute.group for attribute in editor.attributes)
    for group in groups:
        with gr.Accordion(group, elem_classes="group"):  # search.js closes all but the first
            sliders += [
                gr.Slider(
                    attribute.low,
                    attribute.high,
                    value=0,
                    step=attribute.step,
                    label=attribute.label,
                    buttons=["reset"],
                    interactive=False,  # until a face is open
                    elem_id=f"slider-{slider_id(attribute.name)}",
                )
                for attribute in editor.attributes
                if attribute.group == group
            ]
    with gr.Accordion("Hold", elem_classes="holding", visible=bool(editor.attributes)):
        hold = gr.CheckboxGroup(
            [(attribute.label, attribute.name) for attribute in editor.attributes],
            label="Hold", show_label=False, elem_id="hold", interactive=False,
            info="What is ticked stays as it is, as far as the model can tell, while you move "
            "other sliders. Its own slider still changes it.",
        )  # fmt: skip
    return sliders, hold


def slider_id(name: str) -> str:
    """What follows "slider-" in the id of an attribute's slider: two such names are taken."""
    return f"{name}_" if name in ("detail", "softness") else name


def hint(attribute: Attribute) -> str:
    """What a slider was measured to do, and which others' attributes it tends to change."""
    measured = attribute.measured
    told = []
    if measured["judged"]:
        told.append(f"At +2, {of_100(measured['effect'])} faces show it")
        if below := measured.get("below"):
            told[0] += f"; at −2, it is gone from {of_100(below['effect'])} that had it"
    known = sliders(measured["moves"])
    others = ", ".join(
        f"{known[name].label} ({of_100(share)})"
        for name, share in measured["moves"].items()
        if name in known
    )
    if others:
        told.append(f"It also changes: {others}")
    return "".join(f"{one}. " for one in told).rstrip()


def of_100(share: float) -> str:
    return f"{100 * share:.0f} of 100"


# What people call it who do not find the slider under its own name.
WORDS = {
    "Smiling": "happy, laugh, grin, teeth, mouth, expression",
    "Mouth_Slightly_Open": "teeth, speak",
    "Narrow_Eyes": "squint",
    "Male": "man, masculine, woman, female, feminine, sex",
    "Young": "old, aged, aging, ageing, child, wrinkles",
    "Chubby": "fat, weight, thin, slim, round",
    "Eyeglasses": "spectacles, sunglasses",
    "Wearing_Hat": "cap, beanie",
    "Wearing_Earrings": "jewelry, jewellery",
    "Blond_Hair": "blonde, fair",
    "Brown_Hair": "brunette, dark hair",
    "Black_Hair": "dark hair",
    "Gray_Hair": "grey hair, white hair, silver hair, old",
    "Bangs": "fringe",
    "Wavy_Hair": "curls, curly, straight hair",
    "Receding_Hairline": "bald, hair loss, forehead",
    "Bald": "hair loss",
    "No_Beard": "shaved, stubble",
    "Goatee": "chin",
    "Mustache": "moustache",
    "Heavy_Makeup": "make-up, cosmetics, mascara",
    "Wearing_Lipstick": "mouth",
    "Rosy_Cheeks": "blush, red",
    "Pale_Skin": "white, tan, complexion",
}
NO_SLIDERS = """
<p class="small">This model has no sliders: it was trained on faces without labels. Make some under
<b>Your own</b>.</p>
"""
WHAT_TEXTURE_IS = """
<p class="small">Texture 0 is the network’s own picture; 1 keeps all of the photograph’s, and ghosts
of what an edit takes away. The edge is where an edited face meets the photograph.</p>
"""
WHAT_THEY_DO = """
<p class="small">Apply makes the edited face the new original, with all sliders at 0. Until another
face is chosen, the last time can be taken back. Refine searches for some seconds for a z that draws
a face more like the photograph’s.</p>
<p class="small">A saved photograph keeps its size, up to 16 million pixels, its format and
colour profile. Place, camera and time are left out of it, and a mark is put in that it was
edited.</p>
"""
