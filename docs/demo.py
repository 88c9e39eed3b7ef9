"""Records the moving picture at the top of README.md: the page in a real browser, a slider dragged.

python docs/demo.py            # writes docs/demo.gif; needs requirements-dev.txt and Chromium
"""

from __future__ import annotations

import argparse
import io
import math
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from vaegan import video  # noqa: E402
from vaegan.attributes import SLIDERS  # noqa: E402

VIEWPORT = {"width": 1440, "height": 900}
WIDTH = 680  # of the moving picture, in pixels
HEIGHT = 682  # of the page that is recorded: the picture and its margins
MARGIN = 16
FPS = 11
DRAGS = (("Smiling", -2.5), ("Eyeglasses", 2.0), ("Brown_Hair", 2.5))
FRAMES = 14  # of one drag, there and back


@contextmanager
def serving(port: int) -> Iterator[str]:
    """The app, as a person starts it."""
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([sys.executable, "app.py", "--port", str(port)], cwd=ROOT)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(address, timeout=1).close()
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait()


def record(page: Page) -> list[Image.Image]:
    """Drags each slider there and back; one screenshot of picture and sliders a position."""
    frames = []
    picture, rail = (page.locator(name).bounding_box() for name in ("#result", "#rail"))
    clip = {
        "x": picture["x"] - MARGIN,
        "y": picture["y"] - MARGIN,
        "width": rail["x"] + rail["width"] - picture["x"] + 2 * MARGIN,
        "height": HEIGHT,
    }
    for name, furthest in DRAGS:
        slider = page.locator(f"#slider-{name} input[type=range]")
        if not slider.is_visible():
            page.get_by_role("button", name=SLIDERS[name].group).click()
            slider.wait_for(state="visible")
            page.wait_for_timeout(400)
        for frame in range(FRAMES + 1):
            value = furthest * math.sin(math.pi * frame / FRAMES)
            slider.fill(f"{value:.1f}")
            page.wait_for_timeout(350)
            frames.append(Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB"))
    return frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "demo.gif")
    parser.add_argument("--port", type=int, default=7893)
    flags = parser.parse_args()
    with serving(flags.port) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport=VIEWPORT)
        page.goto(address)
        page.locator("input[type=file]").first.set_input_files(ROOT / "docs" / "astronaut.jpg")
        page.locator("#stage img:not([hidden])").wait_for(timeout=60_000)
        page.wait_for_timeout(1000)
        frames = record(page)
        size = (WIDTH, round(WIDTH * frames[0].height / frames[0].width))
        small = [frame.resize(size, Image.Resampling.LANCZOS) for frame in frames]
        video.write(small, flags.out, FPS)
        browser.close()


if __name__ == "__main__":
    main()
