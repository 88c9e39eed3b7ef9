"""The command line `python -m vaegan.edit`, as a person runs it."""

import numpy as np
import pytest
from PIL import Image

from vaegan import edit


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


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--set", "Tall=1"], "no attribute 'Tall'"),
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
                                   ["--detail", "2"], ["--out", "x.docx"]])  # fmt: skip
def test_impossible_flags_are_refused(photo, tiny_snapshot, tmp_path, words):
    with pytest.raises(SystemExit) as stopped:
        run(photo, tiny_snapshot, "--out", tmp_path / "out.png", *words)
    assert stopped.value.code == 2


def test_a_file_that_is_no_picture_is_one_sentence(tiny_snapshot, tmp_path, capsys):
    path = tmp_path / "letter.jpg"
    path.write_text("Dear Sir or Madam")
    assert run(path, tiny_snapshot, "--out", tmp_path / "out.png") == 2
    assert "not a picture" in capsys.readouterr().err
