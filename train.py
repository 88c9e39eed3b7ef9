"""Trains a model on a prepared face set; the same command again goes on where it stopped.

python train.py --data faces64.safetensors --out runs/mine
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import torch

from vaegan import checkpoint, data, distributed, files
from vaegan.config import MODELS, PRESETS, ConfigError, ModelConfig, TrainConfig, at_resolution
from vaegan.trainer import Interrupted, Trainer, TrainingError


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", required=True, help="a prepared set (python -m vaegan.data prepare), or photos")
    add("--out", required=True, type=Path, help="the run's folder, such as runs/mine")
    add("--model", choices=MODELS, default="vaegan")
    add("--preset", choices=PRESETS, default="default")
    add("--resolution", type=int, default=64, help="side of the pictures in pixels")
    add("--steps", type=int, help="all steps of the run; a larger number continues a finished run")
    add("--minutes", type=float, default=float("inf"), help="stop (and save) after so long")
    add("--batch-size", type=int)
    add("--seed", type=int)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--init", type=Path, help="a model's folder to start from: fine-tuning on your own faces")
    return parser.parse_args(arguments)


def configs(flags: argparse.Namespace) -> tuple[ModelConfig, TrainConfig]:
    """The preset, with what the flags change."""
    model, training = PRESETS[flags.preset]
    model = at_resolution(dataclasses.replace(model, model=flags.model), flags.resolution)
    names = ("steps", "batch_size", "seed")
    changes = {name: value for name in names if (value := getattr(flags, name)) is not None}
    return model, dataclasses.replace(training, **changes)


def main(arguments: list[str] | None = None) -> int:
    flags = parse(arguments)
    try:
        model_config, train_config = configs(flags)
        init = None
        if flags.init:
            snapshot = checkpoint.load_snapshot(flags.init)
            model_config, init = snapshot.config, snapshot.networks
        faces = data.load(flags.data, resolution=model_config.resolution)
        with distributed.process_group(flags.device):
            trainer = Trainer(model_config, train_config, faces, flags.out, flags.device, init)
            trainer.run(flags.minutes)
            if distributed.rank() == 0:
                trainer.export(flags.out / "model")
                print(f"Step {trainer.step}: the model is in {flags.out / 'model'}.")
    except Interrupted:
        print("Stopped and saved; the same command again goes on from here.")
        return 130
    except (
        ConfigError,
        TrainingError,
        data.DataError,
        files.FileError,
        checkpoint.SnapshotError,
    ) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
