"""The attribute vectors that ship: every method compared, the best kept.

    python -m vaegan.select MODEL --data SET --judge FILE

For each attribute, directions of all methods (`vaegan.candidates`) are brought to the same effect
on validation people, where the judge counts what else they change (`vaegan.leakage`). The winner
leaks little, stays near the faces and draws little anew, and is written with what it did at +2. It
is so long that +2 has the same effect everywhere, but leads the mean face that lacks the attribute
no farther than FARTHEST. Below 0 it goes the same way back, or along a direction that was tuned to
take the attribute away, whichever wins there. Test people take no part, but that their photographs
say which of the judge's verdicts count (`Judge.judged`).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from vaegan import (
    attributes,
    candidates,
    checkpoint,
    data,
    directions,
    files,
    hub,
    leakage,
)
from vaegan.attributes import AttributeVectors, VectorError
from vaegan.blend import drawn_anew
from vaegan.candidates import PLAIN, STRENGTH, TUNED, Labelled, Options
from vaegan.data import FaceSet
from vaegan.editor import Editor
from vaegan.errors import command_line
from vaegan.evaluate import positive, prepare_judge
from vaegan.judge import Judge
from vaegan.leakage import Known
from vaegan.networks import encode_all
from vaegan.parallel import mapped

BACKWARDS = "as above 0, backwards"
UNMEASURED = "least squares"  # of attributes that have no slider, and so are not compared
AIM = 0.95  # effect there, on reconstructions, for which vectors are long enough …
AIM_PHOTOGRAPH = 0.85  # … or this on photographs, which show less of an edit, …
BEYOND = 1.5  # … at no more than so many times the strength, since leakage grows with it
# How far +2 may lead the mean face, in deviations between one person's photographs. Two of these
# lie √(2 · 256) = 23 apart in all that changes; one change alone does not take half that way, and
# what goes farther is another person or paint (docs/experiments.md).
FARTHEST = 8.0
UNSEEN = 0.02  # what an edit draws anew, of structure, that nobody sees
# An attribute is not offered if its effect there, also on photographs, is below this, or if the
# judge does not know it well enough to tell …
SHOWN = 0.6
# … but for these, which a face editor cannot be without:
KEPT = (
    "Smiling",
    "Mouth_Slightly_Open",
    "High_Cheekbones",
    "Eyeglasses",
    "Male",
    "Young",
    "Blond_Hair",
    "Black_Hair",
    "Brown_Hair",
    "Bangs",
    "Wavy_Hair",
    "Receding_Hairline",
    "Heavy_Makeup",
    "Wearing_Lipstick",
    "No_Beard",
    "Bushy_Eyebrows",
)


@dataclass(frozen=True, eq=False)
class End:
    """What was chosen for a slider on one side of 0.

    vector: (D,), what one step of the slider adds
    compared, measured: what `compare` and `measure` found, or None of what has no slider
    """

    vector: Tensor
    method: str
    compared: dict[str, dict[str, float] | None] | None = None
    measured: dict[str, Any] | None = None


def select(
    editor: Editor, model: str, faces: FaceSet, judge: Judge, options: Options
) -> tuple[AttributeVectors, dict[str, Any]]:
    """The best vectors, and the table of all methods.

    Args:
        model: SHA-256 of the weights.

    Raises:
        VectorError: no encoder, no labels, or no attribute that is worth keeping.
    """
    if editor.encoder is None:
        raise VectorError("A GAN has no encoder, so photographs give it no vectors.")
    train, validation = (faces.subset(part).labelled() for part in ("train", "validation"))
    if not (len(train) and len(validation)):
        raise VectorError("Vectors need labelled faces in both training and validation part.")
    columns = attributes.two_sided(faces)
    if not columns:
        raise VectorError("No attribute has training faces on both sides.")
    names = tuple(train.attribute_names[index] for index in columns)
    mu = encode_all(editor.encoder, train.images)
    labels = train.attributes[:, columns]
    root = directions.covariance_root(mu, train.identity)
    readouts = directions.readouts(mu, labels)
    people = Labelled(train.images, mu, labels, names, root, readouts)
    found, takers = candidates.find(editor, people, validation, columns, options)
    known, *_ = leakage.know(editor, judge, validation)

    table: dict[str, Any] = {}
    kept: dict[int, tuple[End, End]] = {}
    sliders = [name for name in attributes.sliders(names) if name in judge.names]
    for index, name in enumerate(tqdm(names, desc="comparing", disable=None)):
        own = {method: rows[index] for method, rows in found.items() if rows[index].any()}
        if name not in sliders:
            end = End(own[UNMEASURED], UNMEASURED)
            kept[index] = end, end
            continue
        trial = Trial(editor, judge, known, root, options, name, readouts[index])
        above = best_end(trial, own)
        table[name] = above.compared
        least = min(above.measured["effect"], above.measured["photograph"]["effect"])
        if (least < SHOWN or name not in judge.judged) and name not in KEPT:
            continue
        takes = {BACKWARDS: own[above.method]}
        if takers[index].any():
            takes[TUNED] = takers[index]
        as_far = directions.distance(above.vector, root)
        below = best_end(replace(trial, sign=-1), takes, list(takes)[-1], as_far)
        kept[index] = above, below
    if not kept:
        raise VectorError("No attribute shows well enough on validation faces to be kept.")
    aboves, belows = zip(*kept.values(), strict=True)
    chosen = AttributeVectors(
        names=tuple(names[index] for index in kept),
        above=torch.stack([end.vector for end in aboves]),
        below=torch.stack([end.vector for end in belows]),
        readouts=readouts[list(kept)],
        counts=tuple(attributes.sides(people.labels[:, list(kept)])),
        method="for each attribute what leaks least, stays nearest and draws least anew on "
        "validation people",
        dataset=faces.fingerprint,
        model=model,
        methods=tuple(end.method for end in aboves),
        measured=tuple(_measured(*ends) for ends in kept.values()),
    )
    return chosen, table


def _measured(above: End, below: End) -> dict[str, Any] | None:
    if above.measured is None:
        return None
    told = {"method": below.method, "compared": below.compared}
    return above.measured | {"below": told | below.measured}


# ---------------------------------------------------------------- comparison


@dataclass(frozen=True, eq=False)
class Trial:
    """Who and what tells how good a direction is for one side of a slider, on validation people.

    root: (D, D), as `directions.distance` takes it
    readout: (D + 1,), as `directions.step_length` takes it
    sign: -1 for the side below 0, and people who have the attribute
    """

    editor: Editor
    judge: Judge
    known: Known
    root: Tensor
    options: Options
    name: str
    readout: Tensor
    sign: int = 1

    @property
    def target(self) -> int:
        return self.judge.names.index(self.name)

    def lacking(self, pure: bool, most: int) -> Known:
        """At most so many faces that have something to gain, or to lose."""
        seen = self.known.seen(pure)
        rows = leakage.lacking(seen, self.target, most, self.options.seed, self.sign)
        return self.known.rows(rows)

    def steps(self, faces: Known, direction: Tensor) -> Tensor:
        """(N, D), `direction` as long as each face needs it."""
        length = directions.step_length(self.readout, faces.z, self.sign)
        return length.unsqueeze(1) * direction

    def at_same_effect(
        self, direction: Tensor, goal: float = leakage.GOAL, pure: bool = True
    ) -> tuple[float, Tensor] | None:
        """As `leakage.at_same_effect` does."""
        few = self.lacking(pure, self.options.faces)
        steps = self.steps(few, direction)
        return leakage.at_same_effect(
            self.editor, self.judge, few, self.target, steps, goal, pure, self.sign
        )


def best_end(
    trial: Trial,
    choices: dict[str, Tensor],
    otherwise: str = PLAIN,
    as_far: float = FARTHEST / STRENGTH,
) -> End:
    """The winner of the choices, so long that it has the same effect as every slider's.

    Args:
        otherwise: the method if none gets there.
        as_far: how far a step leads if nothing is enough, in deviations.
    """
    compared = compare(trial, choices)
    method = winner(compared, otherwise)
    enough = strength_needed(trial, choices[method])
    vector = one_step(choices[method], enough, trial.root, as_far)
    return End(vector, method, compared, measure(trial, vector))


def compare(trial: Trial, choices: dict[str, Tensor]) -> dict[str, dict[str, float] | None]:
    """By method, where it flips GOAL of the faces: its leakage, its distance, and how much it draws
    anew. None where a method does not get there."""
    few = trial.lacking(True, trial.options.faces)
    compared: dict[str, dict[str, float] | None] = {}
    for method, direction in choices.items():
        found = trial.at_same_effect(direction)
        if found is None:
            compared[method] = None
            continue
        shift = found[0] * direction
        compared[method] = {
            "leakage": round(_leakage(found[1]), 4),
            "distance": round(directions.distance(shift, trial.root), 3),
            "anew": round(_anew(trial.editor, few, trial.sign * trial.steps(few, shift)), 4),
        }
    return compared


def _anew(editor: Editor, faces: Known, shift: Tensor) -> float:
    """How much an edit draws anew, the mean over `faces`."""
    edited = mapped(editor.decode, faces.z + shift)
    return float(drawn_anew(faces.r, edited).mean())


def winner(compared: dict[str, dict[str, float] | None], otherwise: str = PLAIN) -> str:
    """The method with the least leakage × distance × anew; where none gets there, `otherwise`.

    A direction that leads far away from the faces may convince a judge, and still look like a
    trick to people, or make another person of the face; and where it draws anew, the photograph's
    texture goes. So what it saves in leakage must be worth both.
    """
    products = {
        method: found["leakage"] * found["distance"] * max(found["anew"], UNSEEN)
        for method, found in compared.items()
        if found is not None
    }
    return min(products, key=products.__getitem__, default=otherwise)


def strength_needed(trial: Trial, direction: Tensor) -> float | None:
    """How many times `direction` a slider needs at its end's STRENGTH; None if nothing is enough.

    Where the aim is out of reach, or the judge cannot tell the attribute well enough to ask for so
    much, it is the effect that directions are compared at.
    """

    def strength(pure: bool, aim: float) -> float | None:
        found = trial.at_same_effect(direction, aim, pure)
        return found and found[0]

    if trial.name not in trial.judge.judged or (enough := strength(True, AIM)) is None:
        return strength(True, leakage.GOAL)
    on_photographs = strength(False, AIM_PHOTOGRAPH) or float("inf")
    return max(enough, min(on_photographs, BEYOND * enough))


def one_step(
    direction: Tensor, enough: float | None, root: Tensor, as_far: float = FARTHEST / STRENGTH
) -> Tensor:
    """The direction so long that STRENGTH steps are enough, but lead no farther than FARTHEST.

    Args:
        enough: how many times the direction is; None if nothing is, and then a step leads `as_far`.
    """
    length = directions.distance(direction, root)
    if not length:
        return direction
    longest = FARTHEST / STRENGTH / length
    return direction * (as_far / length if enough is None else min(enough / STRENGTH, longest))


def measure(trial: Trial, step: Tensor) -> dict[str, Any]:
    """What the slider at +2, or −2, does to validation people, in shares.

    Args:
        step: (D,), what one step of the slider adds.
    """
    judge, target = trial.judge, trial.target
    others = leakage.bystanders(judge, target)
    strength = trial.sign * STRENGTH
    measured: dict[str, Any] = {"strength": strength, "judged": trial.name in judge.judged}
    for pure in (True, False):
        few = trial.lacking(pure, 2 * trial.options.faces)
        before = few.seen(pure)
        shift = strength * trial.steps(few, step)
        after = leakage.scores_after(trial.editor, judge, few, target, shift, pure)
        parts = leakage.verdicts(before, after, target, others, trial.sign)
        numbers = {
            "effect": round(float(parts[:, 0, 0].mean()), 3) if len(before) else 0.0,
            "leakage": round(_leakage(parts), 3) if len(before) else 0.0,
        }
        if not pure:
            measured["photograph"] = numbers
            continue
        turned = ((before > 0) != (after > 0)).float().sum(dim=0) / max(1, len(before))
        turned[target] = 0
        for index, other in enumerate(judge.names):
            turned[index] *= other in judge.judged
        most = turned.topk(min(3, len(turned)))
        measured |= numbers | {
            "faces": len(before),
            "moves": {
                judge.names[index]: round(share, 3)
                for share, index in zip(most.values.tolist(), most.indices.tolist(), strict=True)
                if share
            },
        }
    return measured


def _leakage(parts: Tensor) -> float:
    return float(parts[:, 2, 0].sum() / parts[:, 2, 1].sum().clamp_min(1e-9))


# ---------------------------------------------------------------- table and command line


def averages(table: dict[str, Any], judged: tuple[str, ...]) -> dict[str, dict[str, float | None]]:
    """By method, over the attributes that the judge knows: leakage, distance, how many it reached.

    An attribute that a method cannot bring to the effect leaks as much as the plain difference
    would: doing nothing must not pay. Where that does not get there either, it is left out. The
    distance is the mean of those that the method reached.
    """
    rows = {name: row for name, row in table.items() if name in judged and row.get(PLAIN)}
    found: dict[str, dict[str, float | None]] = {}
    for method in dict.fromkeys(method for row in rows.values() for method in row):
        leaks = [(row.get(method) or row[PLAIN])["leakage"] for row in rows.values()]
        ways = [row[method]["distance"] for row in rows.values() if row.get(method)]
        found[method] = {
            "leakage": round(sum(leaks) / len(leaks), 4),
            "distance": round(sum(ways) / len(ways), 2) if ways else None,
            "reached": len(ways),
            "attributes": len(rows),
        }
    return found


@command_line
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m vaegan.select",
        description="Computes attribute vectors by all methods and keeps the best.",
    )
    add = parser.add_argument
    add("model", help="a folder, the name of a bundled model, or a Hub repository user/repo")
    add("--data", required=True, metavar="SET", help="a prepared face set with labels")
    add("--judge", type=Path, metavar="FILE", help="keeps the judge from one run to the next")
    add("--out", type=Path, help="the .safetensors to write; by default where the editor looks")
    add("--table", type=Path, metavar="FILE", help="where the comparison of all methods goes, JSON")
    add("--faces", type=positive, default=100, help="validation faces per attribute (%(default)s)")
    add("--steps", type=int, default=500, help="of tuning through the decoder; 0: none")
    add("--seed", type=int, default=0)
    flags = parser.parse_args(arguments)
    folder, own = hub.locate(flags.model)
    if not (flags.out or Path(flags.model).is_dir() or flags.model in hub.bundled()):
        raise VectorError("For a model of the Hub, --out says where its vectors go.")
    out = files.tensors_path(flags.out or own)
    snapshot = checkpoint.load_snapshot(folder)
    faces = data.load(hub.data_source(flags.data), resolution=snapshot.config.resolution)
    judge = prepare_judge(flags.judge, faces)
    options = Options(flags.faces, flags.steps, seed=flags.seed)
    editor = Editor(snapshot, None, flags.model)
    vectors, table = select(editor, snapshot.sha256, faces, judge, options)
    attributes.save(vectors, out)
    summary = averages(table, judge.judged)
    if flags.table is not None:
        files.write_json(
            flags.table,
            {
                "model": snapshot.sha256,
                "data": faces.fingerprint,
                "goal": leakage.GOAL,
                "faces": flags.faces,
                "chosen": dict(zip(vectors.names, vectors.methods, strict=True)),
                "average": summary,
                "attributes": table,
            },
        )
    print(f"Leakage and distance at {leakage.GOAL:.0%} effect, validation people, by method:")
    for method, row in sorted(summary.items(), key=lambda item: item[1]["leakage"]):
        reached = f"{row['reached']} of {row['attributes']} attributes"
        way = "–" if row["distance"] is None else f"{row['distance']:.1f}"
        print(f"  {method:32}{row['leakage']:7.1%}{way:>6}   reaches it on {reached}")
    print(f"{len(vectors.names)} attribute vectors are in {out}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
