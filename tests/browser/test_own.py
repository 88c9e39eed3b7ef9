"""The tab where visitors make sliders of their own, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image, ImageOps, ImageStat

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Page, expect
from test_access import open_tab
from test_page import ASTRONAUT, changed, distance, saved, settled, slider

from vaegan import Editor, OwnAttribute, custom

STAGE = "#own-stage img"


@pytest.fixture
def sets(tmp_path: Path) -> tuple[list[Path], list[Path]]:
    """The astronaut as she is, and in blue; each also mirrored."""
    person = Image.open(ASTRONAUT)
    blue = Image.merge("RGB", person.split()[::-1])
    found = []
    for name, picture in (("warm", person), ("blue", blue)):
        pair = [tmp_path / f"{name}.png", tmp_path / f"{name}-mirrored.png"]
        picture.save(pair[0])
        ImageOps.mirror(picture).save(pair[1])
        found.append(pair)
    return found[0], found[1]


def blueness(image: Image.Image) -> float:
    red, _, blue = ImageStat.Stat(image.convert("RGB")).mean
    return blue - red


def give(page: Page, which: int, files: list[Path]) -> None:
    page.locator("#sets .drop").nth(which).locator("input[type=file]").set_input_files(files)


def test_two_sets_make_a_slider_that_can_be_kept(page, sets, tmp_path):
    page.get_by_role("tab", name="Your own").click()
    make = page.get_by_role("button", name="Make the slider")
    expect(make).to_be_disabled()
    expect(page.locator(STAGE)).to_be_visible()
    warm, blue = sets
    black = tmp_path / "black.png"
    Image.new("RGB", (200, 200)).save(black)
    give(page, 0, warm)
    expect(page.get_by_role("button", name="With it 2")).to_be_visible()
    give(page, 1, [*blue, black])
    expect(page.get_by_role("button", name="Without it 2")).to_be_visible()
    expect(page.get_by_text("black.png: No face was found")).to_be_visible()
    page.get_by_label("Its name").fill("Warm")
    make.click()
    expect(page.get_by_text("told apart well. Left out")).to_be_visible()
    expect(slider(page, "own0")).to_have_value("1.5")
    edited = settled(page, STAGE)
    slider(page, "own0").fill("0")
    plain = changed(page, edited, STAGE)
    slider(page, "own0").fill("-3")
    blued = changed(page, plain, STAGE)
    assert distance(plain, blued) > distance(plain, edited) > 1
    photograph = saved(page, "Save photograph", tmp_path)
    with Image.open(ASTRONAUT) as before:
        assert photograph.size == before.size
        assert blueness(photograph) > blueness(before) + 1
    assert saved(page, "Save face", tmp_path).width > 128
    page.locator("#own").get_by_role("button", name="Edit this face").click()
    assert distance(changed(page, ""), blued) < distance(plain, blued) / 2
    page.get_by_role("tab", name="Your own").click()

    with page.expect_download() as download:
        page.get_by_role("button", name="Download").first.click()
    kept = tmp_path / download.value.suggested_filename
    assert kept.name == "Warm.safetensors"
    download.value.save_as(kept)
    assert Editor.from_pretrained().load_attribute(kept).counts == (2, 2)
    page.get_by_role("button", name="Remove").first.click()
    assert changed(page, blued, STAGE) == plain
    give(page, 2, [kept])
    assert changed(page, plain, STAGE) == edited
    # The picture goes on when a face is taken out of a set, and another comes.
    page.get_by_role("button", name="With it 2").click()
    expect(page.get_by_role("button", name="With it 2")).to_be_hidden()
    slider(page, "own0").fill("0.5")
    some = changed(page, edited, STAGE)
    give(page, 0, sets[0][1:])
    expect(page.get_by_role("button", name="With it 2")).to_be_visible()
    # A second one stands above it, and both keep their places.
    slider(page, "own0").fill("-2")
    changed(page, some, STAGE)
    page.get_by_label("Its name").fill("Warm again")
    make.click()
    expect(slider(page, "own1")).to_have_value("-2")
    expect(slider(page, "own0")).to_have_value("1.5")
    # A fifth does not push the first one out.
    for count in (3, 4):
        give(page, 2, [kept])
        expect(page.locator(".slot:not(.unused)")).to_have_count(count)
    give(page, 2, [kept])
    expect(page.get_by_text("There are 4 sliders already")).to_be_visible()
    expect(slider(page, "own3")).to_have_value("-2")


def test_both_sets_may_be_filled_at_once(page, sets):
    page.get_by_role("tab", name="Your own").click()
    for which in range(2):
        give(page, which, sets[which])
    for title in ("With it", "Without it"):
        expect(page.get_by_role("button", name=f"{title} 2", exact=False)).to_be_visible()
    page.get_by_role("button", name="Make the slider").click()
    expect(page.get_by_text("Left out, the face with it")).to_be_visible()
    expect(page.locator("#sets .pictures button")).to_have_count(4)


def test_the_picture_leaves_room_for_what_moves_it(visit):
    """On a narrow screen it stays in sight, as the other tabs' do."""
    page = visit(viewport={"width": 700, "height": 800})
    for name, stage in (("Morph", "#morphed"), ("Your own", "#own-stage")):
        open_tab(page, name)
        width = page.locator(f"{stage} figure").evaluate("figure => figure.offsetWidth")
        assert width == pytest.approx(0.46 * 800, abs=1), stage


@pytest.mark.slow
def test_a_face_can_be_taken_out_again(page, sets):
    page.get_by_role("tab", name="Your own").click()
    give(page, 0, sets[0])
    page.get_by_role("button", name="With it 2").click()
    expect(page.get_by_role("button", name="With it 1")).to_be_visible()
    expect(page.get_by_role("button", name="With it 2")).to_be_hidden()
    page.get_by_role("button", name="Empty “With it”").click()
    expect(page.get_by_role("button", name="With it 1")).to_be_hidden()


@pytest.mark.slow
def test_files_of_other_models_and_damaged_ones_get_a_sentence(page, tmp_path):
    page.get_by_role("tab", name="Your own").click()
    stranger, broken = tmp_path / "stranger.safetensors", tmp_path / "broken.safetensors"
    size = Editor.from_pretrained().config.latent_dim
    custom.save(OwnAttribute("Hats", torch.ones(size), (1, 1), None, "f" * 64), stranger)
    broken.write_bytes(stranger.read_bytes()[:40])
    for file, sentence in ((stranger, "made for another model"), (broken, "is damaged")):
        give(page, 2, [file])
        expect(page.get_by_text(sentence)).to_be_visible()
    expect(slider(page, "own0")).to_be_hidden()


@pytest.mark.slow
def test_it_is_tried_on_a_photograph(page, tmp_path):
    page.get_by_role("tab", name="Your own").click()
    page.locator("#try-on .pictures button").nth(1).click()
    drawn = settled(page, STAGE)
    page.locator("#try-on input[type=file]").set_input_files(ASTRONAUT)
    assert distance(changed(page, drawn, STAGE), drawn) > 5
    empty = tmp_path / "empty.png"
    empty.touch()
    page.locator("#try-on input[type=file]").set_input_files(empty)
    expect(page.get_by_text("The file is empty.")).to_be_visible()
