"""The model card: what a model was trained on, how, what it can do, and what it must not.

python -m vaegan.card runs/mine/model --data "10,000 portraits, …" --evaluation eval.json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from vaegan import files
from vaegan.tables import tables

FRONT = """---
library_name: pytorch
license: other
tags: [vae-gan, faces, face-editing, latent-space]
---
"""
USE = """## What it is for

Editing faces in photographs that you may edit, studying generative models, teaching. Ask the
people whose faces you change, and do not pass an edit off as a real photograph. It is no judge of
people: a slider's name is how annotators labelled pictures of celebrities, not a fact about
anybody, and the model knows best the kinds of faces that its training photographs show most.
"""


def card(
    config: dict[str, Any],
    data: str,
    licence: str,
    command: str = "",
    evaluation: dict[str, Any] | None = None,
) -> str:
    """The text of a model's README.md.

    Args:
        config: its `config.json`.
        data: a sentence on what it was trained on.
        licence: a sentence on what its weights may be used for.
        command: what trains it again.
        evaluation: what `vaegan.evaluate` wrote, if it was run.
    """
    model, training = config["model"], config["training"]
    side = model["resolution"]
    parts = [
        FRONT,
        f"# A {model['model']} of faces, {side}×{side} pixels\n",
        "Encoder, decoder (fp16) and the distribution of the training latents; see "
        "`config.json`. Attribute vectors, where there are any, name the weights they belong to.\n",
        "## Training\n",
        f"- Data: {data}",
        f"- Latent: {model['latent_dim']} numbers",
        *_training_lines(training),
        *([f"- Command: `{command}`"] if command else []),
        f"- Licence of the weights: {licence}\n",
        *_measured(evaluation),
        USE,
    ]
    return "\n".join(parts)


def _training_lines(training: dict[str, Any]) -> list[str]:
    lines = []
    part, after = training, ""
    while part and "images" in part:
        lines.append(
            f"- Length{after}: {part['steps']:,} steps, {part['images']:,} pictures seen, "
            f"{part['hours']} hours on {part['device']}"
        )
        part, after = part.get("began_with"), ", before that"
    if "faces" in training:
        lines.append(f"- Training faces: {training['faces']:,}")
    return lines


def _measured(evaluation: dict[str, Any] | None) -> list[str]:
    if evaluation is None:
        return []
    return [
        "## Measured\n",
        f"On {evaluation['split']} people, by `python -m vaegan.evaluate`; 95 % intervals in "
        "brackets. Effect: share of faces that lack the attribute and get it; leaks: share of "
        "other attributes that change; both in %, by a classifier that knows nothing of the "
        "model.\n",
        f"```\n{tables(evaluation)}\n```\n",
    ]


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
    try:
        config = files.read_json(flags.model / "config.json")
        evaluation = files.read_json(flags.evaluation) if flags.evaluation else None
        text = card(config, flags.data, flags.licence, flags.command, evaluation)
        with files.atomic(flags.model / "README.md") as temporary:
            temporary.write_text(text, encoding="utf-8")
    except files.FileError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
