"""`train.py` from its flags to the files it leaves, in this process and on 32-pixel faces."""

import dataclasses
import math
import os
import shutil
import sys

import pytest
import torch
from PIL import Image

import train
from vaegan import Editor, attributes, card, checkpoint, files, hub
from vaegan import judge as judge_module
from vaegan.config import PRESETS, ConfigError, ModelConfig, at_resolution
from vaegan.judge import Judge
from vaegan.tables import FORMAT

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


def test_attributes_of_ones_own_are_trained_on_and_have_sliders(
    command, elsewhere, drawn_faces, monkeypatch
):
    labels = drawn_faces.attributes.repeat(1, 3)
    names = ("Blurry", "Freckles", "Smiling")  # the first is CelebA's, without a slider
    mine = dataclasses.replace(drawn_faces, attributes=labels, attribute_names=names)
    monkeypatch.setattr(train.data, "load", lambda *_, **__: mine)
    assert train.main(command) == 0
    editor = Editor.from_pretrained(elsewhere / "run" / "model")
    assert editor.config.attributes == ("Freckles", "Smiling")
    assert [(one.name, one.group) for one in editor.attributes] == [
        ("Smiling", "Expression"), ("Freckles", "Others"),
    ]  # fmt: skip


def test_more_attributes_than_a_model_can_have_are_refused_before_the_training(
    command, elsewhere, drawn_faces, monkeypatch, capsys
):
    names = tuple(f"Spot {number}" for number in range(attributes.MOST + 1))
    labels = drawn_faces.attributes.repeat(1, len(names))
    many = dataclasses.replace(drawn_faces, attributes=labels, attribute_names=names)
    monkeypatch.setattr(train.data, "load", lambda *_, **__: many)
    assert train.main(command) == 2
    error = capsys.readouterr().err
    assert "labelled with 201 attributes" in error and error.count("\n") == 1
    assert not (elsewhere / "run").exists()
    assert train.main([*command, "--model", "gan"]) == 0  # which has no vectors


@pytest.mark.parametrize("label", [0, 1])
def test_faces_that_are_all_alike_give_a_model_without_vectors(
    label, command, elsewhere, drawn_faces, monkeypatch
):
    alike = dataclasses.replace(drawn_faces, attributes=label + 0 * drawn_faces.attributes)
    monkeypatch.setattr(train.data, "load", lambda *_, **__: alike)
    assert train.main(command) == 0
    assert Editor.from_pretrained(elsewhere / "run" / "model").vectors is None


def test_a_card_that_cannot_be_written_is_one_sentence(tiny_snapshot, tmp_path, capsys):
    model = shutil.copytree(tiny_snapshot, tmp_path / "model")
    (model / "README.md").mkdir()
    assert card.main([str(model), "--data", "drawn faces"]) == 2
    error = capsys.readouterr().err
    assert "README.md" in error and error.count("\n") == 1


def test_a_card_takes_no_evaluation_of_another_kind(tiny_snapshot, tmp_path, capsys):
    evaluation = tmp_path / "other.json"
    evaluation.write_text('{"model": "vaegan"}')
    model = shutil.copytree(tiny_snapshot, tmp_path / "model")
    assert card.main([str(model), "--data", "faces", "--evaluation", str(evaluation)]) == 2
    assert "no evaluation" in capsys.readouterr().err
    assert not (model / "README.md").exists()


def test_bundling_is_explicit_and_gives_the_model_a_name(command, elsewhere):
    assert train.main([*command, "--bundle", "mine"]) == 0
    assert hub.bundled() == ["mine"]
    folder, vectors = hub.locate("mine")
    snapshot = checkpoint.load_snapshot(folder)
    assert attributes.load(vectors, snapshot).names == ("Smiling",)


def test_a_finished_run_again_keeps_vectors_and_evaluation(command, elsewhere):
    assert train.main(command) == 0
    folder, evaluation = elsewhere / "run" / "model", elsewhere / "run" / "evaluation.json"
    path = folder / "attributes.safetensors"
    plain = attributes.load(path)
    attributes.save(dataclasses.replace(plain, method="selected"), path)
    assert train.main(command) == 0
    assert attributes.load(path).method == "selected"
    assert "## Measured" not in (folder / "README.md").read_text()

    report = {"format": FORMAT, "weights": plain.model, "split": "test",
              "distance": {"reference": 7, "extractor": "a network"}}  # fmt: skip
    files.write_json(evaluation, report)
    assert train.main(command) == 0
    assert "distance to 7 training photographs" in (folder / "README.md").read_text()
    os.utime(path)  # vectors that are newer were not measured
    os.utime(evaluation, (0, 0))
    assert train.main(command) == 0
    assert "## Measured" not in (folder / "README.md").read_text()

    os.utime(evaluation)
    command[command.index("--steps") + 1] = "3"
    assert train.main(command) == 0
    assert attributes.load(path).method == "least squares"
    assert attributes.load(path).model != plain.model
    os.utime(evaluation)
    assert train.main(command) == 0
    assert "## Measured" not in (folder / "README.md").read_text(), "it is of other weights"


def test_a_kill_between_weights_and_vectors_leaves_a_model_that_loads(
    command, elsewhere, monkeypatch
):
    assert train.main(command) == 0
    folder = elsewhere / "run" / "model"
    before = checkpoint.load_snapshot(folder).sha256

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    command[command.index("--steps") + 1] = "3"
    with monkeypatch.context() as moment, pytest.raises(KeyboardInterrupt):
        moment.setattr(attributes, "compute", killed)
        train.main(command)
    editor = Editor.from_pretrained(folder)
    assert editor.model != before and editor.vectors is None
    assert train.main(command) == 0
    assert Editor.from_pretrained(folder).vectors.names == ("Smiling",)


def test_two_runs_do_not_share_a_folder(command, elsewhere, capsys):
    with files.alone(elsewhere / "run"):
        assert train.main(command) == 2
    assert capsys.readouterr().err == f"Another process is at work in {elsewhere / 'run'}.\n"


def test_whatever_the_first_model_says_of_its_training_the_card_is_written(command, elsewhere):
    assert train.main(command) == 0
    given = elsewhere / "run" / "model"
    config = files.read_json(given / "config.json")
    config["training"] = {"steps": "many", "images": [1], "device": 9 * "long "}
    files.write_json(given / "config.json", config)
    words = [*command, "--init", str(given)]
    words[words.index("--out") + 1] = str(elsewhere / "tuned")
    assert train.main(words) == 0
    card = (elsewhere / "tuned" / "model" / "README.md").read_text()
    assert "before that: many steps, [1] pictures seen, None hours on long long" in card


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


def test_a_run_goes_on_with_what_it_began_with(command, elsewhere):
    """--init is for the beginning: it may be left out later, or its model be gone."""
    assert train.main(command) == 0
    before = files.read_json(elsewhere / "run" / "model" / "config.json")["training"]
    words = [*command, "--init", str(elsewhere / "run" / "model")]
    words[words.index("--out") + 1] = str(elsewhere / "tuned")
    words[words.index("--steps") + 1] = "1"
    assert train.main(words) == 0
    shutil.rmtree(elsewhere / "run")
    for again in (words, words[:-2]):
        assert train.main(again) == 0
        record = files.read_json(elsewhere / "tuned" / "model" / "config.json")["training"]
        assert record["began_with"] == before


def test_a_run_begun_from_nothing_goes_on_so(command, elsewhere):
    """Also where --init names a model of another resolution."""
    assert train.main(command) == 0
    command[command.index("--steps") + 1] = "3"
    assert train.main([*command, "--init", "nowhere/at/all"]) == 0
    record = files.read_json(elsewhere / "run" / "model" / "config.json")["training"]
    assert record["steps"] == 3 and "began_with" not in record


@pytest.mark.parametrize(
    ("words", "ignored"),
    [
        (["--model", "vae"], "--model"),
        (["--latent-dim", "8"], "--latent-dim"),
        (["--preset", "larsen2016"], "--preset"),
        (["--resolution", "64"], "--resolution"),
        (["--set", "encoder_hidden=8", "--set", "slope=0"], "--set encoder_hidden, --set slope"),
    ],
)
def test_what_init_would_ignore_is_refused(words, ignored, command, tiny_snapshot, capsys):
    given = checkpoint.load_snapshot(tiny_snapshot).config
    words = ["--data", "x", "--out", "y", "--init", "z", *words]
    if ignored == "--latent-dim":
        given = dataclasses.replace(given, latent_dim=9)
    flags = train.parse(words)
    with pytest.raises(ConfigError) as refused:
        train.refuse_ignored(flags, train.configs(flags)[0], given)
    assert str(refused.value) == f"--init takes a model as it is: it would ignore {ignored}."


def test_what_init_agrees_with_is_not_refused(tiny_model):
    larsen = PRESETS["larsen2016"][0]
    words = ["--preset", "larsen2016", "--model", "vaegan", "--resolution", "64", "--set",
             "pixel_weight=1", "--set", "slope=0"]  # fmt: skip
    flags = train.parse(["--data", "x", "--out", "y", "--init", "z", *words])
    asked = train.configs(flags)[0]
    train.refuse_ignored(flags, asked, dataclasses.replace(larsen, attributes=("Smiling",)))
    flags = train.parse(["--data", "x", "--out", "y", "--init", "z"])
    train.refuse_ignored(flags, train.configs(flags)[0], tiny_model)


def test_init_refuses_before_it_trains(command, elsewhere, tiny_snapshot, capsys):
    assert train.main([*command, "--init", str(tiny_snapshot), "--latent-dim", "9"]) == 2
    assert "it would ignore --latent-dim." in capsys.readouterr().err
    assert not (elsewhere / "run").exists()


def test_a_model_that_is_trained_needs_no_warm_up_unless_it_is_asked_for():
    words = ["--data", "x", "--out", "y", "--init", "z", "--set", "kl_warmup=7"]
    _, training = train.configs(train.parse(words))
    assert (training.adversary_start, training.kl_warmup) == (0, 7)
    words += ["--set", "adversary_start=5"]
    _, training = train.configs(train.parse(words))
    assert (training.adversary_start, training.kl_warmup) == (5, 7)


def test_the_paper_s_vae_learns_from_pixels():
    """As heavy beside its KL as by default: 8 to 0.001."""
    words = ["--data", "x", "--out", "y", "--preset", "larsen2016", "--model"]
    weights = {}
    for model in ("vae", "vaegan"):
        _, training = train.configs(train.parse([*words, model]))
        weights[model] = (training.pixel_weight, training.kl_weight)
    assert weights == {"vae": (pytest.approx(8000), 1.0), "vaegan": (0.0, 1.0)}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--model", "vae", "--set", "pixel_weight=0"], "pixel_weight cannot be 0"),
        (["--set", "pixel_weight=0"], "pixel_weight cannot be 0"),
        (["--preset", "larsen2016", "--set", "model=vae"], "pixel_weight cannot be 0"),
        (["--no-pixel-loss", "--no-feature-loss"], "feature_weight cannot both be 0"),
        (["--preset", "larsen2016", "--no-feature-loss"], "feature_weight cannot both be 0"),
    ],
)
def test_nothing_is_trained_on_the_kl_alone(words, sentence, command, elsewhere, capsys):
    if "larsen2016" in words:
        command[command.index("eigenface_side=8")] = "eigenface_side=0"
    assert train.main([*command, *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not (elsewhere / "run").exists()


def test_a_model_may_be_named_by_a_setting(command, elsewhere):
    assert train.main([*command, "--set", "model=vae"]) == 0
    snapshot = checkpoint.load_snapshot(elsewhere / "run" / "model")
    assert (snapshot.config.model, snapshot.config.attributes) == ("vae", ())


def test_attributes_that_are_named_are_the_ones_that_are_trained(command, elsewhere, capsys):
    names = ["--set", 'attributes="Smiling","Male"']
    assert train.main([*command, *names]) == 0
    snapshot = checkpoint.load_snapshot(elsewhere / "run" / "model")
    assert snapshot.config.attributes == ("Smiling", "Male")
    command[command.index("--out") + 1] = str(elsewhere / "other")
    assert train.main([*command, *names, "--model", "vae"]) == 2
    assert capsys.readouterr().err.endswith("A model vae is not trained on attributes.\n")


@pytest.mark.parametrize("what", ["labels", "packages", "judge", "name"])
def test_what_the_evaluation_lacks_is_said_before_the_training(
    what, command, elsewhere, drawn_faces, monkeypatch, capsys
):
    if what == "labels":
        unlabelled = dataclasses.replace(drawn_faces, attributes=0 * drawn_faces.attributes)
        monkeypatch.setattr(train.data, "load", lambda *_, **__: unlabelled)
        said = "No attribute has labels of both kinds in every part"
    elif what == "packages":
        monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
        judge_module._network.cache_clear()
        said = "Judging needs two more packages"
    elif what == "name":
        command += ["--judge", str(elsewhere / "judge.bin")]
        said = "judge.bin must end in .safetensors"
    else:
        judge = elsewhere / "judge.safetensors"
        write_judge(judge, dataset="others")
        command += ["--judge", str(judge)]
        said = "was trained on another face set"
    assert train.main([*command, "--evaluate"]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (elsewhere / "run").exists()


def test_the_labels_that_an_evaluation_needs_are_enough(drawn_faces, tmp_path):
    train.check_evaluation(drawn_faces, tmp_path / "judge.safetensors")


def write_judge(path, dataset):
    count = judge_module._inputs(judge_module.NETWORK)
    Judge(
        names=("Smiling",), weight=torch.zeros(1, count), bias=torch.zeros(1),
        balanced_accuracy=torch.ones(1), correlation=torch.ones(1, 1),
        reference=torch.zeros(1, 4).half(), dataset=dataset,
    ).save(path)  # fmt: skip


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
        (["--no-pixel-loss"], {"pixel_weight": 0.0, "adversary_start": 0}),
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
        ["--set", "beta1=1"],
        ["--set", "feature_layers="],
        ["--set", "clip_norm=-1"],
        ["--set", "kl_warmup=-5"],
        ["--set", "encoder_widths=a,b"],
        pytest.param(["--set", "steps=" + 5000 * "9"], id="long"),
        pytest.param(["--set", "feature_layers=" + 100_000 * "["], id="deep"),
        pytest.param(["--set", f"feature_layers={900 * '['}{900 * ']'}"], id="nested"),
    ],
)
def test_a_setting_that_means_nothing_is_one_sentence(words, command, capsys):
    assert train.main([*command, *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words[1].split("=")[0] in error


@pytest.mark.parametrize("given", ["--model", "--init"])
def test_what_a_model_has_not_cannot_be_left_out(given, command, elsewhere, capsys):
    """Nor sent along; whether the flags say what the model is, or it is there already."""
    if given == "--init":
        assert train.main([*command, "--model", "vae", "--steps", "1"]) == 0
        (elsewhere / "run" / "model").rename(elsewhere / "vae")
        shutil.rmtree(elsewhere / "run")
    is_vae = [given, str(elsewhere / "vae") if given == "--init" else "vae"]
    for flag in ("--no-feature-loss", "--with-training-state"):
        assert train.main([*command, *is_vae, flag]) == 2
        assert f"{flag}: a model vae" in capsys.readouterr().err
    assert not (elsewhere / "run").exists()


@pytest.mark.parametrize(
    ("flag", "value", "sentence"),
    [
        ("--device", "gpu", "PyTorch cannot use 'gpu' here"),
        ("--device", "cuda:99", "PyTorch cannot use 'cuda:99' here"),
        ("--device", "hpu", "PyTorch cannot use 'hpu' here"),
        ("--minutes", "nan", "a time is 0 minutes or more, not nan"),
        ("--minutes", "-1", "a time is 0 minutes or more, not -1"),
        ("--save-minutes", "nan", "a time is 0 minutes or more, not nan"),
        ("--save-minutes", "soon", "invalid minutes value: 'soon'"),
    ],
)
def test_a_flag_that_means_nothing_is_refused_at_once(flag, value, sentence, capsys):
    with pytest.raises(SystemExit):
        train.parse(["--data", "x", "--out", "y", flag, value])
    error = capsys.readouterr().err.splitlines()[-1]
    assert flag in error and error.endswith(sentence)


def test_a_run_may_be_given_no_time_or_all():
    flags = train.parse(["--data", "x", "--out", "y", "--minutes", "0", "--save-minutes", "inf"])
    assert (flags.minutes, flags.save_minutes) == (0, math.inf)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"--data": "nowhere.safetensors"}, "nowhere.safetensors"),
        ({"--resolution": "64"}, "32×32 pixels, not 64×64"),
        ({"--resolution": "100"}, "32, 64 or 128"),
        ({"--batch-size": "1"}, "at least 2"),
        ({"--batch-size": "4000"}, "there are 48"),
        ({"--accumulate": "4"}, "at least two faces"),
        ({"--learning-rate": "2e9"}, "learning_rate is at most 1e+09"),
        ({"--init": "nowhere/at/all"}, "There is no model"),
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
