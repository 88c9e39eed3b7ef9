"""How long a move of a slider takes, and where the time goes.

    python benchmarks/latency.py
    python benchmarks/latency.py --ticks 200 --json latency.json

Needs playwright and Chromium for the last two lines, which are measured inside a real browser. An
absolute time belongs to one machine and its load; that load stands under the table.
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
from PIL import Image  # noqa: E402
from playwright.sync_api import Error, sync_playwright  # noqa: E402
from torch import Tensor  # noqa: E402

from page import visitors, widgets  # noqa: E402
from vaegan import Editor, align, images  # noqa: E402

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")

# Moves the slider, and waits until the new picture is decoded and a frame with it was painted.
MOVE = """
async (ticks) => {
    const image = document.querySelector("#stage img");
    const slider = document.querySelector("#rail input[type=range]");
    const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
    const painted = () => new Promise((done) => {
        const seen = new MutationObserver(async () => {
            seen.disconnect();
            await image.decode();
            requestAnimationFrame(() => {
                const channel = new MessageChannel();  // its message comes after the paint
                channel.port1.onmessage = () => done(performance.now());
                channel.port2.postMessage(null);
            });
        });
        seen.observe(image, { attributeFilter: ["src"] });
    });
    const times = [];
    for (let tick = 0; tick < ticks; tick++) {
        const end = painted();
        const start = performance.now();
        set.call(slider, ((tick * 7) % 60) / 10 - 2.95);
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        times.push((await end) - start);
        await new Promise((rest) => setTimeout(rest, 30));
    }
    const requests = performance.getEntriesByType("resource")
        .filter((entry) => entry.name.includes("component_server"))
        .map((entry) => entry.duration);
    return { times, requests: requests.slice(-ticks) };
}
"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measures the way from a slider to the screen.")
    parser.add_argument("--ticks", type=int, default=100, help="moves of the slider, 60 or more")
    parser.add_argument("--photo", type=Path, default=visitors.ASTRONAUT)
    parser.add_argument("--model", help="as app.py's")
    parser.add_argument("--json", type=Path, help="also write the table to this file")
    flags = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    rows = parts(flags.photo, flags.model, flags.ticks)
    rows |= in_browser(flags.photo, flags.model, flags.ticks)
    load = max(load, os.getloadavg()[0])
    cores = os.cpu_count() or 1
    table = {name: summary(times) for name, times in rows.items()}
    print(f"{'part':<36}{'median':>10}{'p95':>10}")
    for name, row in table.items():
        print(f"{name:<36}{row['median_ms']:>7.1f} ms{row['p95_ms']:>7.1f} ms")
    # The measuring itself keeps about one core busy.
    state = "busy with other work" if load > cores / 2 + 1 else "otherwise idle"
    print(f"\n{cores} cores, load average {load:.1f}: {state}; torch {torch.__version__}")
    if flags.json:
        report = {"parts": table, "cores": cores, "load": load, "torch": torch.__version__}
        flags.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def summary(times: list[float]) -> dict[str, float]:
    """Milliseconds → median and 95th percentile."""
    p95 = statistics.quantiles(times, n=20)[-1]
    return {"median_ms": round(statistics.median(times), 2), "p95_ms": round(p95, 2)}


def parts(path: Path, model: str | None, ticks: int) -> dict[str, list[float]]:
    """What the server does, each step alone."""
    editor = Editor.from_pretrained(model)
    photo = images.open_image(path)
    face = visitors.Sitting.at(tuple(editor.open_all(photo))).small
    x = images.from_pil(Image.fromarray(face.crop), editor.config.resolution)[None]
    settings = {editor.attributes[0].name: 2.0}
    edited = editor.decode(face.z + editor.direction(settings))
    pixels = editor.show(face, edited, 1.0, visitors.SIZE)
    return {
        "detect and align": timed(
            lambda: align.align(photo, align.similarity(align.detect(photo)[0].landmarks), 256), 20
        ),
        "encode": timed(lambda: encode(editor, x), 20),
        "decode": timed(lambda: editor.decode(face.z + editor.direction(settings)), ticks),
        "blend, detail 1": timed(lambda: editor.show(face, edited, 1.0, visitors.SIZE), ticks),
        "blend, detail 0.5": timed(lambda: editor.show(face, edited, 0.5, visitors.SIZE), ticks),
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
    """The same from outside: requests, and painted frames."""
    with served(model) as url, sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM,
                args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            )
        except Error as error:
            print(f"No browser: {error.message.splitlines()[0]}", file=sys.stderr)
            return {}
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(url)
        field = page.locator("input[type=file]").first
        field.wait_for(state="attached")
        field.set_input_files(photo)
        page.wait_for_selector("#stage img:not([hidden])")
        page.evaluate(MOVE, 10)
        measured = page.evaluate(MOVE, ticks)
        browser.close()
    return {"request and answer": measured["requests"], "slider to pixels": measured["times"]}


@contextmanager
def served(model: str | None) -> Iterator[str]:
    """app.py on a free port; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(ROOT / "app.py"), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(
        [*command, *(["--model", model] if model else [])], stdout=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                if server.poll() is not None:
                    raise SystemExit("app.py did not start") from None
                time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    sys.exit(main())
