"""Trains a model on prepared faces; the same command again goes on where it stopped.

    python -m vaegan.data prepare PHOTOS --out faces64.safetensors --resolution 64
    python train.py --data faces64.safetensors --out runs/mine

The run's folder gets checkpoints, grids and a metrics file, and at the end `model/`: the snapshot
that the app and the editor load, with the attribute vectors of the labels in the data.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import shlex
import sys
from pathlib import Path

import torch

from vaegan import attributes, checkpoint, data, distributed, files, hub
from vaegan.card import card
from vaegan.config import MODELS, PRESETS, ConfigError, ModelConfig, TrainConfig, at_resolution
from vaegan.data import FaceSet
from vaegan.trainer import Interrupted, Trainer, TrainingError

CONFIG_FLAGS = ("steps", "batch_size", "seed", "precision")  # those that a TrainConfig holds
ERRORS = (
    ConfigError,
    TrainingError,
    data.DataError,
    files.FileError,
    checkpoint.SnapshotError,
    hub.HubError,
)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", required=True, help="a prepared set, or a folder or zip of photographs")
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
    add("--precision", choices=("auto", "float32", "bfloat16"))
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--data-description", default="not described", help="a sentence for the model card")
    add("--licence", default="not stated", help="what the weights may be used for, for the card")
    add("--bundle", metavar="NAME", help="copy the model into pretrained/NAME and attributes/")
    add("--push-to-hub", type=hub.repository, metavar="USER/REPO",
        help="upload the model to the Hugging Face Hub")  # fmt: skip
    add("--with-training-state", action="store_true", help="upload the discriminator too")
    flags = parser.parse_args(arguments)
    if flags.with_training_state and flags.model in ("autoencoder", "vae"):
        parser.error(f"--with-training-state: a model {flags.model} has no discriminator")
    return flags


def configs(flags: argparse.Namespace) -> tuple[ModelConfig, TrainConfig]:
    """The preset, with what the flags change."""
    model, training = PRESETS[flags.preset]
    model = at_resolution(dataclasses.replace(model, model=flags.model), flags.resolution)
    given = {name: getattr(flags, name) for name in CONFIG_FLAGS}
    changes = {name: value for name, value in given.items() if value is not None}
    return model, dataclasses.replace(training, **changes)


def finish(trainer: Trainer, faces: FaceSet, flags: argparse.Namespace) -> None:
    """Writes the snapshot, its attribute vectors and its card; bundles and pushes it if asked."""
    folder = flags.out / "model"
    trainer.export(folder)
    snapshot = checkpoint.load_snapshot(folder)
    if snapshot.encoder is not None and len(faces.subset("train").labelled()):
        vectors = attributes.compute(snapshot.encoder, faces, snapshot.sha256)
        attributes.save(vectors, folder / "attributes.safetensors")
    config = files.read_json(folder / checkpoint.CONFIG)
    command = shlex.join(["python", *sys.argv])
    text = card(config, flags.data_description, flags.licence, command)
    with files.atomic(folder / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
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


def main(arguments: list[str] | None = None) -> int:
    flags = parse(arguments)
    try:
        model_config, train_config = configs(flags)
        init = None
        if flags.init:
            snapshot = checkpoint.load_snapshot(hub.locate(flags.init)[0])
            model_config, init = snapshot.config, snapshot.networks
            # What is trained already needs no warm-up, which would only blur it.
            train_config = dataclasses.replace(train_config, adversary_start=0, kl_warmup=0)
        faces = data.load(flags.data, resolution=model_config.resolution)
        if not init and train_config.attribute_weight:
            names = attributes.offered(faces.attribute_names)
            model_config = dataclasses.replace(model_config, attributes=names)
        with distributed.process_group(flags.device):
            trainer = Trainer(model_config, train_config, faces, flags.out, flags.device, init)
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
