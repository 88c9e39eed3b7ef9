"""The page's own widgets: small pieces of HTML with their scripts, and pictures as data URLs."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gradio as gr
from numpy.typing import NDArray
from PIL import Image

from page.visitors import PRIVATE
from vaegan import images
from vaegan.face import Face, thumbnail

SCRIPTS = Path(__file__).parent / "scripts"
SMALL = 128  # pixels of a thumbnail
QUALITY = 90  # of JPEG; a PNG takes 50 times as long to write, so only downloads are PNG


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
    return html(FIGURE.format(caption=caption), SHOW, elem_id, "picture")


def live(
    elem_id: str, draw: Callable[[dict[str, Any]], str], hint: str, alt: str = "The edited face"
) -> gr.HTML:
    """A picture that follows the sliders beside it, drawn by `draw` as a data URL.

    Its value comes from `remember`. `draw` gets {"key", "sliders": {name: position}, "hold": names,
    "view"}: what stands in the same tab. `page.frames` serves it.
    """
    figure = STAGE.format(hint=hint, alt=alt)
    classes = ["picture", "live"]
    return html(figure, script("put", "live"), elem_id, classes, server_functions=[draw])


def tools(start: dict[str, float]) -> gr.HTML:
    """Undo, redo, reset and compare, for the live picture and the sliders of the same tab.

    start: {slider: where it stands at first}, those that do not begin at 0. The listener of `input`
    is called when sliders rest elsewhere than before, while a filmstrip is shown.
    """
    return html(TOOLS, script("put", "tools"), "tools", value=start)


def search(known: dict[str, dict[str, str]]) -> gr.HTML:
    """A field that finds sliders; known: {attribute: {"hint": what hovering tells of it, "words":
    what else it is called, with commas between}}."""
    return html(SEARCH, script("search"), "search", value=known)


def framer() -> gr.HTML:
    """A photograph and a square to lay around a face.

    Its value is {"source": data URL, "width", "height"}, of the photograph; the listener of
    `click` finds `box` in its event: left, top, right, bottom; None for "never mind".
    """
    return html(FRAMER, script("framer"), "framer")


def progress() -> gr.HTML:
    """A bar from 0 to 1, or nothing where its value is None."""
    bar = '<progress max="1" aria-label="How far the refinement is" hidden></progress>'
    return html(bar, PROGRESS, None, "progress")


def pictures(value: list[dict[str, str]] | None = None, does: str = "") -> gr.HTML:
    """A row of `thumbnails` to click on; the listener finds `index` in its event.

    does: what a click does, such as "Take out"; otherwise it chooses a picture.
    """
    template = DEEDS.replace("DOES", does) if does else CHOICES
    return html(template, PICTURES, None, "pictures", value=value or [])


def then_download(event: gr.events.Dependency, file: gr.File) -> None:
    """What `event` left in `file` is saved by the browser."""
    event.then(None, file, None, js=SAVE, **PRIVATE)


def heading(text: str) -> gr.HTML:
    return html(f"<h3>{text}</h3>")


def message(elem_id: str | None = None) -> gr.HTML:
    """One sentence, shown as text and read out."""
    return html('<p role="status"></p>', MESSAGE, elem_id, "message")


def upload_message() -> gr.HTML:
    """A `message` that also says why a camera or a clipboard gives no picture."""
    return html('<p role="status"></p>', MESSAGE + DENIED, None, "message")


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


def jpeg(picture: NDArray | Image.Image) -> str:
    """A picture as a data URL, which saves the browser a second request."""
    file = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(file, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def thumbnails(
    label: str, pictures: Iterable[Face | Image.Image], pressed: int | None = None
) -> list[dict[str, str]]:
    """The value of `pictures`: small ones, named "Face 1", "Face 2" and so on.

    pressed: the one that counts as chosen until another is clicked on.
    """
    small = (
        thumbnail(one, SMALL)
        if isinstance(one, Face)
        else one.resize((SMALL,) * 2, images.RESAMPLE)
        for one in pictures
    )
    return [
        {"label": f"{label} {n + 1}", "source": jpeg(one), "pressed": str(n == pressed).lower()}
        for n, one in enumerate(small)
    ]


def script(*names: str) -> str:
    """What a widget does in the browser; a file that several need comes first."""
    return "\n".join((SCRIPTS / f"{name}.js").read_text("utf-8") for name in names)


def icon(name: str) -> str:
    """A drawing of 20×20, in the colour of the text."""
    return f'<svg viewBox="0 0 20 20" aria-hidden="true"><path d="{ICONS[name]}"/></svg>'


ICONS = {
    "undo": "M8 4 4 8l4 4M4 8h7.5a4.5 4.5 0 0 1 0 9H8",
    "redo": "M12 4l4 4-4 4M16 8H8.500a4.500 4.500 0 0 0 0 9H12",
    "reset": "M4.500 4.500v4h4M4.800 8.300A6 6 0 1 1 4.200 11.500",
    "compare": "M10 2.500v15M7.500 5h-4v10h4M12.500 5h4v10h-4",
}
FIGURE = """
<figure>
    <img alt="{caption}" draggable="false" hidden><figcaption>{caption}</figcaption>
</figure>
"""
STAGE = """
<figure>
    <img alt="{alt}" draggable="false" hidden><p>{hint}</p>
    <div class="before" aria-hidden="true"></div>
    <input type="range" class="wipe" min="0" max="100" value="50" step="1" disabled
        aria-label="How much of the original to show">
</figure>
"""
TOOLS = f"""
<button type="button" title="Undo (Ctrl Z)" aria-label="Undo" disabled>{icon("undo")}</button>
<button type="button" title="Redo (Ctrl Shift Z)" aria-label="Redo" disabled>{icon("redo")}</button>
<button type="button" title="Reset all" aria-label="Reset all" disabled>{icon("reset")}</button>
<button type="button" title="Compare with the original" aria-label="Compare" aria-pressed="false"
    disabled>{icon("compare")}</button>
"""
SEARCH = """
<input type="search" placeholder="Find a slider" aria-label="Find a slider">
<p hidden>No slider has such a name.</p>
"""
FRAMER = """
<div class="photo"><div class="square" tabindex="0" role="application"
    aria-label="The frame: arrow keys move it, plus and minus size it"><i class="corner"></i></div>
</div>
<button type="button">Edit the face in this frame</button>
<button type="button" class="quiet">Never mind</button>
"""
CHOICES = """
{{#each value}}
<button type="button" title="{{label}}" aria-pressed="{{pressed}}">
    <img src="{{source}}" alt="{{label}}" draggable="false">
</button>
{{/each}}
"""
DEEDS = """
{{#each value}}
<button type="button" title="DOES {{label}}">
    <img src="{{source}}" alt="DOES {{label}}" draggable="false">
</button>
{{/each}}
"""
MESSAGE = """
const say = () => { element.querySelector("p").textContent = props.value; };
watch("value", say);
"""
DENIED = """
const REASONS = {
    NotFoundError: "No camera was found.",
    NotAllowedError: "The browser does not let this page use the camera or the clipboard.",
};
window.addEventListener("unhandledrejection", (event) => {
    const said = REASONS[event.reason?.name];
    if (!said || !element.closest(".tabitem").checkVisibility()) return;
    event.preventDefault();
    props.value = said;
    say();
});
"""
SHOW = """
const image = element.querySelector("img");
watch("value", () => {
    if (props.value) image.src = props.value;
    image.hidden = !props.value;
});
"""
PROGRESS = """
const bar = element.querySelector("progress");
watch("value", () => {
    bar.hidden = typeof props.value !== "number";
    bar.value = Number(props.value);
});
"""
PICTURES = """
element.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const all = [...element.querySelectorAll("button")];
    if (button.ariaPressed) for (const other of all) other.ariaPressed = other === button;
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
    window.dispatchEvent(new Event("saved"));
}
"""
