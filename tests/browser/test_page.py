"""What a visitor sees, in a real browser."""

from __future__ import annotations

import base64
import io
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

if not os.environ.get("CI"):  # there, a missing browser is a failure
    pytest.importorskip("playwright.sync_api")
    if not Path(os.environ.get("CHROMIUM", "/usr/bin/chromium")).exists():
        pytest.skip("Chromium is missing", allow_module_level=True)

from playwright.sync_api import Locator, Page, expect

ROOT = Path(__file__).parents[2]
ASTRONAUT = ROOT / "docs" / "astronaut.jpg"
POSITIONS = (-3, -2.4, -1.8, -1.2, -0.6, 0.6, 1.2, 1.8, 2.4, 3)


def photo(page: Page) -> Locator:
    return page.locator("input[type=file]").first


def slider(page: Page, name: str = "Smiling") -> Locator:
    return page.locator(f"#slider-{name} input[type=range]")


def upload(page: Page, file: Path) -> str:
    """Opens a photograph; the first picture of it."""
    before = source(page)
    photo(page).set_input_files(file)
    return changed(page, before)


def source(page: Page, picture: str = "#stage img") -> str:
    return page.locator(picture).get_attribute("src") or ""


def changed(page: Page, before: str, picture: str = "#stage img") -> str:
    """The picture that came after `before`, once it stays."""
    shown = page.locator(picture)
    expect(shown).to_have_attribute("src", re.compile("^data:image"))
    expect(shown).not_to_have_attribute("src", before)
    return settled(page, picture)


def settled(page: Page, picture: str = "#stage img") -> str:
    """The picture, once it has not changed for half a second."""
    last = source(page, picture)
    while True:
        page.wait_for_timeout(500)
        if (now := source(page, picture)) == last:
            return now
        last = now


def pixels(source: str) -> np.ndarray:
    """A data URL → (H, W, 3)."""
    data = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


def distance(a: str, b: str) -> float:
    """Mean difference of two pictures in grey levels."""
    return float(np.abs(pixels(a) - pixels(b)).mean())


def drag(page: Page, positions: tuple[float, ...], name: str = "Smiling") -> list[str]:
    """Moves the thumb with the mouse, button held; the picture at each position."""
    box = slider(page, name).bounding_box()
    thumb = 16  # pixels; the middle of the thumb does not reach the ends of the track
    y = box["y"] + box["height"] / 2

    def x(position: float) -> float:
        return box["x"] + thumb / 2 + (position + 3) / 6 * (box["width"] - thumb)

    page.mouse.move(x(0), y)
    page.mouse.down()
    seen, before = [], source(page)
    for position in positions:
        page.mouse.move(x(position), y)
        before = changed(page, before)
        seen.append(before)
    page.mouse.up()
    return seen


def test_a_drag_through_ten_positions_shows_ten_pictures(page):
    expect(slider(page)).to_be_disabled()  # there is nothing to be changed
    unedited = upload(page, ASTRONAUT)
    seen = drag(page, POSITIONS)
    assert len({unedited, *seen}) == 11
    assert float(slider(page).input_value()) == 3
    # Up the slider the picture moves away from the photograph, step by step.
    away = [distance(unedited, picture) for picture in seen[5:]]
    assert away == sorted(away) and away[0] > 0
    # The tiles beside it stay what they are.
    assert distance(source(page, "#aligned img"), unedited) < 2
    assert distance(source(page, "#reconstruction img"), unedited) > 5


def test_whatever_moves_a_slider_does_the_same(page):
    unedited = upload(page, ASTRONAUT)
    slider(page).fill("2")
    wanted = changed(page, unedited)
    page.locator("#slider-Smiling .reset-button").click()
    assert changed(page, wanted) == unedited
    slider(page).focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert changed(page, unedited) == wanted
    page.locator("#slider-Smiling input[type=number]").fill("-1")
    assert changed(page, wanted) != unedited
    page.locator("#slider-Smiling input[type=number]").fill("2")
    expect(page.locator("#stage img")).to_have_attribute("src", wanted)
    number = page.locator("#slider-Smiling input[type=number]")
    number.fill("-1.55")
    changed(page, wanted)
    number.press("Tab")
    expect(number).to_have_value(slider(page).input_value())
    number.fill("99")
    typed = changed(page, wanted)
    number.press("Enter")
    expect(number).to_have_value("3")
    number.blur()
    slider(page).fill("3")
    assert settled(page) == typed


def test_reset_returns_to_the_unedited_picture(page):
    unedited = upload(page, ASTRONAUT)
    page.get_by_role("button", name="Accessories").click()
    slider(page, "Eyeglasses").fill("2")
    glasses = changed(page, unedited)
    slider(page).fill("-2")
    both = changed(page, glasses)
    page.get_by_role("button", name="Reset all").click()
    assert changed(page, both) == unedited
    assert {slider(page, name).input_value() for name in ("Smiling", "Eyeglasses")} == {"0"}


def test_visitors_see_their_own_face_and_no_other(visit, tmp_path):
    other = tmp_path / "other.png"
    person = ImageOps.mirror(Image.open(ASTRONAUT))
    Image.merge("RGB", person.split()[::-1]).save(other)

    alone = {}
    for file in (ASTRONAUT, other):
        page = visit()
        unedited = upload(page, file)
        slider(page).fill("2")
        alone[file] = (unedited, changed(page, unedited))
    assert distance(alone[ASTRONAUT][0], alone[other][0]) > 20

    first, second = visit(), visit()
    photo(first).set_input_files(ASTRONAUT)
    photo(second).set_input_files(other)
    for page in (first, second):
        expect(page.locator("#stage img")).to_be_visible()
    for step in range(1, 11):  # both at once, in turns too quick to wait for the pictures
        slider(first).fill(str(step / 5))
        slider(second).fill(str(step / 5))
    for page, file in ((first, ASTRONAUT), (second, other)):
        expect(page.locator("#stage img")).to_have_attribute("src", alone[file][1])
        page.get_by_role("button", name="Reset all").click()
        expect(page.locator("#stage img")).to_have_attribute("src", alone[file][0])


def huge_png(width: int, height: int) -> bytes:
    """A valid PNG of little more than a megabyte that is gigantic once decoded."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    compressor = zlib.compressobj(1)
    rows = b"".join(compressor.compress(bytes(width + 1)) for _ in range(height))
    rows += compressor.flush()
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def noise() -> bytes:
    file = io.BytesIO()
    Image.effect_noise((300, 300), 60).convert("RGB").save(file, "PNG")
    return file.getvalue()


BAD = {
    "empty.jpg": (lambda: b"", "The file is empty."),
    "text.jpg": (lambda: b"not a picture", "not a picture"),
    "truncated.jpg": (lambda: ASTRONAUT.read_bytes()[:9000], "damaged"),
    "drawing.svg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    "huge.png": (lambda: huge_png(20_000, 20_000), "too large"),
    "noise.png": (noise, "No face was found"),
}


def test_bad_files_get_a_sentence_and_change_nothing(page, tmp_path):
    unedited = upload(page, ASTRONAUT)
    slider(page).fill("1")
    edited = changed(page, unedited)
    for name, (make, sentence) in BAD.items():
        file = tmp_path / name
        file.write_bytes(make())
        photo(page).set_input_files(file)
        expect(page.get_by_text(sentence)).to_be_visible()
        note = page.locator("#source .message p").inner_text()
        assert re.fullmatch(r"[A-Z][^\n]+\.", note), note
        assert settled(page) == edited, name
        assert "Traceback" not in page.locator("body").inner_text()
    # The face is still there to be edited, and a good file takes the sentence away.
    slider(page).fill("2")
    changed(page, edited)
    upload(page, ASTRONAUT)
    expect(page.locator("#source .message p")).to_have_text("")
    assert settled(page) == unedited


def test_a_file_of_another_type_gets_a_sentence(page, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("not a picture")
    photo(page).set_input_files(file)
    expect(page.get_by_text("Invalid file type: notes.txt").first).to_be_visible()


def odd_files(folder: Path) -> dict[str, Path]:
    """The astronaut in formats that go wrong elsewhere."""
    image = Image.open(ASTRONAUT)
    files = {name: folder / name for name in ("cmyk.jpg", "deep.png", "rotated.jpg", "clear.png",
                                              "moving.gif")}  # fmt: skip
    image.convert("CMYK").save(files["cmyk.jpg"], quality=92)
    deep = np.asarray(image.convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(files["deep.png"])
    orientation = Image.Exif()
    orientation[0x0112] = 6  # to be turned a quarter clockwise
    image.rotate(90).save(files["rotated.jpg"], quality=92, exif=orientation)
    clear = image.convert("RGBA")
    clear.putalpha(Image.new("L", image.size, 230))
    clear.save(files["clear.png"])
    upside_down = image.rotate(180)
    image.save(files["moving.gif"], save_all=True, append_images=[upside_down], duration=100)
    return files


def test_odd_files_give_the_same_face(page, tmp_path):
    plain = pixels(upload(page, ASTRONAUT)).mean(axis=2)
    for name, file in odd_files(tmp_path).items():
        found = pixels(upload(page, file)).mean(axis=2)
        assert np.abs(found - plain).mean() < 15, name


def test_one_of_several_faces_can_be_chosen(page, tmp_path):
    image = Image.open(ASTRONAUT)
    pair = Image.new("RGB", (1024, 512))
    pair.paste(image, (0, 0))
    pair.paste(ImageOps.mirror(image), (512, 0))
    file = tmp_path / "pair.png"
    pair.save(file)
    expect(page.get_by_text("Faces in this photograph")).to_be_hidden()
    first = upload(page, file)
    faces = page.locator(".faces button")
    expect(faces).to_have_count(2)
    page.get_by_role("button", name="Face 2").click()
    second = changed(page, first)
    faces.nth(0).click()
    assert changed(page, second) == first
    upload(page, ASTRONAUT)
    expect(page.get_by_text("Faces in this photograph")).to_be_hidden()


def test_texture_goes_from_the_photograph_to_the_decoder(page):
    upload(page, ASTRONAUT)
    page.get_by_role("button", name="More").click()
    slider(page).fill("2")
    seen = [settled(page)]
    for texture in ("0.5", "0"):
        slider(page, "detail").fill(texture)
        seen.append(changed(page, seen[-1]))
    photograph = source(page, "#aligned img")
    near = [distance(photograph, picture) for picture in seen]
    assert near == sorted(near) and len(set(near)) == 3


def saved(page: Page, button: str, folder: Path) -> Image.Image:
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return Image.open(io.BytesIO(path.read_bytes()))


def test_downloads(page, tmp_path):
    expect(page.get_by_role("button", name="Save face")).to_be_disabled()
    upload(page, ASTRONAUT)
    whole = np.asarray(Image.open(ASTRONAUT)).astype(int)

    face = saved(page, "Save face", tmp_path)
    assert face.format == "PNG" and face.width == face.height > 150
    photograph = saved(page, "Save photograph", tmp_path)
    assert photograph.format == "JPEG" and photograph.size == (512, 512)
    assert np.abs(np.asarray(photograph) - whole).mean() < 2

    slider(page).fill("3")
    settled(page)
    edited = saved(page, "Save face", tmp_path)
    assert edited.size == face.size and edited.tobytes() != face.tobytes()
    difference = np.abs(np.asarray(saved(page, "Save photograph", tmp_path)) - whole).mean(axis=2)
    assert difference[:200, 150:300].max() > 30  # the face
    assert difference[300:].mean() < 2  # her suit


def test_a_random_face_goes_to_the_editor(page):
    page.get_by_role("tab", name="Random faces").click()
    drawn = page.locator("#drawn .pictures img")
    expect(drawn).to_have_count(12)
    first = source(page, "#drawn button:nth-child(1) img")
    page.locator("#random").get_by_label("Seed").fill("7")
    page.get_by_role("button", name="Draw").click()
    changed(page, first, "#drawn button:nth-child(1) img")

    edit = page.get_by_role("button", name="Edit this face")
    expect(edit).to_be_disabled()
    chosen = drawn.nth(2).get_attribute("src")
    page.locator("#drawn .pictures button").nth(2).click()
    expect(edit).to_be_enabled()
    edit.click()
    expect(page.get_by_role("tab", name="Edit")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#stage img")).to_be_visible()
    unedited = settled(page)
    small = np.asarray(Image.fromarray(pixels(unedited).astype(np.uint8)).resize((128, 128)))
    assert np.abs(small - pixels(chosen)).mean() < 6
    slider(page).fill("2")
    changed(page, unedited)
    expect(page.get_by_role("button", name="Save photograph")).to_be_disabled()


def test_examples_open(page):
    page.locator("#source .pictures button").first.click()
    expect(page.locator("#stage img")).to_be_visible()
    unedited = settled(page)
    slider(page).fill("2")
    assert distance(changed(page, unedited), unedited) > 0


def test_the_controls_are_as_wide_as_the_picture(page):
    for width, height in ((1024, 768), (1280, 720), (1920, 1080), (2560, 1440)):
        page.set_viewport_size({"width": width, "height": height})
        picture, controls = (page.locator(f"#{part}").bounding_box()
                             for part in ("stage figure", "controls"))  # fmt: skip
        assert (controls["x"], controls["width"]) == (picture["x"], picture["width"]), width
        saves = [page.get_by_role("button", name=f"Save {what}").bounding_box()["y"]
                 for what in ("face", "photograph")]  # fmt: skip
        assert saves[0] == saves[1]


@pytest.mark.parametrize("width", [390, 820, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_layout(visit: Callable[..., Page], width: int, scheme: str):
    page = visit(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.locator("#source .pictures button").first.click()
    expect(page.locator("#stage img")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert slider(page).bounding_box()["width"] > (250 if width == 390 else 130)
    # While "Smiling" is in reach, so is the picture that it changes.
    slider(page).scroll_into_view_if_needed()
    expect(slider(page)).to_be_in_viewport()
    expect(page.locator("#stage img")).to_be_in_viewport(ratio=0.9)
    brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g)[0] > 128"
    assert page.evaluate(brightness) == (scheme == "light")
