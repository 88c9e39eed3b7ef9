"""The page: tabs of widgets, and what they call.

What is done to a face is done by `vaegan.editor`.
"""

from __future__ import annotations

import gradio as gr

from page import models
from page.api import endpoints
from page.edit import edit_tab
from page.morph import morph_tab
from page.own import own_tab
from page.photographs import examples
from page.random_faces import random_tab
from page.visitors import CORES
from page.widgets import html
from vaegan import hub
from vaegan.editor import Editor


def build(editor: Editor, *others: Editor, any_model: bool = False) -> gr.Blocks:
    """The page; each of `others` has one beside it, see `page.models`.

    any_model: visitors may name a model on the Hub.
    """
    main, *names = models.titles([editor, *others])
    main = main if others or any_model else None
    with gr.Blocks(title="Face editor", analytics_enabled=False) as page:
        head(main)
        whole(editor)
        endpoints(editor)
    for other, name in zip(others, names, strict=True):
        with page.route(name, models.address(name)):
            head(main)
            whole(other)
            endpoints(other, f"{models.address(name)}_")
    if others:
        with page.route("Compare", "compare-models"):
            head(main)
            models.compare([editor, *others])
    if any_model:
        with page.route("Another model", "another-model"):
            head(main)
            models.any_model(whole)
    return page.queue(default_concurrency_limit=CORES)


def head(main: str | None) -> None:
    """The top of each page; of several models, with links between them. `main` is the first's."""
    if main:
        gr.Navbar(main_page_name=main)
    html(HEADER, NAMES)


def whole(editor: Editor) -> None:
    """A model's page below its head."""
    tabs(editor)
    about(editor)


def tabs(editor: Editor) -> None:
    """All that can be done with one model."""
    samples = examples(editor)
    with gr.Tabs(selected="edit") as all_tabs:
        with gr.Tab("Edit", id="edit"):
            edit = edit_tab(editor, samples)
        with gr.Tab("Your own", id="own") as workshop:
            own = own_tab(editor, samples, all_tabs, workshop, edit)
        with gr.Tab("Morph", id="morph"):
            morph = morph_tab(editor)
        with gr.Tab("Random faces", id="random"):
            random_tab(editor, all_tabs, edit, morph, own)


def about(editor: Editor) -> None:
    with gr.Accordion("What is this?", open=False, elem_id="about"):
        gr.Markdown(in_words(editor))


def in_words(editor: Editor) -> str:
    """What a visitor may want to know of the page and of its model."""
    takes_in = editor.encoder is not None
    bundled = editor.name in hub.bundled()
    return "\n\n".join([
        (PHOTOGRAPHS if takes_in else DRAWN_ALONE).format(kind=models.KINDS[editor.config.model]),
        DIRECTIONS,
        *([SOFTNESS] if takes_in else []),
        CELEBRITIES if bundled else OTHERS,
        FAIRNESS,
    ])  # fmt: skip


HEADER = """
<header>
    <h1>Face editor</h1>
    <p>Choose a face, move a slider, and watch it change.</p>
</header>
"""

# Gradio calls each field for files the same. A screen reader should hear which one it is, and the
# words that are seen on it (WCAG 2.5.3).
NAMES = """
const name = () => {
    for (const field of document.querySelectorAll("button.upload-container")) {
        const label = field.closest(".block")?.querySelector("[data-testid=block-label]");
        const name = `${label?.innerText ?? ""} ${field.innerText}`.replace(/\\s+/g, " ").trim();
        if (name && field.ariaLabel !== name) field.ariaLabel = name;
    }
};
new MutationObserver(name).observe(document.body, { subtree: true, childList: true });
name();
"""

PHOTOGRAPHS = """
**What happens here.** A small neural network ({kind}) has looked at many portraits and learned to
describe a face by a short list of numbers, called **z**. Its *encoder* turns a photograph into z,
and its *decoder* turns z back into a picture.
"""
DRAWN_ALONE = """
**What happens here.** A small neural network ({kind}) has looked at many portraits and learned to
draw a face from a short list of numbers, called **z**. It has no encoder that would turn a
photograph into z, so the faces here are those that it draws itself.
"""
DIRECTIONS = """
Directions in z have meanings, found by comparing faces that smile with faces that do not, faces
with and without eyeglasses, and so on. A slider adds some of such a direction to z, more of it to a
face that has further to go; then the decoder draws the face again. *Hold* keeps what you tick as it
is while you change something else.
"""
SOFTNESS = """
**Why is the reconstruction softer than the photograph?** All it knows of your face are those few
numbers, and it draws them at a small size. Pores, single hairs and the background do not fit in.
So the edit is laid over your photograph, which keeps its own texture; *Texture* at 0, under *More*,
shows what the network alone makes of it. Press and hold the large picture to see the face as it
was.
"""
CELEBRITIES = """
**What it gets wrong.** It learned from portraits of celebrities, and repeats what is common among
them: a slider moves more than its name says (eyeglasses add age), and faces unlike those come out
worse. "Male" and "Young" are how people labelled pictures, and say nothing about anyone's
identity.
"""
OTHERS = """
**What it gets wrong.** It repeats what is common among the portraits that it learned from: a slider
moves more than its name says, and faces unlike those come out worse. A slider's name is how people
labelled pictures, and says nothing about anyone's identity.
"""
FAIRNESS = """
**Please be fair.** Edit faces of people who agree to it, and say so when you share a picture: an
edit is not a photograph, and must not be passed off as one. Your photograph stays on the machine
that runs this page, for you alone, and is forgotten after a while.
"""
