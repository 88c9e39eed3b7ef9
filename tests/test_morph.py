"""Morphs: what a film shows, the files that it becomes, and the command line."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch
from PIL import Image

from vaegan import Editor, align, latents, morph, video, view
from vaegan.errors import UserError


@pytest.fixture(scope="module")
def editor(tiny_snapshot) -> Editor:
    return Editor.from_pretrained(tiny_snapshot)


@pytest.fixture(scope="module")
def faces(editor, astronaut):
    return [editor.open(astronaut), *(editor.face_of(z[None]) for z in editor.draw(2, 1.0, 3))]


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def test_a_film_begins_and_ends_with_its_faces(editor, faces):
    frames = morph.film(editor, faces, torch.tensor([0.0, 0.25, 0.5, 1.0]), 96)
    assert {frame.size for frame in frames} == {(96, 96)}
    photograph = Image.fromarray(faces[0].crop).resize((96, 96), Image.Resampling.LANCZOS)
    assert np.abs(pixels(frames[0]) - pixels(photograph)).max() <= 1
    for frame, face in ((frames[2], faces[1]), (frames[3], faces[2])):
        wanted = view.plain(face.reconstruction, 96).astype(int)
        assert np.abs(pixels(frame) - wanted).max() <= 1
    z = torch.lerp(faces[0].z, faces[1].z, 0.5)
    between = view.plain(editor.decode(z), 96).astype(int)
    texture = pixels(photograph) - view.plain(faces[0].reconstruction, 96)
    wanted = (between + texture / 4).clip(0, 255)  # half a way off, squared
    assert np.abs(pixels(frames[1]) - wanted).max() <= 1


def test_an_arc_is_another_way(editor, faces):
    middle = torch.tensor([0.25])
    straight = morph.film(editor, faces, middle, 96)[0]
    assert morph.film(editor, faces, middle, 96, spherical=True)[0].tobytes() != straight.tobytes()


def test_in_the_photograph_only_the_face_changes(editor, faces, astronaut):
    frames = morph.film(editor, faces, torch.tensor([0.0, 1.0]), 512, whole=True)
    assert np.array_equal(pixels(frames[0]), pixels(astronaut))
    change = np.abs(pixels(frames[1]) - pixels(astronaut)).max(axis=2)
    rows, columns = np.nonzero(change)
    side = align.crop_size(faces[0].matrix)
    assert change.max() > 20
    assert np.ptp(rows) < 1.5 * side and np.ptp(columns) < 1.5 * side
    assert morph.film(editor, faces, torch.tensor([0.0]), 200, whole=True)[0].size == (200, 200)


def test_a_shrunk_face_stays_in_its_place(faces):
    small = morph.scaled(faces[0], 256)
    assert small.photo.size == (256, 256) and len(small.crop) < len(faces[0].crop)
    again = align.align(small.photo, small.matrix, 64)
    first = align.align(faces[0].photo, faces[0].matrix, 64)
    assert np.abs(pixels(again) - pixels(first)).mean() < 3
    assert morph.scaled(faces[0], 512) is faces[0]


def test_impossible_films_are_refused(editor, faces):
    with pytest.raises(UserError, match="no photograph"):
        morph.film(editor, faces[1:], torch.tensor([0.0]), 96, whole=True)
    with pytest.raises(UserError, match="two faces"):
        morph.film(editor, faces[:1], torch.tensor([0.0]), 96)
    with pytest.raises(UserError, match="would have 5121 million pixels, more than 250"):
        morph.film(editor, faces, latents.times(5000), 1012)


def test_the_way_back_costs_a_film_nothing(editor, faces, monkeypatch):
    monkeypatch.setattr(morph, "MOST", 3 * 96 * 96)
    frames = morph.film(editor, faces, torch.tensor([0.0, 0.5, 1.0, 0.5, 0.0]), 96)
    assert len(frames) == 5 and frames[1] is frames[3]


def test_others_get_their_turn_between_two_pictures(editor, faces):
    turns = []

    class Turn:
        def __enter__(self):
            turns.append("begins")

        def __exit__(self, *_):
            turns.append("ends")

    morph.film(editor, faces, torch.tensor([0.0, 0.5, 1.0]), 96, turn=Turn())
    assert turns == ["begins", "ends"] * 3


# ---------------------------------------------------------------- files


@pytest.fixture
def frames() -> list[Image.Image]:
    """A light bar that wanders from left to right."""
    pictures = []
    for n in range(12):
        pixels = np.full((48, 65, 3), 30, np.uint8)
        pixels[:, 5 * n : 5 * n + 10] = (220, 180, 40)
        pictures.append(Image.fromarray(pixels))
    return pictures


def test_mp4_is_what_browsers_play(frames, tmp_path):
    video.write(frames, tmp_path / "a.mp4", fps=24)
    with av.open(str(tmp_path / "a.mp4")) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (64, 48, 24)
        assert film.metadata["comment"] == video.MARK
        shown = [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(video=0)]
    assert len(shown) == 12
    for frame, picture in zip(shown, frames, strict=True):
        assert np.abs(frame - pixels(picture)[:, :64]).mean() < 8
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # it plays while it loads


def test_gif_keeps_speed_frames_and_colours(frames, tmp_path):
    video.write(frames, tmp_path / "a.gif", fps=20)
    film = Image.open(tmp_path / "a.gif")
    assert (film.n_frames, film.info["duration"], film.info["loop"]) == (12, 50, 0)
    assert film.info["comment"] == video.MARK.encode()
    for n, picture in enumerate(frames):
        film.seek(n)
        assert np.abs(pixels(film.convert("RGB")) - pixels(picture)).max() < 12


def test_other_endings_and_no_pictures_are_refused(frames, tmp_path):
    with pytest.raises(UserError, match=r"does not end in \.mp4 or \.gif"):
        video.write(frames, tmp_path / "a.avi", fps=20)
    with pytest.raises(UserError, match="no picture"):
        video.write([], tmp_path / "a.gif", fps=20)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- command line


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_the_command_writes_a_film(tiny_snapshot, astronaut, tmp_path, ending, capsys):
    photo, out = tmp_path / "a.png", tmp_path / f"morph.{ending}"
    astronaut.save(photo)
    arguments = [str(photo), "random:7", str(photo), "--model", str(tiny_snapshot), "--out",
                 str(out), "--seconds", "0.2", "--size", "64", "--fps", "20"]  # fmt: skip
    assert morph.main(arguments) == 0
    with av.open(str(out)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 9 + 7
    assert capsys.readouterr().err == ""


def test_the_command_says_what_is_wrong(tiny_snapshot, tmp_path, capsys):
    model, out = ["--model", str(tiny_snapshot)], ["--out", str(tmp_path / "a.mp4")]
    assert morph.main(["random:1", "nothing.jpg", *model, *out]) == 2
    assert capsys.readouterr().err == "There is no file nothing.jpg.\n"
    assert morph.main(["random:1", "random:2", "--whole", *model, *out]) == 2
    assert "no photograph" in capsys.readouterr().err
    for wrong in (["random:1", *out], ["random:1", "random:2", "--out", "a.avi"],
                  ["random:1", "random:2", *out, "--seconds", "nan"]):  # fmt: skip
        with pytest.raises(SystemExit) as end:
            morph.parse(wrong)
        assert end.value.code == 2
    assert not (tmp_path / "a.mp4").exists()


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        morph.parse(["--help"])
    said = capsys.readouterr().out
    assert "random:7" in said and said.count("python -m vaegan.morph") >= 3
