"""The tab where two sets of photographs make a slider."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import gradio as gr

from page.photographs import largest_face
from page.sets import face_set, open_set, with_more, with_one, without
from page.visitors import (
    FACE,
    FORGET,
    FORGOTTEN,
    PRIVATE,
    Belongings,
    EditTab,
    Faces,
    Openings,
    Receiver,
    Sitting,
    Updates,
    download_edit,
    gone,
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
from vaegan.attributes import LIMIT
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
USED, UNUSED = ["slot", "lines"], ["slot", "lines", "unused"]
SAME = {"queue": False, "show_progress": "hidden", **PRIVATE}
Places = dict[OwnAttribute, float]  # where sliders stand
Shown = dict[str, str] | None  # what a live picture shows: a value of `remember`


@dataclass(eq=False)
class Workshop(Belongings):
    """What one visitor is working on: two sets, the sliders made so far, a face to try them on.

    sitting: of that face; None where it is the first example
    tries: the faces that were chosen for that
    """

    sets: tuple[Faces, Faces] = ((), ())
    own: tuple[OwnAttribute, ...] = ()
    sitting: Sitting | None = None
    tries: Openings = field(default_factory=Openings, init=False)

    def __bool__(self) -> bool:
        """Whether it holds a face."""
        return any(self.sets) or self.sitting is not None

    def forget(self) -> None:
        """Lets go of all faces."""
        self.sets, self.sitting = ((), ()), None

    def put(self, which: int, faces: Faces) -> None:
        """Into the one set; the other stays."""
        self.sets = (faces, self.sets[1]) if which == 0 else (self.sets[0], faces)

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

    def put_set(which: int, state: Workshop, faces: Faces) -> Updates:
        """Puts `faces` into a set."""
        state.put(which, faces)
        title = SETS[which]
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
        with state.changing:
            kept, left_out = with_more(state.sets[which], faces, LARGEST)
            return {
                ends[which].files: None,
                ends[which].note: "\n".join(problems + left_out),
                **put_set(which, state, kept),
            }

    def receive(which: int, state: Workshop, face: Face) -> Updates:
        """A face that another tab sends.

        Raises:
            FullSet: there are as many as there may be.
        """
        face = small(face)
        with state.changing:
            return put_set(which, state, with_one(state.sets[which], face, LARGEST))

    def taking_out(which: int) -> Callable[[Workshop, gr.EventData], Updates]:
        def take_out(state: Workshop, event: gr.EventData) -> Updates:
            with state.changing:
                return put_set(which, state, without(state.sets[which], event.index))

        return take_out  # a partial would hide the event from Gradio

    def empty(which: int, state: Workshop) -> Updates:
        with state.changing:
            return {ends[which].note: "", **put_set(which, state, ())}

    def standing(state: Workshop, positions: Iterable[float]) -> Places:
        return dict(zip(state.own, positions, strict=False))

    def put_sliders(state: Workshop, own: tuple[OwnAttribute, ...], places: Places) -> Updates:
        """Has these sliders; those that have no place yet stand where new ones do."""
        state.own = own
        updates: Updates = {work: state, stage: remember(state)}
        for slot, (row, slider) in enumerate(slots):
            used = slot < len(own)
            updates[row] = gr.Row(elem_classes=USED if used else UNUSED)
            updates[slider] = gr.Slider(
                label=own[slot].name if used else "",
                value=places.get(own[slot], FIRST) if used else 0,
            )
        return updates

    def add_slider(state: Workshop, own: OwnAttribute, places: Places) -> Updates:
        """The newest stands on top."""
        with state.changing:
            if len(state.own) >= SLOTS:
                return {verdict: FULL}
            sliders = (own, *state.own)
            return {verdict: custom.in_words(own), **put_sliders(state, sliders, places)}

    def learn(name: str, shown: Shown, state: Workshop, *positions: float) -> Updates:
        if gone(state, shown):
            return {verdict: FORGOTTEN}
        if len(state.own) >= SLOTS:
            return {verdict: FULL}
        places = standing(state, positions)
        title = (name or "").strip() or "My slider"
        try:
            own = editor.attribute_from(*state.sets, name=title, turn=turn)
        except UserError as error:
            return {verdict: str(error)}
        return add_slider(state, own, places)

    def load(path: str | None, state: Workshop, *positions: float) -> Updates:
        if path is None:
            return gr.skip()
        try:
            own = editor.load_attribute(path)
        except UserError as error:
            return {file: None, verdict: str(error)}
        return {file: None, **add_slider(state, own, standing(state, positions))}

    def remove(slot: int, state: Workshop, *positions: float) -> Updates:
        with state.changing:
            places = standing(state, positions)
            kept = state.own[:slot] + state.own[slot + 1 :]
            return {verdict: "", **put_sliders(state, kept, places)}

    def save_slider(slot: int, state: Workshop) -> Updates:
        if slot >= len(state.own):
            return {saved: None, verdict: FORGOTTEN}
        return {saved: write(state.own[slot])}

    def save(whole: bool, shown: Shown, state: Workshop, *positions: float) -> Updates:
        if gone(state, shown):
            return {saved: None, note: FORGOTTEN}
        sitting = (state.sitting or first).setting(state.settings(positions))
        return {saved: download_edit(editor, sitting, whole)}

    def edit_further(_: gr.EventData, shown: Shown, state: Workshop, *positions: float) -> Updates:
        """Opens the face in the other tab, with these sliders applied to it."""
        if gone(state, shown):
            return {note: FORGOTTEN}
        with turn:
            applied = editor.apply((state.sitting or first).face, state.settings(positions))
        return {tabs: gr.Tabs(selected="edit"), **open_in_edit((applied,))}

    def try_on(state: Workshop, face: Face, newest: Callable[[], bool]) -> Updates:
        """newest: whether nothing else was chosen meanwhile."""
        sitting = Sitting.at((face,))
        with state.changing:
            if not newest():
                return gr.skip()
            state.sitting = sitting
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
        newest = state.tries.begin()
        try:
            face = largest_face(editor, file["path"])
        except UserError as error:
            return {note: str(error), photo: None} if newest() else gr.skip()
        return try_on(state, face, newest)

    def try_sample(state: Workshop, event: gr.EventData) -> Updates:
        return try_on(state, samples[event.index], state.tries.begin())

    def enter(shown: Shown, state: Workshop) -> Updates:
        return {note: FORGOTTEN} if gone(state, shown) else {stage: remember(state)}

    sliders = [slider for _, slider in slots]
    tab.select(enter, [stage, work], [stage, note], **SAME)
    adding = [work, stage, make, *(part for end in ends for part in (end.shown, end.clear))]
    showing = [work, stage, verdict, *(part for slot in slots for part in slot)]
    opening = {"show_progress": "minimal", "show_progress_on": stage, **PRIVATE}
    for which, end in enumerate(ends):
        changed = [*adding, end.files, end.note]
        end.files.upload(partial(add, which), [end.files, work], changed,
                         show_progress_on=end.files, **PRIVATE)  # fmt: skip
        end.shown.click(taking_out(which), work, adding, **SAME)
        end.clear.click(partial(empty, which), work, changed, **SAME)
    make.click(learn, [name, stage, work, *sliders], showing, **opening)
    file.upload(load, [file, work, *sliders], [file, *showing], **opening)
    trying = [work, stage, note, photo, save_photo]
    photo.upload(try_photo, [photo, work], trying, preprocess=False,
                 trigger_mode="multiple", **opening)  # fmt: skip
    sample.click(try_sample, work, trying, **opening)
    for button, whole in ((save_face, False), (save_photo, True)):
        done = button.click(partial(save, whole), [stage, work, *sliders], [saved, note], **opening)
        then_download(done, saved)
    opens(go_on.click, edit_further, [stage, work, *sliders], (tabs, note))
    for slot, (row, _) in enumerate(slots):
        download, discard = (child for child in row.children if isinstance(child, gr.Button))
        done = download.click(partial(save_slider, slot), work, [saved, verdict], **PRIVATE)
        then_download(done, saved)
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
