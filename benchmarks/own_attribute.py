"""How well an attribute of one's own tells people apart, by how many photographs made it.

    python benchmarks/own_attribute.py --data faces64.safetensors
    python benchmarks/own_attribute.py --data faces64.safetensors --of Bangs --faces 5

Two sets of validation people are drawn, with the attribute and without; `Editor.attribute_from`,
which the page calls, makes a slider of them; and `Editor.score` ranks all test people. As of
anything that nobody has labelled, the model knows nothing of the attribute then, nor of those that
go with it in life. The table gives the mean AUC over the draws, and its 95 % interval over draws
and test people together; beside it, what `attribute_from` itself said of the separation, in the
mean.
"""

from __future__ import annotations

import argparse
import sys
from copy import copy
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from vaegan import Editor, Face, custom, data, images  # noqa: E402
from vaegan.data import FaceSet  # noqa: E402
from vaegan.directions import correlation  # noqa: E402
from vaegan.models import RELATED  # noqa: E402

RESAMPLES = 200


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="a prepared set with labels")
    parser.add_argument("--model", help="as app.py's")
    parser.add_argument("--of", action="append", help="an attribute; repeat it for more")
    parser.add_argument("--faces", type=int, default=20, help="faces in each of the two sets")
    parser.add_argument("--draws", type=int, default=20)
    flags = parser.parse_args(arguments)
    editor = Editor.from_pretrained(flags.model)
    faces = data.load(flags.data, resolution=editor.config.resolution)
    validation, test = faces.subset("validation").labelled(), faces.subset("test").labelled()
    known, unseen = opened(editor, validation), opened(editor, test)
    latents = torch.cat([editor.mirrored_mean(face) for face in unseen])
    print(f"{flags.faces} + {flags.faces} of {len(validation)} validation faces, {flags.draws} "
          f"draws; judged on {len(test)} test faces")  # fmt: skip
    print(f"{'attribute':<22}{'AUC':>24}{'pairs said':>12}")
    for name in flags.of or ("Eyeglasses", "Smiling"):
        column = faces.attribute_names.index(name)
        has, has_not = sides(known, validation.attributes[:, column])
        unaware = without(editor, faces, name)
        scores, said = torch.zeros(flags.draws, len(test)), 0.0
        for draw in range(flags.draws):
            generator = np.random.default_rng(draw)
            sets = [chosen(side, flags.faces, generator) for side in (has, has_not)]
            own = unaware.attribute_from(*sets, name=name)
            scores[draw] = unaware.score(own, latents)
            said += (own.separation or 0) / flags.draws
        mean, low, high = interval(scores, test.attributes[:, column], test.identity)
        print(f"{name:<22}{mean:>8.3f} [{low:.3f}, {high:.3f}]{said:>12.3f}")
    return 0


def without(editor: Editor, faces: FaceSet, name: str) -> Editor:
    """The same editor, whose vectors know neither the attribute nor what correlates with it."""
    train = faces.subset("train").labelled()
    related = correlation(train.attributes)[train.attribute_names.index(name)].abs() > RELATED
    left_out = {other for other, yes in zip(train.attribute_names, related, strict=True) if yes}
    rows = [row for row, other in enumerate(editor.vectors.names) if other not in left_out]
    unaware = copy(editor)
    unaware.vectors = replace(
        editor.vectors,
        names=tuple(editor.vectors.names[row] for row in rows),
        above=editor.vectors.above[rows],
    )
    return unaware


def opened(editor: Editor, faces: FaceSet) -> list[Face]:
    """Prepared faces are aligned already: the whole picture is the face."""
    box = (0.0, 0.0, float(faces.resolution), float(faces.resolution))
    return [editor.open(images.to_pil(images.to_float(one)), box=box) for one in faces.images]


def sides(faces: list[Face], labels: Tensor) -> tuple[list[Face], list[Face]]:
    return tuple(
        [face for face, label in zip(faces, labels.tolist(), strict=True) if label == wanted]
        for wanted in (1, -1)
    )


def chosen(faces: list[Face], count: int, generator: np.random.Generator) -> list[Face]:
    return [faces[index] for index in generator.choice(len(faces), count, replace=False)]


def interval(scores: Tensor, labels: Tensor, people: Tensor) -> tuple[float, float, float]:
    """The mean AUC of scores (draws, N), and 95 % of it over draws and people drawn anew."""
    generator = np.random.default_rng(0)
    where = [torch.nonzero(people == person)[:, 0] for person in people.unique()]

    def mean(rows: Tensor, index: Tensor) -> float:
        known = labels[index]
        part = rows[:, index]
        return float(np.mean([custom.auc(row[known == 1], row[known == -1]) for row in part]))

    everyone = torch.arange(len(labels))
    found = []
    for _ in range(RESAMPLES):
        rows = scores[torch.from_numpy(generator.integers(len(scores), size=len(scores)))]
        people_drawn = generator.integers(len(where), size=len(where))
        found.append(mean(rows, torch.cat([where[person] for person in people_drawn])))
    low, high = np.quantile(found, [0.025, 0.975])
    return mean(scores, everyone), float(low), float(high)


if __name__ == "__main__":
    sys.exit(main())
