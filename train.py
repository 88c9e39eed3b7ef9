"""Trains a model on prepared faces; the same command again goes on where it stopped.

    python -m vaegan.data prepare PHOTOS --out faces64.safetensors --resolution 64
    python train.py --data faces64.safetensors --out runs/mine

The run's folder gets checkpoints, grids, a metrics file and its curves, and at the end `model/`:
the snapshot that the app and the editor load, with the attribute vectors of the labels in the data.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import shlex
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vaegan import (
    attributes,
    card,
    checkpoint,
    curves,
    data,
    distributed,
    evaluate,
    files,
    hub,
)
from vaegan.checkpoint import Snapshot
from vaegan.config import (
    MODELS,
    PRESETS,
    ConfigError,
    ModelConfig,
    TrainConfig,
    at_resolution,
    with_settings,
)
from vaegan.data import FaceSet
from vaegan.editor import Editor
from vaegan.errors import command_line
from vaegan.judge import Judge, JudgeError, check_packages, trainable
from vaegan.parallel import cores
from vaegan.tables import FORMAT, tables
from vaegan.trainer import METRICS, Interrupted, Trainer, begun

# Flags that say what the model is, where --init does not, and what they are when not given.
SHAPE = {"model": "vaegan", "preset": "default", "resolution": 64, "latent_dim": None}
CONFIG_FLAGS = ("steps", "batch_size", "seed", "precision", "learning_rate")  # of a TrainConfig
# Flags that leave a part out: what they set, and the models that have the part.
ABLATIONS: dict[str, tuple[dict[str, object], tuple[str, ...], str]] = {
    "feature_loss": ({"feature_weight": 0.0}, ("vaegan",), "likeness in the discriminator's eyes"),
    # Without it the first steps, those of a plain VAE, would have the KL alone.
    "pixel_loss": (
        {"pixel_weight": 0.0, "adversary_start": 0},
        ("vaegan",),
        "likeness in pixels",
    ),
    "adversary": ({"adversarial_weight": 0.0}, ("vaegan",), "the decoder's wish to fool"),
    "prior_samples": ({"prior_samples": 0.0}, ("vaegan",), "fakes drawn from the prior"),
    "attributes": (
        {"attribute_weight": 0.0, "likeness_weight": 0.0, "edits": 0.0},
        ("vaegan",),
        "labels: attributes named and edits trained",
    ),
    "augment": ({"augment": False}, ("gan", "vaegan"), "DiffAugment before the discriminator"),
    "flip": ({"flip": False}, MODELS, "mirrored photographs"),
}
EVALUATION = "evaluation.json"  # in the run's folder


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", required=True, help="a prepared set, photographs (folder or zip), or user/repo")
    add("--out", required=True, type=Path, help="the run's folder, such as runs/mine")
    add("--model", choices=MODELS, help="vaegan, if nothing is said")
    add("--preset", choices=PRESETS, help="default, if nothing is said")
    add("--resolution", type=int, help="side of the pictures in pixels; 64, if nothing is said")
    add("--init", help="a model to start from, for fine-tuning on your own faces")
    add("--steps", type=int, help="all steps of the run; a larger number continues a finished run")
    add("--minutes", type=minutes, default=math.inf, help="stop (and save) after so long")
    add("--save-minutes", type=minutes, default=4, help="time between two checkpoints")
    add("--batch-size", type=int)
    add("--seed", type=int)
    add("--learning-rate", type=float)
    add("--latent-dim", type=int, help="how many numbers z has")
    for name, (_, models, what) in ABLATIONS.items():
        add(f"--no-{name.replace('_', '-')}", action="store_true",
            help=f"without {what} ({', '.join(models)})")  # fmt: skip
    add("--set", action="append", default=[], metavar="NAME=VALUE",
        help="any field of ModelConfig or TrainConfig (vaegan/config.py)")  # fmt: skip
    add("--accumulate", type=int, default=1, metavar="N",
        help="compute each batch in N parts, to save memory")  # fmt: skip
    add("--compile", action="store_true", help="let torch.compile make the networks faster")
    add("--precision", choices=("auto", "float32", "bfloat16"))
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--data-description", default="not described", help="a sentence for the model card")
    add("--licence", default="not stated", help="what the weights may be used for, for the card")
    add("--evaluate", action="store_true", help="measure the model on the test people at the end")
    add("--judge", type=Path, metavar="FILE", help="keeps the judge for other evaluations")
    add("--bundle", type=argument(hub.bundled_name), metavar="NAME",
        help="copy the model into pretrained/NAME and attributes/")  # fmt: skip
    add("--push-to-hub", type=argument(hub.repository), metavar="USER/REPO",
        help="upload the model to the Hugging Face Hub")  # fmt: skip
    add("--with-training-state", action="store_true", help="upload the discriminator too")
    flags = parser.parse_args(arguments)
    try:
        torch.empty(0, device=flags.device)
    except (RuntimeError, AssertionError, ImportError):  # as the kind of device has it
        parser.error(f"--device: PyTorch cannot use {flags.device!r} here")
    flags.given = [name for name in SHAPE if getattr(flags, name) is not None]
    for name in SHAPE.keys() - flags.given:
        setattr(flags, name, SHAPE[name])
    if flags.accumulate < 1:
        parser.error("--accumulate: a batch has at least one part")
    return flags


def minutes(text: str) -> float:
    """A length of time for argparse, which says itself that a word is no number."""
    value = float(text)
    if not value >= 0:  # true for NaN
        raise argparse.ArgumentTypeError(f"a time is 0 minutes or more, not {text}")
    return value


def argument(check: Callable[[str], str]) -> Callable[[str], str]:
    """A check of `hub` for argparse, which shows the sentence of its own error only."""

    def checked(name: str) -> str:
        try:
            return check(name)
        except hub.HubError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


def configs(flags: argparse.Namespace) -> tuple[ModelConfig, TrainConfig]:
    """The preset, with what the flags change."""
    model, training = PRESETS[flags.preset]
    if flags.model == "vae" and not training.pixel_weight:
        # It has no features to compare: pixels, as heavy beside the KL as by default.
        plain = TrainConfig()
        weight = plain.pixel_weight / plain.kl_weight * training.kl_weight
        training = dataclasses.replace(training, pixel_weight=weight)
    if flags.init:  # what is trained already needs no warm-up, which would only blur it
        training = dataclasses.replace(training, adversary_start=0, kl_warmup=0)
    model = at_resolution(dataclasses.replace(model, model=flags.model), flags.resolution)
    if flags.latent_dim is not None:
        model = dataclasses.replace(model, latent_dim=flags.latent_dim)
    given = {name: getattr(flags, name) for name in CONFIG_FLAGS}
    changes = {name: value for name, value in given.items() if value is not None}
    for name, (without, _, _) in ABLATIONS.items():
        changes |= without if getattr(flags, f"no_{name}") else {}
    return with_settings(model, dataclasses.replace(training, **changes), flags.set)


def refuse_unsuited(flags: argparse.Namespace, model: ModelConfig) -> None:
    """
    Raises:
        ConfigError: a flag is about a part that the model has not.
    """
    if flags.with_training_state and model.model in ("autoencoder", "vae"):
        raise ConfigError(f"--with-training-state: a model {model.model} has no discriminator.")
    for name, (_, models, _) in ABLATIONS.items():
        if getattr(flags, f"no_{name}") and model.model not in models:
            flag = f"--no-{name.replace('_', '-')}"
            raise ConfigError(f"{flag}: a model {model.model} cannot do without.")


def check(model: ModelConfig, training: TrainConfig) -> None:
    """Refuses what could not be trained as it says.

    Raises:
        ConfigError: a model that would learn from the KL alone, or attributes for another model.
    """
    begins_as_vae = model.model == "vaegan" and training.adversary_start > 0
    if (model.model == "vae" or begins_as_vae) and not training.pixel_weight:
        raise ConfigError(
            "A VAE learns likeness from pixels alone, as a VAE-GAN does before adversary_start, so "
            "pixel_weight cannot be 0."
        )
    if model.model == "vaegan" and not (training.pixel_weight or training.feature_weight):
        raise ConfigError(
            "A VAE-GAN learns likeness from pixels or features, so pixel_weight and feature_weight "
            "cannot both be 0."
        )
    if model.attributes and model.model != "vaegan":
        raise ConfigError(f"A model {model.model} is not trained on attributes.")


def refuse_ignored(flags: argparse.Namespace, asked: ModelConfig, given: ModelConfig) -> None:
    """With --init the model is as it is, so what the flags say of it must be true already.

    Args:
        asked: what the flags say. given: what --init names.

    Raises:
        ConfigError: a flag would be ignored.
    """
    wanted, found = asked.to_dict(), given.to_dict()
    other = {name for name in wanted if wanted[name] != found[name]}
    named = {f"--{name.replace('_', '-')}": {name} for name in flags.given}
    if "preset" in flags.given:
        named["--preset"] = other - {"attributes"}  # those are never a preset's
    settings = [setting.partition("=")[0] for setting in flags.set]
    named |= {f"--set {name}": {name} for name in settings}
    if ignored := [flag for flag, fields in named.items() if fields & other]:
        raise ConfigError(f"--init takes a model as it is: it would ignore {', '.join(ignored)}.")


def starting_point(
    flags: argparse.Namespace, asked: ModelConfig, training: TrainConfig
) -> tuple[ModelConfig, dict[str, nn.Module] | None, dict[str, Any] | None]:
    """Which model is trained, and with --init its networks and how those were trained.

    A run that goes on has all that itself, whatever the flags say.

    Raises:
        ConfigError, ModelNotFound, SnapshotError, FileError: the run cannot begin so.
    """
    saved = begun(flags.out)
    own = ModelConfig.from_dict(saved["model_config"]) if saved else None
    if flags.init and not saved:
        folder, _ = hub.locate(flags.init, training_state=True)
        snapshot = checkpoint.load_snapshot(folder)
        init, began_with = snapshot.networks, snapshot.training
        init = init | checkpoint.load_training_state(folder, snapshot.config)
        given = snapshot.config
    else:
        given, init, began_with = asked, None, None
    if own is None:
        refuse_ignored(flags, asked, given)
        check(given, training)
    refuse_unsuited(flags, own or given)
    return own or given, init, began_with


def check_evaluation(faces: FaceSet, judge: Path) -> None:
    """Refuses before the training what `measure` would refuse after it.

    Args:
        judge: where the judge is, or will be.

    Raises:
        JudgeError, FileError: labels are missing, it is the judge of other faces, or its name is
            none.
    """
    files.tensors_path(judge)
    trainable(faces)
    if judge.exists() and Judge.load(judge).dataset != faces.fingerprint:
        raise JudgeError(f"The judge in {judge} was trained on another face set.")


def alone(out: Path) -> AbstractContextManager[None]:
    """Two runs in one folder would undo each other; the processes of one are led by the first."""
    return nullcontext() if distributed.rank() else files.alone(out)


def judge_file(flags: argparse.Namespace) -> Path:
    return flags.judge or flags.out / "judge.safetensors"


def finish(trainer: Trainer, faces: FaceSet, flags: argparse.Namespace) -> None:
    """Writes the snapshot, its attribute vectors and its card; bundles and pushes it if asked.

    Vectors and an evaluation of the same weights, as a finished run may have, are kept.
    """
    folder = flags.out / "model"
    path = folder / "attributes.safetensors"
    snapshot = export(trainer, folder, path)
    wanted = snapshot.encoder is not None and attributes.two_sided(faces)
    if wanted and not has_vectors(path, snapshot):
        vectors = attributes.compute(snapshot.encoder, faces, snapshot.sha256, "least squares")
        attributes.save(vectors, path)
    if flags.evaluate:
        evaluation = measure(folder, faces, flags)
    else:
        evaluation = measured(flags.out / EVALUATION, snapshot.sha256, path)
    curves.draw(flags.out / METRICS, folder / card.CURVES)
    command = shlex.join(["python", *sys.argv])
    card.write(folder, flags.data_description, flags.licence, command, evaluation)
    if "discriminator" in trainer.model.networks:
        state = trainer.model.networks["discriminator"].state_dict()
        files.save_tensors(folder / checkpoint.DISCRIMINATOR, state)
    if flags.bundle:
        hub.bundle(folder, flags.bundle)
    print(f"Step {trainer.step}: the model is in {folder}.")
    if flags.push_to_hub:
        training = flags.with_training_state
        address = hub.push(folder, flags.push_to_hub, with_training_state=training)
        print(f"It is at {address}")


def export(trainer: Trainer, folder: Path, vectors: Path) -> Snapshot:
    """Writes the snapshot; `vectors` of other weights go first, or a kill would leave them there
    and the model could not be loaded."""
    aside = folder.with_name(f"{folder.name}.new")
    trainer.export(aside)
    snapshot = checkpoint.load_snapshot(aside)
    if not has_vectors(vectors, snapshot):
        vectors.unlink(missing_ok=True)
    folder.mkdir(exist_ok=True)
    for name in (checkpoint.CONFIG, checkpoint.WEIGHTS):
        (aside / name).replace(folder / name)
    shutil.rmtree(aside)  # with what an export that was killed left there
    return snapshot


def has_vectors(path: Path, model: Snapshot) -> bool:
    """Whether there are attribute vectors of these weights, such as those of `vaegan.select`."""
    try:
        attributes.load(path, model)
    except (attributes.VectorError, files.FileError):
        return False
    return True


def measured(path: Path, sha256: str, vectors: Path) -> dict[str, object] | None:
    """The evaluation in `path`, if it is of these weights with these vectors."""
    try:
        report = files.read_json(path)
    except files.FileError:
        return None
    # It names the weights only, but vectors that are newer it cannot have measured.
    newer = vectors.is_file() and vectors.stat().st_mtime > path.stat().st_mtime
    fits = (report.get("format"), report.get("weights")) == (FORMAT, sha256)
    return report if fits and not newer else None


def measure(folder: Path, faces: FaceSet, flags: argparse.Namespace) -> dict[str, object]:
    """Evaluates the model on the test people; the numbers also go to the run's folder."""
    judge = evaluate.prepare_judge(judge_file(flags), faces)
    report = evaluate.described(Editor.from_pretrained(folder), faces, judge, "test")
    evaluate.write(report, flags.out / EVALUATION)
    print(tables(report))
    return report


@command_line
def main(arguments: list[str] | None = None) -> int:
    flags = parse(arguments)
    torch.set_num_threads(min(torch.get_num_threads(), cores()))
    try:
        if flags.evaluate:
            check_packages()
        model_config, train_config = configs(flags)
        model_config, init, began_with = starting_point(flags, model_config, train_config)
        faces = data.load(hub.data_source(flags.data), resolution=model_config.resolution)
        if model_config.model != "gan":
            attributes.two_sided(faces)  # refuses what would be refused when the vectors are due
        if flags.evaluate:
            check_evaluation(faces, judge_file(flags))
        labels_teach = model_config.model == "vaegan" and train_config.attribute_weight
        if labels_teach and not (init or model_config.attributes):
            known = attributes.sliders(faces.attribute_names)
            names = tuple(name for name in faces.attribute_names if name in known)
            model_config = dataclasses.replace(model_config, attributes=names)
        with distributed.process_group(flags.device), alone(flags.out):
            trainer = Trainer(
                model_config,
                train_config,
                faces,
                flags.out,
                flags.device,
                init,
                began_with,
                accumulate=flags.accumulate,
                compile=flags.compile,
            )
            if trainer.step:
                print(f"Going on from step {trainer.step} with the run's own settings.")
            trainer.run(flags.minutes, flags.save_minutes)
            if distributed.rank() == 0:
                finish(trainer, faces, flags)
    except Interrupted:
        print("Stopped and saved; the same command again goes on from here.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
