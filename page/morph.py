"""The tab that morphs faces into one another, and makes films of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
import torch

from page.sets import FullSet, face_set, open_set, with_more, with_one, without
from page.visitors import (
    FORGET,
    PRIVATE,
    SIZE,
    Belongings,
    Faces,
    Receiver,
    Updates,
    new_file,
    opened,
    remember,
    turn,
)
from page.widgets import html, jpeg, live, message, pictures, thumbnails
from vaegan import images, latents, morph, video
from vaegan.editor import Editor
from vaegan.errors import UserError
from vaegan.face import Face
from vaegan.view import plain

STEPS = 9  # pictures in the strip
MOST = 8  # faces in a chain
KEPT = 1024  # pixels of a photograph's longer side: no film is larger
WAYS = {"Straight": False, "Spherical": True}
SIZES = (256, 384, 768)
CHANGED = "The morph was changed meanwhile. Please make the film again."
SAME = {"queue": False, "show_progress": "hidden", **PRIVATE}
ONE = {"concurrency_limit": 1, "concurrency_id": "film"}  # at a time: its encoder takes a core


@dataclass(eq=False)
class Chain(Belongings):
    """The faces that a visitor morphs, in order, and along which way."""

    faces: Faces = ()
    spherical: bool = False

    def __bool__(self) -> bool:
        """Whether it holds a face."""
        return bool(self.faces)

    def forget(self) -> None:
        """Lets go of all faces."""
        self.faces = ()


def morph_tab(editor: Editor) -> Receiver:
    """What is sent here becomes the last face of the visitor's `Chain`."""

    def at(faces: Faces, times: torch.Tensor, spherical: bool) -> torch.Tensor:
        points = torch.cat([face.z for face in faces])
        return latents.along(points, times, editor.prior.mean if spherical else None)

    def draw(wish: dict[str, Any]) -> str:
        """One frame of the live picture."""
        state = opened.get(wish["key"])
        faces = state.faces if state else ()  # others may change them meanwhile
        if len(faces) < 2:
            return ""
        with turn:
            z = at(faces, torch.tensor([float(wish["sliders"]["t"])]), state.spherical)
            return jpeg(plain(editor.decode(z), SIZE))

    with gr.Row(elem_id="morph"):
        with gr.Column(elem_id="chain", min_width=0):
            html(HOW)
            ends = face_set("Faces in order")
            another = gr.Button("Add a random face", size="sm")
            way = gr.Radio(
                list(WAYS), value="Straight", label="Way",
                info="Spherical: around the average face, so the middle is as distinct as the "
                "ends.",
            )  # fmt: skip
            with gr.Accordion("Film", open=True, elem_id="film-options"):
                ending = gr.Radio(["MP4", "GIF"], value="MP4", label="File")
                size = gr.Radio(SIZES, value=384, label="Size in pixels")
                seconds = gr.Slider(0.5, 5, value=1.5, step=0.5, label="Seconds from face to face")
                ease = gr.Checkbox(True, label="Slow at each face")
                back = gr.Checkbox(True, label="Forth and back")
                whole = gr.Checkbox(False, label="In the first photograph")
                make = gr.Button("Make the film", variant="primary", interactive=False)
        with gr.Column(elem_id="between", min_width=0):
            stage = live("morphed", draw, "Choose two faces or more.", "A face on the way")
            # As the output of a listener alone it would be greyed out.
            t = gr.Slider(0, 1, value=0.5, step=0.01, label="From the first to the last",
                          elem_id="slider-t", interactive=True)  # fmt: skip
            strip = pictures()
            said = message()
            film_box = html('<figure id="film" hidden></figure>', HIDE)
    made = gr.File(visible=False)
    chain = gr.State(Chain(), time_to_live=FORGET)

    def put(state: Chain, faces: Faces) -> Updates:
        """Has these faces."""
        state.faces = faces
        enough = len(faces) > 1
        steps = []
        if enough:
            with turn:
                z = at(faces, torch.linspace(0, 1, STEPS), state.spherical)
                steps = [images.to_pil(x) for x in editor.decode(z)]
        key = remember(state)
        return {
            chain: state,
            stage: key,
            film_box: key,
            said: "",
            ends.note: "",
            ends.shown: thumbnails("Face", faces),
            ends.clear: gr.Button(visible=bool(faces)),
            strip: thumbnails("Step", steps),
            make: gr.Button(interactive=enough),
        }

    def add(paths: list[str] | None, state: Chain) -> Updates:
        if not paths:
            return gr.skip()
        room = MOST - len(state.faces)
        found, problems = open_set(editor, paths, lambda face: morph.scaled(face, KEPT), room)
        with state.changing:
            faces, left_out = with_more(state.faces, found, MOST)
            said = "\n".join(problems + left_out)
            return {**put(state, faces), ends.files: None, ends.note: said}

    def receive(state: Chain, face: Face) -> Updates:
        """A face that another tab sends: the last of the chain.

        Raises:
            FullSet: there are as many as there may be.
        """
        face = morph.scaled(face, KEPT)
        with state.changing:
            return put(state, with_one(state.faces, face, MOST))

    def add_random(state: Chain) -> Updates:
        with turn:
            face = editor.face_of(editor.draw(1, truncation=1.0))
        try:
            return receive(state, face)
        except FullSet as error:
            return {ends.note: str(error)}

    def take_out(state: Chain, event: gr.EventData) -> Updates:
        with state.changing:
            return put(state, without(state.faces, event.index))

    def empty(state: Chain) -> Updates:
        with state.changing:
            return put(state, ())

    def turn_to(way: str, state: Chain) -> Updates:
        with state.changing:
            state.spherical = WAYS[way]
            return put(state, state.faces)

    def film(
        ending: str, size: int, seconds: float, ease: bool, back: bool, whole: bool, state: Chain
    ) -> Updates:
        faces, spherical = state.faces, state.spherical
        try:
            path = write_film(editor, faces, f".{ending.lower()}", int(size), seconds, ease, back,
                              spherical, whole)  # fmt: skip
        except UserError as error:
            return {said: str(error), made: None}
        if state.faces is not faces or state.spherical != spherical:
            return {said: CHANGED, made: None}
        return {said: "", made: path}

    def jump(event: gr.EventData) -> float:
        return event.index / (STEPS - 1)

    showing = [chain, stage, film_box, said, ends.note, ends.shown, ends.clear, strip, make]
    opening = {"show_progress": "minimal", "show_progress_on": stage, **PRIVATE}
    ends.files.upload(add, [ends.files, chain], [ends.files, *showing], **opening)
    ends.shown.click(take_out, chain, showing, **SAME)
    ends.clear.click(empty, chain, showing, **SAME)
    another.click(add_random, chain, showing, **opening)
    way.input(turn_to, [way, chain], showing, **SAME)
    strip.click(jump, None, t, **SAME)
    make.click(film, [ending, size, seconds, ease, back, whole, chain], [made, said], **ONE,
               **opening).then(None, made, None, js=PLAY, **PRIVATE)  # fmt: skip
    return Receiver(chain, showing, receive)


def write_film(
    editor: Editor,
    faces: Faces,
    ending: str,
    size: int,
    seconds: float,
    ease: bool = True,
    back: bool = True,
    spherical: bool = False,
    whole: bool = False,
) -> str:
    """Writes a morph where Gradio serves it; its path.

    Raises:
        UserError: with a sentence for the visitor.
    """
    legs, fps = len(faces) - 1, video.RATES[ending]
    if legs < 1:
        raise UserError("A morph needs at least two faces.")
    times = morph.film_times(seconds, fps, legs, ease, back)
    path = new_file(f"morph{ending}")
    pictures = morph.film(editor, faces, times, size, spherical, whole, turn)
    video.write(pictures, path, fps)
    return str(path)


HOW = """
<p class="how">Two faces or more turn into one another, in the order in which they stand. Click on
one to take it out.</p>
"""
HIDE = """
watch("value", () => { element.querySelector("#film").hidden = true; });  // it was of other faces
"""
PLAY = """
(file) => {
    const box = document.getElementById("film");
    box.hidden = !file;
    if (!file) return;
    const gif = file.orig_name.endsWith(".gif");
    const picture = document.createElement(gif ? "img" : "video");
    if (gif) picture.alt = "The morph, moving";
    else Object.assign(picture, { controls: true, loop: true, muted: true, autoplay: true,
                                  playsInline: true, ariaLabel: "The morph" });
    picture.src = file.url;
    const link = document.createElement("a");
    Object.assign(link, { href: file.url, download: file.orig_name, textContent: "Download" });
    box.replaceChildren(picture, link);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    box.scrollIntoView({ block: "nearest", behavior: still ? "auto" : "smooth" });
}
"""
