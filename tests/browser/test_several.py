"""Several models on one server, each on a page of its own."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Browser, Page, expect
from test_page import ASTRONAUT, changed, distance, settled, slider, source, upload

from vaegan import checkpoint
from vaegan.config import PRESETS
from vaegan.models import build
from vaegan.prior import Prior

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gan(tmp_path_factory) -> Path:
    """A GAN that was never trained."""
    folder = tmp_path_factory.mktemp("runs") / "untrained" / "model"
    config = dataclasses.replace(PRESETS["default"][0], model="gan", latent_dim=16)
    torch.manual_seed(0)
    networks = {"decoder": build(config).eval().decoder}
    prior = Prior.standard(16)
    checkpoint.save_snapshot(folder, config, networks, prior, {"steps": 0})
    return folder


@pytest.fixture(scope="module")
def several(serve, gan) -> Iterator[str]:
    # Nothing listens there, so the Hub cannot be reached.
    with serve("--model", "faces64", "--model", str(gan), "--any-model",
               HF_ENDPOINT="http://127.0.0.1:9") as address:  # fmt: skip
        yield address


@pytest.fixture
def go(browser: Browser, several: str):
    contexts = []

    def open_page(path: str = "") -> Page:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto(several + path)
        page.locator("header").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()


def test_each_model_has_a_page_and_a_visitors_choice_is_their_own(go):
    first, second = go(), go()
    unedited = upload(first, ASTRONAUT)
    expect(second.get_by_role("link", name="faces64")).to_be_visible()
    second.get_by_role("link", name="untrained").click()
    expect(second).to_have_url(re.compile("/untrained$"))
    second.locator("input[type=file]").first.set_input_files(ASTRONAUT)
    expect(second.get_by_text("This model is a GAN")).to_be_visible()
    slider(first).fill("2")
    assert distance(changed(first, unedited), unedited) > 0
    # The live picture is the GAN's own, which knows no face.
    second.locator("#source .pictures button").first.click()
    expect(second.locator("#stage img")).to_be_visible()
    assert distance(settled(second), source(second, "#reconstruction img")) < 5
    # It has no sliders, and says so; what else there is can be reached.
    expect(second.get_by_text("This model has no sliders")).to_be_visible()
    expect(second.get_by_role("searchbox")).to_be_hidden()
    second.get_by_role("button", name="More").click()
    expect(second.locator("#slider-detail input[type=range]")).to_be_visible()


def test_models_stand_side_by_side(go):
    page = go("compare-models")
    page.locator("input[type=file]").first.set_input_files(ASTRONAUT)
    figures = page.locator("#figures figure")
    expect(figures).to_have_count(3)
    expect(figures.nth(1)).to_contain_text("faces64 VAE-GAN")
    expect(figures.nth(2)).to_contain_text("untrained GAN: it has no encoder")
    shown = [source(page, f"#figures figure:nth-child({n}) img") for n in (1, 2, 3)]
    assert distance(shown[1], shown[2]) > 5


def test_a_visitor_names_a_model_and_a_wrong_one_says_why(go, gan):
    page = go("another-model")
    name = page.locator("#which").get_by_role("textbox").first
    for wrong, why in ((str(gan), "named as in user/repo"), ("nobody/nothing", "cannot be")):
        name.fill(wrong)
        page.get_by_role("button", name="Load", exact=True).click()
        expect(page.get_by_text(why)).to_be_visible()
    name.fill("faces64")
    page.get_by_role("button", name="Load", exact=True).click()
    page.locator("#source .pictures button").first.click()
    expect(page.locator("#stage img")).to_be_visible()
    unedited = settled(page)
    slider(page).fill("2")
    edited = changed(page, unedited)
    name.fill("nobody/nothing")
    page.get_by_role("button", name="Load", exact=True).click()
    expect(page.get_by_text("cannot be")).to_be_visible()
    assert settled(page) == edited  # what was there stays


def test_axe_finds_nothing_serious_there_either(go, violations: Callable[[Page], list[str]]):
    page = go("compare-models")
    page.locator("input[type=file]").first.set_input_files(ASTRONAUT)
    expect(page.locator("#figures figure")).to_have_count(3)
    expect(page.locator("#figures .pending")).to_have_count(0)  # Gradio shows it paler until then
    assert not violations(page)
    assert not violations(go("another-model"))
