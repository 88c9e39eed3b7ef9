import dataclasses
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vaegan import checkpoint, curves, distributed, eigenfaces, files
from vaegan.config import MODELS, PRESETS, at_resolution
from vaegan.models import build
from vaegan.trainer import RUNAWAY, Trainer, TrainingError, begun, learning_rate_factor

ROOT = Path(__file__).resolve().parent.parent


TINY = [
    word
    for setting in ("encoder_widths=4,8,8", "encoder_hidden=16", "decoder_widths=8,8,8",
                    "discriminator_widths=4,8,8", "eigenface_side=8")
    for word in ("--set", setting)
] + ["--latent-dim", "8"]  # fmt: skip


def trainer(model, training, faces, out, **changes):
    return Trainer(model, dataclasses.replace(training, **changes), faces, out)


def weights(path: Path) -> dict[str, torch.Tensor]:
    state = checkpoint.load_checkpoint(path / "checkpoint.pt", torch.device("cpu"))
    return {**state["model"], **{f"ema.{n}.{k}": v for n, s in state["average"].items()
                                 for k, v in s.items()}}  # fmt: skip


def identical(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def ends_alike(model, training, faces, folder, meanwhile=lambda run: None) -> bool:
    """Whether a run that stops, and has `meanwhile` done to it, ends bit for bit as a whole one."""
    trainer(model, training, faces, folder / "whole").run()
    half = trainer(model, training, faces, folder / "parts")
    while half.step < 3:
        half.train_step()
    meanwhile(half)
    half.save()
    trainer(model, training, faces, folder / "parts").run()
    return identical(weights(folder / "whole"), weights(folder / "parts"))


@pytest.mark.parametrize("name", MODELS)
def test_an_interrupted_run_ends_bit_for_bit_like_an_uninterrupted_one(
    name, tiny_model, tiny_training, drawn_faces, tmp_path
):
    model = dataclasses.replace(tiny_model, model=name)
    assert ends_alike(model, tiny_training, drawn_faces, tmp_path)


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop"])
def test_a_run_begun_on_a_gpu_goes_on_elsewhere(
    optimizer, tiny_model, tiny_training, drawn_faces, tmp_path
):
    def as_there(run: Trainer) -> None:
        for one in run.optimizers.values():
            for group in one.param_groups:
                group["capturable"], group["lr"] = True, torch.tensor(group["lr"])

    training = dataclasses.replace(tiny_training, optimizer=optimizer)
    assert ends_alike(tiny_model, training, drawn_faces, tmp_path, as_there)


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_in_parts_trains_like_the_whole_batch(
    name, tiny_model, tiny_training, drawn_faces, tmp_path
):
    """What sees more of a batch than one picture would see the parts, so it is left out."""
    model = dataclasses.replace(
        tiny_model,
        model=name,
        batch_norm=False,
        minibatch_deviation=False,
        discriminator_spectral_norm=False,  # its power iteration moves with every pass
    )
    training = dataclasses.replace(
        tiny_training,
        optimizer="rmsprop",
        feature_norm="gaussian",
        feature_weight=0.1,
    )
    runs = {}
    for parts in (1, 4):
        out = tmp_path / str(parts)
        runs[parts] = Trainer(model, training, drawn_faces, out, accumulate=parts)
        logs = [runs[parts].train_step() for _ in range(4)]
        runs[parts].log = logs[-1]
    whole, apart = runs[1].model.state_dict(), runs[4].model.state_dict()
    start = Trainer(model, tiny_training, drawn_faces, tmp_path / "start").model.state_dict()
    for key in whole:
        torch.testing.assert_close(apart[key], whole[key], atol=2e-4, rtol=1e-3)
    assert any(
        not torch.allclose(whole[key].float(), start[key].float(), atol=1e-3) for key in whole
    )
    for key, value in runs[1].log.items():
        torch.testing.assert_close(runs[4].log[key], value, atol=2e-3, rtol=2e-3)


def test_parts_must_fit_and_exclude_the_gate(tiny_model, tiny_training, drawn_faces, tmp_path):
    with pytest.raises(TrainingError, match="processes and parts"):
        Trainer(tiny_model, tiny_training, drawn_faces, tmp_path, accumulate=3)
    gated = dataclasses.replace(tiny_training, equilibrium_margin=0.35)
    with pytest.raises(TrainingError, match="gate"):
        Trainer(tiny_model, gated, drawn_faces, tmp_path, accumulate=2)


def test_every_part_has_faces_to_compare(
    tiny_model, tiny_training, drawn_faces, tmp_path, monkeypatch
):
    with pytest.raises(TrainingError, match="at least two faces"):
        Trainer(tiny_model, tiny_training, drawn_faces, tmp_path, accumulate=8)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    for batch, parts in ((2, 1), (4, 2)):
        training = dataclasses.replace(tiny_training, batch_size=batch)
        with pytest.raises(TrainingError, match="at least two faces"):
            Trainer(tiny_model, training, drawn_faces, tmp_path, accumulate=parts)


def test_a_part_has_prior_samples_and_edits_where_the_batch_has(
    tiny_model, tiny_training, drawn_faces, tmp_path
):
    model = dataclasses.replace(tiny_model, attributes=("Smiling",))
    small = {"prior_samples": 1 / 8, "edits": 1 / 8}
    for name in small:
        training = dataclasses.replace(tiny_training, **small | {name: 1 / 2})
        with pytest.raises(TrainingError, match="too small to have prior samples or edits"):
            Trainer(model, training, drawn_faces, tmp_path, accumulate=4)
    for shares in (small, dict.fromkeys(small, 0.0), dict.fromkeys(small, 1 / 20)):
        parts = 1 if shares is small else 4
        training = dataclasses.replace(tiny_training, **shares)
        Trainer(model, training, drawn_faces, tmp_path, accumulate=parts)
    training = dataclasses.replace(tiny_training, **small)
    vae = dataclasses.replace(tiny_model, model="vae")  # which draws none
    Trainer(vae, training, drawn_faces, tmp_path, accumulate=4)


@pytest.mark.parametrize("labelled", [0, 1, 2])
def test_a_run_needs_no_more_labels_than_there_are(
    labelled, tiny_model, tiny_training, drawn_faces, tmp_path
):
    labels = drawn_faces.attributes.clone()
    labels[labelled:] = 0
    few = dataclasses.replace(drawn_faces, attributes=labels)
    model = dataclasses.replace(tiny_model, attributes=("Smiling",))
    run = trainer(model, tiny_training, few, tmp_path)
    directions = run.model.decoder.directions
    assert directions.isfinite().all() and bool(directions.any()) == (labelled == 2)
    run.run()
    assert directions.isfinite().all() and directions.any()


def test_an_accumulating_run_goes_on_in_the_same_parts(
    tiny_model, tiny_training, drawn_faces, tmp_path
):
    for out, stops in ((tmp_path / "whole", [8]), (tmp_path / "parts", [3, 8])):
        for stop in stops:
            run = Trainer(
                tiny_model, tiny_training, drawn_faces, out, accumulate=2 if stop < 4 or
                len(stops) == 1 else 1,
            )  # fmt: skip
            while run.step < stop:
                run.train_step()
            run.save()
    assert identical(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


@pytest.mark.slow
def test_a_compiled_run_trains_like_a_plain_one(tiny_model, tiny_training, drawn_faces, tmp_path):
    training = dataclasses.replace(tiny_training, adversary_start=1)
    runs = [
        Trainer(tiny_model, training, drawn_faces, tmp_path / str(compiled), compile=compiled)
        for compiled in (False, True)
    ]
    logs = [[{k: float(v) for k, v in run.train_step().items()} for _ in range(3)] for run in runs]
    assert "feature" in logs[0][-1]  # encoder and decoder have had losses of one graph
    for compiled, plain in zip(*reversed(logs), strict=True):
        assert compiled == pytest.approx(plain, abs=1e-3, rel=1e-3)


def test_the_curves_of_a_run_are_drawn(tiny_model, tiny_training, drawn_faces, tmp_path):
    trainer(tiny_model, tiny_training, drawn_faces, tmp_path, steps=100).run()
    found = curves.read(tmp_path / "metrics.jsonl")
    assert [step for step, _ in found["pixel"]] == [50, 100]
    picture = (tmp_path / "curves.svg").read_text()
    assert "Pixel loss" in picture and "Scores of the discriminator" in picture


def test_long_curves_have_no_more_points_than_can_be_seen(tmp_path):
    metrics = tmp_path / "metrics.jsonl"
    for count in (curves.POINTS, 2 * curves.POINTS - 1, 2 * curves.POINTS + 1):
        lines = [json.dumps({"step": step, "pixel": 1.0}) for step in range(count)]
        metrics.write_text("\n".join(lines))
        points = curves.read(metrics)["pixel"]
        assert curves.POINTS / 2 < len(points) <= curves.POINTS
        assert points[-1] == (count - 1, 1.0)


def test_another_seed_is_another_run(tiny_model, tiny_training, drawn_faces, tmp_path):
    for seed in (0, 1):
        trainer(tiny_model, tiny_training, drawn_faces, tmp_path / str(seed), seed=seed).run()
    assert not identical(weights(tmp_path / "0"), weights(tmp_path / "1"))


def test_more_steps_continue_a_finished_run(tiny_model, tiny_training, drawn_faces, tmp_path):
    trainer(tiny_model, tiny_training, drawn_faces, tmp_path).run()
    longer = trainer(tiny_model, tiny_training, drawn_faces, tmp_path, steps=10)
    assert longer.step == 8
    longer.run()
    assert longer.step == 10
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == [8, 10]


@pytest.mark.parametrize("name", MODELS)
def test_a_killed_process_resumes_to_the_same_weights(name, prepared_faces, tmp_path):
    """The real command, SIGKILLed at an arbitrary moment, run again with the same words."""
    command = [
        sys.executable, str(ROOT / "train.py"), "--data", str(prepared_faces), "--resolution", "32",
        "--model", name, "--steps", "200", "--batch-size", "8", "--device", "cpu",
        "--save-minutes", "0.002", "--precision", "float32", *TINY,
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(out: Path) -> subprocess.Popen:
        return subprocess.Popen([*command, "--out", str(out)], env=environment, cwd=ROOT)

    assert run(tmp_path / "whole").wait(300) == 0
    killed = run(tmp_path / "killed")
    until(lambda: (tmp_path / "killed" / "checkpoint.pt").exists() or killed.poll() is not None)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL, "it finished before it could be killed"
    assert run(tmp_path / "killed").wait(300) == 0
    assert identical(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    snapshots = [tmp_path / name / "model" / "model.safetensors" for name in ("whole", "killed")]
    assert files.sha256(snapshots[0]) == files.sha256(snapshots[1])


def test_ctrl_c_saves_and_says_so(prepared_faces, tmp_path):
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "--data", str(prepared_faces),
         "--resolution", "32", "--batch-size", "8", "--device", "cpu",
         "--out", str(tmp_path / "run"), "--save-minutes", "0.01", *TINY],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    until(lambda: (tmp_path / "run" / "checkpoint.pt").exists() or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command again" in out
    assert "Traceback" not in err


@pytest.mark.parametrize("norm", ["relative", "gaussian"])
def test_divergence_stops_the_run_and_keeps_the_good_checkpoint(
    norm, tiny_model, tiny_training, drawn_faces, tmp_path
):
    run = trainer(tiny_model, tiny_training, drawn_faces, tmp_path, feature_norm=norm)
    run.train_step()
    run.save()
    good = weights(tmp_path)
    run.model.decoder.convolutions[-2].weight.data.fill_(math.nan)
    with pytest.raises(TrainingError, match=r"diverged at step .* is kept"):
        run.run()
    assert identical(weights(tmp_path), good)


def test_weights_that_are_lost_under_healthy_losses_are_not_saved(
    tiny_model, tiny_training, drawn_faces, tmp_path, monkeypatch
):
    """The losses of the step that loses them are of the weights before it."""
    run = trainer(tiny_model, tiny_training, drawn_faces, tmp_path, steps=2)
    run.train_step()
    run.save()
    good = weights(tmp_path)
    with monkeypatch.context() as patch, pytest.raises(TrainingError, match="are not finite"):
        patch.setattr("vaegan.trainer.learning_rate_factor", lambda *_: 1e42)
        run.run()
    assert run.step == 2 and identical(weights(tmp_path), good)


@pytest.mark.parametrize("where", ["model", "average", "statistics"])
def test_no_lost_weight_is_saved(where, tiny_model, tiny_training, drawn_faces, tmp_path):
    run = trainer(tiny_model, tiny_training, drawn_faces, tmp_path)
    networks = run.average.networks if where == "average" else run.model.networks
    norm = networks["encoder"].convolutions[1]
    (norm.running_var if where == "statistics" else norm.weight.data)[0] = math.inf
    with pytest.raises(TrainingError, match=r"diverged at step 0 .* is kept"):
        run.save()
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_loss_that_is_a_sum_over_many_features_may_be_large(drawn_faces, tmp_path):
    model, training = PRESETS["larsen2016"]
    model = dataclasses.replace(at_resolution(model, 32), feature_layers=(0,))
    run = trainer(model, training, drawn_faces, tmp_path, batch_size=4, steps=1)
    run.run()
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["feature"] > RUNAWAY


@pytest.mark.parametrize(
    ("norm", "log", "lost"),
    [
        ("gaussian", {"feature": 44092.0, "pixel": 0.5}, None),
        ("relative", {"feature": 44092.0, "pixel": 0.5}, "(feature = 44092)"),
        ("gaussian", {"feature": math.inf, "pixel": 0.5}, "(feature = inf)"),
        ("gaussian", {"feature": math.nan, "pixel": 0.5}, "(feature = nan)"),
        ("gaussian", {"feature": 44092.0, "kl": 44092.0}, "(kl = 44092)"),
    ],
)
def test_what_a_divergence_is(norm, log, lost, tiny_model, tiny_training, drawn_faces, tmp_path):
    run = trainer(tiny_model, tiny_training, drawn_faces, tmp_path, feature_norm=norm)
    found = {name: torch.tensor(value) for name, value in log.items()}
    if lost is None:
        run._check(found)
    else:
        with pytest.raises(TrainingError, match=re.escape(lost)):
            run._check(found)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_takes_finite_steps(preset, drawn_faces, tmp_path):
    model, training = PRESETS[preset]
    training = dataclasses.replace(training, batch_size=4, adversary_start=0, precision="float32")
    run = Trainer(at_resolution(model, 32), training, drawn_faces, tmp_path)
    before = {k: v.clone() for k, v in run.model.state_dict().items()}
    logs = [run.train_step() for _ in range(2)]
    assert all(torch.isfinite(value) for log in logs for value in log.values())
    after = run.model.state_dict()
    for network in ("encoder.mu", "decoder.convolutions.0", "discriminator.blocks.0"):
        names = [name for name in after if name.startswith(network) and "weight" in name]
        assert any(not torch.equal(before[name], after[name]) for name in names), network


def test_other_data_are_not_mixed_into_a_run(tiny_model, tiny_training, drawn_faces, tmp_path):
    trainer(tiny_model, tiny_training, drawn_faces, tmp_path).save()
    other = dataclasses.replace(drawn_faces, fingerprint="other")
    with pytest.raises(TrainingError, match="begun on other data"):
        trainer(tiny_model, tiny_training, other, tmp_path)


def test_a_run_that_goes_on_needs_no_model_to_begin_with(
    tiny_model, tiny_training, drawn_faces, tmp_path
):
    larger = build(dataclasses.replace(tiny_model, latent_dim=16)).networks
    first = trainer(tiny_model, tiny_training, drawn_faces, tmp_path)
    first.save()
    given = {"init": larger, "began_with": {"steps": 5}}
    again = Trainer(tiny_model, tiny_training, drawn_faces, tmp_path, **given)
    assert identical(again.model.state_dict(), first.model.state_dict())
    assert again.began_with is None


def test_what_a_run_began_with_is_kept(tiny_model, tiny_training, drawn_faces, tmp_path):
    init, before = build(tiny_model).networks, {"steps": 5, "config": {"betas": [0.5, 0.9]}}
    Trainer(tiny_model, tiny_training, drawn_faces, tmp_path, init=init, began_with=before).save()
    again = trainer(tiny_model, tiny_training, drawn_faces, tmp_path)
    assert again.began_with == before
    again.export(tmp_path / "model")
    record = files.read_json(tmp_path / "model" / "config.json")["training"]
    assert record["began_with"] == before


def test_what_a_checkpoint_says_is_read_without_its_tensors(
    tiny_model, tiny_training, drawn_faces, tmp_path
):
    assert begun(tmp_path) == {}
    trainer(tiny_model, tiny_training, drawn_faces, tmp_path).save()
    saved = begun(tmp_path)
    assert (saved["model_config"], saved["step"]) == (tiny_model.to_dict(), 0)
    assert all(tensor.is_meta for tensor in saved["model"].values())


def test_a_single_prior_sample_has_no_batch_to_be_normed_in(
    tiny_model, tiny_training, drawn_faces, tmp_path
):
    model = dataclasses.replace(tiny_model, discriminator_batch_norm=True, discriminator_hidden=4)
    with pytest.raises(TrainingError, match="at least two"):
        trainer(model, tiny_training, drawn_faces, tmp_path, prior_samples=1 / 8)
    gan = dataclasses.replace(model, model="gan")  # draws as many as there are photographs
    assert trainer(gan, tiny_training, drawn_faces, tmp_path, prior_samples=1 / 8).step == 0
    for samples in (0.0, 1 / 4):
        run = trainer(model, tiny_training, drawn_faces, tmp_path, prior_samples=samples)
        run.step = tiny_training.adversary_start
        assert all(value.isfinite() for value in run.train_step().values())


def test_grids_keep_no_more_faces_than_they_show(tiny_model, tiny_training, drawn_faces, tmp_path):
    split = torch.tensor([0] * 8 + [1] * 56, dtype=torch.uint8)
    faces = dataclasses.replace(drawn_faces, split=split)
    shown = trainer(tiny_model, tiny_training, faces, tmp_path).grid_set
    assert len(shown) == 32 and shown.untyped_storage().nbytes() == shown.nbytes


def test_training_begins_with_no_more_faces_than_it_says(
    tiny_model, tiny_training, drawn_faces, tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr(eigenfaces, "initialise", lambda networks, x: seen.append(len(x)))
    for most in (48, 47, 25, 24):  # of 48 training faces
        monkeypatch.setattr("vaegan.trainer.FACES", most)
        trainer(tiny_model, tiny_training, drawn_faces, tmp_path)
    assert seen == [48, 24, 24, 24]


def test_too_few_faces_are_said(tiny_model, tiny_training, drawn_faces, tmp_path):
    with pytest.raises(TrainingError, match="A batch of 64 needs"):
        trainer(tiny_model, tiny_training, drawn_faces, tmp_path, batch_size=64)


def test_one_epoch_sees_every_face_once(tiny_model, tiny_training, drawn_faces, tmp_path):
    run = trainer(tiny_model, tiny_training, drawn_faces, tmp_path, flip=False)
    seen = []
    for step in range(6):  # 48 training faces in batches of 8
        run.step = step
        run.rows.copy_(run._next_rows())
        x, labels = run._batch(None, 0)
        assert len(labels) == len(x)
        seen.append(x)
    rows = torch.cat(seen).flatten(1)
    assert len(torch.unique(rows, dim=0)) == len(torch.unique(run.train_set.flatten(1), dim=0))


def test_training_reconstructs_better_than_no_training(
    tiny_model, tiny_training, drawn_faces, tmp_path
):
    run = trainer(tiny_model, tiny_training, drawn_faces, tmp_path, steps=150, adversary_start=999)
    first = run.train_step()["pixel"]
    while run.step < 150:
        last = run.train_step()["pixel"]
    assert last < 0.5 * first


def test_the_learning_rate_falls_at_the_end(tiny_training):
    config = dataclasses.replace(tiny_training, steps=100, decay_start=0.6, decay_floor=0.1)
    assert learning_rate_factor(60, config) == 1
    assert learning_rate_factor(80, config) == pytest.approx(0.1 + 0.9 * 0.5)
    assert learning_rate_factor(100, config) == pytest.approx(0.1)


def test_the_average_follows_weights_and_buffers(tiny_model):
    model = build(tiny_model)
    average = checkpoint.ExponentialMovingAverage(model, decay=0.75)
    norm = model.encoder.convolutions[1]
    norm.weight.data.fill_(5.0)
    norm.running_mean.fill_(8.0)
    norm.num_batches_tracked.fill_(3)
    average.update(model, step=10**9)
    averaged = average.networks["encoder"].convolutions[1]
    assert averaged.weight.data.unique().item() == pytest.approx(0.75 * 1 + 0.25 * 5)
    assert averaged.running_mean.unique().item() == pytest.approx(0.25 * 8)
    assert averaged.num_batches_tracked == 3


def until(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.005)


def test_samples_in_the_run_folder_come_from_where_training_draws_them(
    tiny_model, tiny_training, drawn_faces, tmp_path
):
    """An encoder that says the same of every face leaves one place to draw blends from."""

    def grid(prior: str) -> np.ndarray:
        changes = {"prior": prior, "steps": 1, "learning_rate": 0.0}
        run = trainer(tiny_model, tiny_training, drawn_faces, tmp_path / prior, **changes)
        for model in (run.model, run.average):
            for parameter in model.networks["encoder"].parameters():
                parameter.data.zero_()
        run.run(grid_every=1)
        return np.asarray(Image.open(tmp_path / prior / "samples" / "0000001.png"), dtype=int)

    def apart(pixels: np.ndarray) -> int:
        side = tiny_model.resolution + 2
        first, second = (pixels[2:side, start : start + side - 2] for start in (2, 2 + side))
        return abs(first - second).max()

    assert apart(grid("aggregate")) <= 1 < apart(grid("standard"))
