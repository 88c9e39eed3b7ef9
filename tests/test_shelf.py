"""Models that visitors name: what they may have, and how many are kept."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import test_hub

from vaegan import Editor, ModelNotFound

gr = pytest.importorskip("gradio")

from page import models, tabs  # noqa: E402
from page.morph import Chain  # noqa: E402

server = test_hub.server
REPO = "user/faces"


@pytest.fixture
def content(tiny_snapshot: Path) -> dict[str, bytes]:
    return test_hub.contents(tiny_snapshot)


def loaded() -> int:
    """How many editors of the Hub's models are in memory."""
    gc.collect()
    return sum(type(each) is Editor and each.name[:5] == "user/" for each in gc.get_objects())


def test_what_the_owner_alone_may_have_is_not_lent(server, content):
    commit = server.add(REPO, content, private=True)
    Editor.from_pretrained(REPO)  # by the token of who started the app
    for revision in ("", "main", commit):
        with pytest.raises(ModelNotFound, match="it is private"):
            models.Shelf().get(REPO, revision)
    server.down()
    with pytest.raises(ModelNotFound, match="cannot be reached"):
        models.Shelf().get(REPO, commit)


def test_a_branch_is_lent_as_it_is_now(server, content):
    shelf = models.Shelf()
    first = server.add(REPO, content)
    editor = shelf.get(f" {REPO} ", "")
    assert shelf.get(REPO, " main") is shelf.get(REPO, first) is editor
    del content["attributes.safetensors"], content["attributes.json"]
    server.add(REPO, content)
    assert [a.name for a in shelf.get(REPO, first).attributes] == ["Smiling"]
    assert not shelf.get(REPO, "main").attributes


def test_the_model_that_was_used_longest_ago_leaves_the_shelf(server, content, monkeypatch):
    monkeypatch.setattr(models, "LOADED", 2)
    shelf = models.Shelf()
    commits = {name: server.add(name, content) for name in ("user/a", "user/b", "user/c")}
    a, b = (shelf.get(name, commits[name]) for name in ("user/a", "user/b"))
    assert shelf.get("user/a", commits["user/a"]) is a
    shelf.get("user/c", commits["user/c"])
    assert [name for name, _ in shelf.editors] == ["user/a", "user/c"]
    assert shelf.get("user/b", commits["user/b"]) is not b


def test_pages_keep_no_model_that_left_the_shelf(server, content):
    with gr.Blocks() as page:
        models.any_model(tabs)
    choose = next(each.fn for each in page.fns.values() if each.name == "choose")
    (shown,) = page.default_config.renderables
    pages = []
    for number in range(models.LOADED + 2):
        server.add(f"user/model{number}", content)
        said, chosen = choose(f"user/model{number}", "").values()
        assert said == ""
        with gr.Blocks() as laid_out:
            shown.fn(chosen)
        pages.append(laid_out)
    assert loaded() == models.LOADED
    add_random = next(each.fn for each in pages[0].fns.values() if each.name == "add_random")
    chain = next(value for value in add_random(Chain()).values() if isinstance(value, Chain))
    assert len(chain.faces) == 1  # its model came back
    assert loaded() == models.LOADED
