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
import sys
from pathlib import Path

import torch

from vaegan import attributes, card, checkpoint, curves, data, distributed, files, hub
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
from vaegan.judge import JudgeError
from vaegan.tables import tables
from vaegan.trainer import METRICS, Interrupted, Trainer, TrainingError

CONFIG_FLAGS = ("steps", "batch_size", "seed", "precision", "learning_rate")  # of a TrainConfig
# Flags that leave a part out: what they set, and the models that have the part.
ABLATIONS: dict[str, tuple[dict[str, object], tuple[str, ...], str]] = {
    "feature_loss": ({"feature_weight": 0.0}, ("vaegan",), "likeness in the discriminator's eyes"),
    "pixel_loss": ({"pixel_weight": 0.0}, ("vaegan",), "likeness in pixels"),
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
ERRORS = (
    ConfigError,
    TrainingError,
    data.DataError,
    files.FileError,
    checkpoint.SnapshotError,
    hub.HubError,
    JudgeError,
    attributes.VectorError,
)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", required=True, help="a prepared set, photographs (folder or zip), or user/repo")
    add("--out", required=True, type=Path, help="the run's folder, such as runs/mine")
    add("--model", choices=MODELS, default="vaegan")
    add("--preset", choices=PRESETS, default="default")
    add("--resolution", type=int, default=64, help="side of the pictures in pixels")
    add("--init", help="a model to start from, for fine-tuning on your own faces")
    add("--steps", type=int, help="all steps of the run; a larger number continues a finished run")
    add("--minutes", type=float, default=math.inf, help="stop (and save) after so long")
    add("--save-minutes", type=float, default=4, help="time between two checkpoints")
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
    add("--bundle", metavar="NAME", help="copy the model into pretrained/NAME and attributes/")
    add("--push-to-hub", type=hub.repository, metavar="USER/REPO",
        help="upload the model to the Hugging Face Hub")  # fmt: skip
    add("--with-training-state", action="store_true", help="upload the discriminator too")
    flags = parser.parse_args(arguments)
    if flags.with_training_state and flags.model in ("autoencoder", "vae"):
        parser.error(f"--with-training-state: a model {flags.model} has no discriminator")
    if flags.accumulate < 1:
        parser.error("--accumulate: a batch has at least one part")
    for name, (_, models, _) in ABLATIONS.items():
        if getattr(flags, f"no_{name}") and flags.model not in models:
            parser.error(f"--no-{name.replace('_', '-')}: a model {flags.model} cannot do without")
    return flags


def configs(flags: argparse.Namespace) -> tuple[ModelConfig, TrainConfig]:
    """The preset, with what the flags change."""
    model, training = PRESETS[flags.preset]
    model = at_resolution(dataclasses.replace(model, model=flags.model), flags.resolution)
    if flags.latent_dim is not None:
        model = dataclasses.replace(model, latent_dim=flags.latent_dim)
    given = {name: getattr(flags, name) for name in CONFIG_FLAGS}
    changes = {name: value for name, value in given.items() if value is not None}
    for name, (without, _, _) in ABLATIONS.items():
        changes |= without if getattr(flags, f"no_{name}") else {}
    return with_settings(model, dataclasses.replace(training, **changes), flags.set)


def finish(trainer: Trainer, faces: FaceSet, flags: argparse.Namespace) -> None:
    """Writes the snapshot, its attribute vectors and its card; bundles and pushes it if asked."""
    folder = flags.out / "model"
    trainer.export(folder)
    snapshot = checkpoint.load_snapshot(folder)
    if snapshot.encoder is not None and len(faces.subset("train").labelled()):
        sha256 = snapshot.sha256
        vectors = attributes.compute(snapshot.encoder, faces, sha256, "least squares")
        attributes.save(vectors, folder / "attributes.safetensors")
    evaluation = measure(folder, faces, flags) if flags.evaluate else None
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


def measure(folder: Path, faces: FaceSet, flags: argparse.Namespace) -> dict[str, object]:
    """Evaluates the model on the test people; the numbers also go to the run's folder."""
    from vaegan import evaluate  # here alone, since they need a face detector and training does not
    from vaegan.editor import Editor

    critic = evaluate.prepare_judge(flags.judge or flags.out / "judge.safetensors", faces)
    report = evaluate.described(Editor.from_pretrained(folder), faces, critic, "test")
    evaluate.write(report, flags.out / "evaluation.json")
    print(tables(report))
    return report


def main(arguments: list[str] | None = None) -> int:
    flags = parse(arguments)
    try:
        model_config, train_config = configs(flags)
        init = began_with = None
        if flags.init:
            folder, _ = hub.locate(flags.init)
            snapshot = checkpoint.load_snapshot(folder)
            model_config, init = snapshot.config, snapshot.networks
            began_with = snapshot.training
            init = init | checkpoint.load_training_state(folder, model_config)
            # What is trained already needs no warm-up, which would only blur it.
            train_config = dataclasses.replace(train_config, adversary_start=0, kl_warmup=0)
        faces = data.load(hub.data_source(flags.data), resolution=model_config.resolution)
        if not init and flags.model == "vaegan" and train_config.attribute_weight:
            names = attributes.offered(faces.attribute_names)
            model_config = dataclasses.replace(model_config, attributes=names)
        with distributed.process_group(flags.device):
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
    except ERRORS as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
