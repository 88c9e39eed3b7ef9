"""What a run leaves on disk: checkpoints that resume it, and snapshots that others use.

A checkpoint is everything that a run needs to go on as if it had never stopped. A snapshot is a
folder with `config.json` and `model.safetensors`: the averaged weights in half precision and the
distribution of the training latents, and nothing else; no pickle.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vaegan import files
from vaegan.config import ConfigError, ModelConfig
from vaegan.errors import UserError
from vaegan.models import Model, build
from vaegan.networks import echo
from vaegan.prior import Prior

CONFIG, WEIGHTS = "config.json", "model.safetensors"
DISCRIMINATOR = "training/discriminator.safetensors"
FORMAT = 1
TRIED = 2  # random faces that a model must be able to draw


class SnapshotError(UserError):
    """A model folder that cannot be used, said in one sentence."""


class ExponentialMovingAverage:
    """The running average of a model's exported networks, buffers included.

    Args:
        decay: the share of the average that survives a step; it starts lower, so that the first
            steps do not linger: min(decay, (1 + step) / (10 + step)).
    """

    def __init__(self, model: Model, decay: float) -> None:
        self.decay = decay
        self.networks = {name: copy.deepcopy(model.networks[name]) for name in model.exported}
        for network in self.networks.values():
            network.requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, model: Model, step: int) -> None:
        """Moves the average towards the model's weights; what is no float is taken as it is.

        Args:
            step: the number of the step that the model has just taken, from 1.

        Raises:
            KeyError: the model has other weights.
        """
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, average in self.networks.items():
            current = model.networks[name].state_dict()
            averages = average.state_dict()
            if averages.keys() != current.keys():
                raise KeyError(f"The average of {name} has other weights than the network itself.")
            floats = [key for key, value in averages.items() if value.is_floating_point()]
            torch._foreach_lerp_(
                [averages[key] for key in floats], [current[key] for key in floats], weight
            )
            for key in averages.keys() - set(floats):
                averages[key].copy_(current[key])

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """The averaged weights: network's name → weight's name → tensor, not copied."""
        return {name: network.state_dict() for name, network in self.networks.items()}

    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Copies what `state_dict` gave, of a model of the same shapes."""
        for name, network in self.networks.items():
            network.load_state_dict(state[name])


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes a training state aside and renames it: an interruption leaves the one before.

    Raises:
        SnapshotError: it cannot be written.
    """
    try:
        with files.atomic(path) as temporary:
            torch.save(state, temporary)
    except (OSError, RuntimeError) as error:  # PyTorch's own writer raises the latter
        raise SnapshotError(f"{path} cannot be written; is the disk full?") from error


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Reads the program's own training state; tensors and plain values only.

    Raises:
        SnapshotError: it is none.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        state["step"]
    except Exception as error:  # torch.load raises whatever its parts raise
        raise SnapshotError(f"{path} is not a checkpoint that can be read.") from error
    return state


@dataclass(frozen=True)
class Snapshot:
    """A model ready to be used: networks in float32 and eval mode, on the CPU.

    prior: fitted to the training photographs' mu.
    training: what `config.json` says of the run, for people to read.
    """

    config: ModelConfig
    networks: dict[str, nn.Module]
    prior: Prior
    training: dict[str, Any]
    sha256: str

    @property
    def encoder(self) -> nn.Module | None:
        return self.networks.get("encoder")

    @property
    def decoder(self) -> nn.Module:
        return self.networks["decoder"]


def save_snapshot(
    folder: Path,
    config: ModelConfig,
    networks: dict[str, nn.Module],
    prior: Prior,
    training: dict[str, Any],
) -> None:
    """Writes `config.json` and `model.safetensors` (float16) into `folder`."""
    tensors = prior.tensors() | {
        f"{name}.{key}": value
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    tensors = {
        name: value.half() if value.is_floating_point() else value
        for name, value in tensors.items()
    }
    files.save_tensors(folder / WEIGHTS, tensors, {"format": str(FORMAT)})
    described = {"format": FORMAT, "model": config.to_dict(), "training": training}
    files.write_json(folder / CONFIG, described)


def load_snapshot(folder: Path) -> Snapshot:
    """Reads a model folder strictly: every weight that the config asks for, and no other.

    Raises:
        SnapshotError: a file is missing or damaged, or config and weights disagree.
    """
    folder = Path(folder)
    try:
        described = files.read_json(folder / CONFIG)
        tensors, _ = files.load_tensors(folder / WEIGHTS)
        shapes, training = described.get("model"), described.get("training", {})
        known = described.get("format") == FORMAT
        if not (known and isinstance(shapes, dict) and isinstance(training, dict)):
            raise SnapshotError(f"{folder / CONFIG} does not describe a model of this program.")
        config = ModelConfig.from_dict(shapes)
    except (files.FileError, ConfigError) as error:
        raise SnapshotError(str(error)) from error

    # On the meta device a config that asks for too much costs no memory. The discriminator is not
    # read, and without spectral norms it is quicker to build.
    with torch.device("meta"):
        model = build(replace(config, discriminator_spectral_norm=False))
        expected = Prior.like(tensors, config.latent_dim)
    networks = {name: model.networks[name] for name in model.exported}
    expected |= {
        f"{name}.{key}": value
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }
    _check(folder, tensors, expected)
    for name, network in networks.items():
        prefix = f"{name}."
        state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        network.to_empty(device="cpu").load_state_dict(state)
        network.eval().requires_grad_(False)
    try:
        prior = Prior.from_tensors(tensors)
    except ValueError as error:
        raise SnapshotError(f"The weights in {folder} are damaged: {error}.") from error
    snapshot = Snapshot(config, networks, prior, training, files.sha256(folder / WEIGHTS))
    if not _alive(snapshot):
        raise SnapshotError(f"The weights in {folder} are damaged: they draw no picture.")
    return snapshot


@torch.no_grad()
def _alive(snapshot: Snapshot) -> bool:
    """Whether the mean face and random ones can be drawn, and encoded again."""
    encoder, decoder, prior = snapshot.encoder, snapshot.decoder, snapshot.prior
    again = partial(echo, encoder, decoder) if encoder else None
    random = prior.draw(TRIED, 1.0, torch.Generator().manual_seed(0), again)
    x = decoder(torch.cat([prior.mean[None], random]))
    mu, _ = encoder(x) if encoder else (x, None)
    return bool(x.isfinite().all() and mu.isfinite().all())


def load_training_state(folder: Path, config: ModelConfig) -> dict[str, nn.Module]:
    """The networks that only training needs, by name; empty where the folder has none.

    Raises:
        SnapshotError, FileError: damaged, or they do not fit the config.
    """
    path = Path(folder) / DISCRIMINATOR
    if not path.is_file():
        return {}
    tensors, _ = files.load_tensors(path)
    with torch.device("meta"):  # as in `load_snapshot`
        discriminator = build(config).networks.get("discriminator")
    if discriminator is None or _misfit(tensors, discriminator.state_dict()) is not None:
        raise SnapshotError(f"The discriminator in {path} does not fit the model.")
    discriminator.to_empty(device="cpu").load_state_dict(tensors)
    return {"discriminator": discriminator}


def _misfit(tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> str | None:
    """The first name that only one of the two has, or that has another shape; None if all fit."""
    found, wanted = (
        {name: tensor.shape for name, tensor in each.items()} for each in (tensors, expected)
    )
    names = sorted(found | wanted)
    return next((name for name in names if found.get(name) != wanted.get(name)), None)


def _check(folder: Path, tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    if (wrong := _misfit(tensors, expected)) is not None:
        raise SnapshotError(f"The weights in {folder} do not fit its config: {wrong}.")
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor.float()).all():  # where float64 may hold more, it overflows
            raise SnapshotError(f"The weights in {folder} are damaged: {name} is not finite.")
