"""What a model is worth, in numbers, on people it has never seen.

    python -m vaegan.evaluate MODEL --data SET --json FILE [--judge FILE] [--identity]

Reconstruction (PSNR, SSIM, attributes kept), samples (Fréchet and kernel distance to the training
photographs), edits (effect, leakage, identity), faces built from labels alone, and all of it by
groups of people. An independent judge says which attributes a face has (see `vaegan.judge`).
Measured means come with their count and a 95 % interval from resampled people (a distance's:
resampled pictures), 1000 times, seeded; an interval tells the luck of the draw of test people, and
nothing of another training run.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vaegan import charts, data, files, hub, images
from vaegan.attributes import VectorError
from vaegan.data import FaceSet
from vaegan.directions import least_squares
from vaegan.editor import Editor
from vaegan.effects import MODES, Edits, against_plain
from vaegan.errors import command_line
from vaegan.identity import identity
from vaegan.judge import NETWORK, NETWORKS, Judge, JudgeError
from vaegan.leakage import Known, know, see
from vaegan.metrics import agreement, estimate, frechet, kernel, mean, psnr, ssim
from vaegan.networks import encode_all
from vaegan.parallel import mapped
from vaegan.tables import FORMAT, tables

KERNEL_REFERENCE = 5000  # training photographs; the kernel distance needs no more
GROUPS = ("Male", "Young", "Pale_Skin")
EDITED = 15  # faces of a group from which on a slider's edits of it count


@dataclass(frozen=True)
class Extent:
    """How much to measure.

    faces: at most so many for each attribute. samples: faces drawn from the fitted prior.
    strengths: slider positions. identity: whether to embed faces, which is slow.
    """

    faces: int = 200
    samples: int = 10_000
    strengths: tuple[float, ...] = (1.0, 2.0, 3.0)
    identity: bool = False
    seed: int = 0


def evaluate(
    editor: Editor,
    faces: FaceSet,
    judge: Judge,
    extent: Extent,
    train: FaceSet | None = None,
) -> dict[str, Any]:
    """All numbers, as plain values that JSON can hold; see the module for what they are.

    Of a model without an encoder, samples alone are measured.

    Args:
        faces: the faces to measure on, such as the test people's; `judge` was trained on others.
        train: the training people, for what needs their latents: the shipped vectors against plain
            differences of means, and faces built from labels. Left out without them.

    Raises:
        VectorError: there is no labelled face.
    """
    labelled = (faces.attributes != 0).any(dim=1)
    if not labelled.any():
        raise VectorError("None of these faces has a label.")
    if editor.encoder is None:
        _, features_x = see(judge, images.to_float(faces.images))
        return {"distance": _distances(editor, judge, {"photographs": features_x}, extent)}
    everyone, features_x, features_r = know(editor, judge, faces)
    features = {"photographs": features_x, "reconstructions": features_r}
    known = everyone.rows(labelled)
    labels = faces.attributes[labelled]
    few = {"faces": extent.faces, "seed": extent.seed}
    edits = {mode: Edits(editor, judge, known, mode, extent.strengths, **few) for mode in MODES}
    report = {
        "reconstruction": {
            "labelled": _fidelity(known.x, known.r, known.people),
            "all": _fidelity(everyone.x, everyone.r, everyone.people),
        },
        "kept": _kept(known, judge),
        "distance": _distances(editor, judge, features, extent),
        "editing": {mode: measured.report() for mode, measured in edits.items()},
        "groups": _groups(known, labels, faces.attribute_names, judge, edits["reconstruction"]),
    }
    if train is not None and len(train := train.labelled()):
        mu = encode_all(editor.encoder, train.images)
        common = [name for name in judge.names if name in train.attribute_names]
        columns = [train.attribute_names.index(name) for name in common]
        people = replace(train, attributes=train.attributes[:, columns], attribute_names=common)
        report["matched"] = against_plain(
            editor, judge, known, labels[:, columns], people, mu, **few
        )
        report["similarity"] = _similarity(editor, judge, known, labels[:, columns], people, mu)
    if extent.identity:
        report["identity"] = identity(editor, known, extent.seed)
    return report


def _fidelity(x: Tensor, r: Tensor, people: Tensor) -> dict[str, Any]:
    numbers = {"psnr": psnr, "ssim": ssim}
    return {name: mean(mapped(function, x, r), people) for name, function in numbers.items()}


# ---------------------------------------------------------------- attributes kept


def _kept(known: Known, judge: Judge) -> dict[str, Any]:
    before, after = known.seen_x > 0, known.seen_r > 0
    columns = {name: judge.names.index(name) for name in judge.judged}

    def agreed(chosen: list[int]) -> dict[str, Any]:
        return estimate(agreement(before[:, chosen], after[:, chosen]), known.people)

    return {
        "average": agreed(list(columns.values())),
        "attributes": {name: agreed([column]) for name, column in columns.items()},
    }


# ---------------------------------------------------------------- distances of distributions


def _distances(
    editor: Editor, judge: Judge, features: dict[str, Tensor], extent: Extent
) -> dict[str, Any]:
    """Of each kind of picture's features, and of samples', to the training photographs'.

    Real faces of other people are as near as anything of that count can get. Samples come
    from the prior alone, and with echoes, as the page draws them; the latter also as many as there
    are photographs, since a Fréchet distance is the larger the fewer pictures there are.
    """
    kinds = dict(features)
    for kind, echoes in (("samples", False), ("with echoes", True)):
        if echoes and editor.encoder is None:
            continue  # a GAN cannot hear its own
        drawn = editor.draw(extent.samples, truncation=1.0, seed=extent.seed, echoes=echoes)
        kinds[kind] = mapped(lambda z: judge.see(editor.decode(z))[1], drawn, label=kind)
    as_drawn = kinds.get("with echoes", kinds["samples"])
    kinds["as many samples"] = as_drawn[: len(features["photographs"])]
    reference = judge.reference.float()
    generator = torch.Generator().manual_seed(extent.seed)
    some = reference[torch.randperm(len(reference), generator=generator)[:KERNEL_REFERENCE]]
    measured = {"frechet": (frechet, reference), "kernel": (kernel, some)}
    distances: dict[str, Any] = {"extractor": judge.extractor, "reference": len(reference)}
    for kind, rows in kinds.items():
        distances[kind] = {
            name: _moved(*function(rows, others)) for name, (function, others) in measured.items()
        }
    return distances


def _moved(distance: float, moves: Tensor) -> dict[str, Any]:
    return mean(distance + moves, torch.arange(len(moves)))


# ---------------------------------------------------------------- labels and groups


def _similarity(
    editor: Editor, judge: Judge, known: Known, labels: Tensor, train: FaceSet, mu: Tensor
) -> dict[str, Any]:
    """An analogue of Larsen et al. 2016, section 4.3: asked-for against read-back attributes.

    Each test face's labels are asked for (1 and -1), a face is built from them alone (the latents'
    mean given the labels, by least squares), and the judge's verdicts are read back, squeezed into
    (-1, 1). Photographs and reconstructions say how well the reading itself can do.
    """
    slopes = least_squares(mu, train.attributes, ridge=0.01) / 2
    centred = labels.to(mu) - train.attributes.to(mu).mean(dim=0)
    built = mapped(lambda z: judge.see(editor.decode(z))[0], mu.mean(dim=0) + centred @ slopes)
    columns = [judge.names.index(name) for name in train.attribute_names]
    deviations = known.seen_x.std(dim=0)
    asked = labels.to(mu)
    report: dict[str, Any] = {"attributes": len(columns)}
    kinds = {"photographs": known.seen_x, "reconstructions": known.seen_r, "from labels": built}
    for kind, seen in kinds.items():
        read = (2 * seen / deviations).tanh()[:, columns]
        report[kind] = {
            "cosine": mean(F.cosine_similarity(asked, read), known.people),
            "squared error": mean((asked - read).square().mean(dim=1), known.people),
        }
    return report


def _groups(
    known: Known, labels: Tensor, names: tuple[str, ...], judge: Judge, edits: Edits
) -> dict[str, Any]:
    """The same numbers for each side of GROUPS, so that unfairness shows; edits are at +2.

    Both sides' edits are means over the same sliders: those for which there are at least EDITED
    faces on either.
    """
    columns = [judge.names.index(name) for name in judge.judged]
    before, after = (seen[:, columns] > 0 for seen in (known.seen_x, known.seen_r))
    report: dict[str, Any] = {}
    for name in [name for name in GROUPS if name in names]:
        sides = {side: labels[:, names.index(name)] == side for side in (1, -1)}
        shared = [
            slider
            for slider in edits.judged
            if min(edits.count(slider, rows) for rows in sides.values()) >= EDITED
        ]
        for side, rows in sides.items():
            few = known.rows(rows)
            if not len(few.people):
                continue
            at_two = edits.by_strength(shared, faces=rows).get("2", {})
            report[name if side == 1 else f"not {name}"] = {
                **_fidelity(few.x, few.r, few.people),
                "kept": estimate(agreement(before[rows], after[rows]), few.people),
                "sliders": len(shared),
                **{number: at_two[number] for number in ("effect", "leakage") if number in at_two},
            }
    return report


# ---------------------------------------------------------------- command line


def prepare_judge(path: Path | None, faces: FaceSet, network: str = NETWORK) -> Judge:
    """The judge in `path`, or a new one trained on `faces`, saved there if there is a path.

    Args:
        network: one of `judge.NETWORKS`.

    Raises:
        JudgeError: the judge was trained on another set, so it may know the people to be judged; or
            it looks with another network.
        FileError: the path does not end as a judge's does, or its files are damaged.
    """
    if path is not None:
        files.tensors_path(path)  # training takes too long to learn of it afterwards
    if path is None or not path.exists():
        print("Training the judge, which takes some minutes.", file=sys.stderr)
        judge = Judge.train(faces, network)
        if path is not None:
            judge.save(path)
        return judge
    judge = Judge.load(path)
    if judge.dataset != faces.fingerprint:
        raise JudgeError(f"The judge in {path} was trained on another face set.")
    if judge.network != network:
        raise JudgeError(f"The judge in {path} looks with {judge.network}.")
    return judge


@command_line
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m vaegan.evaluate", description="Measures a model on people it never saw."
    )
    add = parser.add_argument
    add("model", help="a folder, the name of a bundled model, or a Hub repository user/repo")
    add("--data", required=True, metavar="SET", help="a prepared face set with labels")
    add("--json", type=Path, metavar="FILE", help="where all numbers go")
    add("--judge", type=Path, metavar="FILE", help="keeps the judge from one run to the next")
    add("--network", choices=NETWORKS, default=NETWORK,
        help="what the judge looks with (%(default)s); vectors were chosen by the usual one's "
        "verdicts, so another is a second opinion")  # fmt: skip
    add("--split", choices=data.SPLITS, default="test", help="whose faces (%(default)s)")
    add("--limit", type=positive, help="at most so many faces, drawn at random")
    add("--faces", type=positive, default=200, help="for each attribute (%(default)s)")
    add("--samples", type=positive, default=10_000, help="faces to draw (%(default)s)")
    add("--identity", action="store_true", help="embed edited faces as well, which is slow")
    add("--seed", type=int, default=0)
    flags = parser.parse_args(arguments)
    extent = Extent(flags.faces, flags.samples, identity=flags.identity, seed=flags.seed)
    editor = Editor.from_pretrained(flags.model)
    everything = data.load(hub.data_source(flags.data), resolution=editor.config.resolution)
    judge = prepare_judge(flags.judge, everything, flags.network)
    report = described(editor, everything, judge, flags.split, extent, flags.limit)
    if flags.json is not None:
        write(report, flags.json)
    print(tables(report))
    return 0


def described(
    editor: Editor,
    faces: FaceSet,
    judge: Judge,
    split: str,
    extent: Extent | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """`evaluate` on one part of a set, with all that says what the numbers are of.

    Args:
        faces: the whole set. limit: at most so many of the part's faces, drawn at random.
    """
    extent = extent or Extent()
    chosen = faces.subset(split)
    if limit is not None:
        chosen = _some(chosen, limit, extent.seed)
    accuracy = dict(zip(judge.names, judge.balanced_accuracy.tolist(), strict=True))
    return {
        "format": FORMAT,
        "model": editor.name,
        "weights": editor.model,
        "training": editor.training,
        "data": faces.fingerprint,
        "split": split,
        "options": asdict(extent),
        "judge": {
            "extractor": judge.extractor,
            "judged": list(judge.judged),
            "balanced_accuracy": accuracy,
        },
        **evaluate(editor, chosen, judge, extent, faces.subset("train")),
    }


def write(report: dict[str, Any], path: Path) -> None:
    """The numbers as JSON, and beside it a chart of effect and leakage over slider strength."""
    files.write_json(path, report)
    for mode, edits in report.get("editing", {}).items():
        curves: dict[str, list[tuple[float, float]]] = {"effect": [], "leakage": []}
        for strength, numbers in edits["average"].items():
            for name, points in curves.items():
                if numbers[name]["value"] is not None:
                    points.append((float(strength), 100 * numbers[name]["value"]))
        title = f"Edits of the {mode}, mean of the judged sliders"
        chart = charts.lines(curves, title, "slider", "% of verdicts")
        charts.write(path.with_name(f"{path.stem}-{mode}.svg"), chart)


def _some(faces: FaceSet, count: int, seed: int) -> FaceSet:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(faces), generator=generator)[:count]
    parts = ("images", "attributes", "identity", "split")
    return replace(faces, **{part: getattr(faces, part)[rows] for part in parts})


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


if __name__ == "__main__":
    sys.exit(main())
