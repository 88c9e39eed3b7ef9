"""A Space: the right files, and the app starts from those alone."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vaegan import space

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def assembled(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("space") / "it"
    space.assemble(folder)
    return folder


def test_it_holds_the_app_and_no_more(assembled):
    files = {path.relative_to(assembled).as_posix() for path in assembled.rglob("*")
             if path.is_file()}  # fmt: skip
    assert {"app.py", "requirements.txt", "README.md", "page/style.css", "vaegan/editor.py",
            "pretrained/faces64/model.safetensors", "attributes/faces64.json",
            "docs/astronaut.jpg"} <= files  # fmt: skip
    assert {name.split("/")[0] for name in files} == {
        "app.py", "requirements.txt", "README.md", "LICENSE", "page", "vaegan", "docs",
        "pretrained", "attributes",
    }  # fmt: skip
    assert not [name for name in files if re.search(r"test|train\.py|\.gif|__pycache__", name)
                and name != "vaegan/trainer.py"]  # fmt: skip


def test_the_readme_tells_a_space_what_to_start(assembled):
    head = re.match(r"---\n(.*?)\n---\n", (assembled / "README.md").read_text("utf-8"), re.S)
    entries = dict(line.split(": ", 1) for line in head[1].splitlines() if ": " in line)
    assert entries["sdk"] == "gradio" and entries["app_file"] == "app.py"
    assert len(entries["short_description"]) <= 60
    assert {"title", "emoji", "colorFrom", "colorTo", "sdk_version", "python_version",
            "license"} <= set(entries)  # fmt: skip
    wanted = re.search(r"gradio>=(\d+)\.(\d+),<(\d+)", (ROOT / "requirements.txt").read_text())
    major, minor, *_ = (int(part) for part in entries["sdk_version"].split("."))
    assert (int(wanted[1]), int(wanted[2])) <= (major, minor) < (int(wanted[3]), 0)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert space.main([str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@contextmanager
def started(folder: Path, python: str) -> Iterator[str]:
    """The app of that folder, started as a Space starts it; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    with (folder.parent / "log").open("w+") as log:
        server = subprocess.Popen([python, "app.py"], cwd=folder, env=environment, stdout=log,
                                  stderr=log)  # fmt: skip
        try:
            deadline = time.monotonic() + 180
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10).close()
                    break
                except OSError:
                    log.seek(0)
                    assert server.poll() is None, log.read()
                    assert time.monotonic() < deadline, "app.py does not answer"
                    time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()
            server.wait(20)


def edits(address: str) -> None:
    """The astronaut smiles less, by way of the Space's API."""
    from gradio_client import Client, handle_file
    from PIL import Image, ImageChops

    photo = ROOT / "docs" / "astronaut.jpg"
    client = Client(address, verbose=False)
    result = client.predict(handle_file(photo), {"Smiling": -3}, api_name="/edit")
    assert ImageChops.difference(Image.open(result).convert("RGB"), Image.open(photo)).getbbox()


def test_the_app_starts_from_its_files_alone(assembled):
    with started(assembled, sys.executable) as address:
        edits(address)


@pytest.mark.slow
def test_the_app_starts_in_a_fresh_environment(assembled, tmp_path):
    """Everything that it needs stands in requirements.txt."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    install = [python, "-m", "pip", "install", "-q", "-r", "requirements.txt"]
    subprocess.run(install, cwd=assembled, check=True, timeout=1800)
    with started(assembled, python) as address:
        edits(address)
