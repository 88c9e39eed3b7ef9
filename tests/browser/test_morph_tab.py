"""The tab that morphs, in a real browser: the films that it makes must play."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright.sync_api")

from PIL import Image
from playwright.sync_api import Page, expect
from test_page import ASTRONAUT, changed, distance, settled, slider, source

STAGE = "#morphed img"
# How far the picture on a canvas is from what it was a moment before, over a second.
MOVES = """
async (picture) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 64;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const sum = (now, before) => now.reduce((s, v, i) => s + Math.abs(v - before[i]), 0);
    let before = null, moved = 0;
    for (let n = 0; n < 20; n++) {
        context.drawImage(picture, 0, 0, 64, 64);
        const now = context.getImageData(0, 0, 64, 64).data;
        if (before) moved = Math.max(moved, sum(now, before));
        before ??= now;
        await new Promise((rest) => setTimeout(rest, 100));
    }
    return moved / (64 * 64 * 3);
}
"""


@pytest.fixture
def morph(page: Page) -> Page:
    """The astronaut and a random face, of one second each way."""
    page.get_by_role("tab", name="Morph").click()
    page.locator("#chain .drop input[type=file]").set_input_files(ASTRONAUT)
    expect(page.get_by_role("button", name="Face 1")).to_be_visible()
    page.get_by_role("button", name="Add a random face").click()
    expect(page.get_by_role("button", name="Face 2")).to_be_visible()
    return page


def test_mp4_and_gif_play(morph, tmp_path):
    page = morph
    page.locator("#film-options").get_by_label("256").check()
    page.get_by_role("button", name="Make the film").click()
    film = page.locator("#film video")
    expect(film).to_be_visible(timeout=60_000)
    expect(film).to_have_js_property("paused", False)
    assert film.evaluate("film => [film.videoWidth, film.videoHeight, film.error]") == [
        256, 256, None,
    ]  # fmt: skip
    assert film.evaluate(MOVES) > 2

    page.locator("#film-options").get_by_label("GIF").check()
    page.get_by_role("button", name="Make the film").click()
    moving = page.locator("#film img")
    expect(moving).to_be_visible(timeout=60_000)
    # drawImage shows a GIF's first frame only; a screenshot shows what is on the screen
    shots = set()
    for _ in range(4):
        shots.add(moving.screenshot())
        page.wait_for_timeout(350)
    assert len(shots) > 1
    with page.expect_download() as download:
        page.locator("#film a").click()
    download.value.save_as(tmp_path / "morph.gif")
    kept = Image.open(tmp_path / "morph.gif")
    assert kept.size == (256, 256) and kept.n_frames == 60
    page.get_by_role("button", name="Face 2").click()  # the film was of both
    expect(page.locator("#film")).to_be_hidden()


@pytest.mark.slow
def test_a_chain_of_faces(morph, tmp_path):
    page = morph
    middle = settled(page, STAGE)
    steps = page.locator("#between .pictures img")
    expect(steps).to_have_count(9)
    assert len({step.get_attribute("src") for step in steps.all()}) == 9
    slider(page, "t").fill("0")
    start = changed(page, middle, STAGE)
    slider(page, "t").fill("1")
    end = changed(page, start, STAGE)
    assert distance(start, middle) < distance(start, end)
    steps.nth(4).click()
    assert changed(page, end, STAGE) == middle
    page.get_by_text("Spherical", exact=True).click()
    changed(page, middle, STAGE)

    empty = tmp_path / "empty.png"
    empty.touch()
    page.locator("#chain .drop input[type=file]").set_input_files(empty)
    expect(page.get_by_text("empty.png: The file is empty.")).to_be_visible()
    expect(steps).to_have_count(9)
    page.get_by_role("button", name="Face 1").click()
    expect(steps).to_have_count(0)
    expect(page.get_by_role("button", name="Make the film")).to_be_disabled()


def test_a_full_morph_says_so_until_a_face_is_taken_out(page):
    page.get_by_role("tab", name="Morph").click()
    faces = page.locator("#chain .pictures button")
    add = page.get_by_role("button", name="Add a random face")
    for count in range(1, 9):
        add.click()
        expect(faces).to_have_count(count)
    last = source(page, "#chain .pictures button:last-child img")
    full = page.get_by_text("There are 8 faces already: take one out first.")
    add.click()
    expect(full).to_be_visible()
    assert source(page, "#chain .pictures button:last-child img") == last
    page.get_by_role("tab", name="Random faces").click()
    page.locator("#drawn .pictures button").first.click()
    page.get_by_role("button", name="Add to the morph").click()
    expect(page.locator("#sent")).to_contain_text("There are 8 faces already")
    page.get_by_role("tab", name="Morph").click()
    page.get_by_role("button", name="Face 8").click()
    expect(faces).to_have_count(7)
    expect(full).to_be_hidden()


@pytest.mark.slow
def test_without_a_photograph_there_is_nothing_to_morph_in(page):
    page.get_by_role("tab", name="Morph").click()
    for count in (1, 2):
        page.get_by_role("button", name="Add a random face").click()
        expect(page.get_by_role("button", name=f"Face {count}")).to_be_visible()
    page.get_by_text("In the first photograph").click()
    page.get_by_role("button", name="Make the film").click()
    expect(page.get_by_text("there is no photograph behind it")).to_be_visible()
    expect(page.locator("#film")).to_be_hidden()


@pytest.mark.slow
def test_random_faces_go_to_the_other_tabs(page):
    page.get_by_role("tab", name="Random faces").click()
    drawn = "#drawn .pictures button"
    send = page.locator("#send")
    expect(send.get_by_role("button", name="Add to the morph")).to_be_disabled()
    for n, target in enumerate(("the morph", "the morph", "“With it”", "“Without it”")):
        page.locator(drawn).nth(n).click()
        send.get_by_role("button", name=f"Add to {target}").click()
        expect(page.locator("#sent p")).not_to_have_text("")
    first = source(page, f"{drawn}:first-child img")
    page.get_by_role("button", name="Its neighbours").click()
    expect(page.locator(drawn)).to_have_count(12)
    assert distance(changed(page, first, f"{drawn}:first-child img"), first) > 0
    page.get_by_role("tab", name="Morph").click()
    expect(page.locator("#chain .pictures button")).to_have_count(2)
    expect(page.locator(STAGE)).to_be_visible()
    page.get_by_role("tab", name="Your own").click()
    page.get_by_role("button", name="Make the slider").click()
    expect(page.get_by_text("ten on each are better")).to_be_visible()
