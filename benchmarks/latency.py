"""How long a move of a slider takes, and where the time goes.

    python benchmarks/latency.py
    python benchmarks/latency.py --ticks 200 --json latency.json

What stands under "in Chromium" is measured inside a real browser, and needs playwright and
Chromium. The same run measures the same model behind a plain `gr.Image` that a slider's `change`
feeds, and prints the ratio. An absolute time belongs to one machine and its load; that load stands
under the table, and the least of each part is what the machine can do when it is left alone.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from PIL import Image  # noqa: E402
from playwright.sync_api import Error, Page, sync_playwright  # noqa: E402
from torch import Tensor  # noqa: E402

from page import photographs, visitors, widgets  # noqa: E402
from vaegan import Editor, Settings, align, images  # noqa: E402

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")

# Moves the slider, and waits until the new picture is decoded and a frame with it was painted.
MOVE = """
async ({ ticks, picture, range }) => {
    const slider = document.querySelector(range);
    const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
    const source = () => document.querySelector(picture)?.src;
    const painted = () => new Promise((done) => {
        const before = source();
        const seen = new MutationObserver(async () => {
            if (!source() || source() === before) return;
            seen.disconnect();
            await document.querySelector(picture).decode().catch(() => {});
            requestAnimationFrame(() => {
                const channel = new MessageChannel();  // its message comes after the paint
                channel.port1.onmessage = () => done(performance.now());
                channel.port2.postMessage(null);
            });
        });
        seen.observe(document.body, { subtree: true, childList: true, attributeFilter: ["src"] });
    });
    performance.clearResourceTimings();
    const times = [];
    for (let tick = 0; tick < ticks; tick++) {
        const end = painted();
        const start = performance.now();
        set.call(slider, ((tick * 7) % 60) / 10 - 2.95);
        for (const kind of ["input", "change"])
            slider.dispatchEvent(new Event(kind, { bubbles: true }));
        times.push((await end) - start);
        await new Promise((rest) => setTimeout(rest, 30));
    }
    const frames = performance.getEntriesByType("resource")
        .filter((entry) => entry.name.includes("/frame/"));
    return {
        times,
        requests: frames.map((entry) => entry.duration),
        server: frames.map((entry) => entry.serverTiming[0]?.duration ?? 0),
    };
}
"""
PHOTOGRAPH = "in Chromium, whole photograph: "
FACE = "in Chromium, face: "
PLAIN = "in Chromium, plain gr.Image: "
PIXELS = "slider to pixels"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measures the way from a slider to the screen.")
    parser.add_argument("--ticks", type=int, default=100, help="moves of the slider, 60 or more")
    parser.add_argument("--photo", type=Path, default=photographs.ASTRONAUT)
    parser.add_argument("--model", help="as app.py's")
    parser.add_argument("--json", type=Path, help="also write the table to this file")
    parser.add_argument("--plain", type=int, metavar="PORT", help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    if flags.plain:
        return serve_plain(flags.photo, flags.model, flags.plain)
    load = os.getloadavg()[0]
    rows = parts(flags.photo, flags.model, flags.ticks)
    rows |= in_browser(flags.photo, flags.model, flags.ticks)
    load = max(load, os.getloadavg()[0])
    cores = os.cpu_count() or 1
    table = {name: summary(times) for name, times in rows.items()}
    print(f"{'part':<52}{'least':>10}{'median':>10}{'p95':>10}")
    for name, row in table.items():
        print(f"{name:<52}" + "".join(f"{row[key]:>7.1f} ms" for key in row))
    if PLAIN + PIXELS in table:
        ours, plain = (table[name + PIXELS]["median_ms"] for name in (PHOTOGRAPH, PLAIN))
        print(f"\nplain gr.Image takes {plain / ours:.1f} times as long (medians)")
    # The measuring itself keeps about one core busy.
    state = "busy with other work" if load > cores / 2 + 1 else "otherwise idle"
    print(f"\n{cores} cores, load average {load:.1f}: {state}; torch {torch.__version__}")
    if flags.json:
        report = {"parts": table, "cores": cores, "load": load, "torch": torch.__version__}
        flags.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def summary(times: list[float]) -> dict[str, float]:
    """Milliseconds → least, median and 95th percentile."""
    found = min(times), statistics.median(times), statistics.quantiles(times, n=20)[-1]
    names = ("least_ms", "median_ms", "p95_ms")
    return {name: round(value, 2) for name, value in zip(names, found, strict=True)}


def parts(path: Path, model: str | None, ticks: int) -> dict[str, list[float]]:
    """What the server does, each step alone."""
    editor = Editor.from_pretrained(model)
    photo = images.open_image(path)
    face = editor.open(photo)
    views = visitors.Sitting.at((face,)).views
    x = images.from_pil(Image.fromarray(face.crop), editor.config.resolution)[None]
    settings = Settings({editor.attributes[0].name: 2.0})
    edited = editor.draw_edit(face, settings)
    pixels = views[visitors.PHOTOGRAPH].frame(edited, settings)
    return {
        "detect and align": timed(
            lambda: align.align(photo, align.similarity(align.detect(photo)[0].landmarks), 256), 20
        ),
        "encode": timed(lambda: encode(editor, x), 20),
        "decode": timed(lambda: editor.draw_edit(face, settings), ticks),
        "blend, face": timed(lambda: views[visitors.FACE].frame(edited, settings), ticks),
        "blend and paste, whole photograph": timed(
            lambda: views[visitors.PHOTOGRAPH].frame(edited, settings), ticks
        ),
        "JPEG as a data URL": timed(lambda: widgets.jpeg(pixels), ticks),
    }


@torch.inference_mode()
def encode(editor: Editor, x: Tensor) -> Tensor:
    return editor.encoder(x.contiguous(memory_format=torch.channels_last))[0]


def timed(run: Callable[[], object], times: int) -> list[float]:
    for _ in range(5):
        run()
    result = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        result.append(1000 * (time.perf_counter() - start))
    return result


def in_browser(photo: Path, model: str | None, ticks: int) -> dict[str, list[float]]:
    """The same from outside: the server's part, requests, and painted frames."""
    ours = [str(ROOT / "app.py"), "--host", "127.0.0.1", "--port"]
    plain = [__file__, "--photo", str(photo), "--plain"]
    flags = ["--model", model] if model else []
    rows = {}
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM,
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
        except Error as error:
            print(f"No browser: {error.message.splitlines()[0]}", file=sys.stderr)
            return {}
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        with served(ours, flags) as url:
            page.goto(url)
            field = page.locator("input[type=file]").first
            field.wait_for(state="attached")
            field.set_input_files(photo)
            page.wait_for_selector("#stage img:not([hidden])")
            for name, view in ((FACE, visitors.FACE), (PHOTOGRAPH, visitors.PHOTOGRAPH)):
                page.locator("#view").get_by_text(view).click()
                page.wait_for_timeout(500)
                found = moved(page, ticks, "#stage img", "#slider-Smiling input[type=range]")
                rows |= {
                    f"{name}the server's part": found["server"],
                    f"{name}request and answer": found["requests"],
                    f"{name}{PIXELS}": found["times"],
                }
        with served(plain, flags) as url:
            page.goto(url)
            page.wait_for_selector("#picture img")
            found = moved(page, ticks, "#picture img", "#slider input[type=range]")
            rows[PLAIN + PIXELS] = found["times"]
        browser.close()
    return rows


def moved(page: Page, ticks: int, picture: str, slider: str) -> dict[str, list[float]]:
    """What MOVE measures, after a few moves to warm up."""
    what = {"picture": picture, "range": slider}
    page.evaluate(MOVE, {**what, "ticks": 10})
    return page.evaluate(MOVE, {**what, "ticks": ticks})


def serve_plain(path: Path, model: str | None, port: int) -> int:
    """The same frames behind Gradio's own image, wired the customary way."""
    import gradio as gr

    editor = Editor.from_pretrained(model)
    view = visitors.Sitting.at((editor.open(path),)).views[visitors.PHOTOGRAPH]
    name = editor.attributes[0].name

    def draw(value: float) -> NDArray:
        return editor.frame(view, Settings({name: value}))

    with gr.Blocks(analytics_enabled=False) as page:
        image = gr.Image(draw(0), elem_id="picture")
        slider = gr.Slider(-3, 3, value=0, step=0.05, elem_id="slider")
        slider.change(draw, slider, image)
    page.launch(server_name="127.0.0.1", server_port=port, quiet=True)
    return 0


@contextmanager
def served(script: list[str], flags: list[str]) -> Iterator[str]:
    """A script that serves on the port that it is given last; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, *script, str(port), *flags]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                if server.poll() is not None:
                    raise SystemExit(f"{script[0]} did not start") from None
                time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    sys.exit(main())
