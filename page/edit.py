"""The tab where a face is edited: what stands where, and what happens when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import gradio as gr
from PIL import Image

from page.edit_layout import outputs_of, rail, result_column, slider_id, source_column
from page.photographs import detecting, open_faces, open_photo
from page.visitors import (
    FACE,
    FORGET,
    FORGOTTEN,
    LARGE,
    PRIVATE,
    SIZE,
    EditTab,
    Faces,
    Openings,
    Sitting,
    Updates,
    download_edit,
    new_file,
    opened,
    remember,
    turn,
)
from page.widgets import SMALL, jpeg, then_download, thumbnails
from vaegan import refine as optimisation
from vaegan.attributes import LIMIT
from vaegan.editor import MOST_FACES, Editor, FaceNotFound
from vaegan.errors import UserError
from vaegan.settings import Settings, SettingsError
from vaegan.view import plain

STRIP = 7  # pictures of a filmstrip
TOLD = 4  # steps of a refinement between two reports
SPIN = {"show_progress": "minimal", **PRIVATE}
QUICK = {"queue": False, "show_progress": "hidden", **PRIVATE}
FULL = f"At most {MOST_FACES} faces of a photograph can be edited."
STILL = "The face on the page is still the one from before."
OTHER = "Another face was opened meanwhile. Please try again."


class Unframed:
    """A photograph in which a face is to be framed by hand; false once it was forgotten."""

    def __init__(self, photo: Image.Image) -> None:
        self.photo: Image.Image | None = photo

    def __bool__(self) -> bool:
        return self.photo is not None

    def forget(self) -> None:
        self.photo = None


def edit_tab(editor: Editor, samples: Faces) -> EditTab:
    """What other tabs need to open faces here. samples: faces to begin with."""

    def draw(wish: dict[str, Any]) -> str:
        """One frame of the live picture: a decode, a blend, a JPEG."""
        if not (state := opened.get(wish["key"])):
            return ""
        places = wish["sliders"]
        settings = wished(
            editor,
            {name: places.get(slider_id(name)) for name in names},
            wish.get("hold", ()),
            places.get("detail"),
            places.get("softness"),
        )
        with turn:
            view = state.views.get(wish.get("view")) or state.views[FACE]
            return jpeg(editor.frame(view, settings))

    with gr.Row(elem_id="edit"):
        with gr.Column(elem_id="source", min_width=0):
            source = source_column(samples)
        with gr.Column(elem_id="result", min_width=0):
            result = result_column(editor, draw)
        with gr.Column(elem_id="rail", min_width=0, elem_classes="lines"):
            sliders, hold = rail(editor)
    more = result.more
    saved = gr.File(visible=False)
    sitting = gr.State(None, time_to_live=FORGET)
    unframed = gr.State(None, time_to_live=FORGET)
    chosen = gr.State(Openings())
    # Whose sliders stand on the page. A listener gets these as they were at the click, but the
    # sitting as it is once its turn has come, which may be another's by then.
    shown = gr.Textbox(visible=False)
    names = [attribute.name for attribute in editor.attributes]
    positions = [more.detail, more.softness, hold, *sliders]

    def read(detail: float, softness: float, hold: list[str], *values: float | None) -> Settings:
        """The settings on the page."""
        places = dict(zip(names, values, strict=True))
        return wished(editor, places, hold, detail, softness)

    def set_for(state: Sitting, shown: str, values: tuple[Any, ...]) -> Sitting:
        """With what the page says, if it says it of the face that is being edited."""
        return state.setting(read(*values)) if shown == state.id else state

    def put(settings: Settings) -> Updates:
        """The settings onto the page, where they can be changed from now on."""
        held = [name for name in settings.hold if name in names]
        places = (min(max(settings.sliders.get(name, 0), -LIMIT), LIMIT) for name in names)
        return {
            more.detail: settings.detail,
            more.softness: settings.softness,
            hold: gr.CheckboxGroup(value=held, interactive=True),
            **{
                slider: gr.Slider(value=place, interactive=True)
                for slider, place in zip(sliders, places, strict=True)
            },
        }

    def show(state: Sitting) -> Updates:
        """A face that was just opened; the live picture draws itself."""
        settings = state.edits[state.index]
        places = {slider_id(name): place for name, place in settings.sliders.items()}
        photographed = state.face.photo is not None
        many = len(state.faces) > 1
        with turn:
            before = {name: jpeg(unedited(editor, view)) for name, view in state.views.items()}
            decoded = jpeg(plain(state.face.reconstruction, SIZE))
        return {
            sitting: state,
            shown: state.id,
            **unframe(),
            result.stage: {**remember(state), "face": state.id, "photograph": state.photograph,
                           "before": before, "start": {**asdict(settings), "sliders": places}},
            source.photo: None,
            source.note: state.face.warning,
            source.frame: gr.Button(visible=photographed and len(state.faces) < MOST_FACES),
            source.aligned: before[FACE] if photographed else "",
            source.reconstruction: decoded,
            result.view: gr.Radio(interactive=photographed) if photographed else
                gr.Radio(value=FACE, interactive=False),
            result.save_face: gr.Button(interactive=True),
            result.save_photo: gr.Button(interactive=photographed),
            more.bar: None,
            more.stop: gr.Button(visible=False),
            more.refine: gr.Button(visible=True, interactive=photographed),
            more.take_back: gr.Button(visible=state.before is not None),
            more.copy: gr.Button(visible=many),
            more.strip: [],
            more.strip_of: None,
            **put(settings),
        }  # fmt: skip

    def show_first(faces: Faces) -> Updates:
        return show_all(Sitting.at(faces))

    def show_all(state: Sitting) -> Updates:
        many = len(state.faces) > 1
        return {
            source.several: gr.Column(visible=many),
            source.others: thumbnails("Face", state.faces, state.index) if many else [],
            **show(state),
        }

    def upload(_: gr.EventData, file: dict[str, Any] | None, state: Sitting | None) -> Updates:
        if file is None:  # the field was emptied meanwhile
            return gr.skip()
        still = f" {STILL}" if state else ""
        try:
            return show_first(open_faces(editor, file["path"]))
        except FaceNotFound as error:
            with detecting:
                photo, shrunk = open_photo(file["path"])
            said = f"{shrunk} {error} Or put the frame below around the face.{still}".strip()
            return {source.photo: None, source.note: said, **ask_for_frame(photo), **at_rest()}
        except UserError as error:
            return {source.photo: None, source.note: f"{error}{still}", **unframe(), **at_rest()}

    def ask_for_frame(photo: Image.Image) -> Updates:
        small = photo.copy()
        small.thumbnail((LARGE, LARGE))
        shown = {"source": jpeg(small), "width": photo.width, "height": photo.height}
        opened.add(held := Unframed(photo))
        return {
            unframed: held,
            source.framing: gr.Column(visible=True),
            source.square: shown,
        }

    def unframe() -> Updates:
        return {unframed: None, source.framing: gr.Column(visible=False)}

    def frame_another(state: Sitting | None) -> Updates:
        return gr.skip() if not state else ask_for_frame(state.face.photo)

    def use_frame(
        event: gr.EventData,
        held: Unframed | None,
        state: Sitting | None,
        shown: str,
        *values: Any,
    ) -> Updates:
        photo = held and held.photo
        if event.box and not photo:
            return {source.note: FORGOTTEN, **unframe(), **at_rest()}
        box = photo and framed(event.box, photo)
        if not box:  # given up
            return {**unframe(), **at_rest()}
        added = bool(state) and photo is state.face.photo
        if added and len(state.faces) >= MOST_FACES:
            return {source.note: FULL, **at_rest()}
        try:
            with turn:
                face = editor.open(photo, box=box)
        except UserError as error:
            return {source.note: str(error), **at_rest()}
        if not added:
            return show_first((face,))
        # One more face of the photograph that is open already.
        state = set_for(state, shown, values)
        face = replace(face, photo=photo)
        faces, edits = (*state.faces, face), (*state.edits, Settings())
        return show_all(state.again(editor, faces, len(faces) - 1, edits))

    def pick_example(event: gr.EventData) -> Updates:
        return show_first((samples[event.index],))

    def pick_other(event: gr.EventData, state: Sitting | None, shown: str, *values: Any) -> Updates:
        """An edit stays when the next face is chosen."""
        if not state or not 0 <= event.index < len(state.faces):
            return {source.note: FORGOTTEN, **at_rest()}
        edits = set_for(state, shown, values).edits
        # The tiles too: a click that came while this one was under way has marked another.
        return show_all(state.again(editor, state.faces, event.index, edits))

    def save(whole: bool, state: Sitting | None, shown: str, *values: Any) -> Updates:
        if problem := unlike(state, shown):
            return {saved: None, source.note: problem}
        return {saved: download_edit(editor, state.setting(read(*values)), whole)}

    def save_settings(*values: Any) -> str:
        path = new_file("settings.json")
        path.write_text(read(*values).to_json(), "utf-8")
        return str(path)

    def load_settings(path: str | None) -> Updates:
        if path is None:
            return gr.skip()
        try:
            with open(path, "rb") as file:
                settings = Settings.from_json(file.read(100_000))
        except SettingsError as error:
            return {source.note: str(error)}
        unknown = sorted(settings.sliders.keys() - set(names))
        said = f"Left out, since this page has no such slider: {', '.join(unknown)}."
        return {source.note: said if unknown else "", **put(settings)}

    def copy_to_all(_: gr.EventData, state: Sitting | None, shown: str, *values: Any) -> Updates:
        if problem := unlike(state, shown):
            return {source.note: problem, **at_rest()}
        edits = (read(*values),) * len(state.faces)
        same = state.again(editor, state.faces, state.index, edits)
        return show(replace(same, before=state.before))

    def apply(_: gr.EventData, state: Sitting | None, shown: str, *values: Any) -> Updates:
        if problem := unlike(state, shown):
            return {source.note: problem, **at_rest()}
        settings = read(*values)
        with turn:
            applied = editor.apply(state.face, settings)
        after = state.replaced(editor, applied).setting(replace(settings, sliders={}))
        return show(replace(after, before=replace(state.setting(settings), before=None)))

    def take_back(_: gr.EventData, state: Sitting | None) -> Updates:
        if not state or state.before is None:
            return {source.note: FORGOTTEN, **at_rest()}
        return show(state.before)

    def refine(state: Sitting | None, shown: str, *values: Any) -> Iterator[Updates]:
        if problem := unlike(state, shown):
            yield {source.note: problem}
            return
        settings = read(*values)
        steps = editor.refine(state.face)
        yield {more.bar: 0, more.stop: gr.Button(visible=True),
               more.refine: gr.Button(visible=False)}  # fmt: skip
        for number in range(optimisation.STEPS):
            with turn:
                face = next(steps)
            if number % TOLD == TOLD - 1:
                newer = state.replaced(editor, face).setting(settings)
                # The same face: undo goes on as before, and so does taking back.
                state = replace(newer, id=state.id, before=state.before)
                told = show(state)
                kept = (sitting, result.stage, source.reconstruction)
                yield {more.bar: (number + 1) / optimisation.STEPS, **{c: told[c] for c in kept}}
        yield at_rest()

    def at_rest() -> Updates:
        """No refinement is under way."""
        return {more.bar: None, more.stop: gr.Button(visible=False),
                more.refine: gr.Button(visible=True)}  # fmt: skip

    def filmstrip(name: str | None, state: Sitting | None, shown: str, *values: Any) -> Any:
        if unlike(state, shown) or name is None:
            return []
        with turn:
            strip = editor.filmstrip(state.face, name, read(*values), STRIP, SMALL)
        places = (f"{2 * LIMIT * n / (STRIP - 1) - LIMIT:g}" for n in range(STRIP))
        return [
            {"label": place, "source": jpeg(one)} for place, one in zip(places, strip, strict=True)
        ]

    def pick_frame(event: gr.EventData, name: str | None) -> Updates:
        if name not in names:
            return gr.skip()
        return {sliders[names.index(name)]: 2 * LIMIT * event.index / (STRIP - 1) - LIMIT}

    here = [sitting, shown, *positions]
    outputs = [unframed, *outputs_of(source, result), *here]
    refining = [more.bar, more.stop, more.refine]
    running = more.refine.click(
        refine, here,
        [*refining, sitting, result.stage, source.reconstruction, source.note],
        show_progress="hidden", **PRIVATE,
    )  # fmt: skip
    # Only once it has ended, or its last report would show the bar again.
    more.stop.click(None, cancels=[running], **QUICK).then(at_rest, None, refining, **QUICK)
    waiting = {"show_progress_on": result.stage, **SPIN}

    def opens(
        listen: Callable[..., Any],
        choose: Callable[..., Updates],
        inputs: list[Any],
        beside: tuple[Any, ...] = (),
        **how: Any,
    ) -> None:
        """Makes `listen` open what `choose` finds, unless something else was chosen meanwhile.

        choose: gets the event and `inputs`. beside: outputs that are not of this tab.
        """

        def open_chosen(event: gr.EventData, chosen: Openings, *values: Any) -> Updates:
            newest = chosen.begin()
            updates = choose(event, *values)
            return updates if newest() else gr.skip()

        open_chosen.__name__ = choose.__name__
        # A refinement ends, or its face would take the new one's place.
        listen(open_chosen, [chosen, *inputs], [*beside, *outputs], cancels=[running],
               **how, **waiting)  # fmt: skip

    every = {"trigger_mode": "multiple"}  # also what is chosen while another is being opened
    # preprocess=False passes the file's path. Gradio would open the picture itself, and fail on
    # odd ones in its own words.
    opens(source.photo.upload, upload, [source.photo, sitting], preprocess=False, **every)
    opens(source.example.click, pick_example, [], **every)
    opens(source.others.click, pick_other, here, **every)
    source.frame.click(frame_another, sitting, outputs, **waiting)
    opens(source.square.click, use_frame, [unframed, *here])
    opens(more.apply.click, apply, here)
    opens(more.take_back.click, take_back, [sitting])
    opens(more.copy.click, copy_to_all, here)
    more.load.upload(load_settings, more.load, [source.note, *positions], **QUICK)
    strip = {"fn": filmstrip, "inputs": [more.strip_of, *here], "outputs": more.strip}
    more.strip_of.change(**strip, **SPIN)
    # Once other settings stand than it was drawn with, and once another z stands for the face.
    result.tools.input(**strip, trigger_mode="always_last", **SPIN)
    running.then(**strip, **SPIN)
    more.strip.click(pick_frame, more.strip_of, sliders, **QUICK)
    for button, whole in ((result.save_face, False), (result.save_photo, True)):
        done = button.click(partial(save, whole), here, [saved, source.note], **waiting)
        then_download(done, saved)
    then_download(more.keep.click(save_settings, positions, saved, **QUICK), saved)
    return EditTab(opens, show_first)


def framed(box: Any, photo: Image.Image) -> tuple[float, ...] | None:
    """The box of a request; None unless it is a square in the photograph, as framer.js sends."""
    try:
        left, top, right, bottom = map(float, box)
    except (TypeError, ValueError):
        return None
    inside = 0 <= left < right < photo.width + 1 and 0 <= top < bottom < photo.height + 1
    square = abs((right - left) - (bottom - top)) < 1  # a wide one would reach far beyond
    return (left, top, right, bottom) if inside and square else None


def unlike(state: Sitting | None, shown: str) -> str:
    """Why nothing can be done with what the page shows, or ""."""
    if not state:
        return FORGOTTEN
    return "" if shown == state.id else OTHER


def wished(
    editor: Editor, positions: dict[str, float | None], hold: Any, detail: Any, softness: Any
) -> Settings:
    """What the page says; an emptied field is 0, and a typed 7 is as far as 3."""
    sliders = {
        a.name: min(max(float(position), a.low), a.high)
        for a in editor.attributes
        if (position := positions.get(a.name))
    }
    known = {attribute.name for attribute in editor.attributes}
    rest = {
        name: min(max(float(value), 0), 1)
        for name, value in (("detail", detail), ("softness", softness))
        if value is not None
    }
    return Settings(sliders, tuple(name for name in hold or () if name in known), **rest)


def unedited(editor: Editor, view: Any) -> Any:
    """The view's picture before any edit."""
    return view.frame(view.face.reconstruction, Settings(detail=1.0))
