"""The route of live pictures: what it refuses."""

from __future__ import annotations

import httpx
import pytest

from vaegan import Editor

pytest.importorskip("gradio")

import app
from page import build, visitors
from page.morph import Chain


def test_a_place_on_the_way_is_a_number(tiny_snapshot):
    editor = Editor.from_pretrained(tiny_snapshot)
    chain = Chain(tuple(editor.face_of(z[None]) for z in editor.draw(2, seed=0)))
    key = visitors.remember(chain)["key"]
    page = build(editor)
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, **app.launch_options())

    def status(t: str) -> int:
        wish = f'{{"key": "{key}", "sliders": {{"t": {t}}}}}'
        return httpx.post(f"{address}frame/morphed", content=wish).status_code

    try:
        assert status("0.5") == 200
        assert [status(t) for t in ("NaN", '"x"', "null", "[]")] == [400] * 4
    finally:
        page.close()
