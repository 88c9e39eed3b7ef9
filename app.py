"""The page: upload a face, move sliders, watch it change.

    python app.py
    python app.py --model user/repo --port 8000

Flags first, then widgets and what they call. What is done to a face is done by `vaegan.editor`,
and nothing of a visitor lives anywhere but in that visitor's own `gr.State`.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import random
import secrets
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
try:
    import spaces  # on ZeroGPU it must come before torch
except ImportError:
    spaces = None

import gradio as gr
import torch
from gradio.utils import get_upload_folder
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vaegan import images
from vaegan.attributes import VectorError
from vaegan.checkpoint import SnapshotError
from vaegan.editor import Editor, Face, FaceNotFound, thumbnail
from vaegan.files import FileError
from vaegan.hub import ModelNotFound
from vaegan.images import BadImage

ASTRONAUT = Path(__file__).parent / "docs" / "astronaut.jpg"  # NASA, public domain
SIZE = 384  # pixels of the live picture
SMALL = 128  # pixels of a thumbnail
QUALITY = 90  # of JPEG; a PNG takes 50 times as long to write, so only downloads are PNG
DETAILS = {"Photograph": 1.0, "In between": 0.5, "Decoder": 0.0}
STEPS = 9  # pictures in a morph's strip

MAX_FILE = "30mb"
MAX_PHOTO = 16_000_000  # pixels of a photograph that is kept for pasting: 48 MB
SHRUNK = "The photograph was shrunk to 16 million pixels."
VISITORS = 64  # whose faces are kept; then whoever was quiet longest is forgotten
FORGET = 4 * 3600  # seconds after which a face is forgotten in any case

# Live pictures skip Gradio's queue, for its delay, so nothing else bounds how many are drawn at a
# time. One thread each: a decode is too small to share, and threads that wait for one another are
# many times slower on a busy machine.
CORES = os.cpu_count() or 1
turn = threading.BoundedSemaphore(CORES)
torch.set_num_threads(1)

# A live picture's request names what it is of by a key that nobody can guess. The references are
# weak: what a visitor opened lives in that visitor's gr.State, and is gone with it.
opened: WeakValueDictionary[str, Sitting | Pair] = WeakValueDictionary()

Updates = dict[Any, Any]  # what a listener returns: {component: its new value}
Faces = tuple[Face, ...]
PRIVATE = {"api_visibility": "private"}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="app.py", description="The face editor, in a browser.")
    add = parser.add_argument
    add("--model", help="a folder or a Hub repository user/repo; otherwise the bundled model")
    add("--revision", help="a branch, tag or commit of the Hub repository")
    add("--host", help="address to listen on; otherwise GRADIO_SERVER_NAME or 127.0.0.1")
    add("--port", type=int, help="otherwise GRADIO_SERVER_PORT or the first free one from 7860 on")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    flags = parse(arguments)
    try:
        page = build(Editor.from_pretrained(flags.model, revision=flags.revision))
        page.launch(server_name=flags.host, server_port=flags.port, **launch_options())
    except (ModelNotFound, SnapshotError, VectorError, FileError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def launch_options() -> dict[str, Any]:
    """For `Blocks.launch`: looks and limits."""
    return {
        "theme": theme(),
        "css": CSS,
        "max_file_size": MAX_FILE,
        "state_session_capacity": VISITORS,
        "run_history": False,  # it would keep references to faces in the browser's storage
        "ssr_mode": False,
        "footer_links": ["api", "gradio", "settings"],
    }


@dataclass(frozen=True, eq=False)
class Sitting:
    """What one visitor has open.

    faces: those of the photograph, or the single one that the model drew
    face: the one being edited
    small: the same, its crop at the live picture's size, so that no move of a slider shrinks it
    """

    faces: Faces
    face: Face
    small: Face

    @classmethod
    def at(cls, faces: Faces, index: int = 0) -> Sitting:
        face = faces[index]
        return cls(faces, face, replace(face, crop=thumbnail(face, SIZE)))


@dataclass(frozen=True, eq=False)
class Pair:
    """The two ends of a visitor's morph."""

    a: Face | None = None
    b: Face | None = None


def remember(what: Sitting | Pair) -> dict[str, str]:
    """The value of a live picture that shows `what`."""
    key = secrets.token_urlsafe(16)
    opened[key] = what
    return {"key": key}


# -------------------------------------------------------------------------------- the page


def build(editor: Editor) -> gr.Blocks:
    """The page for one model."""
    # Uploads and downloads are swept away half an hour after they were made.
    with gr.Blocks(title="Face editor", analytics_enabled=False, delete_cache=(300, 1800)) as page:
        html(HEADER)
        with gr.Tabs(selected="edit") as tabs:
            with gr.Tab("Edit", id="edit"):
                outputs, show = edit_tab(editor)
            with gr.Tab("Morph", id="morph"):
                morph_tab(editor)
            with gr.Tab("Random faces", id="random"):
                random_tab(editor, tabs, outputs, show)
        with gr.Accordion("What is this?", open=False, elem_id="about"):
            gr.Markdown(ABOUT)
        endpoint(editor)
    return page.queue(default_concurrency_limit=CORES)


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


def endpoint(editor: Editor) -> None:
    """`gradio_client` can call this: client.predict(photo, settings, detail, api_name="/edit")."""

    def edit(photo: gr.FileData, settings: dict, detail: float = 1.0) -> str:
        """The edited photograph.

        Parameters:
            photo: the photograph; its largest face is edited
            settings: {attribute: slider value}, such as {"Smiling": 2}
            detail: 0, the decoder's picture, to 1, all of the photograph's texture
        """
        try:
            face = open_faces(editor, photo["path"])[0]
            wanted = {name: float(value) for name, value in settings.items()}
            return download(editor, face, wanted, float(detail), whole=True)
        except (BadImage, FaceNotFound, ModelNotFound, VectorError, ValueError) as error:
            raise gr.Error(str(error), print_exception=False) from error

    gr.api(edit, api_name="edit")


# -------------------------------------------------------------------------------- faces


def open_faces(editor: Editor, path: str) -> Faces:
    """The faces of an uploaded photograph.

    Raises:
        BadImage, FaceNotFound, ModelNotFound: with a sentence for the visitor.
    """
    with turn:
        photo = images.open_image(path)
        shrink = (MAX_PHOTO / (photo.width * photo.height)) ** 0.5
        if shrink >= 1:
            return tuple(editor.open_all(photo))
        photo.thumbnail([side * shrink for side in photo.size], images.RESAMPLE)
        faces = editor.open_all(photo)
        return tuple(replace(face, warning=f"{SHRUNK} {face.warning}".strip()) for face in faces)


def examples(editor: Editor) -> list[Face]:
    """Faces that need nobody's permission: an astronaut of NASA's, and some the model drew."""
    drawn = [editor.face_of(z[None]) for z in editor.draw(5, truncation=1.0, seed=0)]
    if ASTRONAUT.is_file() and editor.encoder is not None:
        return [editor.open(ASTRONAUT), *drawn]
    return drawn


def download(
    editor: Editor, face: Face, settings: dict[str, float], detail: float, whole: bool = False
) -> str:
    """Writes an edit into the folder that Gradio serves and sweeps; its path.

    A PNG, or where the whole of a JPEG photograph is asked for, a JPEG.
    """
    with turn:
        if face.photo is None:  # at the model's own size it would be a stamp
            picture = Image.fromarray(editor.preview(face, settings, None, SIZE))
        else:
            picture = editor.edit(face, settings, detail, paste=whole)
        ending = "jpg" if whole and face.photo.format == "JPEG" else "png"
        profile = face.photo.info.get("icc_profile") if face.photo else None
        folder = Path(get_upload_folder())
        folder.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(dir=folder)) / f"{'photograph' if whole else 'face'}.{ending}"
        picture.save(path, quality=95, icc_profile=profile)
    return str(path)


def jpeg(picture: NDArray | Image.Image) -> str:
    """A picture as a data URL, which saves the browser a second request."""
    file = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(file, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def thumbnails(label: str, pictures: Iterable[Face | Image.Image]) -> list[dict[str, str]]:
    """The value of `pictures`: small ones, named "Face 1", "Face 2" and so on."""
    small = (
        thumbnail(one, SMALL)
        if isinstance(one, Face)
        else one.resize((SMALL,) * 2, images.RESAMPLE)
        for one in pictures
    )
    return [{"label": f"{label} {n}", "source": jpeg(one)} for n, one in enumerate(small, 1)]


# -------------------------------------------------------------------------------- widgets


def uploader(label: str, show_label: bool = True) -> gr.Image:
    return gr.Image(
        label=label,
        show_label=show_label,
        sources=["upload", "clipboard", "webcam"],
        placeholder="Drop a photograph here\n or click to choose one",
        buttons=[],
        elem_classes="upload",
    )


def picture(elem_id: str, caption: str) -> gr.HTML:
    """Shows a data URL, or nothing where that is empty."""
    return html(FIGURE.format(alt=caption, hint="", caption=caption), SHOW, elem_id, "picture")


def live(elem_id: str, draw: Callable[[dict[str, Any]], str], hint: str) -> gr.HTML:
    """A picture that follows the sliders beside it, drawn by `draw` as a data URL.

    It asks the server itself, since Gradio's events cost several times a decode, in the browser
    and on the server. One request is under way at a time, and the last position always gets its
    turn. The <img> stays and only its source changes, so nothing flickers.

    Its value comes from `remember`; `draw` gets {"key", "sliders": {name: position}, "detail"}.
    """
    figure = FIGURE.format(alt="The edited face", hint=hint, caption="")
    return html(figure, LIVE, elem_id, ["picture", "live"], server_functions=[draw])


def pictures(value: list[dict[str, str]] | None = None) -> gr.HTML:
    """A row of `thumbnails` to click on; the listener finds `index` in its event."""
    return html(BUTTONS, PICTURES, None, "pictures", value=value or [])


def heading(text: str) -> gr.HTML:
    return html(f"<h3>{text}</h3>")


def message() -> gr.HTML:
    """One sentence, shown as text and read out."""
    return html('<p role="status"></p>', MESSAGE, None, "message")


def html(
    template: str,
    script: str | None = None,
    elem_id: str | None = None,
    elem_classes: str | list[str] | None = None,
    **options: Any,
) -> gr.HTML:
    return gr.HTML(
        html_template=template,
        js_on_load=script,
        elem_id=elem_id,
        elem_classes=elem_classes,
        padding=False,
        apply_default_css=False,
        **options,
    )


FIGURE = """
<figure>
    <img alt="{alt}" draggable="false" hidden><p>{hint}</p><figcaption>{caption}</figcaption>
</figure>
"""
BUTTONS = """
{{#each value}}
<button type="button" title="{{label}}">
    <img src="{{source}}" alt="{{label}}" draggable="false">
</button>
{{/each}}
"""
MESSAGE = """
watch("value", () => { element.querySelector("p").textContent = props.value; });
"""
SHOW = """
const image = element.querySelector("img");
watch("value", () => {
    if (props.value) image.src = props.value;
    image.hidden = !props.value;
});
"""
LIVE = """
const image = element.querySelector("img");
const scope = element.closest("#edit, #morph");
let picture = "", asked = "", waiting = false;

const wish = () => ({
    key: props.value.key,
    detail: scope.querySelector("#detail [aria-checked=true]")?.value,
    sliders: Object.fromEntries([...scope.querySelectorAll("[id^=slider-]")].map((slider) =>
        [slider.id.slice(7), Number(slider.querySelector("[type=range]").value)])),
});
const look = async () => {
    if (waiting || !props.value?.key) return;
    const wanted = wish(), text = JSON.stringify(wanted);
    if (text === asked) return;
    asked = text;
    waiting = true;
    try {
        picture = await server.draw(wanted);
        if (picture) image.src = picture;
        image.hidden = !picture;
    } catch { /* the server is gone; the next move asks again */ }
    waiting = false;
    look();
};
// A drag is noticed at once. Typed numbers and resets of any kind are no events of the range's,
// but Gradio writes each new position into its style, and each choice into aria-checked.
scope.addEventListener("input", look);
new MutationObserver(look).observe(
    scope, { subtree: true, attributeFilter: ["style", "aria-checked"] });
watch("value", look);

// Press and hold: the face as it was.
const before = () => scope.querySelector("#aligned img:not([hidden]), #reconstruction img");
image.addEventListener("pointerdown", () => { if (before()) image.src = before().src; });
for (const end of ["pointerup", "pointerleave", "pointercancel"])
    image.addEventListener(end, () => { if (picture) image.src = picture; });
image.addEventListener("contextmenu", (event) => event.preventDefault());
"""
PICTURES = """
element.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const all = [...element.querySelectorAll("button")];
    for (const other of all) other.ariaPressed = other === button;
    trigger("click", { index: all.indexOf(button) });
});
"""
SAVE = """
(file) => {
    if (!file) return;
    const link = document.createElement("a");
    link.href = file.url;
    link.download = file.orig_name;
    link.click();
}
"""

HEADER = """
<header>
    <h1>Face editor</h1>
    <p>Choose a face, move a slider, and watch it change.</p>
</header>
"""

ABOUT = """
**What happens here.** A small neural network, a VAE-GAN, has looked at many portraits and learned
to describe a face by a short list of numbers, called **z**. Its *encoder* turns a photograph into
z, and its *decoder* turns z back into a picture. Directions in z have meanings, found by comparing
faces that smile with faces that do not, faces with and without eyeglasses, and so on. A slider
adds some of such a direction to z; then the decoder draws the face again.

**Why is the reconstruction softer than the photograph?** All it knows of your face are those few
numbers, and it draws them at a small size. Pores, single hairs and the background do not fit in.
So the edit is laid over your photograph, which keeps its own texture; *Texture: Decoder* shows
what the network alone makes of it. Press and hold the large picture to see the face as it was.

**What it gets wrong.** It learned from portraits of celebrities, and repeats what is common among
them: a slider moves more than its name says (eyeglasses add age), and faces unlike those come out
worse. "Male" and "Young" are how people labelled pictures, and say nothing about anyone's
identity.

**Please be fair.** Edit faces of people who agree to it, and say so when you share a picture: an
edit is not a photograph, and must not be passed off as one. Your photograph stays on the machine
that runs this page, for you alone, and is forgotten after a while.
"""


def theme() -> gr.themes.Base:
    """Quiet colours and the system's own fonts: nothing is fetched from anywhere."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_lg,
        font=("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"),
        font_mono=("ui-monospace", "Menlo", "Consolas", "monospace"),
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="#141312",
        background_fill_primary="white",
        background_fill_primary_dark="#1c1a19",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="#272523",
        block_background_fill="white",
        block_background_fill_dark="#1c1a19",
        border_color_primary="*neutral_200",
        border_color_primary_dark="#33302d",
        input_background_fill="transparent",
        input_background_fill_dark="transparent",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="#272523",
        button_secondary_background_fill_hover_dark="#33302d",
        button_secondary_border_color="*neutral_200",
        button_secondary_border_color_dark="#33302d",
        button_border_width="1px",
        button_border_width_dark="1px",
        color_accent="*primary_600",
        input_border_width="1px",
        input_border_width_dark="1px",
        input_border_color="*neutral_200",
        input_border_color_dark="#33302d",
        slider_color="*primary_600",
        slider_color_dark="*primary_500",
    )


# Gradio puts its own prefix after every comma of a selector, so none stands inside :is() or :not().
CSS = """
.gradio-container { overflow: clip; }  /* hidden would keep the picture from sticking */
.gradio-container .main { max-width: 1312px; margin: 0 auto; padding: 16px; }
.gradio-container .tabitem { padding: 20px 0 0; border: 0; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 14px; padding: 8px 0 0; }
header h1 { font-size: 22px; font-weight: 650; letter-spacing: -.01em; }
header p, figcaption, h3 { color: var(--body-text-color-subdued); }
.gradio-container h3 { margin: 0; font-size: 13px; font-weight: 550; }
figcaption { font-size: 13px; padding-top: 6px; }
figcaption:empty, .message:has(p:empty) { display: none; }
.picture, .pictures, .message, #rail .block:not(.group), #rail .form, .html-container {
    background: none; border: 0; padding: 0; box-shadow: none;
}
.tab-container button.selected { color: var(--body-text-color); }

/* What was chosen */
.upload { height: 168px; min-width: 0 !important; }
.upload .image-container { height: 100%; }
.upload .upload-container.reduced-height { height: calc(100% - 36px); }
.upload:has(video:not(.hide)) { height: 256px !important; }
.upload .wrap { min-height: 0; }
.upload [data-testid=upload-text] {
    padding: 28px 8px 0; gap: 4px; font-size: 14px; line-height: 1.4;
}
.upload .icon-wrap { width: 22px; margin: 0; }
.upload .source-selection { height: 36px; padding: 0; }
.message p { color: var(--error-text-color); font-size: 14px; line-height: 1.4; }
#tiles { flex-wrap: nowrap; gap: 12px; }
#tiles > * { flex: 1 1 0; min-width: 0 !important; }
#tiles:not(:has(img:not([hidden]))), #tiles > :has(img[hidden]) { display: none; }
#tiles > * { max-width: 132px; }
figure { margin: 0; }
figure img { display: block; width: 100%; aspect-ratio: 1; border-radius: 12px; object-fit: cover; }
figure img[hidden], figure img:not([hidden]) ~ p { display: none; }
.html-container > .pictures { display: grid; grid-template-columns: repeat(3, 1fr); gap: 8px; }
.pictures button { padding: 0; border-radius: 10px; overflow: hidden; outline-offset: 2px; }
.pictures button:hover { opacity: .85; }
.pictures button:focus-visible { outline: 2px solid var(--color-accent); }
.pictures img { display: block; width: 100%; aspect-ratio: 1; }
#random .pictures button[aria-pressed=true],
.faces .pictures button[aria-pressed=true],
.faces .pictures:not(:has([aria-pressed=true])) button:first-child {
    outline: 3px solid var(--color-accent);
}

/* The result */
.live figure {
    width: min(100%, 100vh - 250px); min-width: 280px; margin: 0 auto; aspect-ratio: 1;
    border-radius: 18px; overflow: hidden; background: var(--background-fill-secondary);
}
.live img {
    height: 100%; border-radius: 0; user-select: none; -webkit-touch-callout: none;
}
#morphed figure { width: min(100%, 100vh - 390px); }
#stage img { cursor: pointer; }
.live figure p {
    display: grid; place-items: center; height: 100%; padding: 32px; text-align: center;
    color: var(--body-text-color-subdued);
}
#controls { align-items: center; justify-content: center; gap: 10px; }
#controls > * { flex: 0 0 auto !important; width: auto; min-width: 0 !important; }
#controls > .form, #detail { border: 0; padding: 0; background: none; box-shadow: none; }
#controls > .form { margin-right: auto; }
#detail > span { display: none; }
#detail .wrap {
    flex-wrap: nowrap; gap: 2px; padding: 3px; border-radius: 10px;
    background: var(--background-fill-secondary);
}
#detail label {
    padding: 5px 12px; border: 0; border-radius: 8px; box-shadow: none; background: none;
    font-size: 14px; white-space: nowrap;
}
#detail label.selected {
    background: var(--background-fill-primary); color: var(--body-text-color);
    box-shadow: 0 1px 3px rgb(0 0 0 / .14);
}
.dark #detail label.selected { background: var(--neutral-700); }
#detail label:has(:focus-visible) { outline: 2px solid var(--color-accent); }
#detail label:has(:disabled) { opacity: .45; }
#detail input { position: absolute; opacity: 0; pointer-events: none; }
#detail label span { margin: 0; }

/* Sliders: one line each, filled from the middle */
#rail { gap: 10px; }
#reset { align-self: flex-end; width: auto; flex: 0 0 auto; }
#rail .form { gap: 0; }
#rail .group { padding: 12px 16px; }
#rail .group .column { gap: 2px; padding-top: 6px; }
#rail .label-wrap { font-weight: 550; }
#rail .label-wrap .icon { color: var(--body-text-color-subdued); font-size: 11px; }
#rail .block .wrap:not(.hide) {
    display: grid; grid-template-columns: 122px minmax(60px, 1fr) auto; gap: 10px;
    align-items: center; min-height: 34px;
}
#rail .head, #rail .head > label { display: contents; }
#rail .head span {
    order: 0; margin: 0; font-size: 14px; color: var(--body-text-color); white-space: nowrap;
}
#rail .slider_input_container { order: 1; }
#rail .tab-like-container { order: 2; margin: 0; border-color: transparent; }
#rail .block:hover .tab-like-container, #rail .tab-like-container:focus-within {
    border-color: var(--border-color-primary);
}
#rail input[type=number] {
    width: 44px; min-width: 0; padding: 0 2px; font-variant-numeric: tabular-nums;
    appearance: textfield; background: none;
}
#rail input[type=number]::-webkit-inner-spin-button { display: none; }
#rail .reset-button { border: 0; color: var(--body-text-color-subdued); }
#rail .min_value, #rail .max_value { display: none; }
.gradio-container input[type=range] {
    --low: 0%; --high: var(--range_progress); --track: var(--border-color-primary);
    --fill: linear-gradient(to right, var(--track) var(--low), var(--slider-color) var(--low),
        var(--slider-color) var(--high), var(--track) var(--high));
    height: 24px; min-width: 0; touch-action: pan-y;
}
#rail input[type=range] {
    --low: min(50%, var(--range_progress)); --high: max(50%, var(--range_progress));
}
.gradio-container input[type=range]::-webkit-slider-runnable-track {
    height: 4px; background: var(--fill);
}
.gradio-container input[type=range]::-moz-range-track { height: 4px; background: var(--fill); }
.gradio-container input[type=range]::-moz-range-progress { background: none; }
.gradio-container input[type=range]::-webkit-slider-thumb {
    margin-top: -6px; box-shadow: 0 0 0 1px rgb(0 0 0 / .14), 0 1px 4px rgb(0 0 0 / .2);
}
.gradio-container input[type=range]:focus-visible::-webkit-slider-thumb {
    outline: 2px solid var(--color-accent); outline-offset: 2px;
}

/* The other tabs */
#morph, #random { display: grid; grid-template-columns: 360px minmax(0, 1fr); gap: 32px; }
.end { flex-wrap: nowrap; gap: 12px; }
.end > .upload { flex: 1 1 0; }
.end > .picture { flex: 0 0 132px; min-width: 0 !important; }
.end:not(:has(figure img:not([hidden]))) > .picture { display: none; }
#between .html-container > .pictures { grid-template-columns: repeat(9, 1fr); gap: 4px; }
#drawn .html-container > .pictures {
    grid-template-columns: repeat(auto-fill, minmax(112px, 1fr)); padding: 4px;
}
#edit-this { align-self: flex-start; flex: 0 0 auto; width: auto; min-width: 200px; }
#about { margin-top: 24px; }
#about .prose { max-width: 72ch; }

/* Widths */
#edit {
    display: grid; gap: 32px; align-items: start;
    grid-template-columns: 256px minmax(0, 1fr) 400px;
}
#result { position: sticky; top: 16px; }
@media (max-width: 1120px) {
    #edit { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 24px; }
    #source {
        grid-column: 1 / -1; display: grid; gap: 12px 24px;
        grid-template-columns: minmax(0, 1fr) minmax(0, 1fr);
    }
    #source > .upload, #tiles { height: 150px; }
    #source #tiles figure { width: 124px; }
    #source > :not(.upload):not(#tiles) { grid-column: 1 / -1; }
    .html-container > .pictures { grid-template-columns: repeat(auto-fill, 64px); }
    #controls > .form { margin: 0; }
}
@media (max-width: 720px) {
    #edit, #morph, #random { display: flex; flex-direction: column; gap: 14px; }
    #source, #result { display: contents; }
    #edit > *, #source > *, #result > *, #morph > *, #random > * { width: 100%; }
    #source > .upload { height: 118px; }
    .upload [data-testid=upload-text] { padding-top: 20px; font-size: 13px; }
    .upload [data-testid=upload-text] .icon-wrap { display: none; }
    #stage { position: sticky; top: 0; z-index: 5; background: var(--body-background-fill); }
    .live figure, #morphed figure { width: min(100%, 46vh); }
    #tiles { order: 1; height: auto; }
    #rail { min-width: 0; }
    .html-container > .pictures { grid-template-columns: repeat(auto-fill, 50px); }
    #reset { align-self: flex-end; }
}
"""

if spaces is not None:

    @spaces.GPU
    def unused() -> None:
        """ZeroGPU asks for one such function. Faces this small are decoded on the CPU."""


if __name__ == "__main__":
    sys.exit(main())
