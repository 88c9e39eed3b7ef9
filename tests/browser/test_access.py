"""For everyone: what axe-core finds on each tab, and whether a keyboard reaches it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("playwright.sync_api")

from playwright.sync_api import Page, expect
from test_page import ASTRONAUT, settled, upload

TABS = ("Edit", "Your own", "Morph", "Random faces")


def open_tab(page: Page, name: str) -> None:
    """Clicks on a tab, which on a narrow screen stands in a menu."""
    tab = page.get_by_role("tab", name=name)
    expect(page.locator(".tab-container button").first).to_be_visible()
    if not tab.is_visible():
        page.get_by_role("button", name="More tabs").click()
        page.locator(".overflow-dropdown button", has_text=name).click()
    else:
        tab.click()
    page.wait_for_timeout(400)


def fill(page: Page, name: str) -> None:
    """Brings a tab into the state in which most is to be seen."""
    if name == "Edit":
        upload(page, ASTRONAUT)
    elif name == "Your own":
        for which in range(2):
            drop = page.locator("#sets .drop input[type=file]").nth(which)
            drop.set_input_files(ASTRONAUT)
            expect(page.locator("#sets .pictures button")).to_have_count(which + 1)
        page.locator("#sets .pictures button").first.click()
    elif name == "Morph":
        for count in (1, 2):
            page.get_by_role("button", name="Add a random face").click()
            expect(page.locator("#chain .pictures button")).to_have_count(count)
        settled(page, "#morphed img")
    else:
        page.locator("#drawn .pictures button").first.click()
        expect(page.get_by_role("button", name="Its neighbours")).to_be_enabled()


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_nothing_serious(
    visit: Callable[..., Page], violations: Callable[[Page], list[str]], scheme: str
):
    page = visit(color_scheme=scheme)
    page.get_by_role("button", name="What is this?").click()
    found = {}
    for name in TABS:
        open_tab(page, name)
        fill(page, name)
        page.wait_for_timeout(500)  # colours fade in
        found[name] = violations(page)
    assert not any(found.values()), "\n".join(f"{k}: {v}" for k in found for v in found[k])


def test_messages_are_there_before_they_say_something(page):
    """Else a screen reader would not tell; and they leave no gap while they say nothing."""
    column = page.locator("#source")
    note = column.get_by_role("status").first
    expect(note).to_have_text("")
    gap = column.evaluate("column => parseFloat(getComputedStyle(column).rowGap)")
    above = column.locator(".upload").first.bounding_box()
    below = column.get_by_text("Examples").bounding_box()
    assert above["y"] + above["height"] + gap == pytest.approx(below["y"], abs=1)
    assert column.locator(".message").first.bounding_box()["height"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 820, 1440])
def test_every_tab_fits(visit: Callable[..., Page], width: int):
    page = visit(viewport={"width": width, "height": 844})
    for name in TABS:
        open_tab(page, name)
        fill(page, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name


def test_a_keyboard_reaches_what_a_mouse_does(page):
    open_tab(page, "Random faces")
    page.get_by_role("button", name="Surprise me").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#drawn .pictures button").first).to_have_attribute("aria-pressed", "true")
    edit = page.get_by_role("button", name="Edit this face")
    expect(edit).to_be_enabled()
    for _ in range(20):
        page.keyboard.press("Tab")
        if edit.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="Edit")).to_have_attribute("aria-selected", "true")
