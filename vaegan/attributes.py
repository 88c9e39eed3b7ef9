"""Attribute vectors: what to add to z so that a face smiles, wears glasses, grows old.

    python -m vaegan.attributes MODEL --data SET

The plain definition (Larsen et al. 2016, section 4.1; Radford et al. 2016): the mean latent of
the faces that have an attribute minus the mean latent of those that do not, latents being the
encoder's mean mu. A slider at s adds s · length(z) · vector. As computed here, a vector is as long
as the way from the one class mean to the other. length(z) is how far a face has to go, 1 in the
mean (`directions.step_length`): one that smiles a little already needs less of a smile than one
that frowns, and more than it needs would be paint. `vaegan.directions` has other methods, and
`vaegan.select` finds the one that changes least beside what it should, and how long its vector has
to be. What takes an attribute away need not be what gives it, backwards, so below 0 a slider has a
vector of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaegan import checkpoint, data, directions, files
from vaegan.checkpoint import Snapshot
from vaegan.data import FaceSet
from vaegan.errors import UserError, command_line
from vaegan.networks import Encoder, encode_all
from vaegan.sources import CELEBA_ATTRIBUTES, SPLITS

FORMAT = 4
LIMIT = 3.0  # sliders run from -LIMIT to LIMIT
OTHERS = "Others"  # the group of what CelebA does not know
MOST = 200  # attributes of a model: each has a slider, and a page has to hold them


class VectorError(UserError):
    """Attribute vectors that cannot be computed or used, said in one sentence."""


@dataclass(frozen=True)
class Slider:
    """How an attribute appears to people: plain words, and the group it stands in.

    colour: whether it changes nothing but colours, see `blend.Base.led`
    """

    label: str
    group: str
    colour: bool = False


# CelebA's, in the order of the page. Its other attributes have vectors too, but no slider: they
# are rare, matters of taste, or do not show at 64 pixels.
SLIDERS: dict[str, Slider] = {
    "Smiling": Slider("Smiling", "Expression"),
    "Mouth_Slightly_Open": Slider("Mouth open", "Expression"),
    "High_Cheekbones": Slider("High cheekbones", "Expression"),
    "Narrow_Eyes": Slider("Narrow eyes", "Expression"),
    "Male": Slider("Male", "Age and gender"),
    "Young": Slider("Young", "Age and gender"),
    "Chubby": Slider("Chubby", "Age and gender"),
    "Eyeglasses": Slider("Eyeglasses", "Accessories"),
    "Wearing_Hat": Slider("Hat", "Accessories"),
    "Wearing_Earrings": Slider("Earrings", "Accessories"),
    "Blond_Hair": Slider("Blond hair", "Hair", colour=True),
    "Brown_Hair": Slider("Brown hair", "Hair", colour=True),
    "Black_Hair": Slider("Black hair", "Hair", colour=True),
    "Gray_Hair": Slider("Gray hair", "Hair", colour=True),
    "Bangs": Slider("Bangs", "Hair"),
    "Wavy_Hair": Slider("Wavy hair", "Hair"),
    "Receding_Hairline": Slider("Receding hairline", "Hair"),
    "Bald": Slider("Bald", "Hair"),
    "No_Beard": Slider("Clean-shaven", "Beard and brows"),
    "Goatee": Slider("Goatee", "Beard and brows"),
    "Mustache": Slider("Mustache", "Beard and brows"),
    "Bushy_Eyebrows": Slider("Bushy eyebrows", "Beard and brows"),
    "Heavy_Makeup": Slider("Makeup", "Makeup and skin"),
    "Wearing_Lipstick": Slider("Lipstick", "Makeup and skin"),
    "Rosy_Cheeks": Slider("Rosy cheeks", "Makeup and skin", colour=True),
    "Pale_Skin": Slider("Pale skin", "Makeup and skin", colour=True),
}


def sliders(names: Iterable[str]) -> dict[str, Slider]:
    """Those of some attributes that have one, in the order of the page.

    First CelebA's; what CelebA does not know, such as a column of one's own metadata.csv, follows
    under the name that it has.
    """
    names = tuple(names)
    own = [name for name in names if name not in CELEBA_ATTRIBUTES]
    return {
        **{name: slider for name, slider in SLIDERS.items() if name in names},
        **{name: Slider(name.replace("_", " "), OTHERS) for name in own},
    }


def of_colour(name: object) -> bool:
    """Whether `name` is that of a slider which changes nothing but colours."""
    return name in SLIDERS and SLIDERS[name].colour


@dataclass(frozen=True)
class AttributeVectors:
    """Two vectors for each attribute, for one model.

    names: (A,) as the face set has them
    above, below: (A, latent_dim), both towards having it: what a slider at 1, and a slider at -1
        backwards, adds to the z of the mean face that lacks it, or has it
    readouts: (A, latent_dim + 1), as `directions.readouts` gives them
    counts: for each attribute, training faces that have it and that have it not
    method: how they were computed
    methods: the same for each attribute, where it differs; or empty
    measured: for each attribute what it did at +2 and −2 to validation people (`vaegan.select`),
        or None; or empty
    dataset: fingerprint of the prepared set
    model: SHA-256 of the `model.safetensors` they belong to
    """

    names: tuple[str, ...]
    above: Tensor
    below: Tensor
    readouts: Tensor
    counts: tuple[tuple[int, int], ...]
    method: str
    dataset: str
    model: str
    methods: tuple[str, ...] = ()
    measured: tuple[dict[str, Any] | None, ...] = ()

    def direction(self, z: Tensor, settings: dict[str, float], hold: Sequence[str] = ()) -> Tensor:
        """What to add to z: the sum of s · length(z) · vector over the settings.

        Conditional editing (Shen et al. 2020, "Interpreting the latent space of GANs for semantic
        face editing", section 2.2): each vector v gives up what it shares with the held vectors.
        With those, of both ends, as the rows of H, that is v − Hᵀ (H Hᵀ)⁺ H v, orthogonal to every
        one of them, so the edit moves nobody along a held direction. An attribute that is both set
        and held is moved, and the others are not in its way.

        Args:
            z: (N, latent_dim), the faces as they are.
            hold: attributes to leave alone while others change.

        Returns:
            (N, latent_dim).

        Raises:
            VectorError: a name is not known.
        """
        total = torch.zeros_like(z)
        for name, strength in settings.items():
            row = self._row(name)
            vectors, sign = (self.above, 1) if strength > 0 else (self.below, -1)
            vector = self.without(vectors[row], [other for other in hold if other != name])
            length = directions.step_length(self.readouts[row], z, sign).unsqueeze(1)
            total = total + strength * length * vector
        return total

    def without(self, vector: Tensor, held: Sequence[str]) -> Tensor:
        """`vector` (latent_dim,) less what it shares with the held vectors; see `direction`.

        Raises:
            VectorError: a name is not known.
        """
        if not held:
            return vector
        rows = [self._row(name) for name in held]
        basis = torch.cat([self.above[rows], self.below[rows]])
        gram = torch.linalg.pinv(basis @ basis.T, hermitian=True)
        return vector - basis.T @ (gram @ (basis @ vector))

    def _row(self, name: str) -> int:
        if name not in self.names:
            raise VectorError(f"This model has no attribute {name!r}.")
        return self.names.index(name)


def compute(
    encoder: Encoder, faces: FaceSet, model: str, method: str = "difference of means"
) -> AttributeVectors:
    """The vectors of all attributes that have training faces on both sides.

    Args:
        faces: a prepared set; only its labelled training faces count.
        model: SHA-256 of the model's weights.
        method: one of `directions.METHODS`.

    Raises:
        VectorError: no face is labelled, or more attributes would have vectors than a page holds.
    """
    kept = two_sided(faces)
    train = faces.subset("train").labelled()
    if not len(train):
        raise VectorError("None of the training faces has a label, so there is no vector.")
    mu, labels = encode_all(encoder, train.images), train.attributes
    vectors = directions.to_class_means(directions.METHODS[method](mu, labels), mu, labels)
    return AttributeVectors(
        names=tuple(train.attribute_names[index] for index in kept),
        above=vectors[kept],
        below=vectors[kept],
        readouts=directions.readouts(mu, labels)[kept],
        counts=tuple(sides(labels[:, kept])),
        method=method,
        dataset=faces.fingerprint,
        model=model,
    )


def two_sided(faces: FaceSet) -> list[int]:
    """The attributes that some training faces have and others have not, as column numbers.

    Raises:
        VectorError: more than MOST.
    """
    labels = faces.attributes[faces.split == SPLITS.index("train")]
    columns = directions.both_sides(labels).nonzero().flatten().tolist()
    if len(columns) > MOST:
        raise VectorError(
            f"These faces are labelled with {len(columns)} attributes, and a model has {MOST} at "
            "most."
        )
    return columns


def sides(labels: Tensor) -> list[tuple[int, int]]:
    """For each attribute, how many faces have it and how many have it not.

    labels: (N, A) with 1, -1 and 0 for unknown.
    """
    return [(int((column == 1).sum()), int((column == -1).sum())) for column in labels.T]


def save(vectors: AttributeVectors, path: Path) -> None:
    """Writes `path` (.safetensors: for each attribute both vectors and its readout's weights), and
    the .json beside it.

    Raises:
        FileError: the path has another ending, JSON cannot hold what was measured, or the disk
            does not take it; whatever vectors were there before stay.
    """
    path = files.tensors_path(path)
    parts = torch.stack([vectors.above, vectors.below, vectors.readouts[:, :-1]], dim=1)
    tensors = dict(zip(vectors.names, parts, strict=True))  # (3, D) each
    offsets = vectors.readouts[:, -1].tolist()
    rows = [
        {"name": name, "readout_offset": offset, "positives": has, "negatives": has_not}
        for name, offset, (has, has_not) in zip(vectors.names, offsets, vectors.counts, strict=True)
    ]
    optional = {"method": vectors.methods, "measured": vectors.measured}
    for key, values in optional.items():
        for row, value in zip(rows, values, strict=False):
            row[key] = value
    described = {
        "format": FORMAT,
        "model": vectors.model,
        "dataset": vectors.dataset,
        "method": vectors.method,
        "attributes": rows,
    }
    with files.atomic(path) as aside:  # until the .json is written too
        files.write_tensors(aside, tensors)
        files.write_json(path.with_suffix(".json"), described)


def load(path: Path, model: Snapshot | None = None) -> AttributeVectors:
    """Reads what `save` wrote.

    Args:
        model: the one that the vectors must belong to.

    Raises:
        VectorError, FileError: damaged, or made for another model.
    """
    described = files.read_json(path.with_suffix(".json"))
    tensors, _ = files.load_tensors(path)
    try:
        if described["format"] != FORMAT:
            raise VectorError(
                f"{path} has a format that this program does not read: compute the vectors anew "
                "with python -m vaegan.attributes."
            )
        rows: list[dict[str, Any]] = described["attributes"]
        if len(rows) > MOST:
            raise VectorError(f"{path} holds more than {MOST} attributes.")
        names = tuple(row["name"] for row in rows)
        above, below, weights = torch.stack([tensors[name].float() for name in names], dim=1)
        offsets = torch.tensor([float(row["readout_offset"]) for row in rows])
        found = AttributeVectors(
            names=names,
            above=above,
            below=below,
            readouts=torch.cat([weights, offsets.unsqueeze(1)], dim=1),
            counts=tuple((int(row["positives"]), int(row["negatives"])) for row in rows),
            method=str(described["method"]),
            dataset=str(described["dataset"]),
            model=str(described["model"]),
            methods=tuple(str(row["method"]) for row in rows if "method" in row),
            measured=tuple(_measured(row["measured"]) for row in rows if "measured" in row),
        )
    except VectorError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise VectorError(f"{path} does not hold attribute vectors.") from error
    for part in (found.methods, found.measured):
        if len(part) not in (0, len(names)):
            raise VectorError(f"{path} does not hold attribute vectors.")
    if not all(torch.isfinite(part).all() for part in (above, below, found.readouts)):
        raise VectorError(f"{path} is damaged: a vector is not finite.")
    if model is not None and found.model != model.sha256:
        raise VectorError(f"The attribute vectors in {path} belong to another model.")
    if model is not None and found.above.shape[1:] != (model.config.latent_dim,):
        raise VectorError(f"The vectors in {path} have another length than z.")
    return found


def _measured(value: Any) -> dict[str, Any] | None:
    """What a file says was measured, if it is what `Attribute.measured` promises.

    Raises:
        KeyError, TypeError: it is not.
    """
    if value is None:
        return None
    if not (isinstance(value, dict) and isinstance(value["moves"], dict)):
        raise TypeError("not a measurement")
    shares = (value["effect"], value["leakage"], value["judged"], *value["moves"].values())
    if not all(isinstance(share, int | float) and 0 <= share <= 1 for share in shares):
        raise TypeError("not a measurement")
    _measured(value.get("below"))
    return value


@command_line
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m vaegan.attributes",
        description="Computes the attribute vectors of a model from labelled faces.",
    )
    parser.add_argument(
        "model", type=Path, help="the model's folder; not a name, nor a Hub repository"
    )
    parser.add_argument("--data", required=True, help="a prepared set with labels")
    parser.add_argument(
        "--out",
        type=Path,
        help="the .safetensors to write; by default in the model's folder (those of a bundled "
        "model are read from attributes/NAME.safetensors)",
    )
    parser.add_argument(
        "--method", choices=directions.METHODS, default="difference of means", help="%(default)s"
    )
    flags = parser.parse_args(arguments)
    if not flags.model.is_dir():
        raise VectorError(f"{flags.model} is not the folder of a model.")
    out = files.tensors_path(flags.out or flags.model / "attributes.safetensors")
    snapshot = checkpoint.load_snapshot(flags.model)
    if snapshot.encoder is None:
        raise VectorError("A GAN has no encoder, so photographs give it no vectors.")
    faces = data.load(flags.data, resolution=snapshot.config.resolution)
    vectors = compute(snapshot.encoder, faces, snapshot.sha256, flags.method)
    save(vectors, out)
    print(f"{len(vectors.names)} attribute vectors are in {out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
