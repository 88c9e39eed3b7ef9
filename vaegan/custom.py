"""Attributes of one's own: a direction in z from two sets of faces, with it and without.

Few faces make a noisy difference of means: what sets twenty people apart from twenty others is
mostly who they are. So the difference is shrunk towards directions that make sense. Before any
face is seen, it is taken to be drawn from a Gaussian, whose covariance says that differences look
like those of the attributes already known, or like anything else, a little:

    prior:      delta ~ N(0, S),  S = mean of v v^T over the known vectors v + OTHER · scale · I
    the sets:   d = mean with - mean without ~ N(delta, (1/n + 1/m) · C)
    posterior:  E[delta | d] = S (S + (1/n + 1/m) · C)^-1 d

C is the covariance of the latents, from the Gaussian that the snapshot stores, and scale the mean
of its diagonal. With many faces the posterior is the plain difference. Faces are told apart along
C^-1 delta, which is linear discriminant analysis (Fisher 1936).
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
# Share of directions unlike any known attribute, chosen on the people of
# benchmarks/own_attribute.py, whose figures it flatters a little.
OTHER = 0.1
RIDGE = 1.0  # on C, in units of its mean variance: directions of no variance tell nothing
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

    covariance: (D, D), of the latents. known: (A, D), the attribute vectors, or none.
    """

    def __init__(self, cholesky: Tensor, known: Tensor | None = None) -> None:
        factor = cholesky.double()
        self.covariance = factor @ factor.T
        scale = self.covariance.diagonal().mean()
        eye = torch.eye(len(factor), dtype=torch.double)
        self.differences = OTHER * scale * eye
        if known is not None and len(known):
            self.differences = self.differences + known.double().T @ known.double() / len(known)
        self.ridged = self.covariance + RIDGE * scale * eye

    def shrinkage(self, n: int, m: int) -> Tensor:
        """(D, D): what it does to the difference between means of n and of m faces."""
        noise = (1 / n + 1 / m) * self.covariance
        return torch.linalg.solve(self.differences + noise, self.differences, left=False)

    def normal(self, vector: Tensor) -> Tensor:
        """(D,): the direction along which faces are told apart."""
        return torch.linalg.solve(self.ridged, vector.double())

    def vector(self, has: Tensor, has_not: Tensor, shrink: bool = True) -> Tensor:
        """The slider's vector, from latents (n, D) and (m, D).

        shrink: False is the plain difference of means; of one face each, "what A has that B has
            not".
        """
        difference = has.double().mean(dim=0) - has_not.double().mean(dim=0)
        if not shrink:
            return difference.float()
        shrunk = self.shrinkage(len(has), len(has_not)) @ difference
        normal = self.normal(shrunk)
        length = (normal @ difference) / (normal @ shrunk).clamp_min(1e-12)
        return (length * shrunk).float()

    def learn(
        self, has: Tensor, has_not: Tensor, name: str, model: str, shrink: bool = True
    ) -> OwnAttribute:
        """The slider that two sets of latents, (n, D) and (m, D), make.

        Raises:
            VectorError: a set is empty, both are the same, or the name is no name.
        """
        if not (len(has) and len(has_not)):
            raise VectorError("Each of the two sets needs at least one face.")
        vector = self.vector(has, has_not, shrink)
        if not vector.norm() > 0:
            raise VectorError("The two sets do not differ, so there is no direction between them.")
        separation = self.separation(has, has_not, shrink)
        return OwnAttribute(name, vector, (len(has), len(has_not)), separation, model)

    def separation(self, has: Tensor, has_not: Tensor, shrink: bool = True) -> float | None:
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
        smooth = self.shrinkage(n - 1, m - 1) if shrink else torch.eye(has.shape[1]).double()
        metric = torch.linalg.solve(self.ridged, smooth)
        wins = 0.0
        for index in range(n):  # row by row: all pairs at once would take a lot of memory
            normals = (without_each[index] - without_other) @ metric.T
            margins = (normals * (has[index] - has_not)).sum(dim=1)
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
    except (KeyError, TypeError, ValueError) as error:
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
