"""The editor's arithmetic, on a model small enough to know nothing: the formulas hold for any."""

import dataclasses
import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from vaegan import Editor, FaceNotFound, ModelNotFound, VectorError, images
from vaegan.checkpoint import load_snapshot
from vaegan.config import PRESETS


@pytest.fixture(scope="module")
def editor(tiny_snapshot) -> Editor:
    return Editor.from_pretrained(tiny_snapshot)


@pytest.fixture(scope="module")
def face(editor, astronaut):
    return editor.open(astronaut)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def up(x: torch.Tensor, size: int) -> np.ndarray:
    """Bicubic, as the editor enlarges; (H, W, 3) in grey levels."""
    large = torch.nn.functional.interpolate(x, (size, size), mode="bicubic")
    return ((large[0].permute(1, 2, 0) + 1) * 127.5).numpy()


def test_open_finds_the_face_and_encodes_what_the_encoder_sees(editor, face, tiny_snapshot):
    encoder = load_snapshot(tiny_snapshot).encoder
    assert face.crop.shape[0] == face.crop.shape[1] > 100
    x = images.from_pil(Image.fromarray(face.crop), 32)[None]
    torch.testing.assert_close(face.z, encoder(x)[0], rtol=1e-3, atol=1e-4)
    assert face.warning == ""


def test_a_face_is_immutable(face):
    with pytest.raises(dataclasses.FrozenInstanceError):
        face.z = torch.zeros(1, 8)


def test_photographs_come_as_pictures_paths_and_bytes(editor, face, astronaut, tmp_path):
    path = tmp_path / "a.png"
    astronaut.save(path)
    for source in (path, str(path), path.read_bytes()):
        assert torch.equal(editor.open(source).z, face.z)


def test_the_edit_decodes_z_plus_the_direction(editor, face):
    edited = editor.edit(face, {"Smiling": 2.0})
    assert edited.size == (32, 32)
    z = face.z + 2.0 * editor.vectors.vectors[0]
    np.testing.assert_allclose(pixels(edited), pixels(images.to_pil(editor.decode(z)[0])), atol=1)
    assert pixels(edited).tolist() != pixels(editor.edit(face, {})).tolist()


def test_without_an_edit_detail_one_is_the_photograph_itself(editor, face):
    assert np.array_equal(np.asarray(editor.edit(face, {}, detail=1.0)), face.crop)
    assert np.array_equal(np.asarray(editor.edit(face, {}, detail=0.5)), face.crop)


def test_detail_zero_is_the_decoder_enlarged(editor, face):
    size = len(face.crop)
    edited = editor.decode(face.z + editor.direction({"Smiling": 500.0}))
    result = pixels(editor.edit(face, {"Smiling": 500.0}, detail=0.0))
    np.testing.assert_allclose(result, up(edited, size).clip(0, 255), atol=1)


def test_detail_one_adds_the_difference_to_the_photograph(editor, face):
    size = len(face.crop)
    edited = editor.decode(face.z + editor.direction({"Smiling": 500.0}))
    expected = face.crop + up(edited, size) - up(face.reconstruction, size)
    result = pixels(editor.edit(face, {"Smiling": 500.0}, detail=1.0))
    np.testing.assert_allclose(result, expected.clip(0, 255), atol=1)


def test_the_whole_photograph_comes_back_at_its_own_size(editor, face, astronaut):
    same = editor.edit(face, {}, paste=True)
    assert np.array_equal(np.asarray(same), np.asarray(astronaut))
    edited = editor.edit(face, {"Smiling": 500.0}, paste=True)  # the tiny model is timid
    assert edited.size == astronaut.size
    change = np.abs(pixels(edited) - pixels(astronaut)).max(axis=2)
    rows, columns = np.nonzero(change)
    assert change.max() > 5
    side = len(face.crop)
    assert rows.max() - rows.min() <= 1.5 * side and columns.max() - columns.min() <= 1.5 * side


def test_preview_is_the_edit_at_another_size(editor, face):
    preview = editor.preview(face, {"Smiling": 2.0}, detail=1.0, size=len(face.crop))
    assert np.array_equal(preview, np.asarray(editor.edit(face, {"Smiling": 2.0}, detail=1.0)))
    assert editor.preview(face, {}, detail=None, size=96).shape == (96, 96, 3)


def test_a_box_frames_a_face_by_hand(editor, astronaut):
    face = editor.open(astronaut, box=(0, 0, 64, 64))
    assert np.array_equal(face.crop, np.asarray(astronaut)[:64, :64])


def test_no_face_and_too_few_faces_are_one_sentence(editor, astronaut):
    with pytest.raises(FaceNotFound, match="No face was found"):
        editor.open(Image.new("RGB", (200, 200), "gray"))
    with pytest.raises(FaceNotFound, match="There is no face 3: 1 were found"):
        editor.open(astronaut, face=2)


def test_unknown_attributes_and_impossible_detail_are_refused(editor, face):
    with pytest.raises(VectorError, match="no attribute 'Tall'"):
        editor.edit(face, {"Tall": 1.0})
    with pytest.raises(ValueError, match="between 0 and 1"):
        editor.edit(face, {}, detail=1.5)


def test_a_morph_begins_at_one_face_and_ends_at_the_other(editor, face):
    other = editor.face_of(editor.draw(1, seed=1))
    strip = editor.interpolate(face, other, steps=5)
    assert len(strip) == 5
    assert pixels(strip[0]).tolist() == pixels(editor.edit(face, {})).tolist()
    assert pixels(strip[-1]).tolist() == pixels(editor.edit(other, {})).tolist()
    torch.testing.assert_close(editor.between(face, other, 0.25), 0.75 * face.z + 0.25 * other.z)


def test_random_faces_follow_the_fitted_gaussian_and_the_seed(editor):
    assert torch.equal(editor.draw(3, seed=5), editor.draw(3, seed=5))
    assert not torch.equal(editor.draw(3, seed=5), editor.draw(3, seed=6))
    assert torch.equal(editor.draw(3, truncation=0), editor.prior_mean.expand(3, -1))
    many = editor.draw(20_000, truncation=0.5, seed=0)
    assert many.std(0).mean().item() == pytest.approx(0.5, rel=0.02)  # the tiny prior is N(0, I)
    assert len(editor.sample(n=2, seed=0)) == 2


def test_many_threads_each_get_their_own_face(editor, astronaut):
    """One editor for all users: nothing of one call may show in another."""
    photos = [astronaut, astronaut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    alone = [editor.preview(editor.open(p), {"Smiling": 1.0}, 1.0, 64) for p in photos]
    wrong = []

    def work(which: int) -> None:
        for _ in range(5):
            result = editor.preview(editor.open(photos[which]), {"Smiling": 1.0}, 1.0, 64)
            if not np.array_equal(result, alone[which]):
                wrong.append(which)

    threads = [threading.Thread(target=work, args=(i % 2,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not np.array_equal(alone[0], alone[1])
    assert wrong == []


def test_a_model_that_is_nowhere_is_one_sentence(tmp_path):
    with pytest.raises(ModelNotFound, match="no such folder"):
        Editor.from_pretrained(str(tmp_path / "nothing"))


def test_the_bundled_model_is_whole_and_edits(astronaut):
    editor = Editor.from_pretrained()
    assert editor.config == dataclasses.replace(PRESETS["default"][0])
    names = [attribute.name for attribute in editor.attributes]
    assert names[0] == "Smiling" and len(names) >= 16
    assert len(editor.vectors.names) == 40
    face = editor.open(astronaut)
    edited = editor.edit(face, {"Smiling": 2.0}, detail=1.0)
    change = np.abs(pixels(edited) - face.crop)
    mouth = change[int(0.66 * len(change)) : int(0.9 * len(change))].mean()
    forehead = change[: int(0.3 * len(change))].mean()
    assert mouth > forehead, "a smile belongs around the mouth"
    file = io.BytesIO()
    edited.save(file, "PNG")
    assert file.tell() > 0
