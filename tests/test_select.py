"""The whole selection on flat faces whose attributes go together in training but not in life."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from flat import SIDE, FlatEditor, FlatJudge
from torch import Tensor

from vaegan import attributes, directions, images, leakage, select
from vaegan.data import FaceSet
from vaegan.networks import encode_all
from vaegan.select import PLAIN, TUNED, Options, averages, winner


class Colours(FlatEditor):
    """z is the colour; what decodes can be followed backwards."""

    def decoder(self, z: Tensor) -> Tensor:
        return self.decode(z)

    def encoder(self, x: Tensor) -> tuple[Tensor, None]:
        return x.mean(dim=(2, 3)), None


@pytest.fixture(scope="module")
def faces() -> FaceSet:
    """Red is Smiling and green is Male; in training, 72 % have both or neither."""
    generator = torch.Generator().manual_seed(0)
    count = 900
    smiling = torch.rand(count, generator=generator) < 0.5
    same = torch.rand(count, generator=generator) < 0.72
    signs = torch.stack([smiling, smiling == same, torch.rand(count, generator=generator) < 0.5])
    signs = signs.T * 2.0 - 1
    colour = signs * (0.1 + 0.3 * torch.rand(count, 3, generator=generator))
    pixels = images.to_uint8(colour.view(count, 3, 1, 1).expand(-1, -1, SIDE, SIDE)).contiguous()
    return FaceSet(
        images=pixels,
        attributes=torch.cat([signs, signs[:, :1]], dim=1).to(torch.int8),
        identity=torch.arange(count, dtype=torch.int32),
        split=(torch.arange(count) % 3 == 0).to(torch.uint8),
        attribute_names=FlatJudge.names,
        fingerprint="flat",
    )


@pytest.fixture(scope="module")
def selected(faces):
    options = Options(faces=60, steps=150, epochs=8)
    return select.select(Colours(), "weights", faces, FlatJudge(), options)


def test_what_goes_along_in_training_is_not_dragged_along(selected):
    vectors, table = selected
    smiling = table["Smiling"]
    assert smiling[PLAIN]["leakage"] > 0.1
    assert smiling["least squares"]["leakage"] < 0.5 * smiling[PLAIN]["leakage"]
    assert smiling[TUNED]["leakage"] < 0.5 * smiling[PLAIN]["leakage"]
    method = vectors.methods[vectors.names.index("Smiling")]
    assert smiling[method]["leakage"] < 0.5 * smiling[PLAIN]["leakage"]


def test_units_shrink_and_two_of_them_have_the_effect(selected, faces):
    vectors, _ = selected
    assert ((vectors.units > 0) & (vectors.units <= 1)).all()
    assert ((vectors.units_below > 0) & (vectors.units_below <= vectors.units)).all()
    smiling = vectors.measured[vectors.names.index("Smiling")]
    assert smiling["effect"] == pytest.approx(select.AIM, abs=0.06)
    assert set(smiling["moves"]) <= {"Male", "Young"}
    train = faces.subset("train")
    root = directions.whitener(encode_all(Colours().encoder, train.images), train.identity)
    row = vectors.vectors[vectors.names.index("Smiling")]
    length = directions.distance(select.STRENGTH * row, root)
    assert length == pytest.approx(select.FARTHEST, rel=1e-4)


def test_a_judge_who_is_not_sure_is_asked_for_less(faces):
    # Red makes both, so what is lacking is known of each face.
    editor, critic, red = Colours(), FlatJudge(), torch.tensor([0.1, 0.0, 0.0])
    known = leakage.know(editor, critic, faces.subset("validation"))
    sure, unsure = (
        select.strength_needed(editor, critic, known, name, red, Options(faces=300))
        for name in ("Smiling", "Bald")
    )
    lacking = -known.seen_r[known.seen_r[:, 0] < 0, 0]
    assert sure == pytest.approx(float(10 * lacking.quantile(select.AIM)), rel=0.03)
    assert unsure == pytest.approx(float(10 * lacking.quantile(leakage.GOAL)), rel=0.03)


def test_what_takes_an_attribute_away_is_asked_of_faces_that_have_it(faces):
    editor, critic, red = Colours(), FlatJudge(), torch.tensor([0.1, 0.0, 0.0])
    known = leakage.know(editor, critic, faces.subset("validation"))
    needed = select.strength_needed(editor, critic, known, "Smiling", red, Options(faces=300), -1)
    having = known.seen_r[known.seen_r[:, 0] > 0, 0]
    assert needed == pytest.approx(float(10 * having.quantile(select.AIM)), rel=0.03)


def test_units_below_only_shrink():
    vector, root = torch.tensor([0.0, 1.0]), torch.eye(2)
    for below, expected in ((0.5, 0.05), (None, 0.2), (4.0, 0.2)):
        row, unit, unit_below = select._in_units(vector, 2.0, below, root)
        assert row.tolist() == [0.0, select.FARTHEST / select.STRENGTH]
        assert (unit, unit_below) == pytest.approx((0.2, expected))


def test_methods_and_measurements_are_kept_in_the_file(selected, tmp_path):
    vectors, _ = selected
    attributes.save(vectors, tmp_path / "a.safetensors")
    again = attributes.load(tmp_path / "a.safetensors")
    assert again.methods == vectors.methods
    assert again.measured == vectors.measured
    torch.testing.assert_close(again.units, vectors.units, atol=1e-4, rtol=0)
    torch.testing.assert_close(again.units_below, vectors.units_below, atol=1e-4, rtol=0)


def test_the_winner_leaks_little_and_stays_near():
    compared = {
        "dirty": {"leakage": 0.14, "distance": 3},
        "clean": {"leakage": 0.1, "distance": 5},
        "far away": {"leakage": 0.06, "distance": 16},
        "hopeless": None,
    }
    assert winner(compared) == "clean"
    assert winner(compared | {"clean": None}) == "far away"
    assert winner({"hopeless": None}) == PLAIN


def test_doing_nothing_does_not_pay():
    table = {
        "Smiling": {PLAIN: {"distance": 1, "leakage": 0.2}, "idle": None},
        "Male": {PLAIN: {"distance": 1, "leakage": 0.4}, "idle": {"distance": 1, "leakage": 0.1}},
        "Bald": {PLAIN: {"distance": 1, "leakage": 0.9}, "idle": None},
    }
    found = averages(table, ("Smiling", "Male"))
    assert found[PLAIN] == {"leakage": 0.3, "distance": 1, "reached": 2, "attributes": 2}
    assert found["idle"] == {"leakage": 0.15, "distance": 1, "reached": 1, "attributes": 2}


def test_a_model_without_encoder_or_labels_is_one_sentence(faces):
    with pytest.raises(attributes.VectorError, match="GAN"):
        select.select(SimpleNamespace(encoder=None), "", faces, FlatJudge(), Options())
    blank = replace(faces, attributes=torch.zeros_like(faces.attributes))
    with pytest.raises(attributes.VectorError, match="labelled"):
        select.select(Colours(), "", blank, FlatJudge(), Options())
