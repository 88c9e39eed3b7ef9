"""The tab where two sets of photographs make a slider."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gradio as gr

from page.photographs import largest_face
from page.sets import face_set, open_set, with_one, without
from page.visitors import (
    FACE,
    FORGET,
    PRIVATE,
    EditTab,
    Faces,
    Receiver,
    Sitting,
    Updates,
    download_edit,
    let_go,
    new_file,
    opened,
    remember,
    turn,
)
from page.widgets import (
    SMALL,
    heading,
    html,
    jpeg,
    live,
    message,
    pictures,
    then_download,
    thumbnails,
    upload_message,
    uploader,
)
from vaegan import custom
from vaegan.attributes import LIMIT, VectorError
from vaegan.custom import OwnAttribute
from vaegan.editor import Editor
from vaegan.errors import UserError
from vaegan.face import Face, thumbnail
from vaegan.settings import Settings

SLOTS = 4  # sliders of one's own at a time
LARGEST = 100  # faces in a set; more say little that is new
FULL = f"There are {SLOTS} sliders already: download one if you want it later, then remove it."
FIRST = 1.5  # where a new slider stands, so that it shows at once what it does
SETS = ("With it", "Without it")
USED, UNUSED = ["slot"], ["slot", "unused"]
SAME = {"queue": False, "show_progress": "hidden", **PRIVATE}


@dataclass(frozen=True, eq=False)
class Workshop:
    """What one visitor is working on: two sets, the sliders made so far, a face to try them on.

    sitting: of that face; None where it is the first example
    """

    sets: tuple[Faces, Faces] = ((), ())
    own: tuple[OwnAttribute, ...] = ()
    sitting: Sitting | None = None

    def forget(self) -> None:
        """Lets go of all faces."""
        let_go(self, sets=((), ()), sitting=None)

    def with_set(self, which: int, faces: Faces) -> Workshop:
        sets = (faces, self.sets[1]) if which == 0 else (self.sets[0], faces)
        return replace(self, sets=sets)

    def settings(self, positions: Iterable[float | None]) -> Settings:
        """What the sliders say that have an attribute; an emptied field says nothing."""
        return Settings(
            {
                own: min(max(float(position), -LIMIT), LIMIT)
                for own, position in zip(self.own, positions, strict=False)
                if position
            }
        )


def own_tab(
    editor: Editor, samples: Faces, tabs: gr.Tabs, tab: gr.Tab, edit_tab: EditTab
) -> Receiver:
    """What is sent here joins a set of the visitor's `Workshop`: `add` gets which one first."""
    opens, open_in_edit = edit_tab

    def draw(wish: dict[str, Any]) -> str:
        """One frame of the live picture."""
        if (state := opened.get(wish["key"])) is None:
            return ""
        positions = (wish["sliders"].get(f"own{slot}") for slot in range(SLOTS))
        view = (state.sitting or first).views[FACE]
        with turn:
            return jpeg(editor.frame(view, state.settings(positions)))

    first = Sitting.at((samples[0],))
    with gr.Row(elem_id="own"):
        with gr.Column(elem_id="sets", min_width=0):
            html(HOW)
            name = gr.Textbox(label="Its name", placeholder="Freckles", max_length=custom.LONGEST)
            ends = [face_set(title) for title in SETS]
            make = gr.Button("Make the slider", variant="primary", interactive=False)
            file = gr.File(
                label="Or load one that was made here", file_types=[custom.ENDING], height=64,
                elem_classes=["drop", "one"],
            )  # fmt: skip
        with gr.Column(elem_id="tryout", min_width=0):
            stage = live("own-stage", draw, "Choose a face below.")
            with gr.Row(elem_id="own-saves", elem_classes="deeds"):
                save_face = gr.Button("Save face", size="sm")
                save_photo = gr.Button("Save photograph", size="sm",
                                       interactive=first.face.photo is not None)  # fmt: skip
                go_on = gr.Button("Edit this face", size="sm")
            verdict = message("verdict")
            slots = [slot_row(slot) for slot in range(SLOTS)]
            heading("Try it on")
            with gr.Row(elem_id="try-on"):
                sample = pictures(thumbnails("Example", samples))
                photo = uploader("A photograph to try it on", show_label=False)
            note = upload_message()
    saved = gr.File(visible=False)
    work = gr.State(Workshop(), time_to_live=FORGET)

    def show_set(which: int, state: Workshop) -> Updates:
        faces, title = state.sets[which], SETS[which]
        return {
            work: state,
            stage: remember(state),
            ends[which].shown: thumbnails(title, faces),
            ends[which].clear: gr.Button(visible=bool(faces)),
            make: gr.Button(interactive=all(state.sets)),
        }

    def add(which: int, paths: list[str] | None, state: Workshop) -> Updates:
        if not paths:
            return gr.skip()
        room = LARGEST - len(state.sets[which])
        faces, problems = open_set(editor, paths, small, room)
        state = state.with_set(which, state.sets[which] + faces)
        return {
            ends[which].files: None,
            ends[which].note: "\n".join(problems),
            **show_set(which, state),
        }

    def receive(which: int, state: Workshop, face: Face) -> Updates:
        """A face that another tab sends.

        Raises:
            FullSet: there are as many as there may be.
        """
        faces = with_one(state.sets[which], small(face), LARGEST)
        return show_set(which, state.with_set(which, faces))

    def taking_out(which: int) -> Callable[[Workshop, gr.EventData], Updates]:
        def take_out(state: Workshop, event: gr.EventData) -> Updates:
            kept = without(state.sets[which], event.index)
            return show_set(which, state.with_set(which, kept))

        return take_out  # a partial would hide the event from Gradio

    def empty(which: int, state: Workshop) -> Updates:
        return {ends[which].note: "", **show_set(which, state.with_set(which, ()))}

    def show_sliders(state: Workshop, positions: list[float]) -> Updates:
        updates: Updates = {work: state, stage: remember(state)}
        for slot, (row, slider) in enumerate(slots):
            used = slot < len(state.own)
            updates[row] = gr.Row(elem_classes=USED if used else UNUSED)
            updates[slider] = gr.Slider(
                label=state.own[slot].name if used else "", value=positions[slot] if used else 0
            )
        return updates

    def put(state: Workshop, own: OwnAttribute, said: str, positions: list[float]) -> Updates:
        """The newest stands on top."""
        state = replace(state, own=(own, *state.own))
        return {verdict: said, **show_sliders(state, [FIRST, *positions])}

    def learn(name: str, state: Workshop, *positions: float) -> Updates:
        if len(state.own) >= SLOTS:
            return {verdict: FULL}
        try:
            with turn:
                title = (name or "").strip() or "My slider"
                own = editor.attribute_from(*state.sets, name=title)
        except UserError as error:
            return {verdict: str(error)}
        return put(state, own, custom.in_words(own), list(positions))

    def load(path: str | None, state: Workshop, *positions: float) -> Updates:
        if path is None:
            return gr.skip()
        if len(state.own) >= SLOTS:
            return {file: None, verdict: FULL}
        try:
            own = editor.load_attribute(path)
        except VectorError as error:
            return {file: None, verdict: str(error)}
        return {file: None, **put(state, own, custom.in_words(own), list(positions))}

    def remove(slot: int, state: Workshop, *positions: float) -> Updates:
        if slot >= len(state.own):
            return gr.skip()
        state = replace(state, own=state.own[:slot] + state.own[slot + 1 :])
        kept = [*positions[:slot], *positions[slot + 1 :], 0.0]
        return {verdict: "", **show_sliders(state, kept)}

    def save_slider(slot: int, state: Workshop) -> str | None:
        return write(state.own[slot]) if slot < len(state.own) else None

    def save(whole: bool, state: Workshop, *positions: float) -> str:
        sitting = (state.sitting or first).setting(state.settings(positions))
        return download_edit(editor, sitting, whole)

    def edit_further(_: gr.EventData, state: Workshop, *positions: float) -> Updates:
        """Opens the face in the other tab, with these sliders applied to it."""
        with turn:
            applied = editor.apply((state.sitting or first).face, state.settings(positions))
        return {tabs: gr.Tabs(selected="edit"), **open_in_edit((applied,))}

    def try_on(state: Workshop, face: Face) -> Updates:
        state = replace(state, sitting=Sitting.at((face,)))
        return {
            work: state,
            stage: remember(state),
            note: face.warning,
            photo: None,
            save_photo: gr.Button(interactive=face.photo is not None),
        }

    def try_photo(file: dict[str, Any] | None, state: Workshop) -> Updates:
        if file is None:
            return gr.skip()
        try:
            return try_on(state, largest_face(editor, file["path"]))
        except UserError as error:
            return {note: str(error), photo: None}

    def try_sample(state: Workshop, event: gr.EventData) -> Updates:
        return try_on(state, samples[event.index])

    sliders = [slider for _, slider in slots]
    tab.select(remember, work, stage, **SAME)
    adding = [work, stage, make, *(part for end in ends for part in (end.shown, end.clear))]
    showing = [work, stage, verdict, *(part for slot in slots for part in slot)]
    opening = {"show_progress": "minimal", "show_progress_on": stage, **PRIVATE}
    for which, end in enumerate(ends):
        changed = [*adding, end.files, end.note]
        end.files.upload(partial(add, which), [end.files, work], changed,
                         show_progress_on=end.files, **PRIVATE)  # fmt: skip
        end.shown.click(taking_out(which), work, adding, **SAME)
        end.clear.click(partial(empty, which), work, changed, **SAME)
    make.click(learn, [name, work, *sliders], showing, **opening)
    file.upload(load, [file, work, *sliders], [file, *showing], **opening)
    trying = [work, stage, note, photo, save_photo]
    photo.upload(try_photo, [photo, work], trying, preprocess=False,
                 trigger_mode="multiple", **opening)  # fmt: skip
    sample.click(try_sample, work, trying, **opening)
    for button, whole in ((save_face, False), (save_photo, True)):
        then_download(button.click(partial(save, whole), [work, *sliders], saved, **opening), saved)
    opens(go_on.click, edit_further, [work, *sliders], (tabs,))
    for slot, (row, _) in enumerate(slots):
        download, discard = (child for child in row.children if isinstance(child, gr.Button))
        then_download(download.click(partial(save_slider, slot), work, saved, **PRIVATE), saved)
        discard.click(partial(remove, slot), [work, *sliders], showing, **SAME)
    return Receiver(work, adding, receive)


def slot_row(slot: int) -> tuple[gr.Row, gr.Slider]:
    """A slider, a way to keep it and a way to be rid of it; shown once it has an attribute.

    A class hides it, since an invisible one is not on the page, and then the live picture would
    not notice that it was set.
    """
    with gr.Row(elem_classes=UNUSED) as row:
        slider = gr.Slider(-LIMIT, LIMIT, value=0, step=0.1, label="", buttons=["reset"],
                           interactive=True, elem_id=f"slider-own{slot}")  # fmt: skip
        gr.Button("Download", size="sm", min_width=0)
        gr.Button("Remove", size="sm", min_width=0)
    return row, slider


def write(own: OwnAttribute) -> str:
    """Writes an attribute's file where Gradio serves it; its path."""
    plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in own.name).strip("-")
    path = new_file(f"{plain or 'slider'}{custom.ENDING}")
    custom.save(own, path)
    return str(path)


def small(face: Face) -> Face:
    """A set takes latents and shows thumbnails: the photographs need not be kept."""
    return replace(face, photo=None, matrix=None, crop=thumbnail(face, SMALL))


HOW = """
<p class="how">Show it what you mean: photographs of faces <b>with</b> something (freckles, a
fringe, your brother’s grin) and of others <b>without</b>. One on each side gives all that the one
has and the other has not, the person too; ten of different people give what they have in common.
The largest face of each photograph counts; click on one to take it out again.</p>
"""
