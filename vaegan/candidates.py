"""Directions to choose from: each attribute's by every method, and those tuned through the decoder.

Methods that read directions off the latents are in `vaegan.directions`, tuning is in
`vaegan.tuning`, and `vaegan.select` compares what comes of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vaegan import directions, images, tuning
from vaegan.attributes import sliders
from vaegan.data import FaceSet
from vaegan.editor import Editor
from vaegan.judge import balanced_accuracy, best_threshold
from vaegan.models import RELATED
from vaegan.parallel import mapped

TRAINED = "learned in training"
TUNED = "tuned through the decoder"
CONDITIONED = "difference of means, conditioned"
PLAIN = "difference of means"
STRENGTH = 2.0  # slider position at which an edit should show, and is measured
READ = 0.8  # balanced accuracy from which on the tuning's own classifier is listened to
CONDITIONS = 4  # other attributes that a difference of means is projected off


@dataclass(frozen=True)
class Options:
    """Of candidates and of their comparison.

    faces: validation people for each attribute; steps: of tuning, 0 leaves it out; epochs: of the
        training of the classifier that tuning looks with
    """

    faces: int = 100
    steps: int = 500
    epochs: int = 8
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Labelled:
    """The labelled training people.

    pixels: (N, 3, R, R) uint8; mu: (N, D); labels: (N, A); names: of the A columns, in the order
        of the face set, those that have faces on both sides
    root: (D, D), the `directions.covariance_root` of their latents
    readouts: (A, D + 1), their `directions.readouts`
    """

    pixels: Tensor
    mu: Tensor
    labels: Tensor
    names: tuple[str, ...]
    root: Tensor
    readouts: Tensor


def find(
    editor: Editor, people: Labelled, validation: FaceSet, columns: list[int], options: Options
) -> tuple[dict[str, Tensor], Tensor]:
    """By method, (A, D) as long as the way between the class means; those learned in training as
    training took them, and tuned ones so long that STRENGTH of them are enough.

    Then (A, D) tuned to take the attributes away, when subtracted. A row is 0 where a method has no
    direction for the attribute.

    Args:
        validation: who tells how far the classifier that tuning looks with can be trusted.
        columns: of the people's attributes, in the labels of `validation`.
    """
    mu, labels = people.mu, people.labels
    found = {
        name: directions.to_class_means(method(mu, labels), mu, labels)
        for name, method in directions.METHODS.items()
    }
    found[CONDITIONED] = directions.to_class_means(
        _conditioned(found[PLAIN], mu, labels), mu, labels
    )
    learned = getattr(editor.decoder, "directions", None)
    if learned is not None:
        trained = [name for name in editor.config.attributes if name in people.names]
        rows = [editor.config.attributes.index(name) for name in trained]
        places = [people.names.index(name) for name in trained]
        found[TRAINED] = _spread(learned.detach()[rows], places, len(people.names))
    takers = torch.zeros_like(found[PLAIN])
    if options.steps:
        begin = STRENGTH * found["least squares"]
        found[TUNED], takers = _tuned(editor, people, validation, columns, begin, options)
    return found, takers


def _spread(rows: Tensor, places: list[int], count: int) -> Tensor:
    spread = torch.zeros(count, rows.shape[1])
    spread[places] = rows
    return spread


def _conditioned(plain: Tensor, mu: Tensor, labels: Tensor) -> Tensor:
    """Each difference of means less the attributes that its labels go with most.

    Those beyond `models.RELATED` are left in: they belong to it.
    """
    correlation = directions.correlation(labels).abs()
    rows = []
    for index, row in enumerate(plain):
        others = correlation[index].masked_fill(correlation[index] > RELATED, 0)
        chosen = others.topk(min(CONDITIONS, len(others))).indices
        chosen = chosen[plain[chosen].any(dim=1) & (chosen != index)]
        rows.append(directions.conditioned(row[None], plain[chosen], mu)[0] if len(chosen) else row)
    return torch.stack(rows)


def _tuned(
    editor: Editor,
    people: Labelled,
    validation: FaceSet,
    columns: list[int],
    begin: Tensor,
    options: Options,
) -> tuple[Tensor, Tensor]:
    """(A, D), half of what makes most faces show the attribute, 0 where there is no slider; and the
    same of what, when subtracted, makes most faces lose it."""
    names, labels = people.names, people.labels
    r = images.to_uint8(mapped(editor.decode, people.mu, label="decode"))
    classifier = tuning.train_classifier(
        torch.cat([people.pixels, r]), labels.repeat(2, 1), options.epochs, options.seed
    )

    @torch.no_grad()
    def seen(pixels: Tensor) -> Tensor:
        return mapped(lambda part: classifier(images.to_float(part)), pixels)

    on_validation, known = seen(validation.images), validation.attributes[:, columns]
    thresholds = torch.tensor(
        [
            best_threshold(score, label)
            for score, label in zip(on_validation.T, known.T, strict=True)
        ]
    )
    accuracy = balanced_accuracy(on_validation > thresholds, known).nan_to_num()
    seen_x, seen_r = seen(people.pixels) - thresholds, seen(r) - thresholds
    deviations = seen_x.std(dim=0).clamp_min(1e-6)
    seen_x, seen_r = seen_x / deviations, seen_r / deviations
    faces = tuning.Faces(people.pixels, people.mu, r, seen_x, seen_r)

    correlation = directions.correlation(labels).abs()
    tint = tuning.tints(people.pixels, labels)

    offered = sliders(names)

    def tuned(sign: int) -> Tensor:
        targets = torch.tensor(
            [
                index
                for index, name in enumerate(names)
                if name in offered
                and begin[index].any()
                and all((sign * scores[:, index] < 0).any() for scores in (seen_x, seen_r))
            ]
        )
        if not len(targets):
            return torch.zeros_like(begin)
        others = ((correlation[targets] <= RELATED) & (accuracy >= READ)).float()
        others[torch.arange(len(targets)), targets] = 0
        lengths = torch.stack(
            [directions.step_length(row, people.mu, sign) for row in people.readouts[targets]],
            dim=1,
        )
        found = tuning.tune(
            sign * begin[targets],
            editor.decoder,
            lambda x: (classifier(x) - thresholds) / deviations,
            faces,
            people.root,
            targets,
            lengths,
            others,
            tint[targets],
            sign,
            steps=options.steps,
            seed=options.seed,
        )
        return _spread(sign * found / STRENGTH, targets.tolist(), len(names))

    return tuned(1), tuned(-1)
