"""The model card: what a model was trained on, how, what it can do, and what it must not.

python -m vaegan.card runs/mine/model --data "10,000 portraits, …" --evaluation eval.json

Its pictures are the model's own samples and edits of them: nobody's face.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from vaegan import checkpoint, files, hub, images
from vaegan.editor import Editor
from vaegan.errors import command_line
from vaegan.files import FileError
from vaegan.tables import FORMAT, tables

FRONT = """---
library_name: pytorch
license: other
tags: [vae-gan, faces, face-editing, latent-space]
---
"""
SAMPLES_PICTURE, EDITS_PICTURE, CURVES = hub.PICTURES
SAMPLES, COLUMNS = 24, 8  # drawn, and in a row
LONGEST = 60  # characters of what a model says of its training
EDITED = 6  # samples that edits are shown of, the first ones: good and bad as they come
# What is shown of them, where the model has it.
EDITS = {"Smiling": 2, "Eyeglasses": 2, "Male": 2, "Young": -2, "Blond_Hair": 2, "Bangs": 2}
USE = """## What it is for

Editing faces in photographs that you may edit, studying generative models, teaching. Ask the
people whose faces you change, and do not pass an edit off as a real photograph. It is no judge of
people: a slider's name is how annotators labelled pictures of celebrities, not a fact about
anybody, and the model knows best the kinds of faces that its training photographs show most.
"""


def write(
    folder: Path,
    data: str,
    licence: str,
    command: str = "",
    evaluation: dict[str, Any] | None = None,
) -> None:
    """Draws a model's pictures into `card/`, and writes its README.md.

    Args:
        folder: the model's; curves of its training are shown if `card/curves.svg` is there.
        data: a sentence on what it was trained on.
        licence: a sentence on what its weights may be used for.
        command: what trains it again.
        evaluation: what `vaegan.evaluate` wrote, if it was run.

    Raises:
        SnapshotError, VectorError, FileError: the model cannot be used.
    """
    model = checkpoint.load_snapshot(folder)
    training, config = model.training, model.config
    side = config.resolution
    networks = ", ".join(model.networks)
    parts = [
        FRONT,
        f"# A {config.model} of faces, {side}×{side} pixels\n",
        f"{networks.capitalize()} (fp16) and the distribution of the training latents; see "
        "`config.json`. Attribute vectors, where there are any, name the weights they belong to.\n",
        *_pictures(folder),
        "## Training\n",
        f"- Data: {data}",
        f"- Latent: {config.latent_dim} numbers",
        *_training_lines(training),
        *([f"- Command: `{command}`"] if command else []),
        f"- Licence of the weights: {licence}\n",
        *([f"![Losses over training]({CURVES})\n"] if (folder / CURVES).is_file() else []),
        *_measured(evaluation),
        USE,
    ]
    with files.atomic(folder / "README.md") as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


@torch.no_grad()
def _pictures(folder: Path) -> list[str]:
    """Draws samples and, if the model has sliders, edits of them."""
    editor = Editor.from_pretrained(folder)
    z = editor.draw(SAMPLES, truncation=1.0, seed=0)
    _save(folder / SAMPLES_PICTURE, editor.decode(z), COLUMNS)
    lines = ["## Faces of nobody\n", f"![Samples]({SAMPLES_PICTURE})\n"]
    labels = {attribute.name: attribute.label for attribute in editor.attributes}
    if not labels:
        return lines
    edits = {name: strength for name, strength in EDITS.items() if name in labels}
    edits = edits or dict.fromkeys(list(labels)[: len(EDITS)], 2)
    z = z[:EDITED]
    edited = [z, *(z + editor.direction(z, {n: float(s)}) for n, s in edits.items())]
    drawn = editor.decode(torch.stack(edited, dim=1).flatten(0, 1))
    _save(folder / EDITS_PICTURE, drawn, len(edited))
    named = ", ".join(f"{labels[name]} at {strength:+d}" for name, strength in edits.items())
    return [
        *lines,
        f"The first of them, as drawn and with {named}:\n",
        f"![Edits]({EDITS_PICTURE})\n",
    ]


def _save(path: Path, x: torch.Tensor, columns: int) -> None:
    with files.atomic(path) as temporary:
        images.grid(x, columns).save(temporary)


def _training_lines(training: dict[str, Any]) -> list[str]:
    lines = []
    part, after = training, ""
    while isinstance(part, dict) and "images" in part:
        lines.append(
            f"- Length{after}: {_said(part, 'steps')} steps, {_said(part, 'images')} pictures "
            f"seen, {_said(part, 'hours')} hours on {_said(part, 'device')}"
        )
        part, after = part.get("began_with"), ", before that"
    if "faces" in training:
        lines.append(f"- Training faces: {_said(training, 'faces')}")
    return lines


def _said(training: dict[str, Any], name: str) -> str:
    """What a model that may come from anywhere says of its training."""
    value = training.get(name)
    return f"{value:,}" if isinstance(value, int) else str(value)[:LONGEST]


def _measured(evaluation: dict[str, Any] | None) -> list[str]:
    if evaluation is None:
        return []
    if evaluation.get("format") != FORMAT:
        raise FileError("That is no evaluation as this version of vaegan.evaluate writes them.")
    return [
        "## Measured\n",
        f"On {evaluation['split']} people, by `python -m vaegan.evaluate`; 95 % intervals in "
        "brackets. Effect: share of faces that lack the attribute and get it; leaks: share of "
        "other attributes that change; both in %, by a classifier that knows nothing of the "
        "model. Vectors that `vaegan.select` chose were chosen, and made so long, by the same "
        "classifier's verdicts on validation people.\n",
        f"```\n{tables(evaluation)}\n```\n",
    ]


@command_line
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m vaegan.card", description="Writes a model's card, its README.md."
    )
    add = parser.add_argument
    add("model", type=Path, help="the model's folder")
    add("--data", required=True, help="a sentence on what it was trained on")
    add("--licence", default="not stated", help="a sentence on what the weights may be used for")
    add("--command", default="", help="the command that trains it again")
    add("--evaluation", type=Path, help="the JSON file that vaegan.evaluate wrote")
    flags = parser.parse_args(arguments)
    evaluation = files.read_json(flags.evaluation) if flags.evaluation else None
    write(flags.model, flags.data, flags.licence, flags.command, evaluation)
    return 0


if __name__ == "__main__":
    sys.exit(main())
