"""The whole selection on flat faces whose attributes go together in training but not in life."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from flat import SIDE, FlatEditor, FlatJudge
from torch import Tensor

from vaegan import Editor, attributes, candidates, directions, hub, images, leakage, select
from vaegan.candidates import PLAIN, TRAINED, TUNED, Labelled, Options
from vaegan.data import FaceSet
from vaegan.networks import encode_all
from vaegan.select import Trial, averages, winner

pytestmark = pytest.mark.usefixtures("strong_colours")


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
    colour = signs * (0.02 + 0.38 * torch.rand(count, 3, generator=generator))
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


def test_two_steps_have_the_effect_and_lead_no_farther_than_they_may(selected, faces):
    vectors, _ = selected
    smiling = vectors.measured[vectors.names.index("Smiling")]
    assert smiling["effect"] == pytest.approx(select.AIM, abs=0.06)
    assert set(smiling["moves"]) <= {"Male", "Young"}
    train = faces.subset("train")
    mu = encode_all(Colours().encoder, train.images)
    root = directions.covariance_root(mu, train.identity)
    for row in torch.cat([vectors.above, vectors.below]):
        assert 0 < directions.distance(select.STRENGTH * row, root) < 1.0001 * select.FARTHEST


def trial_of(editor, judge, known, sign: int = 1, **options) -> Trial:
    """Of Smiling, where every face needs one step."""
    readout = torch.tensor([0.0, 0.0, 0.0, float(sign < 0)])
    return Trial(editor, judge, known, torch.eye(3), Options(**options), "Smiling", readout, sign)


def test_a_judge_who_is_not_sure_is_asked_for_less(faces):
    # Red makes both, so what is lacking is known of each face.
    editor, judge, red = Colours(), FlatJudge(), torch.tensor([0.1, 0.0, 0.0])
    known, *_ = leakage.know(editor, judge, faces.subset("validation"))
    trial = trial_of(editor, judge, known, faces=300)
    sure, unsure = (
        select.strength_needed(replace(trial, name=name), red) for name in ("Smiling", "Bald")
    )
    lacking = -known.seen_r[known.seen_r[:, 0] < 0, 0]
    assert sure == pytest.approx(float(10 * lacking.quantile(select.AIM)), rel=0.03)
    assert unsure == pytest.approx(float(10 * lacking.quantile(leakage.GOAL)), rel=0.03)


def test_what_takes_an_attribute_away_is_asked_of_faces_that_have_it(faces):
    editor, judge, red = Colours(), FlatJudge(), torch.tensor([0.1, 0.0, 0.0])
    known, *_ = leakage.know(editor, judge, faces.subset("validation"))
    trial = trial_of(editor, judge, known, sign=-1, faces=300)
    needed = select.strength_needed(trial, red)
    having = known.seen_r[known.seen_r[:, 0] > 0, 0]
    assert needed == pytest.approx(float(10 * having.quantile(select.AIM)), rel=0.03)


def test_a_step_is_as_long_as_it_must_be_and_no_longer_than_it_may():
    direction, root = torch.tensor([0.0, 10.0]), torch.eye(2)
    for enough, length in ((0.5, 2.5), (None, 3.0), (40.0, select.FARTHEST / select.STRENGTH)):
        step = select.one_step(direction, enough, root, as_far=3.0)
        torch.testing.assert_close(step, torch.tensor([0.0, length]))
    assert not select.one_step(torch.zeros(2), 1.0, root).any()


def test_below_zero_two_steps_take_it_away_and_little_else(selected):
    vectors, _ = selected
    row = vectors.names.index("Smiling")
    gone = vectors.measured[row]["below"]
    assert gone["strength"] == -select.STRENGTH
    assert gone["effect"] == pytest.approx(select.AIM, abs=0.06)
    assert gone["leakage"] < 0.05
    assert gone["method"] == winner(gone["compared"])
    step = vectors.direction(torch.zeros(1, 3), {"Smiling": -2.0})[0]
    # The difference of means drags along 0.44 of green for each red.
    assert step[0] < 0 and abs(step[1]) < 0.22 * abs(step[0])


def test_methods_and_measurements_are_kept_in_the_file(selected, tmp_path):
    vectors, _ = selected
    attributes.save(vectors, tmp_path / "a.safetensors")
    again = attributes.load(tmp_path / "a.safetensors")
    assert again.methods == vectors.methods
    assert again.measured == vectors.measured
    for part in ("above", "below", "readouts"):
        assert torch.equal(getattr(again, part), getattr(vectors, part))


def test_the_winner_leaks_little_stays_near_and_draws_little_anew():
    compared = {
        "dirty": {"leakage": 0.14, "distance": 3, "anew": 0.1},
        "clean": {"leakage": 0.1, "distance": 4, "anew": 0.1},
        "far away": {"leakage": 0.06, "distance": 16, "anew": 0.1},
        "another face": {"leakage": 0.09, "distance": 4, "anew": 0.2},
        "hopeless": None,
    }
    assert winner(compared) == "clean"
    assert winner(compared | {"clean": None}) == "dirty"
    unseen = {"leakage": 0.14, "distance": 3, "anew": 0.0}  # as good as 0.02, and not for nothing
    assert winner({"dirty": unseen, "clean": unseen | {"leakage": 0.1}}) == "clean"
    assert winner({"hopeless": None}) == PLAIN
    assert winner({"hopeless": None}, otherwise="hopeless") == "hopeless"


def test_doing_nothing_does_not_pay():
    table = {
        "Smiling": {PLAIN: {"distance": 1, "leakage": 0.2}, "idle": None},
        "Male": {PLAIN: {"distance": 1, "leakage": 0.4}, "idle": {"distance": 1, "leakage": 0.1}},
        "Bald": {PLAIN: {"distance": 1, "leakage": 0.9}, "idle": None},
    }
    found = averages(table, ("Smiling", "Male"))
    assert found[PLAIN] == {"leakage": 0.3, "distance": 1, "reached": 2, "attributes": 2}
    assert found["idle"] == {"leakage": 0.15, "distance": 1, "reached": 1, "attributes": 2}


def one_sided(faces: FaceSet, *columns: int) -> FaceSet:
    """The same faces, all of which have the attributes in these columns."""
    labels = faces.attributes.clone()
    labels[:, columns] = 1
    return replace(faces, attributes=labels)


def only(faces: FaceSet, name: str, called: str) -> FaceSet:
    """The same faces with one attribute, called something."""
    column = faces.attribute_names.index(name)
    labels = faces.attributes[:, column : column + 1].contiguous()
    return replace(faces, attributes=labels, attribute_names=(called,))


def test_learned_directions_of_attributes_that_all_have_are_passed_over(faces):
    class Trained(Colours):
        config = SimpleNamespace(latent_dim=3, resolution=SIDE, attributes=("Male", "Smiling"))

        def __init__(self) -> None:
            self.decoder = torch.nn.Identity()
            self.decoder.directions = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])

    part = one_sided(faces, 1).subset("train")
    mu = encode_all(Colours().encoder, part.images)
    root = directions.covariance_root(mu, part.identity)
    columns = [0, 2, 3]
    names = tuple(faces.attribute_names[column] for column in columns)
    labels = part.attributes[:, columns]
    people = Labelled(part.images, mu, labels, names, root, directions.readouts(mu, labels))
    found, _ = candidates.find(Trained(), people, part, columns, Options(steps=0))
    assert found[TRAINED].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_counts_are_those_of_the_attributes_that_are_kept(faces):
    some = one_sided(faces, 0, 1)
    options = Options(faces=30, steps=0)
    vectors, _ = select.select(Colours(), "", some, FlatJudge(), options)
    assert vectors.names and not {*vectors.names} & {*faces.attribute_names[:2]}
    labels = some.subset("train").labelled().attributes
    for name, counts in zip(vectors.names, vectors.counts, strict=True):
        column = labels[:, faces.attribute_names.index(name)].tolist()
        assert counts == (column.count(1), column.count(-1))


@pytest.mark.parametrize("steps", [0, 5])
def test_one_attribute_is_enough(faces, steps):
    options = Options(faces=30, steps=steps, epochs=1)
    alone = only(faces, "Smiling", "Smiling")
    vectors, table = select.select(Colours(), "", alone, FlatJudge(), options)
    assert vectors.names == ("Smiling",) and table["Smiling"][PLAIN]
    other = only(faces, "Smiling", "Cheerful")  # which has no slider
    vectors, table = select.select(Colours(), "", other, FlatJudge(), options)
    assert vectors.methods == (select.UNMEASURED,) and table == {}


def test_what_nobody_lacks_is_measured_as_nothing(faces):
    judge = FlatJudge()
    smiling = replace(faces, images=torch.full_like(faces.images, 200))
    known, *_ = leakage.know(Colours(), judge, smiling)
    step = torch.tensor([0.1, 0.0, 0.0])
    measured = select.measure(trial_of(Colours(), judge, known), step)
    assert measured["faces"] == 0 and measured["effect"] == measured["leakage"] == 0
    assert measured["moves"] == {}


def test_nothing_to_choose_from_is_one_sentence(faces):
    options = Options(faces=30, steps=0)
    with pytest.raises(attributes.VectorError, match="both sides"):
        select.select(Colours(), "", one_sided(faces, 0, 1, 2, 3), FlatJudge(), options)
    unjudged = only(faces, "Bald", "Bald")
    with pytest.raises(attributes.VectorError, match="well enough"):
        select.select(Colours(), "", unjudged, FlatJudge(), options)


# ---------------------------------------------------------------- command line


@pytest.fixture
def bundled(tiny_snapshot, tmp_path, monkeypatch):
    """A bundled model, tiny, without vectors; choosing these takes no time."""
    shutil.copytree(tiny_snapshot, tmp_path / "pretrained" / "tiny")
    monkeypatch.setattr(hub, "PRETRAINED", tmp_path / "pretrained")
    monkeypatch.setattr(hub, "VECTORS", tmp_path / "attributes")
    chosen = attributes.load(tiny_snapshot / "attributes.safetensors")
    chosen = replace(chosen, methods=(PLAIN,))
    monkeypatch.setattr(select, "prepare_judge", lambda path, faces: FlatJudge())
    monkeypatch.setattr(select, "select", lambda *_: (chosen, {}))
    return tmp_path


def test_the_vectors_go_where_the_editor_looks(bundled, prepared_faces):
    data = ["--data", str(prepared_faces)]
    folder = shutil.copytree(bundled / "pretrained" / "tiny", bundled / "mine")
    for model, path in (
        ("tiny", bundled / "attributes" / "tiny.safetensors"),
        (str(folder), folder / "attributes.safetensors"),
    ):
        path.unlink(missing_ok=True)
        assert select.main([model, *data]) == 0
        assert path.is_file()
        assert Editor.from_pretrained(model).vectors.methods == (PLAIN,)


def test_what_is_wrong_is_one_sentence(bundled, prepared_faces, monkeypatch, capsys):
    (bundled / "file").touch()
    data = ["--data", str(prepared_faces)]
    for words, sentence in (
        (["huge", *data], "There is no model 'huge'"),
        (["tiny", *data, "--out", str(bundled / "a.json")], "must end in"),
        (["tiny", *data, "--out", str(bundled / "file" / "a.safetensors")], "file"),
    ):
        assert select.main(words) == 2
        assert sentence in capsys.readouterr().err

    def offline(name: str) -> Path:
        raise hub.ModelNotFound("The Hub cannot be reached.")

    monkeypatch.setattr(hub, "data_source", offline)
    assert select.main(["tiny", "--data", "user/faces"]) == 2
    assert "cannot be reached" in capsys.readouterr().err


def test_a_model_without_encoder_or_labels_is_one_sentence(faces):
    with pytest.raises(attributes.VectorError, match="GAN"):
        select.select(SimpleNamespace(encoder=None), "", faces, FlatJudge(), Options())
    blank = replace(faces, attributes=torch.zeros_like(faces.attributes))
    with pytest.raises(attributes.VectorError, match="labelled"):
        select.select(Colours(), "", blank, FlatJudge(), Options())
