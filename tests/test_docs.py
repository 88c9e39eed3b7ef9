"""The code in docs/ runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "python.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.S)


def run(code: str, names: dict) -> None:
    exec(compile(code, "docs/python.md", "exec"), names)


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """A folder where `docs/` is, and where files may be written."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_pages_blocks_run_one_after_the_other(workplace, capsys):
    names: dict = {}
    local = [code for code in BLOCKS if not code.startswith("# needs: a running page")]
    assert len(local) == len(BLOCKS) - 1 >= 6
    for code in local:
        run(code, names)
    written = {"decoder.png", "face.png", "whole.jpg", "older.png", "nobody.png", "morph.mp4",
               "astronaut.safetensors"}  # fmt: skip
    assert written <= {path.name for path in workplace.iterdir()}
    assert Image.open("whole.jpg").size == (512, 512)
    assert "Smiling" in capsys.readouterr().out


def test_a_running_page_answers_as_the_docs_say(workplace):
    pytest.importorskip("gradio")
    import app
    from page import build
    from vaegan import Editor

    page = build(Editor.from_pretrained())
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, **app.launch_options())
    try:
        names: dict = {"address": address}
        (remote,) = (code for code in BLOCKS if code.startswith("# needs: a running page"))
        run(remote, names)
        assert Image.open(names["edited"]).size == (512, 512)
        assert names["film"].endswith(".mp4") and len(names["drawn"]) == 4
    finally:
        page.close()
