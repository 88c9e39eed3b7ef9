import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from vaegan import checkpoint, files, models
from vaegan.checkpoint import SnapshotError, load_snapshot


@pytest.fixture
def folder(tiny_snapshot, tmp_path):
    return shutil.copytree(tiny_snapshot, tmp_path / "model")


def test_a_snapshot_holds_half_precision_and_nothing_else(folder, tiny_model):
    tensors = load_file(folder / "model.safetensors")
    assert {t.dtype for t in tensors.values()} == {torch.float16, torch.int64}
    assert {name.split(".")[0] for name in tensors} == {
        "encoder", "decoder",
        "prior_mean", "prior_cholesky", "prior_axes", "prior_tables",
        "prior_weights", "prior_means", "prior_factors", "prior_stretches",
    }  # fmt: skip
    snapshot = load_snapshot(folder)
    assert snapshot.config == tiny_model
    weight = snapshot.decoder.state_dict()["convolutions.0.weight"]
    assert torch.equal(weight, tensors["decoder.convolutions.0.weight"].float())
    assert not snapshot.decoder.training


def test_config_and_weights_must_agree(folder):
    config = json.loads((folder / "config.json").read_text())
    config["model"]["latent_dim"] = 9
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(SnapshotError, match="do not fit its config"):
        load_snapshot(folder)


@pytest.mark.parametrize(
    "change", [{"decoder_widths": []}, {"latent_dim": -1}, {"discriminator_kernel": -1}], ids=str
)
def test_a_config_of_impossible_sizes_is_one_sentence(folder, change):
    config = json.loads((folder / "config.json").read_text())
    config["model"] |= change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(SnapshotError, match=next(iter(change))):
        load_snapshot(folder)


def test_a_config_that_does_not_fit_takes_no_memory(folder, monkeypatch):
    built = []

    def build(config):
        built.append(models.build(config))
        return built[-1]

    monkeypatch.setattr(checkpoint, "build", build)
    config = json.loads((folder / "config.json").read_text())
    config["model"] |= {"latent_dim": 9, "decoder_widths": [9, 9, 9]}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(SnapshotError, match="do not fit its config"):
        load_snapshot(folder)
    assert built and all(weight.is_meta for model in built for weight in model.parameters())


def test_a_discriminator_comes_back_as_it_was(folder, tiny_model):
    discriminator = models.build(tiny_model).discriminator
    path = folder / checkpoint.DISCRIMINATOR
    files.save_tensors(path, discriminator.state_dict())
    again = checkpoint.load_training_state(folder, tiny_model)["discriminator"]
    state = discriminator.state_dict()
    assert again.state_dict().keys() == state.keys()
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, state[name])
    x = torch.rand(4, 3, 32, 32)
    torch.testing.assert_close(again.eval()(x).score, discriminator.eval()(x).score)
    for wrong in (
        dataclasses.replace(tiny_model, discriminator_widths=(4, 8, 9)),
        dataclasses.replace(tiny_model, model="vae"),
    ):
        with pytest.raises(SnapshotError, match="does not fit the model"):
            checkpoint.load_training_state(folder, wrong)


@pytest.mark.parametrize("change", ["missing", "extra", "nameless", "nan"])
def test_weights_are_read_strictly(folder, change):
    tensors = load_file(folder / "model.safetensors")
    if change == "missing":
        del tensors["encoder.mu.bias"]
    elif change == "extra":
        tensors["encoder.backdoor"] = torch.zeros(1)
    elif change == "nameless":
        tensors[""] = torch.zeros(1)
    else:
        tensors["encoder.mu.bias"].fill_(torch.nan)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(SnapshotError, match=r"fit its config|not finite"):
        load_snapshot(folder)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("prior_weights", 0.0, "prior"),
        ("prior_weights", -1.0, "prior"),
        ("prior_cholesky", 0.0, "prior"),
        ("decoder.project.1.running_var", -1.0, "draw no picture"),
        ("encoder.hidden.2.running_var", -1.0, "draw no picture"),
        ("decoder.project.0.weight", 3e38, "draw no picture"),  # but the mean face, which is at 0
        ("decoder.project.0.weight", 1e300, r"decoder\.project\.0\.weight is not finite"),
        ("prior_weights", 1e300, "prior_weights is not finite"),
        ("prior_weights", 3e38, "prior"),
        ("prior_factors", 3e38, "prior"),
        ("prior_cholesky", 3e38, "prior"),
        ("prior_tables", 3e38, "prior"),
    ],
)
def test_weights_that_draw_nothing_are_one_sentence(folder, name, value, said):
    tensors = load_file(folder / "model.safetensors")
    kind = torch.float32 if value < torch.finfo(torch.float32).max else torch.float64
    tensors[name] = torch.full_like(tensors[name], value, dtype=kind)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(SnapshotError, match=said):
        load_snapshot(folder)


def test_a_prior_that_would_take_for_ever_is_refused(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["prior_stretches"] = torch.ones(10_000)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(SnapshotError, match="prior"):
        load_snapshot(folder)


@pytest.mark.parametrize("training", [[], "long", 3])
def test_what_is_said_of_training_is_a_table(folder, training):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"training": training}))
    with pytest.raises(SnapshotError, match="does not describe a model"):
        load_snapshot(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"\x80\x04evil pickle."])
def test_damaged_or_missing_files_are_one_sentence(folder, name, content):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(SnapshotError, match=name):
        load_snapshot(folder)


def test_an_unreadable_checkpoint_is_one_sentence(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(SnapshotError, match=r"checkpoint\.pt is not a checkpoint"):
        checkpoint.load_checkpoint(tmp_path / "checkpoint.pt", torch.device("cpu"))
    torch.save({}, tmp_path / "checkpoint.pt")
    with pytest.raises(SnapshotError, match=r"checkpoint\.pt is not a checkpoint"):
        checkpoint.load_checkpoint(tmp_path / "checkpoint.pt", torch.device("cpu"))
