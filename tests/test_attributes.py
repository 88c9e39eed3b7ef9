import dataclasses
import shutil

import pytest
import torch

from vaegan import attributes
from vaegan.attributes import VectorError
from vaegan.data import CELEBA_ATTRIBUTES
from vaegan.networks import encode_all


def test_directions_add_up():
    vectors = attributes.AttributeVectors(
        names=("Smiling", "Male"),
        vectors=torch.tensor([[1.0, 0.0], [0.0, 10.0]]),
        units=torch.tensor([1.0, 0.5]),
        units_below=torch.tensor([0.25, 0.1]),
        counts=((1, 1), (1, 1)),
        method="by hand",
        dataset="none",
        model="none",
    )
    assert vectors.direction({"Smiling": 2, "Male": 1}).tolist() == [2.0, 5.0]
    assert vectors.direction({"Smiling": 2, "Male": -1}).tolist() == [2.0, -1.0]
    assert vectors.direction({}).tolist() == [0.0, 0.0]
    with pytest.raises(VectorError, match="no attribute 'Tall'"):
        vectors.direction({"Tall": 1})


def test_one_unit_is_the_way_between_the_class_means(tiny_snapshot, drawn_faces):
    from vaegan.checkpoint import load_snapshot

    snapshot = load_snapshot(tiny_snapshot)
    vectors = attributes.load(tiny_snapshot / "attributes.safetensors", snapshot.sha256)
    train = drawn_faces.subset("train")
    mu = encode_all(snapshot.encoder, train.images)
    has = train.attributes[:, 0] == 1
    expected = mu[has].mean(0) - mu[~has].mean(0)
    torch.testing.assert_close(vectors.direction({"Smiling": 1.0}), expected)
    assert vectors.counts == ((24, 24),)


def test_vectors_belong_to_one_model(tiny_snapshot):
    with pytest.raises(VectorError, match="belong to another model"):
        attributes.load(tiny_snapshot / "attributes.safetensors", "0" * 64)


def test_damaged_vectors_are_one_sentence(tiny_snapshot, tmp_path):
    for name in ("attributes.safetensors", "attributes.json"):
        shutil.copy(tiny_snapshot / name, tmp_path)
    text = (tmp_path / "attributes.json").read_text()
    for broken in (
        text.replace('"unit"', '"size"'),
        text.replace('"unit_below"', '"size"'),
        text.replace("Smiling", "Frowning"),
        "[]",
    ):
        (tmp_path / "attributes.json").write_text(broken)
        with pytest.raises(ValueError, match="attributes"):
            attributes.load(tmp_path / "attributes.safetensors")


def test_faces_without_labels_are_one_sentence(tiny_snapshot, drawn_faces):
    from vaegan.checkpoint import load_snapshot

    unlabelled = dataclasses.replace(
        drawn_faces, attributes=torch.zeros_like(drawn_faces.attributes)
    )
    with pytest.raises(VectorError, match="has a label"):
        attributes.compute(load_snapshot(tiny_snapshot).encoder, unlabelled, "")


def test_the_page_has_plain_words_for_real_attributes():
    assert set(attributes.SLIDERS) <= set(CELEBA_ATTRIBUTES)
    assert len(attributes.SLIDERS) >= 16
    assert attributes.SLIDERS["Smiling"] == attributes.Slider("Smiling", "Expression")
    assert not any("_" in slider.label for slider in attributes.SLIDERS.values())
