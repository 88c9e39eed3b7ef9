"""The page's own widgets: small pieces of HTML with their scripts, and pictures as data URLs."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable
from typing import Any

import gradio as gr
from numpy.typing import NDArray
from PIL import Image

from vaegan import images
from vaegan.editor import Face, thumbnail

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


def message(elem_id: str | None = None) -> gr.HTML:
    """One sentence, shown as text and read out."""
    return html('<p role="status"></p>', MESSAGE, elem_id, "message")


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


def thumbnails(label: str, pictures: Iterable[Face | Image.Image]) -> list[dict[str, str]]:
    """The value of `pictures`: small ones, named "Face 1", "Face 2" and so on."""
    small = (
        thumbnail(one, SMALL)
        if isinstance(one, Face)
        else one.resize((SMALL,) * 2, images.RESAMPLE)
        for one in pictures
    )
    return [{"label": f"{label} {n}", "source": jpeg(one)} for n, one in enumerate(small, 1)]


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
const scope = element.closest("#edit, #morph, #own");
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
