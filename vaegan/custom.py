"""Attributes of one's own: a direction in z from two sets of faces, with it and without.

The slider's vector is the difference of the sets' means. Faces are told apart along another
direction, since that difference is mostly where latents vary anyway: ridged linear discriminant
analysis (Fisher 1936; Friedman 1989, "Regularized discriminant analysis"),

    normal = K (mean with - mean without),    K = (C + RIDGE · c · I)^-1

with C the covariance of the latents, from the prior that the snapshot stores, and c the mean of
its diagonal. What faces are known to differ in counts for more: K also gets the normals of the
model's own attributes, KNOWN as much in all as the rest.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaegan import files
from vaegan.attributes import VectorError

KIND = "own attribute"
FORMAT = "1"
LONGEST = 40  # characters of a name
# Chosen on validation people (docs/experiments.md): a few dozen faces tell little of a covariance
# that they do not share, so the ridge outweighs it.
RIDGE = 10.0
KNOWN = 0.2  # of the variance of scores: more would hide what none of the known attributes is
ENDING = ".safetensors"


@dataclass(frozen=True, eq=False)
class OwnAttribute:
    """A slider of one's own. It stands in `settings` where a name would: {own: 2.0}.

    vector: (latent_dim,); a slider at s adds s · vector. At 1 a face moves as far as the two sets
        lie apart along it.
    counts: faces with and without
    separation: how often a face with it ranks above one without, in pairs that took no part in
        the vector (the leave-pair-out AUC: 0.5 is chance, 1 never wrong); None of too few
    model: SHA-256 of the weights that the vector belongs to
    """

    name: str
    vector: Tensor
    counts: tuple[int, int]
    separation: float | None
    model: str

    def __post_init__(self) -> None:
        if not self.name.isprintable() or not 0 < len(self.name.strip()) <= LONGEST:
            raise VectorError(f"A name has between 1 and {LONGEST} characters, in one line.")
        if self.vector.ndim != 1 or not torch.isfinite(self.vector).all():
            raise VectorError(f"The vector of {self.name!r} is damaged: it is not finite.")


class Space:
    """What is known of a model's latents before a set is seen.

    kernel: (D, D), K above, which is symmetric.

    Args:
        cholesky: (D, D), the factor of their covariance.
        known: (A, D), the vectors of the model's own attributes, if it has any.
    """

    def __init__(self, cholesky: Tensor, known: Tensor | None = None) -> None:
        factor = cholesky.double()
        covariance = factor @ factor.T
        ridge = RIDGE * covariance.diagonal().mean()
        self.kernel = torch.linalg.inv(covariance + ridge * torch.eye(len(factor)).double())
        if known is not None:
            normals = known.double() @ self.kernel  # (A, D)
            variances = (normals @ covariance * normals).sum(dim=1, keepdim=True)
            normals = normals / (variances * len(known)).clamp_min(1e-30).sqrt()  # one may be 0
            everywhere = (self.kernel * covariance).sum()  # the mean of zᵀKz
            self.kernel = self.kernel + KNOWN * everywhere * normals.T @ normals

    def normal(self, vector: Tensor) -> Tensor:
        """(D,): the direction along which faces are told apart that differ by `vector`."""
        return self.kernel @ vector.double()

    def learn(self, has: Tensor, has_not: Tensor, name: str, model: str) -> OwnAttribute:
        """The slider that two sets of latents, (n, D) and (m, D), make.

        Raises:
            VectorError: a set is empty, both are the same, or the name is no name.
        """
        if not (len(has) and len(has_not)):
            raise VectorError("Each of the two sets needs at least one face.")
        vector = (has.double().mean(dim=0) - has_not.double().mean(dim=0)).float()
        if not vector.norm() > 0:
            raise VectorError("The two sets do not differ, so there is no direction between them.")
        separation = self.separation(has, has_not)
        return OwnAttribute(name, vector, (len(has), len(has_not)), separation, model)

    def separation(self, has: Tensor, has_not: Tensor) -> float | None:
        """The leave-pair-out AUC (Airola et al. 2011); None with fewer than two on a side.

        Leaving out one face at a time would favour the wrong side: without it, its own mean moves
        away from it.
        """
        n, m = len(has), len(has_not)
        if min(n, m) < 2:
            return None
        has, has_not = has.double(), has_not.double()
        without_each = (has.sum(dim=0) - has) / (n - 1)
        without_other = (has_not.sum(dim=0) - has_not) / (m - 1)
        wins = 0.0
        for index in range(n):  # row by row: all pairs at once would take a lot of memory
            differences = without_each[index] - without_other
            margins = (differences @ self.kernel * (has[index] - has_not)).sum(dim=1)
            wins += float((margins > 0).double().sum() + 0.5 * (margins == 0).double().sum())
        return wins / (n * m)


def auc(has: Tensor, has_not: Tensor) -> float:
    """How often a score of `has` (n,) lies above one of `has_not` (m,); ties count half."""
    above = has[:, None] > has_not[None]
    level = has[:, None] == has_not[None]
    return float(above.double().mean() + 0.5 * level.double().mean())


def in_words(own: OwnAttribute) -> str:
    """What the separation means, for whoever gave the faces."""
    few = "One face on a side cannot say how well they are told apart; ten on each are better."
    if own.separation is None:
        return few
    verdict = (
        "The two sets are told apart well."
        if own.separation >= 0.85
        else "The two sets are told apart in part."
        if own.separation >= 0.7
        else "The two sets are hardly told apart: more photographs help, or sets that differ in "
        "this one thing."
    )
    return f"{verdict} Left out, the face with it was recognised in {own.separation:.0%} of pairs."


def save(own: OwnAttribute, path: str | Path) -> None:
    """Writes one safetensors file; what it is stands in its metadata, as JSON."""
    about = {
        "name": own.name,
        "model": own.model,
        "with": own.counts[0],
        "without": own.counts[1],
        "separation": own.separation,
    }
    described = {"format": FORMAT, "kind": KIND, "about": json.dumps(about, allow_nan=False)}
    files.save_tensors(path, {"vector": own.vector.float()}, described)


def load(path: str | Path, model: str, latent_dim: int) -> OwnAttribute:
    """Reads what `save` wrote.

    Args:
        model, latent_dim: SHA-256 of the model that it must belong to, and the length of its z.

    Raises:
        VectorError: not such a file, damaged, or made for another model.
    """
    try:
        tensors, described = files.load_tensors(path)
        if described.get("kind") != KIND or described.get("format") != FORMAT:
            raise VectorError("The file does not hold an attribute that was made here.")
        about: dict[str, Any] = json.loads(described["about"])
        own = OwnAttribute(
            name=str(about["name"]),
            vector=tensors["vector"].float(),
            counts=(int(about["with"]), int(about["without"])),
            separation=_share(about["separation"]),
            model=str(about["model"]),
        )
    except files.FileError as error:
        raise VectorError("The file is damaged, or no safetensors file.") from error
    except VectorError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise VectorError("The file's description of its attribute is damaged.") from error
    if own.model != model:
        raise VectorError(f"{own.name!r} was made for another model; z means something else there.")
    if own.vector.shape != (latent_dim,):
        raise VectorError(f"The vector of {own.name!r} has another length than z.")
    return own


def _share(value: float | None) -> float | None:
    if value is None:
        return None
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"{value} is no share")
    return float(value)
