"""The command line `python -m vaegan.edit`, as a person runs it."""

import numpy as np
import pytest
from PIL import Image

from vaegan import edit
from vaegan.settings import Settings


@pytest.fixture(scope="module")
def photo(astronaut, tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    astronaut.save(path)
    return path


def run(photo, model, *words) -> int:
    return edit.main([str(photo), "--model", str(model), *map(str, words)])


def test_it_writes_the_face_and_the_whole_photograph(photo, tiny_snapshot, tmp_path):
    face, whole = tmp_path / "face.png", tmp_path / "whole.png"
    assert run(photo, tiny_snapshot, "--set", "Smiling=900", "--out", face) == 0
    assert run(photo, tiny_snapshot, "--set", "Smiling=900", "--whole", "--out", whole) == 0
    before, after = (np.asarray(Image.open(path).convert("RGB")) for path in (photo, whole))
    assert Image.open(face).width == Image.open(face).height
    assert after.shape == before.shape
    assert 0 < (after != before).any(axis=2).mean() < 0.25


def test_settings_come_from_a_file_and_flags_go_before_them(photo, tiny_snapshot, tmp_path):
    saved = tmp_path / "smile.json"
    saved.write_text(Settings({"Smiling": 900.0}, detail=0.2).to_json())
    plain = ["--set", "Smiling=900", "--detail", "0.2"]
    cases = {"file": ["--settings", saved], "flags": plain,
             "both": ["--settings", saved, "--detail", "1", "--set", "Smiling=1"]}  # fmt: skip
    for name, words in cases.items():
        assert run(photo, tiny_snapshot, "--out", tmp_path / f"{name}.bmp", *words) == 0
    written = {name: (tmp_path / f"{name}.bmp").read_bytes() for name in cases}
    assert written["file"] == written["flags"] != written["both"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--set", "Tall=1"], "no attribute 'Tall'"),
        (["--set", "Smiling=1", "--hold", "Tall"], "no attribute 'Tall'"),
        (["--settings", __file__], "not JSON"),
        (["--face", "4"], "There is no face 4: 1 were found"),
        (["--model", "nowhere/at/all"], "There is no model"),
    ],
)
def test_mistakes_are_one_sentence(photo, tiny_snapshot, tmp_path, capsys, words, sentence):
    out = tmp_path / "out.png"
    assert run(photo, tiny_snapshot, "--out", out, *words) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("words", [["--set", "Smiling"], ["--set", "Smiling=much"],
                                   ["--detail", "2"], ["--softness", "x"],
                                   ["--out", "x.docx"]])  # fmt: skip
def test_impossible_flags_are_refused(photo, tiny_snapshot, tmp_path, words):
    with pytest.raises(SystemExit) as stopped:
        run(photo, tiny_snapshot, "--out", tmp_path / "out.png", *words)
    assert stopped.value.code == 2


def test_a_file_that_is_no_picture_is_one_sentence(tiny_snapshot, tmp_path, capsys):
    path = tmp_path / "letter.jpg"
    path.write_text("Dear Sir or Madam")
    assert run(path, tiny_snapshot, "--out", tmp_path / "out.png") == 2
    assert "not a picture" in capsys.readouterr().err
