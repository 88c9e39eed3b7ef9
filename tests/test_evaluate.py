"""Metrics against closed forms, other programs and numbers worked out by hand; then the whole
evaluation on an editor and a judge so simple that every answer is known beforehand."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from flat import SIDE, FlatEditor, FlatJudge, flat_faces, random
from scipy.linalg import sqrtm
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from vaegan import align, effects, evaluate, identity, images
from vaegan.evaluate import Extent
from vaegan.files import FileError
from vaegan.metrics import (
    agreement,
    estimate,
    frechet,
    kernel,
    mean,
    nearest_own,
    psnr,
    ratio,
    ssim,
)
from vaegan.tables import _number, tables

pytestmark = pytest.mark.usefixtures("strong_colours")

# ---------------------------------------------------------------- intervals


def test_the_interval_of_a_share_is_the_binomial_one():
    found = mean((torch.arange(400) % 2).float(), torch.arange(400))
    half = 1.96 * (0.25 / 400) ** 0.5
    assert found["value"] == 0.5 and found["count"] == 400
    assert (found["low"], found["high"]) == pytest.approx((0.5 - half, 0.5 + half), abs=0.006)


def test_people_are_drawn_not_faces():
    values = (torch.arange(400) % 2).float()
    alone = mean(values, torch.zeros(400, dtype=torch.int32))
    assert alone["value"] == alone["low"] == alone["high"] == 0.5
    # Ten people, of one mind each, are ten opinions.
    tens = mean((torch.arange(400) // 40 % 2).float(), torch.arange(400) // 40)
    assert tens["high"] - tens["low"] == pytest.approx(2 * 1.96 * (0.25 / 10) ** 0.5, rel=0.2)


def test_an_estimate_is_the_mean_of_the_shares_that_exist():
    parts = torch.tensor([[[1, 2], [3, 4], [0, 0]], [[0, 2], [0, 0], [0, 0]]])
    found = estimate(parts, torch.tensor([7, 9]))
    assert found["value"] == pytest.approx((1 / 4 + 3 / 4) / 2)
    assert found["count"] == 2
    nothing = estimate(torch.zeros(2, 1, 2), torch.tensor([0, 1]))
    assert nothing == {"value": None, "low": None, "high": None, "count": 0}


def test_a_ratio_of_means_by_hand():
    upper, lower = torch.tensor([[[1.0, 4]], [[0, 4]]]), torch.tensor([[[2.0, 4]], [[2, 4]]])
    found = ratio(upper, lower, torch.tensor([1, 2]))
    assert found == {"value": 0.25, "low": 0.0, "high": 0.5}


# ---------------------------------------------------------------- pictures


@pytest.fixture(scope="module")
def pair(astronaut) -> tuple[Tensor, Tensor]:
    x = images.from_pil(astronaut, 64)[None]
    return x, (x + 0.3 * random(*x.shape)).clamp(-1, 1)


def unit(x: Tensor) -> np.ndarray:
    return ((x[0].permute(1, 2, 0) + 1) / 2).numpy()


def test_psnr_of_a_constant_error():
    x = torch.zeros(2, 3, 4, 4)
    y = torch.stack([x[0] + 0.2, x[1]])  # 0.2 of 2: 20 log10(10)
    assert psnr(x, y).tolist() == pytest.approx([20, 100])


def test_psnr_and_ssim_are_scikit_images(pair):
    x, y = pair
    expected = peak_signal_noise_ratio(unit(x), unit(y), data_range=1)
    assert psnr(x, y).item() == pytest.approx(expected, abs=1e-4)
    expected = structural_similarity(
        unit(x),
        unit(y),
        channel_axis=2,
        data_range=1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert expected < 0.9
    assert ssim(torch.cat([x, x]), torch.cat([y, x])).tolist() == pytest.approx(
        [expected, 1], abs=1e-5
    )


def test_agreement_by_hand():
    before = torch.tensor([True, True, True, False, False]).unsqueeze(1)
    after = torch.tensor([True, True, False, False, True]).unsqueeze(1)
    found = estimate(agreement(before, after), torch.arange(5))
    assert found["value"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    # Always saying no agrees with most and gets a half.
    found = estimate(agreement(before, torch.zeros_like(after)), torch.arange(5))
    assert found["value"] == 0.5


# ---------------------------------------------------------------- distributions


def moments(rows: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """`rows` moved so that their mean and covariance are exactly these."""
    centred = rows.double() - rows.double().mean(dim=0)
    own = torch.linalg.cholesky(torch.cov(centred.T))
    white = torch.linalg.solve_triangular(own, centred.T, upper=False)
    return (torch.linalg.cholesky(covariance) @ white).T + mean


def test_frechet_distance_of_known_gaussians():
    diagonal = torch.diag(torch.tensor([1.0, 4.0, 9.0], dtype=torch.float64))
    a = moments(random(50, 3), torch.tensor([0.0, 0, 0]), diagonal)
    b = moments(random(70, 3, seed=1), torch.tensor([1.0, 2, 2]), torch.eye(3).double())
    # |Δμ|² = 9; deviations 1, 2, 3 against 1: 0 + 1 + 4.
    assert frechet(a, b)[0] == pytest.approx(14)
    assert frechet(a, a)[0] == pytest.approx(0, abs=1e-9)


def test_frechet_distance_where_covariances_do_not_commute():
    first, second = random(3, 3).double(), random(3, 3, seed=1).double()
    sigma_a, sigma_b = first @ first.T + torch.eye(3), second @ second.T + torch.eye(3)
    a = moments(random(40, 3, seed=2), torch.zeros(3), sigma_a)
    b = moments(random(40, 3, seed=3), torch.zeros(3), sigma_b)
    root = np.real(sqrtm((sigma_a @ sigma_b).numpy()))
    assert frechet(a, b)[0] == pytest.approx(
        float(sigma_a.trace() + sigma_b.trace()) - 2 * np.trace(root)
    )


@pytest.mark.parametrize("measure", [frechet, kernel])
def test_the_moves_of_the_rows_foretell_the_spread(measure):
    other = random(2000, 3, seed=99) * 1.5 + 0.5
    drawn = [measure(random(400, 3, seed=seed), other) for seed in range(100)]
    spread = float(np.std([distance for distance, _ in drawn]))
    told = float(np.mean([moves.std() / len(moves) ** 0.5 for _, moves in drawn]))
    assert told == pytest.approx(spread, rel=0.2)
    assert drawn[0][1].mean() == pytest.approx(0, abs=1e-9)


def test_frechet_with_fewer_rows_than_features():
    distance, moves = frechet(random(10, 20), random(30, 20, seed=1))
    assert distance > 0 and moves.isfinite().all()


def test_kernel_distance_by_hand():
    # k(0, 0) = 1, k(0, 1) = 1, k(1, 1) = 2³: 1 + 8 − 2 · 1.
    assert kernel(torch.zeros(2, 1), torch.ones(3, 1))[0] == pytest.approx(7)


def test_kernel_distance_has_no_bias():
    found = [
        kernel(random(20, 4, seed=seed), random(30, 4, seed=seed + 1000))[0] for seed in range(300)
    ]
    assert np.mean(found) == pytest.approx(0, abs=3 * np.std(found) / 300**0.5)
    assert min(found) < 0


# ---------------------------------------------------------------- edits


def test_nearest_own():
    originals = torch.tensor([[0.0, 0], [1, 0], [5, 0]])
    embedded = torch.tensor([[0.1, 0], [0.4, 0], [9, 0]])
    assert nearest_own(embedded, originals).tolist() == [True, False, True]


def test_embed_knows_a_person(astronaut):
    """The small aligned face against dlib's own way, landmarks and all, of the whole photograph."""
    import dlib

    detection = align.detect(astronaut)[0]
    crop = align.align(astronaut, align.similarity(detection.landmarks), 64)
    shape = dlib.full_object_detection(
        dlib.rectangle(*(round(edge) for edge in detection.box)),
        [dlib.point(*place) for place in detection.landmarks.round().astype(int).tolist()],
    )
    model = identity.find_spec("face_recognition_models").submodule_search_locations[0]
    network = dlib.face_recognition_model_v1(
        f"{model}/models/dlib_face_recognition_resnet_model_v1.dat"
    )
    expected = torch.tensor(list(network.compute_face_descriptor(np.array(astronaut), shape)))
    found = identity.embed(images.from_pil(crop)[None])
    assert found.shape == (1, 128)
    assert (found[0] - expected).norm() < 0.35  # 0.6 parts one person from another
    upside_down = identity.embed(images.from_pil(crop)[None].flip(2))
    assert (upside_down[0] - expected).norm() > 0.5


# ---------------------------------------------------------------- the whole


@pytest.fixture(scope="module", name="flat_faces")
def _flat_faces():
    return flat_faces()


@pytest.fixture(scope="module")
def report(flat_faces):
    extent = Extent(faces=25, samples=50, strengths=(1.0, 2.0))
    return evaluate.evaluate(FlatEditor(), flat_faces, FlatJudge(), extent)


def test_flat_faces_are_rebuilt_exactly(report):
    labelled, everyone = report["reconstruction"]["labelled"], report["reconstruction"]["all"]
    assert labelled["psnr"]["value"] == 100 and labelled["psnr"]["count"] == 36
    assert everyone["ssim"]["value"] == pytest.approx(1) and everyone["ssim"]["count"] == 40
    assert report["kept"]["average"]["value"] == 1
    assert set(report["kept"]["attributes"]) == set(FlatJudge.judged)


@pytest.mark.parametrize("mode", ["reconstruction", "photograph"])
def test_the_planted_direction_gives_the_planted_numbers(report, mode):
    smiling = report["editing"][mode]["attributes"]["Smiling"]
    once, twice = smiling["strengths"]["1"], smiling["strengths"]["2"]
    # Red -0.75 needs two steps of 0.5. Only 25 of the 30 who lack it are asked.
    assert once["effect"]["value"] == 0 and twice["effect"]["value"] == 1
    assert once["effect"]["count"] == 25
    assert once["change"]["value"] == pytest.approx(0.5)
    # Blue spills over as well, but goes with red in life; green turns where it was -0.1, then all.
    assert 0.3 < once["leakage"]["value"] < 0.7
    assert twice["leakage"]["value"] == 1
    # Of the two sliders the judge knows the first only.
    assert report["editing"][mode]["average"]["2"]["effect"]["value"] == 1
    bald = report["editing"][mode]["attributes"]["Bald"]
    assert bald["judged"] is False and bald["strengths"]["2"]["effect"] is None


def test_an_attribute_that_nobody_lacks_is_left_open(flat_faces):
    smiling = replace(flat_faces, images=torch.full_like(flat_faces.images, 200))
    found = evaluate.evaluate(FlatEditor(), smiling, FlatJudge(), Extent(samples=10))
    strengths = found["editing"]["photograph"]["attributes"]["Smiling"]["strengths"]
    assert strengths["1"]["effect"] == {"value": None, "low": None, "high": None, "count": 0}
    assert "–" in tables(found)


def test_distances_are_those_of_the_features(report):
    drawn = random(50, 3, seed=0)
    expected = frechet(drawn, FlatJudge.reference.float())[0]
    samples = report["distance"]["samples"]
    assert samples["frechet"]["value"] == pytest.approx(expected, rel=1e-5)
    assert samples["frechet"]["low"] < expected < samples["frechet"]["high"]
    assert samples["kernel"]["value"] == pytest.approx(
        kernel(drawn, FlatJudge.reference.float())[0], rel=1e-4
    )
    echoed = frechet(random(50, 3, seed=1), FlatJudge.reference.float())[0]
    assert report["distance"]["with echoes"]["frechet"]["value"] == pytest.approx(echoed, rel=1e-5)
    as_many = report["distance"]["as many samples"]["frechet"]
    few = frechet(random(50, 3, seed=1)[:40], FlatJudge.reference.float())[0]
    assert as_many["count"] == 40 and as_many["value"] == pytest.approx(few, rel=1e-5)
    # The flat reconstructions are the photographs.
    near, far = report["distance"]["reconstructions"], report["distance"]["photographs"]
    assert near["frechet"]["value"] == pytest.approx(far["frechet"]["value"])


def test_groups_are_the_two_sides_of_a_label(flat_faces, monkeypatch):
    labels = flat_faces.attributes.clone()
    labels[:14, 1] = -1
    faces = replace(flat_faces, attributes=labels)
    extent = Extent(faces=40, samples=10, strengths=(2.0,))
    monkeypatch.setattr(evaluate, "EDITED", 14)
    report = evaluate.evaluate(FlatEditor(), faces, FlatJudge(), extent)
    groups = report["groups"]
    # Everybody is Young; 30 lack Smiling, 14 of them not Male, and two steps give it to them.
    assert groups["not Male"]["psnr"]["count"] == 14 and groups["Male"]["psnr"]["count"] == 22
    assert "not Young" not in groups
    assert groups["not Male"]["effect"] == {"value": 1.0, "low": 1.0, "high": 1.0, "count": 14}
    assert groups["Male"]["effect"]["count"] == 16 and groups["Male"]["sliders"] == 1
    (row,) = [line for line in tables(report).splitlines() if "not Male" in line]
    assert row.split()[-1] == "14" and "100.0 [100.0, 100.0]" in row


def test_groups_are_compared_by_sliders_that_both_were_tried_on(flat_faces):
    labels = flat_faces.attributes.clone()
    labels[:14, 1] = -1
    faces = replace(flat_faces, attributes=labels)
    extent = Extent(faces=40, samples=10, strengths=(2.0,))
    report = evaluate.evaluate(FlatEditor(), faces, FlatJudge(), extent)
    for name in ("Male", "not Male"):  # 16 and 14, and one more is needed
        assert report["groups"][name]["sliders"] == 0
        assert report["groups"][name]["effect"]["value"] is None
    assert "–" in tables(report)


def test_a_share_without_an_upper_limit_is_told():
    found = {"value": 1.5, "low": 0.0, "high": None}
    assert _number(found, 2) == "1.50 [0.00, –]"


def test_vectors_are_compared_with_plain_differences_at_the_same_effect(flat_faces, monkeypatch):
    monkeypatch.setattr(effects, "POSITIVES", 4)
    labels = torch.where(images.to_float(flat_faces.images).mean(dim=(2, 3)) > 0, 1, -1)
    labels = torch.cat([labels, labels[:, :1]], dim=1).to(torch.int8)
    faces = replace(flat_faces, attributes=labels)
    # In training whoever smiles is far greener, so the plain difference turns all green at once.
    colour = images.to_float(faces.images).mean(dim=(2, 3))
    colour[:, 1] = torch.where(colour[:, 0] > 0, 0.9, -0.9)
    pixels = images.to_uint8(colour.view(-1, 3, 1, 1).expand(-1, -1, SIDE, SIDE))
    train = replace(faces, images=pixels)
    extent = Extent(faces=40, samples=10, strengths=(2.0,))
    found = evaluate.evaluate(FlatEditor(), faces, FlatJudge(), extent, train)
    smiling = found["matched"]["attributes"]["Smiling"]
    # 85 % of the faces turn at 1.5 steps of 0.5; by then the spill of 0.3 has turned all green.
    assert smiling["shipped"]["strength"] == pytest.approx(1.5, abs=0.1)
    assert smiling["plain"]["leakage"]["value"] == pytest.approx(1, abs=0.1)
    expected = smiling["shipped"]["leakage"]["value"] / smiling["plain"]["leakage"]["value"]
    assert found["matched"]["ratio"]["value"] == pytest.approx(expected)
    assert "ratio" in tables(found)


def test_a_face_built_from_its_labels_is_read_back(flat_faces):
    signs = torch.tensor([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)]).repeat(
        5, 1
    )
    pixels = images.to_uint8((0.5 * signs).view(40, 3, 1, 1).expand(-1, -1, SIDE, SIDE))
    labels = torch.cat([signs, signs[:, :1]], dim=1).to(torch.int8)
    faces = replace(flat_faces, images=pixels.contiguous(), attributes=labels)
    found = evaluate.evaluate(FlatEditor(), faces, FlatJudge(), Extent(samples=10), faces)
    similarity = found["similarity"]
    assert similarity["from labels"]["cosine"]["value"] > 0.99
    # Every verdict is about tanh(2 · ±1), 0.04 away from its label.
    assert similarity["photographs"]["squared error"]["value"] < 0.01
    turned = replace(faces, attributes=-labels)
    found = evaluate.evaluate(FlatEditor(), turned, FlatJudge(), Extent(samples=10), faces)
    assert found["similarity"]["from labels"]["cosine"]["value"] > 0.99  # as asked for
    assert found["similarity"]["photographs"]["cosine"]["value"] < -0.99


def test_a_model_without_encoder_is_measured_by_its_samples(flat_faces, report, tmp_path):
    class Drawer(FlatEditor):
        encoder = None

    found = evaluate.evaluate(Drawer(), flat_faces, FlatJudge(), Extent(samples=50))
    assert set(found) == {"distance"}
    assert found["distance"]["samples"] == report["distance"]["samples"]
    assert "with echoes" not in found["distance"]
    assert "samples" in tables(found)
    evaluate.write(found, tmp_path / "gan.json")
    assert [path.name for path in tmp_path.iterdir()] == ["gan.json"]


def test_a_model_without_vectors_is_measured_all_the_same(flat_faces):
    class Bare(FlatEditor):
        attributes, vectors = (), None
        name, model, training = "bare", "a" * 64, {}

    judge = SimpleNamespace(
        **{
            name: getattr(FlatJudge(), name)
            for name in ("names", "judged", "extractor", "reference", "see")
        },
        correlation=FlatJudge.correlation,
        balanced_accuracy=torch.ones(4),
    )
    found = evaluate.described(Bare(), flat_faces, judge, "test", Extent(samples=10))
    assert found["weights"] == "a" * 64
    assert found["kept"]["average"]["value"] == 1
    assert found["editing"]["photograph"]["attributes"] == {}
    assert "PSNR" in tables(found)


def test_charts_lie_beside_the_numbers(report, tmp_path):
    evaluate.write(report, tmp_path / "e.json")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"e.json", "e-reconstruction.svg", "e-photograph.svg"}


def test_the_report_is_strict_json_and_readable(report):
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    text = tables(report)
    assert "PSNR 100.00 [100.00, 100.00] dB" in text
    (row,) = [line for line in text.splitlines() if line.startswith("  Bald")][:1]
    assert row.split()[1] == "–"


def test_the_same_seed_gives_the_same_report(report, flat_faces):
    extent = Extent(faces=25, samples=50, strengths=(1.0, 2.0))
    assert evaluate.evaluate(FlatEditor(), flat_faces, FlatJudge(), extent) == report


def test_identity_takes_one_face_of_each_person(flat_faces, monkeypatch):
    monkeypatch.setattr(identity, "embed", lambda x: x.mean(dim=(2, 3)))
    colours = random(40, 3).clamp(-1, 1).view(40, 3, 1, 1).expand(-1, -1, SIDE, SIDE)
    faces = replace(flat_faces, images=images.to_uint8(colours).contiguous())
    extent = Extent(faces=1, samples=10, strengths=(1.0,), identity=True)
    found = evaluate.evaluate(FlatEditor(), faces, FlatJudge(), extent)["identity"]
    assert found["among"] == 18  # 36 labelled faces, two of each
    assert found["reconstruction"]["value"] == 1
    # All are moved by (1, 0.6, 1.8), far beyond their neighbours: few find themselves.
    assert found["attributes"]["Smiling"]["value"] < 0.5
    assert found["average"]["value"] == found["attributes"]["Smiling"]["value"]


# ---------------------------------------------------------------- command line


def test_a_model_that_does_not_exist_is_one_sentence(tmp_path, capsys):
    code = evaluate.main([str(tmp_path / "nothing"), "--data", "nowhere"])
    assert code == 2
    assert "There is no model" in capsys.readouterr().err


def test_a_judge_of_another_set_is_refused(tmp_path, monkeypatch, flat_faces):
    path = tmp_path / "judge.safetensors"
    path.touch()
    monkeypatch.setattr(
        evaluate.Judge, "load", lambda path: SimpleNamespace(dataset="another", names=())
    )
    with pytest.raises(evaluate.JudgeError, match="another face set"):
        evaluate.prepare_judge(path, flat_faces)


def test_a_second_opinion_is_not_the_first_judges(tmp_path, monkeypatch, flat_faces):
    path = tmp_path / "judge.safetensors"
    path.touch()
    first = SimpleNamespace(dataset=flat_faces.fingerprint, network="efficientnet-lite0")
    monkeypatch.setattr(evaluate.Judge, "load", lambda path: first)
    assert evaluate.prepare_judge(path, flat_faces) is first
    with pytest.raises(evaluate.JudgeError, match="looks with efficientnet-lite0"):
        evaluate.prepare_judge(path, flat_faces, "efficientnet-lite2")


def test_a_judge_that_could_not_be_saved_is_not_trained(tmp_path, flat_faces, monkeypatch):
    monkeypatch.setattr(evaluate.Judge, "train", lambda faces: pytest.fail("trained"))
    with pytest.raises(FileError, match=r"must end in \.safetensors"):
        evaluate.prepare_judge(tmp_path / "judge.json", flat_faces)


def test_a_limit_takes_that_many(flat_faces):
    few = evaluate._some(flat_faces, 5, seed=0)
    assert len(few) == len(few.images) == len(few.identity) == 5
    assert torch.equal(few.images, evaluate._some(flat_faces, 5, seed=0).images)
