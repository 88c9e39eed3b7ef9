"""`train.py` from its flags to the files it leaves, in this process and on 32-pixel faces."""

import pytest
import torch
from PIL import Image

import train
from vaegan import Editor, attributes, checkpoint, files, hub
from vaegan.config import ModelConfig, at_resolution

ROOT = hub.ROOT


@pytest.fixture
def command(prepared_faces, tmp_path):
    flags = {"data": prepared_faces, "out": tmp_path / "run", "resolution": 32, "steps": 2,
             "batch-size": 4, "device": "cpu", "precision": "float32",
             "set": "eigenface_side=8"}  # fmt: skip
    return [word for name, value in flags.items() for word in (f"--{name}", str(value))]


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """Bundled models are looked for, and written, in a folder of the test's own."""
    monkeypatch.setattr(hub, "PRETRAINED", tmp_path / "pretrained")
    monkeypatch.setattr(hub, "VECTORS", tmp_path / "attributes")
    return tmp_path


def test_a_run_leaves_a_model_that_the_editor_loads(command, elsewhere, astronaut):
    assert train.main(command) == 0
    folder = elsewhere / "run" / "model"
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        "config.json", "model.safetensors", "README.md",
        "attributes.safetensors", "attributes.json",
    }  # fmt: skip
    record = files.read_json(folder / "config.json")["training"]
    assert (record["steps"], record["images"], record["faces"]) == (2, 8, 48)
    card = (folder / "README.md").read_text()
    assert "2 steps, 8 pictures seen" in card and "Smiling at +2" in card
    assert Image.open(folder / "card" / "samples.png").size == (8 * 34 + 2, 3 * 34 + 2)
    assert Image.open(folder / "card" / "edits.png").size == (2 * 34 + 2, 6 * 34 + 2)
    editor = Editor.from_pretrained(folder)
    assert [attribute.name for attribute in editor.attributes] == ["Smiling"]
    assert editor.vectors.method == "least squares"
    assert editor.edit(editor.open(astronaut), {"Smiling": 1.0}).size == (32, 32)
    assert not (elsewhere / "pretrained").exists(), "only --bundle writes among the bundled models"


def test_bundling_is_explicit_and_gives_the_model_a_name(command, elsewhere):
    assert train.main([*command, "--bundle", "mine"]) == 0
    assert hub.bundled() == ["mine"]
    folder, vectors = hub.locate("mine")
    snapshot = checkpoint.load_snapshot(folder)
    assert attributes.load(vectors, snapshot.sha256).names == ("Smiling",)


def test_fine_tuning_starts_from_the_weights_it_was_given(command, elsewhere):
    assert train.main(command) == 0
    given = checkpoint.load_snapshot(elsewhere / "run" / "model")
    words = [*command, "--init", str(elsewhere / "run" / "model")]
    words[words.index("--out") + 1] = str(elsewhere / "tuned")
    words[words.index("--steps") + 1] = "1"
    assert train.main(words) == 0
    tuned = checkpoint.load_snapshot(elsewhere / "tuned" / "model")
    fresh = checkpoint.build(at_resolution(ModelConfig(), 32))
    key = "convolutions.0.weight"
    start, end, other = (
        networks["decoder"].state_dict()[key]
        for networks in (given.networks, tuned.networks, fresh.networks)
    )
    assert (start - end).abs().max() < 0.01 < (start - other).abs().max()
    assert torch.isfinite(end).all()


def test_fine_tuning_takes_the_discriminator_along(command, elsewhere):
    assert train.main(command) == 0
    words = [*command, "--init", str(elsewhere / "run" / "model")]
    words[words.index("--out") + 1] = str(elsewhere / "tuned")
    words[words.index("--steps") + 1] = "1"
    assert train.main(words) == 0
    first, second = (
        files.load_tensors(elsewhere / run / "model" / checkpoint.DISCRIMINATOR)[0]
        for run in ("run", "tuned")
    )
    key = "blocks.0.0.parametrizations.weight.original"
    assert 0 < (first[key] - second[key]).abs().max() < 0.01


def test_a_foreign_discriminator_is_refused(command, elsewhere, capsys):
    assert train.main(command) == 0
    path = elsewhere / "run" / "model" / checkpoint.DISCRIMINATOR
    files.save_tensors(path, {"other": torch.zeros(2)})
    words = [*command, "--init", str(elsewhere / "run" / "model")]
    words[words.index("--out") + 1] = str(elsewhere / "tuned")
    assert train.main(words) == 2
    assert "does not fit the model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--no-feature-loss"], {"feature_weight": 0.0}),
        (["--no-pixel-loss"], {"pixel_weight": 0.0}),
        (["--no-prior-samples"], {"prior_samples": 0.0}),
        (["--no-adversary"], {"adversarial_weight": 0.0}),
        (["--no-augment", "--model", "gan"], {"augment": False}),
        (["--no-flip", "--model", "vae"], {"flip": False}),
        (["--learning-rate", "0.001"], {"learning_rate": 0.001}),
        (["--latent-dim", "24"], {"latent_dim": 24}),
        (["--set", "kl_weight=0.5", "--set", "feature_layers=1,2"],
         {"kl_weight": 0.5, "feature_layers": (1, 2)}),
        (["--set", "adversarial=bce", "--set", "flip=false"],
         {"adversarial": "bce", "flip": False}),
    ],
)  # fmt: skip
def test_an_ablation_is_a_flag(words, expected):
    flags = train.parse(["--data", "x", "--out", "y", *words])
    given, plain = (
        {**vars(model), **vars(training)}
        for model, training in (
            train.configs(flags),
            train.configs(train.parse(["--data", "x", "--out", "y", "--model", flags.model])),
        )
    )
    assert {name: value for name, value in given.items() if value != plain[name]} == expected


@pytest.mark.parametrize(
    "words",
    [
        ["--set", "nothing=1"],
        ["--set", "kl_weight"],
        ["--set", "kl_weight=much"],
        ["--set", "flip=1"],
        ["--set", "encoder_widths=a,b"],
    ],
)
def test_a_setting_that_means_nothing_is_one_sentence(words, command, capsys):
    assert train.main([*command, *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words[1].split("=")[0] in error


def test_what_a_model_has_not_cannot_be_left_out(command):
    with pytest.raises(SystemExit):
        train.main([*command, "--model", "vae", "--no-feature-loss"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"--data": "nowhere.safetensors"}, "nowhere.safetensors"),
        ({"--resolution": "64"}, "32×32 pixels, not 64×64"),
        ({"--resolution": "100"}, "32, 64 or 128"),
        ({"--batch-size": "1"}, "at least 2"),
        ({"--batch-size": "4000"}, "there are 48"),
        ({"--init": "nowhere/at/all"}, "There is no model"),
        ({"--bundle": "../escape"}, "a-z"),
    ],
)
def test_mistakes_are_one_sentence(command, elsewhere, capsys, change, sentence):
    for flag, value in change.items():
        if flag in command:
            command[command.index(flag) + 1] = value
        else:
            command += [flag, value]
    assert train.main(command) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert sentence in error
