"""What lies on disk: this server's files are swept, other programs' never."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import Timeout

pytest.importorskip("gradio")

from page import disk

ROOT = Path(disk.__file__).parents[1]


def test_old_files_are_swept_away_and_young_ones_stay(tmp_path):
    old, young = tmp_path / "a" / "old.png", tmp_path / "b" / "young.png"
    for file in (old, young):
        file.parent.mkdir()
        file.touch()
    (tmp_path / "c").mkdir()
    for path in (old, old.parent, tmp_path / "c", tmp_path):
        os.utime(path, (0, 0))
    disk.sweep(tmp_path)
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["a", "b", "young.png"]
    os.utime(old.parent, (0, 0))  # emptying it made it young
    disk.sweep(tmp_path)
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["b", "young.png"]


def test_only_what_a_killed_server_left_is_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    for name in ("killed", "running", "clone", "home"):
        folder = tmp_path / f"{disk.PREFIX}{name}"
        folder.mkdir()
        (folder / "photograph.png").touch()
        os.utime(folder / "photograph.png", (0, 0))
    killed, running, clone, home = (tmp_path / f"{disk.PREFIX}{n}" for n in
                                    ("killed", "running", "clone", "home"))  # fmt: skip
    for folder in (killed, running, home):
        (folder / disk.MARK).touch()
    for folder in (killed, home):
        os.utime(folder / disk.MARK, (0, 0))
    linked = home.rename(tmp_path / "home")
    home.symlink_to(linked)

    disk.begin()
    own = Path(os.environ["GRADIO_TEMP_DIR"])
    assert own.parent == tmp_path and own.name.startswith(disk.PREFIX)
    assert os.name == "nt" or own.stat().st_mode & 0o777 == 0o700
    deadline = time.monotonic() + 10
    while killed.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not killed.exists()
    disk.clear(tmp_path)  # the server may not have come to all of them yet
    assert all((folder / "photograph.png").exists() for folder in (running, clone, linked))


def test_a_server_that_slept_is_not_taken_for_a_killed_one(tmp_path, monkeypatch):
    """Its mark is old, but it holds it still; once it is killed, it does not."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    program = "import time; from page import disk; disk.begin(); print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as other:
        other.stdout.readline()
        (slept,) = tmp_path.iterdir()
        while (slept / disk.MARK).stat().st_mtime:  # its first sweep may touch it yet
            os.utime(slept / disk.MARK, (0, 0))
            time.sleep(0.2)
        with pytest.raises(Timeout):
            disk._abandoned(slept)
        other.kill()
    assert disk._abandoned(slept)


def test_a_server_says_that_it_runs_and_keeps_saying_so(tmp_path):
    (tmp_path / disk.MARK).touch()
    os.utime(tmp_path / disk.MARK, (0, 0))
    disk.sweep(tmp_path)
    assert time.time() - (tmp_path / disk.MARK).stat().st_mtime < 60
