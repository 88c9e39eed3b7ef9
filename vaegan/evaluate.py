"""What a model is worth, in numbers, on people it has never seen.

    python -m vaegan.evaluate MODEL --data SET --json FILE [--judge FILE] [--identity]

Reconstruction (PSNR, SSIM, attributes kept), samples (Fréchet and kernel distance to the training
photographs) and edits (effect, leakage, identity). An independent judge says which attributes a
face has (see `vaegan.judge`). Every number comes with its count and a 95 % interval from resampled
people, 1000 times, seeded; an interval tells the luck of the draw of test people, and nothing of
another training run.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vaegan import align, checkpoint, data, files, images, judge
from vaegan.attributes import VectorError
from vaegan.data import FaceSet
from vaegan.editor import Editor
from vaegan.hub import ModelNotFound
from vaegan.judge import Judge, JudgeError
from vaegan.leakage import NUMBERS, Known, bystanders, lacking, scores_after, verdicts

FORMAT = 1
RESAMPLES = 1000
KERNEL_REFERENCE = 5000  # training photographs; the kernel distance needs no more
PEOPLE = 100  # among whom an edited face must find itself
IDENTITY_STRENGTH = 2.0
EMBEDDING_SIDE = 256  # pixels; dlib's landmarks are whole ones, so not too few


@dataclass(frozen=True)
class Options:
    """How much to measure.

    faces: at most so many for each attribute. samples: faces drawn from the fitted Gaussian.
    strengths: slider positions. identity: whether to embed faces, which is slow.
    """

    faces: int = 200
    samples: int = 10_000
    strengths: tuple[float, ...] = (1.0, 2.0, 3.0)
    identity: bool = False
    seed: int = 0


def evaluate(editor: Editor, faces: FaceSet, critic: Judge, options: Options) -> dict[str, Any]:
    """All numbers, as plain values that JSON can hold; see the module for what they are.

    Args:
        faces: the faces to measure on, such as the test people's; `critic` was trained on others.

    Raises:
        VectorError: the model has no encoder, no attribute vectors, or there is no labelled face.
    """
    labelled = (faces.attributes != 0).any(dim=1)
    if editor.encoder is None:
        raise VectorError("A GAN has no encoder, so it cannot be measured on photographs.")
    if not labelled.any():
        raise VectorError("None of these faces has a label.")
    x = images.to_float(faces.images)
    z = judge.mapped(lambda part: editor.encoder(part)[0].detach(), x, label="encode")
    r = judge.mapped(editor.decode, z, label="decode")
    # Scores and features side by side, so that one look gives both.
    seen_x, seen_r = (
        judge.mapped(lambda part: torch.cat(critic.see(part), dim=1), pictures, label="judge")
        for pictures in (x, r)
    )
    split = len(critic.names)
    known = Known(
        *(part[labelled] for part in (x, z, r, seen_x[:, :split], seen_r[:, :split])),
        people=faces.identity[labelled],
    )
    report = {
        "reconstruction": {
            "labelled": _fidelity(known.x, known.r, known.people),
            "all": _fidelity(x, r, faces.identity),
        },
        "kept": _kept(known, critic),
        "distance": _distances(editor, critic, seen_x[:, split:], seen_r[:, split:], options),
        "editing": {
            mode: _edits(editor, critic, known, mode, options)
            for mode in ("reconstruction", "photograph")
        },
    }
    if options.identity:
        report["identity"] = _identity(editor, known, options)
    return report


# ---------------------------------------------------------------- numbers with intervals


def estimate(parts: Tensor, people: Tensor, seed: int = 0) -> dict[str, float | int | None]:
    """A mean of K shares, Σ parts[:, k, 0] / Σ parts[:, k, 1], with a 95 % bootstrap interval.

    People are drawn anew, not faces: two photographs of one person are not two opinions.

    Args:
        parts: (N, K, 2), what each face adds to the upper and to the lower sum. Shares whose lower
            sum is 0 are left out of the mean.
        people: (N,), equal numbers are one person.

    Returns:
        value, low, high (None where nothing was counted) and count: faces that count anywhere.
    """
    _, person = people.unique(return_inverse=True)
    total = int(person.max()) + 1 if len(person) else 0
    sums = torch.zeros(total, *parts.shape[1:], dtype=torch.float64)
    sums.index_add_(0, person, parts.double())
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(max(total, 1), (RESAMPLES, total), generator=generator)
    times = torch.zeros(RESAMPLES, total, dtype=torch.float64)
    times.scatter_add_(1, drawn, torch.ones_like(times))
    value = _mean_share(sums.sum(dim=0))
    resampled = _mean_share((times @ sums.flatten(1)).unflatten(1, parts.shape[1:]))
    limits = torch.tensor([0.025, 0.975], dtype=torch.float64)
    low, high = resampled.nanquantile(limits)
    numbers = {"value": value, "low": low, "high": high}
    return {
        **{name: float(n) if n.isfinite() else None for name, n in numbers.items()},
        "count": int((parts[..., 1] != 0).any(dim=1).sum()),
    }


def mean(values: Tensor, people: Tensor) -> dict[str, float | int | None]:
    """`estimate` of a plain mean of values (N,)."""
    return estimate(torch.stack([values, torch.ones_like(values)], dim=1).unsqueeze(1), people)


def _mean_share(sums: Tensor) -> Tensor:
    """(…, K, 2) → (…): the mean of those quotients that exist."""
    return (sums[..., 0] / sums[..., 1]).nanmean(dim=-1)


# ---------------------------------------------------------------- pictures


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture in dB, at most 100.

    x, y: (N, 3, H, W) in [-1, 1], so the peak is 2.
    """
    error = (x - y).square().mean(dim=(1, 2, 3)).clamp_min(4e-10)
    return 10 * (4 / error).log10()


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity of each picture, mean over pixels and colours (Wang et al. 2004).

    Gaussian window of 11×11, σ = 1.5, K1 = 0.01, K2 = 0.03; only windows wholly inside.
    x, y: (N, 3, H, W) in [-1, 1] → (N,).
    """
    offsets = torch.arange(11.0) - 5
    window = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = (window / window.sum()).double()  # variances are small differences of squares

    def smooth(picture: Tensor) -> Tensor:
        flat = picture.flatten(0, 1).unsqueeze(1)
        flat = F.conv2d(F.conv2d(flat, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
        return flat.view(*picture.shape[:2], *flat.shape[2:])

    x, y = ((picture.double() + 1) / 2 for picture in (x, y))
    mean_x, mean_y = smooth(x), smooth(y)
    variance_x, variance_y = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2
    covariance = smooth(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (luminance * structure).mean(dim=(1, 2, 3))


def _fidelity(x: Tensor, r: Tensor, people: Tensor) -> dict[str, Any]:
    numbers = {"psnr": psnr, "ssim": ssim}
    return {name: mean(judge.mapped(function, x, r), people) for name, function in numbers.items()}


# ---------------------------------------------------------------- attributes kept


def agreement(before: Tensor, after: Tensor) -> Tensor:
    """What `estimate` needs for the balanced agreement of two sets of verdicts.

    Always answering what most faces have would agree on 80 % of the raw count; balanced, it gets
    50 %.

    before, after: (N, A) bool → (N, 2 A, 2).
    """
    has = torch.stack([before & after, before], dim=-1)
    has_not = torch.stack([~before & ~after, ~before], dim=-1)
    return torch.cat([has, has_not], dim=1)


def _kept(known: Known, critic: Judge) -> dict[str, Any]:
    before, after = known.seen_x > 0, known.seen_r > 0
    columns = {name: critic.names.index(name) for name in critic.judged}

    def agreed(chosen: list[int]) -> dict[str, Any]:
        return estimate(agreement(before[:, chosen], after[:, chosen]), known.people)

    return {
        "average": agreed(list(columns.values())),
        "attributes": {name: agreed([column]) for name, column in columns.items()},
    }


# ---------------------------------------------------------------- distances of distributions


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|μa − μb|² + tr(Σa + Σb − 2 (Σa Σb)^½), of Gaussians fitted to features (Heusel et al. 2017).

    a: (N, F), b: (M, F). It falls with N and M, so compare it at equal counts only.
    """
    return frechet(a, b)[0]


def frechet(a: Tensor, b: Tensor) -> tuple[float, Tensor]:
    """`frechet_distance`, and how much each row of `a` moves it: (N,), mean 0.

    To first order, the distance of rows drawn anew is the distance plus the mean of their moves
    (the distance's derivative by μa and Σa). So it can be resampled without a thousand
    eigenvalue problems.
    """
    a, b = a.double(), b.double()
    mean_a, mean_b = a.mean(dim=0), b.mean(dim=0)
    sigma_a, sigma_b = (
        torch.cov(a.T).reshape(a.shape[1], -1),
        torch.cov(b.T).reshape(b.shape[1], -1),
    )
    values, vectors = torch.linalg.eigh(sigma_a)
    values = values.clamp_min(0)
    root = vectors * values.sqrt() @ vectors.T
    # tr (Σa Σb)^½ = tr (Σa^½ Σb Σa^½)^½, which is symmetric.
    inner_values, inner = torch.linalg.eigh(root @ sigma_b @ root)
    inner_values = inner_values.clamp_min(0).sqrt()
    difference = mean_a - mean_b
    distance = (
        difference.square().sum() + sigma_a.trace() + sigma_b.trace() - 2 * inner_values.sum()
    )
    centred = a - mean_a
    real = values > 1e-10 * values.max()  # fewer rows than features leave the rest empty
    white = (centred @ vectors[:, real] / values[real].sqrt()) @ vectors[:, real].T
    transported = ((white @ inner).square() * inner_values).sum(dim=1)
    moves = 2 * centred @ difference + centred.square().sum(dim=1) - transported
    return float(distance), moves - moves.mean()


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Squared maximum mean discrepancy, without bias, under (x·y / F + 1)³ (Bińkowski et al. 2018).

    a: (N, F), b: (M, F). Also known as KID; it does not depend on N and M but for chance, and can
    fall below 0.
    """
    return kernel(a, b)[0]


def kernel(a: Tensor, b: Tensor) -> tuple[float, Tensor]:
    """`kernel_distance`, and how much each row of `a` moves it, as in `frechet`."""
    within_a, within_b = _similarity(a, a, same=True), _similarity(b, b, same=True)
    across = _similarity(a, b)
    distance = within_a.mean() + within_b.mean() - 2 * across.mean()
    moves = 2 * (within_a - across)
    return float(distance), moves - moves.mean()


def _similarity(a: Tensor, b: Tensor, same: bool = False) -> Tensor:
    """The mean kernel of each row of `a` with the rows of `b`, or with the other rows: (N,)."""
    a, b = a.float(), b.float()
    totals = torch.cat(
        [(part @ b.T / a.shape[1] + 1).double().pow(3).sum(dim=1) for part in a.split(512)]
    )
    if not same:
        return totals / len(b)
    own = (a.square().sum(dim=1) / a.shape[1] + 1).double().pow(3)
    return (totals - own) / (len(a) - 1)


def _distances(
    editor: Editor, critic: Judge, photographs: Tensor, reconstructions: Tensor, options: Options
) -> dict[str, Any]:
    """Of each kind of picture's features to the training photographs'."""
    drawn = editor.draw(options.samples, truncation=1.0, seed=options.seed)
    samples = judge.mapped(lambda z: critic.see(editor.decode(z))[1], drawn, label="samples")
    kinds = {
        # Real faces of other people: as near as anything of that count can get.
        "photographs": photographs,
        "reconstructions": reconstructions,
        "samples": samples,
    }
    reference = critic.reference.float()
    generator = torch.Generator().manual_seed(options.seed)
    some = reference[torch.randperm(len(reference), generator=generator)[:KERNEL_REFERENCE]]
    measured = {"frechet": (frechet, reference), "kernel": (kernel, some)}
    distances: dict[str, Any] = {"extractor": judge.EXTRACTOR, "reference": len(reference)}
    for kind, features in kinds.items():
        distances[kind] = {
            name: _moved(*function(features, others))
            for name, (function, others) in measured.items()
        }
    return distances


def _moved(distance: float, moves: Tensor) -> dict[str, Any]:
    return mean(distance + moves, torch.arange(len(moves)))


# ---------------------------------------------------------------- edits


def _edits(
    editor: Editor, critic: Judge, known: Known, mode: str, options: Options
) -> dict[str, Any]:
    """Every slider at every strength, on faces that the judge says lack the attribute.

    mode: "reconstruction": the decoder's edit against its own reconstruction; "photograph": the
        photograph with the decoder's difference added (detail 1) against the photograph.
    """
    pure = mode == "reconstruction"
    before = known.seen_r if pure else known.seen_x
    sliders = [slider.name for slider in editor.attributes if slider.name in critic.names]
    # Faces that were not edited stay 0 and count for nothing.
    parts = {
        strength: torch.zeros(len(before), len(sliders), 3, 2) for strength in options.strengths
    }
    for column, name in enumerate(sliders):
        target = critic.names.index(name)
        chosen = lacking(before, target, options.faces, options.seed)
        if not len(chosen):
            continue
        few, others = known.rows(chosen), bystanders(critic, target)
        for strength in options.strengths:
            shift = editor.direction({name: strength})
            scores = scores_after(editor, critic, few, shift, pure)
            parts[strength][chosen, column] = verdicts(before[chosen], scores, target, others)
    judged = [column for column, name in enumerate(sliders) if name in critic.judged]
    return {
        "average": _by_strength(parts, judged, known.people),
        "attributes": {
            name: {
                "judged": column in judged,
                "strengths": _by_strength(parts, [column], known.people, column in judged),
            }
            for column, name in enumerate(sliders)
        },
    }


def _by_strength(
    parts: dict[float, Tensor], columns: list[int], people: Tensor, judged: bool = True
) -> dict[str, Any]:
    """The NUMBERS of the mean over some sliders, for each strength.

    A judge that does not know the attribute cannot say whether an edit worked.
    """
    return {
        f"{strength:g}": {
            name: estimate(sums[:, columns, index], people) if judged or name != "effect" else None
            for index, name in enumerate(NUMBERS)
        }
        for strength, sums in parts.items()
    }


# ---------------------------------------------------------------- identity


def nearest_own(embedded: Tensor, originals: Tensor) -> Tensor:
    """Whether each row's nearest original is its own, that of the same row: (N, D)² → (N,) bool.

    Blurred faces embed alike, so that a bare distance would flatter; this does not.
    """
    distances = torch.cdist(embedded, originals)
    return distances.argmin(dim=1) == torch.arange(len(embedded))


def embed(x: Tensor) -> Tensor:
    """dlib's face descriptors, (N, 128): of one person within about 0.6 of each other.

    x: (N, 3, R, R) in [-1, 1], aligned faces.
    """
    import dlib  # here alone, since nothing else of this file needs it

    folder = Path(find_spec("face_recognition_models").submodule_search_locations[0])
    network = dlib.face_recognition_model_v1(
        str(folder / "models" / "dlib_face_recognition_resnet_model_v1.dat")
    )
    # The faces are aligned already: their landmarks lie where alignment has put them.
    places = (align.CANONICAL * EMBEDDING_SIDE - 0.5).round().astype(int).tolist()
    shape = dlib.full_object_detection(
        dlib.rectangle(0, 0, EMBEDDING_SIDE - 1, EMBEDDING_SIDE - 1),
        [dlib.point(*place) for place in places],
    )
    large = F.interpolate(x, (EMBEDDING_SIDE,) * 2, mode="bicubic")
    pixels = images.to_uint8(large).permute(0, 2, 3, 1).contiguous().numpy()
    return torch.tensor([list(network.compute_face_descriptor(face, shape)) for face in pixels])


def _identity(editor: Editor, known: Known, options: Options) -> dict[str, Any]:
    """Among PEOPLE reconstructions of as many people, does an edit find its own?"""
    generator = torch.Generator().manual_seed(options.seed)
    rows = torch.randperm(len(known.people), generator=generator).tolist()
    one_each = {int(known.people[row]): row for row in rows}
    chosen = torch.tensor(list(one_each.values())[:PEOPLE])
    x, z, r, people = known.x[chosen], known.z[chosen], known.r[chosen], known.people[chosen]
    photographs, originals = embed(x), embed(r)
    own = {}
    for slider in editor.attributes:
        shift = editor.direction({slider.name: IDENTITY_STRENGTH})
        own[slider.name] = nearest_own(embed(editor.decode(z + shift)), originals).float()
    report: dict[str, Any] = {
        "among": len(chosen),
        "strength": IDENTITY_STRENGTH,
        # Among the photographs: how much of the person the model keeps in the first place.
        "reconstruction": mean(nearest_own(originals, photographs).float(), people),
        "attributes": {name: mean(found, people) for name, found in own.items()},
    }
    if own:
        report["average"] = mean(torch.stack(list(own.values())).mean(dim=0), people)
    return report


# ---------------------------------------------------------------- tables and command line


def tables(report: dict[str, Any]) -> str:
    """The report for people to read: shares in %, 95 % intervals in brackets."""
    lines = []
    for name, numbers in report["reconstruction"].items():
        psnr_, ssim_ = numbers["psnr"], numbers["ssim"]
        lines.append(
            f"reconstruction, {name}: PSNR {_number(psnr_, 2)} dB, SSIM {_number(ssim_, 3)}, "
            f"{psnr_['count']} faces"
        )
    kept = report["kept"]
    lines.append(
        f"attributes kept: {_number(kept['average'], 1, 100)} % balanced agreement, mean of "
        f"{len(kept['attributes'])} judged attributes"
    )
    distance = report["distance"]
    lines += [
        "",
        f"distance to {distance['reference']} training photographs, {distance['extractor']}",
    ]
    for kind in ("photographs", "reconstructions", "samples"):
        numbers = distance[kind]
        lines.append(
            f"  {kind:16}Fréchet {_number(numbers['frechet'], 2)}, "
            f"kernel × 1000 {_number(numbers['kernel'], 2, 1000)}, "
            f"{numbers['frechet']['count']} pictures"
        )
    for mode, edits in report["editing"].items():
        lines += ["", *_edit_table(mode, edits)]
    if critic := report.get("judge"):
        rows = sorted(critic["balanced_accuracy"].items(), key=lambda row: -row[1])
        lines += ["", "the judge's balanced accuracy on photographs of test people, in %"]
        lines += [f"  {name:24}{100 * accuracy:.1f}" for name, accuracy in rows]
    if identity := report.get("identity"):
        lines += [
            "",
            f"identity: nearest to its own among {identity['among']}: reconstruction "
            f"{_number(identity['reconstruction'], 1, 100)} %",
        ]
        rows = {"mean": identity["average"]} if "average" in identity else {}
        lines += [
            f"  {name:24}{_number(found, 1, 100)} % at +{identity['strength']:g}"
            for name, found in {**rows, **identity["attributes"]}.items()
        ]
    return "\n".join(lines)


def _edit_table(mode: str, edits: dict[str, Any]) -> list[str]:
    """Effect and leakage in %, change in logits, a row for each attribute."""
    strengths = list(edits["average"])
    head = "".join(f"{f'+{strength}':>10}{'':20}" for strength in strengths)
    names = "".join(f"{'effect':>10}{'leaks':>10}{'logit':>10}" for _ in strengths)
    rows = {"mean of the judged": edits["average"]}
    rows |= {name: row["strengths"] for name, row in edits["attributes"].items()}
    lines = [f"{f'edits of the {mode}':26}{head}".rstrip(), f"{'':26}{names}{'faces':>8}"]
    for name, row in rows.items():
        cells = "".join(
            f"{_plain(cell['effect'], 100):>10}{_plain(cell['leakage'], 100):>10}"
            f"{_plain(cell['change'], 1):>10}"
            for cell in row.values()
        )
        lines.append(f"  {name:24}{cells}{row[strengths[0]]['leakage']['count']:>8}")
    return lines


def _number(found: dict[str, Any], digits: int, times: float = 1) -> str:
    if found["value"] is None:
        return "–"
    value, low, high = (f"{times * found[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _plain(found: dict[str, Any] | None, times: float) -> str:
    return "–" if found is None or found["value"] is None else f"{times * found['value']:.1f}"


def prepare_judge(path: Path | None, faces: FaceSet) -> Judge:
    """The judge in `path`, or a new one trained on `faces`, saved there if there is a path.

    Raises:
        JudgeError: the judge was trained on another set, so it may know the people to be judged.
    """
    if path is None or not path.exists():
        print("Training the judge, which takes some minutes.", file=sys.stderr)
        critic = Judge.train(faces)
        if path is not None:
            critic.save(path)
        return critic
    critic = Judge.load(path)
    if critic.dataset != faces.fingerprint:
        raise JudgeError(f"The judge in {path} was trained on another face set.")
    return critic


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m vaegan.evaluate", description="Measures a model on people it never saw."
    )
    add = parser.add_argument
    add("model", help="a folder, the name of a bundled model, or a Hub repository user/repo")
    add("--data", required=True, metavar="SET", help="a prepared face set with labels")
    add("--json", type=Path, metavar="FILE", help="where all numbers go")
    add("--judge", type=Path, metavar="FILE", help="keeps the judge from one run to the next")
    add("--split", choices=data.SPLITS, default="test", help="whose faces (%(default)s)")
    add("--limit", type=positive, help="at most so many faces, drawn at random")
    add("--faces", type=positive, default=200, help="for each attribute (%(default)s)")
    add("--samples", type=positive, default=10_000, help="faces to draw (%(default)s)")
    add("--identity", action="store_true", help="embed edited faces as well, which is slow")
    add("--seed", type=int, default=0)
    flags = parser.parse_args(arguments)
    options = Options(flags.faces, flags.samples, identity=flags.identity, seed=flags.seed)
    try:
        editor = Editor.from_pretrained(flags.model)
        everything = data.load(flags.data, resolution=editor.config.resolution)
        critic = prepare_judge(flags.judge, everything)
        faces = everything.subset(flags.split)
        if flags.limit is not None:
            faces = _some(faces, flags.limit, flags.seed)
        report = evaluate(editor, faces, critic, options)
        described = {
            "format": FORMAT,
            "model": editor.name,
            "weights": editor.vectors.model if editor.vectors else None,
            "data": everything.fingerprint,
            "split": flags.split,
            "options": asdict(options),
            "judge": {
                "extractor": judge.EXTRACTOR,
                "judged": list(critic.judged),
                "balanced_accuracy": dict(
                    zip(critic.names, critic.balanced_accuracy.tolist(), strict=True)
                ),
            },
            **report,
        }
        if flags.json is not None:
            files.write_json(flags.json, described)
    except (
        checkpoint.SnapshotError,
        data.DataError,
        files.FileError,
        JudgeError,
        ModelNotFound,
        VectorError,
        OSError,
    ) as error:
        print(error, file=sys.stderr)
        return 2
    print(tables(described))
    return 0


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
