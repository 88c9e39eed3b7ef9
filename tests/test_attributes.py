import dataclasses
import math
import resource
import shutil

import pytest
import torch

from vaegan import attributes, files
from vaegan.attributes import VectorError
from vaegan.checkpoint import load_snapshot
from vaegan.networks import encode_all
from vaegan.sources import CELEBA_ATTRIBUTES


@pytest.fixture
def by_hand() -> attributes.AttributeVectors:
    return attributes.AttributeVectors(
        names=("Smiling", "Male"),
        above=torch.tensor([[1.0, 0.0], [0.0, 5.0]]),
        below=torch.tensor([[0.25, 1.0], [0.0, 1.0]]),
        # z[0] says how much a face smiles, 0 not at all and 1 as those do who smile.
        readouts=torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.25]]),
        counts=((1, 1), (1, 1)),
        method="by hand",
        dataset="none",
        model="none",
    )


def test_directions_add_up(by_hand):
    z = torch.tensor([[0.5, 0.5]])
    both = by_hand.direction(z, {"Smiling": 2, "Male": -1})
    assert torch.equal(
        both, by_hand.direction(z, {"Smiling": 2}) + by_hand.direction(z, {"Male": -1})
    )
    assert by_hand.direction(z, {}).tolist() == [[0.0, 0.0]]
    with pytest.raises(VectorError, match="no attribute 'Tall'"):
        by_hand.direction(z, {"Tall": 1})


def test_a_face_gets_as_much_as_it_lacks(by_hand):
    z = torch.tensor([[0.0, 0], [-0.25, 0], [0.25, 0], [3, 0], [-7, 0]])
    close = torch.testing.assert_close
    smiles = by_hand.direction(z, {"Smiling": 2})
    close(smiles, torch.tensor([[2.0, 0], [2.5, 0], [1.5, 0], [1.2, 0], [3, 0]]))
    # A quarter of a man: three quarters of a step to be one, and no less than 0.6 to be none.
    close(by_hand.direction(z[:1], {"Male": 2}), torch.tensor([[0.0, 7.5]]))
    close(by_hand.direction(z[:1], {"Male": -1}), torch.tensor([[0.0, -0.6]]))
    # Who does not smile loses 0.6 of a step of smile, who smiles much 1.5 at most.
    gone = by_hand.direction(z[[0, 3]], {"Smiling": -1})
    close(gone, torch.tensor([[-0.15, -0.6], [-0.375, -1.5]]))


def test_one_step_is_the_way_between_the_class_means(tiny_snapshot, drawn_faces):
    snapshot = load_snapshot(tiny_snapshot)
    vectors = attributes.load(tiny_snapshot / "attributes.safetensors", snapshot)
    train = drawn_faces.subset("train")
    mu = encode_all(snapshot.encoder, train.images)
    has = train.attributes[:, 0] == 1
    expected = mu[has].mean(0) - mu[~has].mean(0)
    torch.testing.assert_close(vectors.above, expected[None])
    assert torch.equal(vectors.below, vectors.above)
    # For a face that is as the mean of those who do not smile.
    step = vectors.direction(mu[~has].mean(0, keepdim=True), {"Smiling": 1.0})
    torch.testing.assert_close(step, expected[None])
    assert vectors.counts == ((24, 24),)


def test_vectors_belong_to_one_model(tiny_snapshot, tmp_path):
    snapshot = load_snapshot(tiny_snapshot)
    vectors = attributes.load(tiny_snapshot / "attributes.safetensors", snapshot)
    other = dataclasses.replace(snapshot, sha256="0" * 64)
    with pytest.raises(VectorError, match="belong to another model"):
        attributes.load(tiny_snapshot / "attributes.safetensors", other)

    nine, ten = (torch.zeros(len(vectors.names), n) for n in (9, 10))
    longer = dataclasses.replace(vectors, above=nine, below=nine, readouts=ten)
    attributes.save(longer, tmp_path / "attributes.safetensors")
    assert attributes.load(tmp_path / "attributes.safetensors").above.shape[1] == 9
    with pytest.raises(VectorError, match="have another length than z"):
        attributes.load(tmp_path / "attributes.safetensors", snapshot)


def test_vectors_of_another_format_are_not_guessed_at(tiny_snapshot, tmp_path):
    path = tmp_path / "attributes.safetensors"
    attributes.save(attributes.load(tiny_snapshot / "attributes.safetensors"), path)
    described = files.read_json(path.with_suffix(".json"))
    files.write_json(path.with_suffix(".json"), described | {"format": 3})
    with pytest.raises(VectorError, match="format that this program does not read"):
        attributes.load(path)


def test_damaged_vectors_are_one_sentence(tiny_snapshot, tmp_path):
    for name in ("attributes.safetensors", "attributes.json"):
        shutil.copy(tiny_snapshot / name, tmp_path)
    text = (tmp_path / "attributes.json").read_text()
    for broken in (
        text.replace('"readout_offset"', '"offset"'),
        text.replace('"positives"', '"having"'),
        text.replace("Smiling", "Frowning"),
        text.replace('"attributes"', '"rows"'),
    ):
        (tmp_path / "attributes.json").write_text(broken)
        with pytest.raises(VectorError, match="does not hold attribute vectors"):
            attributes.load(tmp_path / "attributes.safetensors")


MEASURED = {"effect": 0.9, "leakage": 0.1, "judged": True, "moves": {"Male": 0.2}}


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({"readout_offset": "abc"}, False),
        ({"readout_offset": 10**400}, False),
        ({"positives": "many"}, False),
        ({"measured": None}, True),
        ({"measured": MEASURED}, True),
        ({"measured": MEASURED | {"judged": False, "moves": {}}}, True),
        ({"measured": MEASURED | {"below": MEASURED}}, True),
        ({"measured": MEASURED | {"below": None}}, True),
        ({"measured": MEASURED | {"below": {"effect": 0.9}}}, False),
        ({"measured": {}}, False),
        ({"measured": 3}, False),
        ({"measured": "much"}, False),
        ({"measured": [MEASURED]}, False),
        ({"measured": MEASURED | {"effect": None}}, False),
        ({"measured": MEASURED | {"leakage": "0.1"}}, False),
        ({"measured": MEASURED | {"moves": ["Male"]}}, False),
        ({"measured": MEASURED | {"moves": {"Male": "0.2"}}}, False),
    ],
    ids=lambda value: str(value)[:60],
)
def test_descriptions_of_another_kind_are_one_sentence(tiny_snapshot, tmp_path, change, good):
    path = tmp_path / "attributes.safetensors"
    shutil.copy(tiny_snapshot / path.name, path)
    described = files.read_json(tiny_snapshot / "attributes.json")
    described["attributes"][0] |= change
    files.write_json(tmp_path / "attributes.json", described)
    if good:
        assert attributes.load(path).measured == (change["measured"],)
    else:
        with pytest.raises(VectorError, match="does not hold attribute vectors"):
            attributes.load(path)


def test_what_cannot_be_written_leaves_the_vectors_from_before(tiny_snapshot, tmp_path):
    path = tmp_path / "attributes.safetensors"
    vectors = attributes.load(tiny_snapshot / "attributes.safetensors")
    attributes.save(vectors, path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    measured = (MEASURED | {"effect": math.nan},)
    wrong = dataclasses.replace(vectors, above=2 * vectors.above, measured=measured)
    with pytest.raises(files.FileError, match=r"attributes\.json"):
        attributes.save(wrong, path)
    with pytest.raises(files.FileError, match=r"must end in \.safetensors"):
        attributes.save(wrong, path.with_suffix(".json"))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_disk_that_takes_no_more_leaves_the_vectors_from_before(tiny_snapshot, tmp_path):
    path = tmp_path / "attributes.safetensors"
    vectors = attributes.load(tiny_snapshot / "attributes.safetensors")
    attributes.save(vectors, path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    long, longer = (torch.zeros(len(vectors.names), n) for n in (10_000, 10_001))
    wrong = dataclasses.replace(vectors, above=long, below=long, readouts=longer)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))
    try:
        with pytest.raises(files.FileError) as refused:
            attributes.save(wrong, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert str(refused.value) == f"{path} cannot be written; is the disk full?"
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_the_command_writes_into_the_models_folder(
    tiny_snapshot, prepared_faces, tmp_path, monkeypatch
):
    monkeypatch.chdir(shutil.copytree(tiny_snapshot, tmp_path / "model").parent)
    made = tmp_path / "model" / "attributes.safetensors"
    made.unlink()
    assert attributes.main(["model", "--data", str(prepared_faces)]) == 0
    assert attributes.load(made).method == "difference of means"


def test_the_command_says_in_one_sentence_what_is_wrong(
    tiny_snapshot, prepared_faces, tmp_path, capsys
):
    (tmp_path / "file").touch()
    data = ["--data", str(prepared_faces)]
    for words, sentence in (
        (["faces64", *data], "not the folder of a model"),
        ([str(tiny_snapshot), *data, "--out", str(tmp_path / "a.json")], "must end in"),
        ([str(tiny_snapshot), *data, "--out", str(tmp_path / "file" / "a.safetensors")], "file"),
    ):
        assert attributes.main(words) == 2
        assert sentence in capsys.readouterr().err


def test_faces_without_labels_are_one_sentence(tiny_snapshot, drawn_faces):
    unlabelled = dataclasses.replace(
        drawn_faces, attributes=torch.zeros_like(drawn_faces.attributes)
    )
    with pytest.raises(VectorError, match="has a label"):
        attributes.compute(load_snapshot(tiny_snapshot).encoder, unlabelled, "")


def spotted(faces, many):
    """The faces with the same labels again and again, under other names."""
    return dataclasses.replace(
        faces,
        attributes=faces.attributes.repeat(1, many),
        attribute_names=tuple(f"Spot {number}" for number in range(many)),
    )


def test_more_attributes_than_a_page_can_hold_have_no_vectors(tiny_snapshot, drawn_faces):
    encoder = load_snapshot(tiny_snapshot).encoder
    assert len(attributes.compute(encoder, spotted(drawn_faces, 200), "").names) == 200
    with pytest.raises(VectorError, match="labelled with 201 attributes, and a model has 200"):
        attributes.compute(encoder, spotted(drawn_faces, 201), "")


def test_attributes_count_that_training_faces_have_and_have_not(drawn_faces):
    faces = spotted(drawn_faces, 201)
    faces.attributes[:, 7] = 0
    assert attributes.two_sided(faces) == [n for n in range(201) if n != 7]
    faces.attributes[:48, 8] = 1  # the training faces
    assert attributes.two_sided(faces) == [n for n in range(201) if n not in (7, 8)]


def test_the_page_has_plain_words_for_real_attributes():
    assert set(attributes.SLIDERS) <= set(CELEBA_ATTRIBUTES)
    assert len(attributes.SLIDERS) >= 16
    assert attributes.SLIDERS["Smiling"] == attributes.Slider("Smiling", "Expression")
    assert not any("_" in slider.label for slider in attributes.SLIDERS.values())


def test_attributes_of_ones_own_have_sliders_and_celebas_odd_ones_have_none():
    names = ("Freckles", "Young", "Attractive", "Red_lips", "Smiling")
    assert attributes.sliders(names) == {
        "Smiling": attributes.SLIDERS["Smiling"],
        "Young": attributes.SLIDERS["Young"],
        "Freckles": attributes.Slider("Freckles", "Others"),
        "Red_lips": attributes.Slider("Red lips", "Others"),
    }


def test_more_attributes_than_a_page_can_hold_are_refused(tiny_snapshot, tmp_path):
    vectors = attributes.load(tiny_snapshot / "attributes.safetensors")
    many = 201
    attributes.save(
        dataclasses.replace(
            vectors,
            names=tuple(f"Spot {number}" for number in range(many)),
            counts=vectors.counts * many,
            **{
                part: getattr(vectors, part).repeat(many, 1)
                for part in ("above", "below", "readouts")
            },
        ),
        tmp_path / "many.safetensors",
    )
    with pytest.raises(VectorError, match="more than 200 attributes"):
        attributes.load(tmp_path / "many.safetensors")
