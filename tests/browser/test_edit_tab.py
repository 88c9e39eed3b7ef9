"""What a visitor can do with a face, beside moving its sliders: in a real browser."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import Browser, BrowserContext, Page, expect
from test_page import ASTRONAUT, changed, distance, pixels, saved, settled, slider, source, upload

from page.morph import PLAY


def click(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def value(page: Page, name: str = "Smiling") -> float:
    return float(slider(page, name).input_value())


@pytest.fixture
def pair(tmp_path) -> Path:
    """Two faces in one photograph."""
    image = Image.open(ASTRONAUT)
    both = Image.new("RGB", (1024, 512))
    both.paste(image, (0, 0))
    both.paste(ImageOps.mirror(image), (512, 0))
    both.save(tmp_path / "pair.png")
    return tmp_path / "pair.png"


CLICKS = """
async (faces) => {
    for (const face of faces) {
        document.querySelector(`#source button[title="Face ${face}"]`).click();
        await new Promise((resolve) => setTimeout(resolve, 40));
    }
}
"""


def test_an_edit_of_one_face_stays_while_the_next_is_edited(page, pair, tmp_path):
    unedited = upload(page, pair)
    slider(page).fill("3")
    first = changed(page, unedited)
    click(page, "Face 2")
    second = changed(page, first)
    assert value(page) == 0
    page.locator("#view").get_by_text("Photograph").click()
    one_edited = changed(page, second)
    slider(page).fill("-3")
    both_edited = changed(page, one_edited)
    halves = np.split(np.abs(pixels(both_edited) - pixels(one_edited)).mean(axis=(0, 2)), 2)
    assert halves[1].mean() + halves[0].mean() > 5 * min(half.mean() for half in halves)
    photograph = np.asarray(saved(page, "Save photograph", tmp_path)).astype(int)
    difference = np.abs(photograph - np.asarray(Image.open(pair))).max(axis=2)
    assert difference.shape == (512, 1024)
    assert difference[:200, 100:350].max() > 40 and difference[:200, 674:924].max() > 40
    assert difference[300:].max() == 0
    click(page, "Face 1")
    changed(page, both_edited)
    assert value(page) == 3
    # Of clicks in a row the last one counts, and each face keeps its own edit.
    for edit, clicks, other in (("1", (1, 2), "-3"), ("-2", (1, 2, 1), "1"), ("1", (1, 2), "-2")):
        slider(page).fill(edit)
        settled(page)
        page.evaluate(CLICKS, clicks)
        page.wait_for_timeout(2000)  # an earlier click may show the same face as the last
        expect(slider(page)).to_have_value(other)


def test_undo_redo_and_resets(page):
    unedited = upload(page, ASTRONAUT)
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    expect(page.get_by_role("button", name="Reset all")).to_be_disabled()
    slider(page).fill("2")
    smiling = changed(page, unedited)
    slider(page, "High_Cheekbones").fill("-2")
    both = changed(page, smiling)
    click(page, "Undo")
    assert changed(page, both) == smiling
    page.locator("#stage img").click()  # nothing has the focus
    page.keyboard.press("Control+z")
    assert changed(page, smiling) == unedited
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    click(page, "Redo")
    click(page, "Redo")
    assert changed(page, unedited) == both
    page.locator("#slider-Smiling .reset-button").click()  # one alone
    alone = changed(page, both)
    assert (value(page), value(page, "High_Cheekbones")) == (0, -2)
    page.get_by_role("button", name="More").click()
    slider(page, "detail").fill("0.2")
    changed(page, alone)
    click(page, "Reset all")
    assert settled(page) == unedited and value(page, "detail") == 0.7
    expect(page.get_by_role("button", name="Reset all")).to_be_disabled()
    click(page, "Undo")  # even that
    assert value(page, "detail") == 0.2
    click(page, "Undo")
    assert changed(page, unedited) == alone
    slider(page).fill("1")  # a new way: what was undone is gone
    changed(page, alone)
    expect(page.get_by_role("button", name="Redo")).to_be_disabled()


def test_comparing_by_wipe_and_by_holding(page):
    unedited = upload(page, ASTRONAUT)
    slider(page).fill("3")
    edited = changed(page, unedited)
    image = page.locator("#stage img")
    box = image.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    assert distance(source(page), unedited) < 1 < distance(source(page), edited)
    page.mouse.up()
    assert source(page) == edited

    click(page, "Compare")
    before = page.locator("#stage .before")
    expect(before).to_be_visible()
    page.mouse.click(box["x"] + 0.8 * box["width"], middle[1])
    shown = "getComputedStyle(document.querySelector('#stage .before')).clipPath"
    assert float(page.locator("#stage .wipe").input_value()) == pytest.approx(80, abs=4)
    at_the_right = page.evaluate(shown)
    page.keyboard.press("Home")
    assert page.locator("#stage .wipe").input_value() == "0"
    assert page.evaluate(shown) != at_the_right
    click(page, "Compare")
    expect(before).to_be_hidden()
    assert source(page) == edited


@pytest.mark.slow
def test_settings_are_saved_and_put_onto_another_face(page, tmp_path):
    unedited = upload(page, ASTRONAUT)
    slider(page).fill("2")
    changed(page, unedited)
    page.get_by_role("button", name="More").click()
    slider(page, "softness").fill("0.8")
    page.get_by_role("button", name="Hold").click()
    page.locator("#hold").get_by_text("Male", exact=True).click()
    edited = settled(page)
    with page.expect_download() as download:
        click(page, "Save settings")
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    settings = json.loads(path.read_text())
    assert (settings["sliders"], settings["hold"]) == ({"Smiling": 2}, ["Male"])
    assert settings["softness"] == 0.8

    mirrored = tmp_path / "mirrored.png"
    ImageOps.mirror(Image.open(ASTRONAUT)).save(mirrored)
    other = upload(page, mirrored)
    assert (value(page), value(page, "softness")) == (0, 0.3)
    field = page.locator("#more input[type=file]")
    field.set_input_files(path)
    again = changed(page, other)
    assert (value(page), value(page, "softness")) == (2, 0.8)
    assert page.locator("#hold input:checked").get_attribute("name") == "Male"
    changes = pixels(edited) - pixels(unedited), (pixels(again) - pixels(other))[:, ::-1]
    assert np.corrcoef(changes[0].ravel(), changes[1].ravel())[0, 1] > 0.5  # mirrored, the same
    damaged = tmp_path / "damaged.json"
    damaged.write_text('{"format": 1, "sliders": {"Smiling": "much"}}')
    field.set_input_files(damaged)
    expect(page.get_by_text("The setting of Smiling is no number.")).to_be_visible()
    assert settled(page) == again


def test_held_attributes_change_the_direction(page):
    unedited = upload(page, ASTRONAUT)
    page.get_by_role("button", name="Age and gender").click()
    slider(page, "Young").fill("-3")
    free = changed(page, unedited)
    page.get_by_role("button", name="Hold").click()
    page.locator("#hold").get_by_text("Male", exact=True).click()
    held = changed(page, free)
    page.locator("#hold").get_by_text("Male", exact=True).click()
    assert changed(page, held) == free


def test_sliders_are_found_by_name(page):
    search = page.get_by_label("Find a slider")
    search.fill("hair")
    expect(slider(page, "Blond_Hair")).to_be_visible()
    expect(slider(page, "Smiling")).to_be_hidden()
    for word, name in (("grey", "Gray_Hair"), ("Old", "Young"), ("woman", "Male"),
                       ("moustache", "Mustache"), ("teeth", "Smiling")):  # fmt: skip
        search.fill(word)
        expect(slider(page, name)).to_be_visible()
        expect(slider(page, "Bangs")).to_be_hidden()
    search.fill("nothing like it")
    expect(page.get_by_text("No slider has such a name.")).to_be_visible()
    search.press("Escape")
    expect(slider(page, "Smiling")).to_be_visible()
    expect(page.get_by_role("button", name="Accessories")).to_be_visible()


def test_a_filmstrip_sets_its_slider(page):
    unedited = upload(page, ASTRONAUT)
    page.get_by_role("button", name="More").click()
    page.locator("#strip-of input").click()
    page.get_by_role("option", name="Smiling").click()
    strip = page.locator("#more .pictures button")
    expect(strip).to_have_count(7)
    assert [one.get_attribute("title") for one in strip.all()] == [str(n) for n in range(-3, 4)]
    assert len({one.get_attribute("src") for one in strip.locator("img").all()}) == 7
    strip.nth(5).click()
    edited = changed(page, unedited)
    assert value(page) == 2
    first = source(page, "#more .pictures button:first-child img")
    slider(page, "High_Cheekbones").fill("-2")  # it is drawn anew with what else is set
    assert changed(page, first, "#more .pictures button:first-child img")
    slider(page, "High_Cheekbones").fill("0")
    expect(strip.first.locator("img")).to_have_attribute("src", first)
    assert settled(page) == edited


@pytest.mark.slow
def test_going_on_from_an_edit(page, tmp_path):
    unedited = upload(page, ASTRONAUT)
    slider(page).fill("2")
    edited = changed(page, unedited)
    page.get_by_role("button", name="More").click()
    click(page, "Apply, and go on from here")
    applied = changed(page, edited)
    assert value(page) == 0
    assert distance(applied, edited) < distance(applied, unedited)
    slider(page).fill("2")
    further = changed(page, applied)
    assert distance(further, unedited) > distance(edited, unedited)
    whole = np.asarray(saved(page, "Save photograph", tmp_path)).astype(int)
    assert np.abs(whole - np.asarray(Image.open(ASTRONAUT)))[300:].mean() < 2
    click(page, "Take back what was applied")
    assert changed(page, further) == edited
    assert value(page) == 2
    expect(page.get_by_role("button", name="Take back what was applied")).to_be_hidden()
    slider(page).fill("0")
    assert changed(page, edited) == unedited


@pytest.mark.slow
def test_refining_and_stopping(page):
    upload(page, ASTRONAUT)
    drawn = source(page, "#reconstruction img")
    page.get_by_role("button", name="More").click()
    click(page, "Refine the likeness")
    bar = page.locator("#more progress")
    expect(bar).to_be_visible()
    first = changed(page, drawn, "#reconstruction img")
    expect(page.get_by_role("button", name="Refine the likeness")).to_be_visible(timeout=60_000)
    expect(bar).to_be_hidden()
    photograph = source(page, "#aligned img")
    refined = source(page, "#reconstruction img")
    assert distance(refined, photograph) < distance(drawn, photograph)
    assert distance(refined, photograph) <= distance(first, photograph)
    beside = page.get_by_role("button", name="Save settings")
    place = beside.bounding_box()
    click(page, "Refine the likeness")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    assert beside.bounding_box() == place
    click(page, "Stop")
    expect(page.get_by_role("button", name="Refine the likeness")).to_be_visible()
    expect(bar).to_be_hidden()
    before = settled(page)
    slider(page).fill("2")
    edited = changed(page, before)
    click(page, "Apply, and go on from here")
    applied = changed(page, edited)
    drawn = source(page, "#reconstruction img")
    click(page, "Refine the likeness")
    changed(page, drawn, "#reconstruction img")
    expect(page.get_by_role("button", name="Refine the likeness")).to_be_visible(timeout=60_000)
    slider(page).fill("-1")
    further = changed(page, applied)
    click(page, "Take back what was applied")
    assert changed(page, further) == edited


def test_a_finger_scrolls_over_a_slider_or_drags_it(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    unedited = upload(page, ASTRONAUT)
    touches = page.context.new_cdp_session(page)

    def drag(right: float, down: float) -> None:
        """From three quarters of the slider on, in CSS pixels."""
        box = slider(page).bounding_box()
        x, y = box["x"] + 0.75 * box["width"], box["y"] + box["height"] / 2
        for kind, part in (("touchStart", 0), *(("touchMove", n / 8) for n in range(1, 9))):
            points = [{"x": x + right * part, "y": y + down * part}]
            touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        touches.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    slider(page).evaluate("range => range.scrollIntoView({ block: 'center' })")
    top = page.evaluate("scrollY")
    drag(0, -200)
    page.wait_for_function("top => scrollY > top + 50", arg=top)
    assert value(page) == 0
    assert settled(page) == unedited
    slider(page).evaluate("range => range.scrollIntoView({ block: 'center' })")
    drag(60, 0)
    changed(page, unedited)
    assert value(page) > 1.5


def test_what_was_chosen_last_stays(page, pair):
    """A photograph while another is being opened, and an example meanwhile."""
    field = page.locator("input[type=file]").first
    example = page.locator("#source .pictures button").nth(1)
    single = upload(page, ASTRONAUT)
    example.click()
    drawn = changed(page, single)
    for before, last, wanted in ((drawn, lambda: field.set_input_files(ASTRONAUT), single),
                                 (single, example.click, drawn)):  # fmt: skip
        with page.expect_request("**/queue/join*"):
            field.set_input_files(pair)
        last()
        assert changed(page, before) == wanted
        expect(page.get_by_text("Faces in this photograph")).to_be_hidden()


def test_a_bad_file_leaves_no_frame_of_another_picture(page, tmp_path):
    still = page.get_by_text("The face on the page is still the one from before.")
    framer = page.locator("#framer .photo")
    field = page.locator("input[type=file]").first
    plain, empty = tmp_path / "plain.png", tmp_path / "empty.png"
    Image.new("RGB", (300, 200), "gray").save(plain)
    empty.touch()
    field.set_input_files(plain)
    expect(framer).to_be_visible()
    expect(still).to_be_hidden()
    opened = upload(page, ASTRONAUT)
    expect(framer).to_be_hidden()
    click(page, "Frame another face by hand")
    expect(framer).to_have_css("aspect-ratio", "512 / 512")
    field.set_input_files(plain)
    expect(framer).to_have_css("aspect-ratio", "300 / 200")
    expect(page.get_by_role("application")).to_be_in_viewport()
    expect(still).to_be_visible()
    field.set_input_files(empty)
    expect(page.get_by_text("The file is empty.")).to_be_visible()
    expect(still).to_be_visible()
    expect(framer).to_be_hidden()
    assert settled(page) == opened


def test_without_a_camera_or_a_clipboard_it_says_so(page):
    page.get_by_role("button", name="Capture from camera").first.click()
    page.get_by_text("Click to Access Webcam").first.click()
    expect(page.get_by_text("No camera was found.")).to_be_visible()
    page.get_by_role("button", name="Paste from clipboard").first.click()
    expect(page.get_by_text("does not let this page use the camera")).to_be_visible()


def test_a_face_that_is_not_found_is_framed_by_hand(page, tmp_path):
    """In a picture whose red says how far right a pixel is, and whose green how far down."""
    x, y = np.meshgrid(np.arange(512), np.arange(512))
    image = Image.fromarray(np.stack([x // 2, y // 2, 0 * x], -1).astype(np.uint8))
    file = tmp_path / "ramps.png"
    image.save(file)
    page.locator("input[type=file]").first.set_input_files(file)
    expect(page.get_by_text("put the frame below around the face")).to_be_visible()
    square = page.get_by_role("application")
    start = square.bounding_box()
    square.focus()
    for _ in range(8):
        page.keyboard.press("ArrowUp")
        page.keyboard.press("-")
    moved = square.bounding_box()
    assert moved["y"] < start["y"] - 5 and moved["width"] < start["width"] - 5
    corner = page.locator(".corner").bounding_box()
    page.mouse.move(corner["x"] + 5, corner["y"] + 5)
    page.mouse.down()
    page.mouse.move(corner["x"] + 25, corner["y"] + 25)
    page.mouse.up()
    assert square.bounding_box()["width"] == pytest.approx(moved["width"] + 20, abs=1)
    page.mouse.move(moved["x"] + 15, moved["y"] + 15)
    page.mouse.down()
    page.mouse.move(moved["x"] + 10, moved["y"] + 18)
    page.mouse.up()
    placed, photo = square.bounding_box(), page.locator("#framer .photo").bounding_box()
    click(page, "Edit the face in this frame")
    expect(page.locator("#stage img")).to_be_visible()
    shown = pixels(settled(page))
    scale = 512 / photo["width"]
    left, top = ((placed[axis] - photo[axis]) * scale for axis in "xy")
    side = placed["width"] * scale
    for row, column in ((40, 50), (200, 330)):
        expected = (left + side * column / 384) / 2, (top + side * row / 384) / 2
        assert shown[row, column, :2] == pytest.approx(expected, abs=6)
    expect(page.locator("#framing")).to_be_hidden()


def test_a_second_finger_does_not_throw_the_frame_aside(visit, tmp_path):
    page = visit(has_touch=True)
    file = tmp_path / "plain.png"
    Image.new("RGB", (512, 512), "gray").save(file)
    page.locator("input[type=file]").first.set_input_files(file)
    square = page.get_by_role("application")
    expect(square).to_be_in_viewport(ratio=1)
    page.wait_for_timeout(500)  # it was scrolled to
    touches = page.context.new_cdp_session(page)
    box = square.bounding_box()
    one, other = ({"x": box["x"] + x, "y": box["y"] + 30, "id": n} for n, x in enumerate((30, 90)))

    def touch(kind: str, *points: dict[str, float]) -> None:
        touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})
        page.wait_for_timeout(100)  # they come with the next frame

    touch("touchStart", one)
    touch("touchStart", one, other)
    for step in range(1, 5):
        touch("touchMove", one, {**other, "x": other["x"] + 8 * step})
    assert square.bounding_box() == box
    touch("touchMove", one)  # the other is lifted
    touch("touchMove", {**one, "x": one["x"] - 40})
    assert square.bounding_box()["x"] == pytest.approx(box["x"] - 40, abs=1)
    touch("touchEnd")
    touch("touchStart", one)  # and again
    touch("touchMove", {**one, "x": one["x"] + 40})
    touch("touchEnd")
    assert square.bounding_box()["x"] == pytest.approx(box["x"], abs=1)


SCROLLS = """
() => {
    window.scrolls = [];
    Element.prototype.scrollIntoView = (how) => { window.scrolls.push(how.behavior); };
}
"""


@pytest.mark.parametrize(("motion", "how"), [("reduce", "auto"), ("no-preference", "smooth")])
def test_who_wants_less_motion_is_not_scrolled_slowly(visit, tmp_path, motion, how):
    page = visit(reduced_motion=motion)
    page.evaluate(SCROLLS)
    file = tmp_path / "plain.png"
    Image.new("RGB", (300, 200), "gray").save(file)
    page.locator("input[type=file]").first.set_input_files(file)
    expect(page.get_by_role("application")).to_be_visible()
    page.get_by_role("tab", name="Morph").click()
    page.locator("#film").wait_for(state="attached")
    page.evaluate(PLAY, {"url": "data:,", "orig_name": "a.gif"})
    scrolls = page.evaluate("scrolls")
    assert len(scrolls) >= 2 and set(scrolls) == {how}


@pytest.mark.slow
def test_photographs_come_back_in_their_format_without_their_secrets(page, tmp_path):
    image = Image.open(ASTRONAUT)
    exif = Image.Exif()
    exif[0x0110], exif[0x0112] = "A camera", 6
    file = tmp_path / "turned.webp"
    image.rotate(90, expand=True).save(file, exif=exif, quality=95)
    upload(page, file)
    photograph = saved(page, "Save photograph", tmp_path)
    assert (photograph.format, photograph.size) == ("WEBP", (512, 512))
    assert np.abs(np.asarray(photograph).astype(int) - np.asarray(image)).mean() < 6
    found = photograph.getexif()
    assert 0x0110 not in found and 0x0112 not in found
    assert "Edited" in found[0x010E]


def with_an_edit(browser: Browser, url: str) -> tuple[BrowserContext, Page, str]:
    """A visitor whose edit is not saved, and its picture."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(url)
    unedited = upload(page, ASTRONAUT)
    slider(page).fill("-3")
    edited = changed(page, unedited)
    expect(page.locator("#tools").get_by_role("button", name="Undo")).to_be_enabled()
    return context, page, edited


def test_a_lost_connection_takes_no_edit_along(browser, url):
    context, page, edited = with_an_edit(browser, url)
    with page.expect_event("dialog") as asked:
        context.set_offline(True)
        click(page, "Save photograph")
        page.get_by_text("Attempting reconnection").wait_for()
        context.set_offline(False)  # then Gradio would load the page anew
    assert asked.value.type == "beforeunload"
    asked.value.dismiss()
    slider(page).fill("1")
    changed(page, edited)
    context.close()


def test_what_is_saved_in_another_tab_is_not_this_edit(browser, url):
    context, page, _ = with_an_edit(browser, url)
    page.get_by_role("tab", name="Your own").click()
    with page.expect_download():
        page.locator("#own-saves").get_by_role("button", name="Save face").click()
    with page.expect_event("dialog") as asked:
        page.close(run_before_unload=True)
    assert asked.value.type == "beforeunload"
    asked.value.accept()
    context.close()


# Whether someone who leaves the page is asked whether they mean it.
ASKS = "() => !window.dispatchEvent(new Event('beforeunload', { cancelable: true }))"
HUSHED = f"() => !({ASKS})()"


def test_leaving_asks_as_long_as_an_edit_is_not_saved(page, pair, tmp_path):
    first = upload(page, pair)
    assert not page.evaluate(ASKS)
    slider(page).fill("3")
    edited = changed(page, first)
    assert page.evaluate(ASKS)
    click(page, "Face 2")  # of the same photograph: the edit of the first is still to be saved
    second = changed(page, edited)
    assert value(page) == 0 and page.evaluate(ASKS)
    saved(page, "Save photograph", tmp_path)
    page.wait_for_function(HUSHED)
    slider(page).fill("-3")
    third = changed(page, second)
    assert page.evaluate(ASKS)
    saved(page, "Save face", tmp_path)
    page.wait_for_function(HUSHED)
    click(page, "Undo")
    assert changed(page, third) == second
    assert page.evaluate(ASKS)
    click(page, "Redo")
    assert changed(page, second) == third
    assert not page.evaluate(ASKS)
    slider(page).fill("2")
    fourth = changed(page, third)
    with page.expect_download():
        click(page, "Save face")
        slider(page).fill("1")  # before the file is there, which does not hold this
    changed(page, fourth)
    page.wait_for_timeout(500)
    assert page.evaluate(ASKS)
    upload(page, ASTRONAUT)
    assert not page.evaluate(ASKS)


def test_what_was_applied_is_not_saved_by_that(page, tmp_path):
    unedited = upload(page, ASTRONAUT)
    slider(page).fill("3")
    edited = changed(page, unedited)
    page.get_by_role("button", name="More").click()
    click(page, "Apply, and go on from here")
    changed(page, edited)
    assert value(page) == 0 and page.evaluate(ASKS)
    saved(page, "Save face", tmp_path)
    page.wait_for_function(HUSHED)


DROP = """
async (source) => {
    const bytes = await (await fetch(source)).blob();
    const dropped = new DataTransfer();
    dropped.items.add(new File([bytes], "a.jpg", { type: "image/jpeg" }));
    return dropped;
}
"""


def test_a_photograph_may_be_dropped_on_the_picture(page):
    source = f"data:image/jpeg;base64,{b64encode(ASTRONAUT.read_bytes()).decode()}"
    dropped = page.evaluate_handle(DROP, source)
    page.dispatch_event("#stage", "drop", {"dataTransfer": dropped})
    shown = changed(page, "")
    slider(page).fill("3")  # sliders move where a face is open alone
    changed(page, shown)
