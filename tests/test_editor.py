"""The editor's arithmetic, on a model small enough to know nothing: the formulas hold for any."""

import dataclasses
import io
import threading
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from vaegan import (
    Editor,
    FaceNotFound,
    ModelNotFound,
    Settings,
    VectorError,
    align,
    blend,
    colours,
    directions,
    images,
    latents,
    refine,
    select,
)
from vaegan.attributes import AttributeVectors
from vaegan.checkpoint import load_snapshot
from vaegan.config import PRESETS
from vaegan.errors import UserError
from vaegan.face import Face
from vaegan.view import FaceView, PhotoView


@pytest.fixture(scope="module")
def editor(tiny_snapshot) -> Editor:
    return Editor.from_pretrained(tiny_snapshot)


@pytest.fixture(scope="module")
def face(editor, astronaut):
    return editor.open(astronaut)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def frame(editor: Editor, face: Face, sliders: dict[str, float], size: int) -> np.ndarray:
    """An edit at size×size, with all of the photograph's texture."""
    return editor.frame(FaceView.of(face, size), Settings(sliders, detail=1.0))


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
    length = directions.step_length(editor.vectors.readouts[0], face.z)
    z = face.z + 2.0 * length * editor.vectors.above[0]
    np.testing.assert_allclose(pixels(edited), pixels(images.to_pil(editor.decode(z)[0])), atol=1)
    assert pixels(edited).tolist() != pixels(editor.edit(face, {})).tolist()


def test_without_an_edit_detail_one_is_the_photograph_itself(editor, face):
    assert np.array_equal(np.asarray(editor.edit(face, {}, detail=1.0)), face.crop)
    assert np.array_equal(np.asarray(editor.edit(face, {}, detail=0.5)), face.crop)


def test_detail_zero_is_the_decoder_enlarged(editor, face):
    size = len(face.crop)
    edited = editor.draw_edit(face, Settings({"Smiling": 500.0}))
    edited = colours.toned(face.reconstruction, edited)
    result = pixels(editor.edit(face, {"Smiling": 500.0}, detail=0.0))
    np.testing.assert_allclose(result, up(edited, size).clip(0, 255), atol=1)


def test_detail_one_adds_the_difference_to_the_photograph(editor, face):
    size = len(face.crop)
    edited = editor.draw_edit(face, Settings({"Smiling": 500.0}))
    x = images.from_pil(Image.fromarray(face.crop))[None]
    base = blend.Base(x, face.reconstruction)
    edited = base.led(colours.toned(face.reconstruction, edited))
    expected = face.crop + up(edited, size) - up(face.reconstruction, size)
    result = pixels(editor.edit(face, {"Smiling": 500.0}, detail=1.0))
    np.testing.assert_allclose(result, expected.clip(0, 255), atol=1)


def test_sliders_of_colour_keep_to_the_photographs_colours(editor, face, tiny_snapshot):
    above = 100 * torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    vectors = dataclasses.replace(
        editor.vectors, names=("Smiling", "Black_Hair"), above=above, below=above,
        readouts=torch.zeros(2, 9), counts=((1, 1),) * 2, methods=(), measured=(),
    )  # fmt: skip
    two = Editor(load_snapshot(tiny_snapshot), vectors, "two")
    view = FaceView.of(face, 64)

    def drawn(sliders: dict[str, float], coloured: dict[str, float] | None, hold: tuple) -> tuple:
        edited, colours = (
            None if part is None else two.decode(face.z + two.direction(face.z, part, hold))
            for part in (sliders, coloured)
        )
        return edited, Settings(), colours

    def by_hand(*edit: Any) -> np.ndarray:
        return view.frame(*drawn(*edit))

    mouth, hair = {"Smiling": 1.0, "Black_Hair": 0.0}, {"Black_Hair": 2.0}
    both = {"Smiling": 1.0, "Black_Hair": 2.0}
    for sliders, coloured, hold in (
        (mouth, None, ()),
        (hair, hair, ()),
        (both, hair, ()),
        (both, hair, ("Smiling",)),
    ):
        settings = Settings(sliders, hold)
        found = two.frame(view, settings)
        np.testing.assert_allclose(found, by_hand(sliders, coloured, hold), atol=1)
        other = by_hand(sliders, None if coloured else sliders, hold)
        assert np.abs(found.astype(int) - other).max() > 10
        # The whole photograph, as it is shown and as it is saved.
        shown = PhotoView.of(face, face.photo, max(face.photo.size))
        pictures = [
            shown.frame(*drawn(sliders, part, hold)).astype(int)
            for part in (coloured, None if coloured else sliders)
        ]
        np.testing.assert_allclose(two.frame(shown, settings), pictures[0], atol=1)
        saved = pixels(two.compose([(face, settings)]))
        right, wrong = (np.abs(picture - saved).mean() for picture in pictures)
        assert right < wrong / 2


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


def pair_of(astronaut) -> Image.Image:
    pair = Image.new("RGB", (1024, 512))
    pair.paste(astronaut, (0, 0))
    pair.paste(astronaut.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (512, 0))
    return pair


def test_several_faces_are_edited_in_one_photograph(editor, astronaut):
    photo = pair_of(astronaut)
    one, other = editor.open_all(photo)
    first, second = Settings({"Smiling": 500.0}), Settings({"Smiling": -500.0}, detail=1.0)
    both = pixels(editor.compose([(one, first), (other, second)]))
    alone = [pixels(editor.compose([(one, first)])), pixels(editor.compose([(other, second)]))]
    before = pixels(photo)
    assert np.array_equal(both, before + sum(each - before for each in alone))
    assert all(np.abs(each - before).max() > 5 for each in alone)
    assert np.array_equal(pixels(editor.compose([(one, Settings()), (other, Settings())])), before)


def test_beyond_the_crop_nothing_is_touched(editor, face, astronaut):
    for detail in (0.0, 0.5, 0.7, 1.0):
        edited = editor.edit(face, {"Smiling": 500.0}, detail, paste=True, softness=0.0)
        ticks = np.stack(np.meshgrid(np.arange(512), np.arange(512)), -1) + 0.5
        inside = ticks @ face.matrix[:, :2].T + face.matrix[:, 2]
        outside = ((inside < 0) | (inside > 1)).any(-1)
        reach = 1 / align.crop_size(face.matrix)
        beyond = ((inside < -reach) | (inside > 1 + reach)).any(-1)
        changed = (pixels(edited) != pixels(astronaut)).any(-1)
        assert changed[~outside].any() and not changed[beyond].any()


def test_an_applied_edit_is_where_the_next_begins(editor, face):
    settings = Settings({"Smiling": 500.0})
    applied = editor.apply(face, settings)
    assert torch.equal(applied.z, face.z + editor.direction(face.z, {"Smiling": 500.0}))
    assert applied.photo.tobytes() == editor.compose([(face, settings)]).tobytes()
    assert editor.edit(applied, {}, paste=True).tobytes() == applied.photo.tobytes()
    drawn = editor.apply(editor.face_of(face.z), settings)
    assert drawn.photo is None and torch.equal(drawn.z, applied.z)


def test_a_filmstrip_goes_from_one_end_to_the_other(editor, face):
    settings = Settings({"Smiling": 1.0}, detail=1.0)
    strip = editor.filmstrip(face, "Smiling", settings, count=5, size=96)
    assert [picture.size for picture in strip] == [(96, 96)] * 5
    for value, picture in zip((-3, -1.5, 0, 1.5, 3), strip, strict=True):
        assert np.array_equal(pixels(picture), frame(editor, face, {"Smiling": value}, 96))


def test_held_attributes_stay_where_they_are():
    """In the plane: Smiling leans on Male; held, it goes straight up."""
    vectors = AttributeVectors(
        names=("Smiling", "Male", "Young"),
        above=torch.tensor([[1.0, 2.0, 0.5], [3.0, 0.0, 0.0], [3.0, 0.0, 0.0]]),
        below=torch.tensor([[1.0, 2.0, 0.5], [3.0, 0.0, 0.0], [6.0, 0.0, 3.0]]),
        # Nobody has Smiling or Male yet, and all are young.
        readouts=torch.tensor([[0.0] * 4, [0.0] * 4, [0.0, 0.0, 0.0, 1.0]]),
        counts=((1, 1),) * 3,
        method="planted",
        dataset="",
        model="",
    )
    z = torch.zeros(1, 3)

    def close(found: Tensor, expected: Tensor) -> None:
        torch.testing.assert_close(found, expected[None])

    close(vectors.direction(z, {"Smiling": 2.0}), torch.tensor([2.0, 4.0, 1.0]))
    close(vectors.direction(z, {"Smiling": 2.0}, ["Male"]), torch.tensor([0.0, 4.0, 1.0]))
    # Held vectors may say the same twice, and are held at both ends.
    close(vectors.direction(z, {"Smiling": 2.0}, ["Male", "Young"]), torch.tensor([0.0, 4.0, 0.0]))
    # An attribute does not hold itself.
    close(vectors.direction(z, {"Male": 1.0}, ["Male"]), torch.tensor([3.0, 0.0, 0.0]))
    close(vectors.direction(z, {"Young": 1.0}, ["Male"]), torch.zeros(3))
    close(vectors.direction(z, {"Young": -1.0}, ["Male"]), torch.tensor([0.0, 0.0, -3.0]))
    with pytest.raises(VectorError, match="no attribute 'Tall'"):
        vectors.direction(z, {"Smiling": 1.0}, ["Tall"])


def test_refining_brings_the_reconstruction_nearer(astronaut):
    editor = Editor.from_pretrained()
    face = editor.open(astronaut)
    x = images.from_pil(Image.fromarray(face.crop), editor.config.resolution)

    def psnr(reconstruction: torch.Tensor) -> float:
        return -10 * float(torch.log10(((reconstruction[0] - x) / 2).square().mean()))

    steps = list(editor.refine(face, steps=20))
    assert len(steps) == 20
    assert psnr(steps[-1].reconstruction) > psnr(face.reconstruction) + 0.3
    torch.testing.assert_close(steps[-1].reconstruction, editor.decode(steps[-1].z))
    # In units of how faces differ, it has not gone far; and nothing else was touched.
    way = torch.linalg.solve(editor.prior.cholesky, (steps[-1].z - face.z)[0])
    assert 0 < way.square().mean().sqrt() < 1
    assert steps[-1].crop is face.crop and steps[-1].photo is face.photo
    assert torch.is_grad_enabled()
    with pytest.raises(UserError, match="drew this face itself"):
        next(editor.refine(editor.face_of(face.z)))


def test_a_frame_is_the_edit_at_another_size(editor, face):
    shown = frame(editor, face, {"Smiling": 2.0}, len(face.crop))
    assert np.array_equal(shown, np.asarray(editor.edit(face, {"Smiling": 2.0}, detail=1.0)))


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


def test_what_a_drawn_face_cannot_do_is_one_sentence(editor):
    drawn = editor.face_of(editor.draw(1, seed=1))
    for impossible, said in (
        (lambda: editor.edit(drawn, {}, paste=True), "there is no photograph of it"),
        (lambda: editor.compose([]), "no face to edit"),
        (lambda: editor.interpolate(drawn, drawn, steps=1), "at least two pictures"),
        (lambda: latents.along(drawn.z, torch.tensor([0.5])), "at least two faces"),
        (lambda: latents.times(1), "at least two pictures"),
    ):
        with pytest.raises(UserError, match=rf"^[A-Z].*{said}.*\.$"):
            impossible()


class Turn:
    """Counts how often it is taken, and that nobody holds it twice."""

    def __init__(self) -> None:
        self.taken, self.held = 0, False

    def __enter__(self) -> None:
        assert not self.held
        self.taken, self.held = self.taken + 1, True

    def __exit__(self, *_: object) -> None:
        self.held = False


def test_others_get_their_turn_between_two_steps_or_pictures(
    editor, face, tiny_snapshot, monkeypatch
):
    monkeypatch.setattr(refine, "FROM_AFAR", 5)
    snapshot = load_snapshot(tiny_snapshot)
    networks = {"decoder": snapshot.decoder}
    gan = Editor(dataclasses.replace(snapshot, networks=networks), None, "gan")
    seen = gan.adopt(face, turn := Turn())
    assert turn.taken == 5 + 1
    torch.testing.assert_close(seen.z, gan.adopt(face).z)
    editor.adopt(face, turn := Turn())
    assert turn.taken == 2
    others = [editor.face_of(z[None]) for z in editor.draw(3, seed=0)]
    editor.attribute_from([face], others, "Mine", turn := Turn())
    assert turn.taken == 4 + 1


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
    assert torch.equal(editor.draw(3, truncation=0), editor.prior.mean.expand(3, -1))
    many = editor.draw(20_000, truncation=0.5, seed=0)
    assert many.std(0).mean().item() == pytest.approx(0.5, rel=0.02)  # the tiny prior is N(0, I)
    assert len(editor.sample(n=2, seed=0)) == 2


def test_the_bundled_model_draws_with_echoes():
    editor = Editor.from_pretrained()
    mean, stretches = editor.prior.mean, editor.prior.stretches
    z = editor.draw(2, truncation=1.0, seed=0, echoes=False)
    for stretch in stretches:
        z = mean + stretch * (editor.encoder(editor.decode(z))[0] - mean)
    assert len(stretches) == 2
    torch.testing.assert_close(editor.draw(2, truncation=1.0, seed=0), z, atol=1e-4, rtol=0)


def test_many_threads_each_get_their_own_face(editor, astronaut):
    """One editor for all users: nothing of one call may show in another."""
    photos = [astronaut, astronaut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    alone = [frame(editor, editor.open(p), {"Smiling": 1.0}, 64) for p in photos]
    wrong = []

    def work(which: int) -> None:
        for _ in range(5):
            result = frame(editor, editor.open(photos[which]), {"Smiling": 1.0}, 64)
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
    preset = PRESETS["large"][0]
    assert dataclasses.replace(editor.config, attributes=()) == preset
    names = [attribute.name for attribute in editor.attributes]
    assert names[0] == "Smiling" and len(names) >= 16
    assert set(select.KEPT) <= set(names)
    face = editor.open(astronaut)
    edited = editor.edit(face, {"Smiling": 2.0}, detail=1.0)
    change = np.abs(pixels(edited) - face.crop)
    mouth = change[int(0.66 * len(change)) : int(0.9 * len(change))].mean()
    forehead = change[: int(0.3 * len(change))].mean()
    assert mouth > forehead, "a smile belongs around the mouth"
    file = io.BytesIO()
    edited.save(file, "PNG")
    assert file.tell() > 0
