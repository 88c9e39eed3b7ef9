"""A real server and a real browser, shared by the tests of the page."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
AXE = Path(__file__).parent / "axe"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "face-editor-tests"
RUN = """
async () => {
    const found = await axe.run(document, { resultTypes: ["violations"] });
    return found.violations
        .filter((one) => ["serious", "critical"].includes(one.impact))
        .flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 200)}`));
}
"""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@contextmanager
def served(folder: Path, *flags: str, **variables: str) -> Iterator[str]:
    """The address of `python app.py`, which must not have written a traceback by the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(ROOT / "app.py"), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(folder / "files"), **variables}
    log = folder / "log"
    with log.open("w") as file:
        server = subprocess.Popen([*command, *flags], stdout=file, stderr=file, env=environment)
    address = f"http://127.0.0.1:{port}/"
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                urllib.request.urlopen(address, timeout=10).close()
                break
            except OSError:
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, "app.py does not answer"
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(20)
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., object]:
    """`served` in a folder of its own."""
    return lambda *flags, **variables: served(
        tmp_path_factory.mktemp("server"), *flags, **variables
    )


@pytest.fixture(scope="session")
def url(serve: Callable[..., object]) -> Iterator[str]:
    with serve() as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, url: str) -> Iterator[Callable[..., Page]]:
    """Opens the page for another visitor; in the end none may have asked anything of other hosts,
    nor met an error in the console."""
    contexts, strangers, errors = [], [], []

    def watch(page: Page) -> None:
        page.on("request", lambda request: strangers.append(request.url)
                if not request.url.startswith((url, "data:", "blob:")) else None)  # fmt: skip
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))

    def open_page(**options: object) -> Page:
        options = {"viewport": {"width": 1440, "height": 900}, **options}
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        watch(page)
        page.goto(url)
        page.locator("input[type=file]").first.wait_for(state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not strangers
    assert not errors


@pytest.fixture
def page(visit: Callable[..., Page]) -> Page:
    return visit()


@pytest.fixture(scope="session")
def violations() -> Callable[[Page], list[str]]:
    """What axe-core, of the version and checksum in package-lock.json, finds serious on a page."""
    lock = AXE / "package-lock.json"
    folder = CACHE / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        shutil.copytree(AXE, folder, dirs_exist_ok=True)
        try:
            subprocess.run(
                ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=folder, check=True, capture_output=True, timeout=300,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"npm could not fetch axe-core: {error}")
    source = script.read_text("utf-8")

    def found(page: Page) -> list[str]:
        page.evaluate(source)
        return page.evaluate(RUN)

    return found
