"""Writes docs/report.md and its figures from the runs' files.

    python docs/report.py runs/compare [--ablations runs/ablations] [--vectors table.json]

Only the astronaut (public domain) and the models' own samples are shown: a reconstruction of a
training or test photograph would be that photograph again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from PIL import Image  # noqa: E402

from vaegan import Editor, Settings, charts, curves, files, images  # noqa: E402

DOCS = ROOT / "docs"
MODELS = {"autoencoder": "AutoEncoder", "vae": "VAE", "gan": "GAN", "vaegan": "VAE-GAN"}
ABLATIONS = {
    "vaegan": "VAE-GAN",
    "vaegan-no-feature-loss": "without the feature loss",
    "vaegan-no-prior-samples": "without prior samples",
    "vaegan-no-attributes": "without attributes named or edits trained",
    "vaegan-no-augment": "without augmentation",
}
PAPER = "larsen2016"
COLUMNS = 8
EDITS = {"Smiling": 2.0, "Eyeglasses": 2.0, "Male": 2.0, "Young": -2.0, "Blond_Hair": 2.0}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Writes the report from the runs' files.")
    parser.add_argument("runs", type=Path, help="the folder that benchmarks/compare.sh filled")
    parser.add_argument("--ablations", type=Path, help="those runs, if they stand elsewhere")
    parser.add_argument("--vectors", type=Path, help="the table that vaegan.select wrote")
    parser.add_argument("--out", type=Path, default=DOCS / "report.md")
    flags = parser.parse_args(arguments)
    figures = flags.out.parent / flags.out.stem
    names = [*MODELS, PAPER]
    reports = {name: read(flags.runs / name) for name in names}
    without = {name: read((flags.ablations or flags.runs) / name) for name in ABLATIONS}
    drawn = {name: draw(flags.runs / name, figures, name) for name in MODELS}
    table = files.read_json(flags.vectors) if flags.vectors else None
    text = "\n".join(
        [
            INTRODUCTION,
            ARCHITECTURES,
            "## Measured\n",
            *measured(reports),
            *pictures(drawn, figures.name),
            *losses(flags.runs, figures),
            "## What each part of the VAE-GAN does\n",
            *ablations(without),
            "## Against Larsen et al. 2016\n",
            *paper(reports),
            "## Attribute vectors\n",
            *vectors(table),
        ]
    )
    with files.atomic(flags.out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(f"The report is in {flags.out}.")
    return 0


def read(run: Path) -> dict[str, Any] | None:
    """A run's evaluation, or None where it is missing."""
    path = run / "evaluation.json"
    return files.read_json(path) if path.is_file() else None


# ---------------------------------------------------------------- tables


def measured(reports: dict[str, dict[str, Any] | None]) -> list[str]:
    """One row a model, and what may be said of the rows."""
    steps = {name: _steps(reports[name]) for name in MODELS}
    done = {count for count in steps.values() if count}
    lines = [_table({label: reports[name] for name, label in MODELS.items()})]
    if len(done) == 1:
        lines.append(f"All rows: {done.pop():,} steps on the same faces, the same evaluator.\n")
    elif done:
        told = ", ".join(f"{MODELS[name]} {count:,}" for name, count in steps.items() if count)
        lines.append(f"**The runs differ in length** ({told} steps), so compare with care.\n")
    lines.append(
        "Fréchet distances are to be compared down a column, not across: there are fewer "
        "reconstructions than samples, and the fewer pictures, the larger the distance.\n"
    )
    vae, vaegan = reports["vae"], reports["vaegan"]
    if vae and vaegan:
        sharper = _value(vaegan, "distance", "samples", "frechet") < _value(
            vae, "distance", "samples", "frechet"
        )
        nearer = [
            _value(vae, *path) > _value(vaegan, *path)
            for path in (("reconstruction", "labelled", "psnr"), ("kept", "average"))
        ]
        place = "nearer to" if sharper else "**farther from**"
        better = "**better in both PSNR and kept attributes**"
        lines.append(
            f"The VAE-GAN's samples lie {place} the photographs than the VAE's. The VAE is "
            f"{better if all(nearer) else 'not better in both PSNR and kept attributes'}.\n"
        )
    return lines


def ablations(reports: dict[str, dict[str, Any] | None]) -> list[str]:
    """Rows of equal steps, which may be fewer than the table's above."""
    lines = [_table({label: reports[name] for name, label in ABLATIONS.items()})]
    whole = reports["vaegan"]
    if whole and not _setting(whole, "edits", 0.5):
        lines.append("None of these runs trained edits, which makes their steps quicker.\n")
    if whole and _setting(whole, "prior", "standard") == "aggregate":
        lines.append("Their prior samples came from where the latents lie.\n")
    return lines


def paper(reports: dict[str, dict[str, Any] | None]) -> list[str]:
    """The preset's row, and the paper's attribute test beside ours."""
    lines = [
        "The preset `larsen2016` has the paper's layers, optimiser, γ and equilibrium gate.\n",
        _table({"larsen2016": reports[PAPER], "default": reports["vaegan"]}),
        "The paper reads attributes back from faces that were asked for by attributes, with a "
        "regressor trained on LFW's 73 attributes, and compares the two vectors. Here labels are "
        "CelebA's, the reader is the judge, and faces are built from labels by least squares in "
        "the latents; so the columns stand side by side, but are not one scale.\n",
        "| | cosine, here | squared error, here |",
        "| --- | --- | --- |",
    ]
    for label, report in ((PAPER, reports[PAPER]), ("default", reports["vaegan"])):
        for kind in ("photographs", "reconstructions", "from labels"):
            row = (report or {}).get("similarity", {}).get(kind, {})
            cells = " | ".join(_cell(row.get(key), 3) for key in ("cosine", "squared error"))
            lines.append(f"| {label}, {kind} | {cells} |")
    return [*lines, ""]


def vectors(table: dict[str, Any] | None) -> list[str]:
    """All methods at the same effect on validation people."""
    if table is None:
        return ["The comparison of the methods (`python -m vaegan.select`) has not been run.\n"]
    methods = sorted(table["average"], key=lambda name: table["average"][name]["leakage"])
    lines = [
        f"Leakage in %, on validation people, at the strength where {table['goal']:.0%} of the "
        "faces that lack the attribute show it, each being moved as far as it lacks it; and how "
        "far an edit leads there in the mean, in deviations between one person's photographs. A "
        "dash: the method does not get there. Bold: what ships, which is what has the least "
        "leakage × distance × structure drawn anew.\n",
        f"| | {' | '.join(methods)} |",
        f"| --- |{' --- |' * len(methods)}",
        f"| mean of the judged | "
        f"{' | '.join(_percent(table['average'][name]['leakage']) for name in methods)} |",
        f"| their mean distance | "
        f"{' | '.join(_distance(table['average'][name]['distance']) for name in methods)} |",
    ]
    for attribute, row in table["attributes"].items():
        cells = []
        for method in methods:
            found = row.get(method)
            cell = _percent(found["leakage"]) if found else "–"
            chosen = table["chosen"].get(attribute) == method
            cells.append(f"**{cell}**" if chosen else cell)
        lines.append(f"| {attribute.replace('_', ' ')} | {' | '.join(cells)} |")
    lines.append(
        "\nIn the mean, an attribute that a method cannot bring to the effect counts as the plain "
        "difference of means would.\n"
    )
    return lines


def _table(rows: dict[str, dict[str, Any] | None]) -> str:
    lines = [
        "| | PSNR, dB | SSIM | attributes kept, % | Fréchet, reconstructions | Fréchet, samples "
        "| … with echoes | effect at +2, % | leaks at +2, % | steps | hours |",
        f"|{' --- |' * 11}",
    ]
    for label, report in rows.items():
        if report is None:
            lines.append(f"| {label} | not run yet |{' |' * 9}")
            continue
        edits = report.get("editing", {}).get("reconstruction", {}).get("average", {}).get("2", {})
        fidelity = report.get("reconstruction", {}).get("labelled", {})
        distance = report["distance"]
        cells = [
            _cell(fidelity.get("psnr"), 2),
            _cell(fidelity.get("ssim"), 3),
            _cell(report.get("kept", {}).get("average"), 1, 100),
            _cell(distance.get("reconstructions", {}).get("frechet"), 1),
            _cell(distance["samples"]["frechet"], 1),
            _cell(distance.get("with echoes", {}).get("frechet"), 1),
            _cell(edits.get("effect"), 1, 100),
            _cell(edits.get("leakage"), 1, 100),
            f"{_steps(report):,}",
            f"{report.get('training', {}).get('hours', '–')}",
        ]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _cell(found: dict[str, Any] | None, digits: int, times: float = 1) -> str:
    if not found or found["value"] is None:
        return "–"
    value, low, high = (f"{times * found[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _distance(found: float | None) -> str:
    return "–" if found is None else f"{found:.1f}"


def _setting(report: dict[str, Any], name: str, before: Any) -> Any:
    """A setting of the run; `before` is what it was before there was a choice."""
    return report["training"]["config"].get(name, before)


def _steps(report: dict[str, Any] | None) -> int:
    return int((report or {}).get("training", {}).get("steps", 0))


def _value(report: dict[str, Any], *path: str) -> float:
    found: Any = report
    for key in path:
        found = found[key]
    return float(found["value"])


# ---------------------------------------------------------------- figures


def draw(run: Path, figures: Path, name: str) -> list[str]:
    """Writes what a model draws: samples; and of the astronaut, its reconstruction, edits, a morph.

    Returns the figures' kinds; none where the model is missing.
    """
    if not (run / "model" / "config.json").is_file():
        return []
    editor = Editor.from_pretrained(run / "model")
    drawn = {"samples": editor.decode(editor.draw(2 * COLUMNS, truncation=1.0, seed=0))}
    ends = editor.draw(2, truncation=0.7, seed=1)
    if editor.encoder is not None:
        face = editor.open(DOCS / "astronaut.jpg")
        crop = images.from_pil(Image.fromarray(face.crop), editor.config.resolution)[None]
        known = {attribute.name for attribute in editor.attributes}
        edits = [
            editor.draw_edit(face, Settings({attribute: float(strength)}))
            for attribute, strength in EDITS.items()
            if attribute in known
        ]
        drawn["astronaut"] = torch.cat([crop, face.reconstruction, *edits])
        ends = torch.cat([face.z, ends[1:]])
    morph = torch.stack([torch.lerp(*ends, t) for t in torch.linspace(0, 1, COLUMNS)])
    drawn["morph"] = editor.decode(morph)
    for kind, x in drawn.items():
        with files.atomic(figures / f"{name}-{kind}.png") as temporary:
            images.grid(x, COLUMNS).save(temporary)
    return list(drawn)


def pictures(drawn: dict[str, list[str]], folder: str) -> list[str]:
    titles = {
        "astronaut": "An astronaut, her reconstruction, and edits: smile, glasses, male, older, "
        "blond",
        "morph": "From one face to another (of models with an encoder, from the astronaut)",
        "samples": "Samples",
    }
    lines = []
    for kind, title in titles.items():
        lines += [f"### {title}\n", "| | |", "| --- | --- |"]
        for name, label in MODELS.items():
            there = kind in drawn.get(name, [])
            cell = f"![{label}]({folder}/{name}-{kind}.png)" if there else "–"
            lines.append(f"| {label} | {cell} |")
        lines.append("")
    return lines


def losses(runs: Path, figures: Path) -> list[str]:
    """A chart of each loss, with all the models that have it."""
    found = {label: curves.read(runs / name / "metrics.jsonl") for name, label in MODELS.items()}
    drawn = [
        charts.lines(lines, title, "step", "")
        for name, title in curves.TITLES.items()
        if (lines := {label: read[name] for label, read in found.items() if name in read})
    ]
    if not drawn:
        return []
    charts.write(figures / "curves.svg", charts.panels(drawn))
    return ["### Curves\n", f"![Losses over training]({figures.name}/curves.svg)\n"]


INTRODUCTION = """# Four models, one trainer

Each of the four was made to mend the one before.

- An **autoencoder** turns faces into codes and back, but nobody knows where the codes lie: a
  random code is no face.
- A **VAE** (Kingma & Welling 2014) makes the codes lie near N(0, I), so they can be drawn and
  mixed. Its likeness is counted pixel by pixel, and whoever is unsure of a pixel paints the mean:
  pictures are soft.
- A **GAN** (Goodfellow et al. 2014) replaces the pixels by a discriminator that learns what
  photographs look like. Its pictures are sharp, but no photograph can be encoded.
- The **VAE-GAN** (Larsen et al. 2016) joins the two: the VAE's decoder is the GAN's generator, and
  two faces are alike if the discriminator's features say so.
"""
ARCHITECTURES = """## The models

The losses are those of `vaegan/losses.py`; dashed arrows show which network each of them trains. No
loss reaches another network.

### AutoEncoder

```mermaid
flowchart LR
    x[photograph x] --> E[encoder] --> z[code z] --> D[decoder] --> t[reconstruction x̃]
    t --> P{pixel loss}
    x --> P
    P -.-> E
    P -.-> D
```

Pixel loss: mean |x̃ − x| over pixels.

### VAE

```mermaid
flowchart LR
    x[photograph x] --> E[encoder] --> q["mu, logvar"] --> z["z = mu + σ·ε"] --> D[decoder]
    D --> t[reconstruction x̃] --> P{pixel loss}
    x --> P
    q --> K{KL}
    K -.-> E
    P -.-> E
    P -.-> D
```

KL(q(z|x) ‖ N(0, I)) = ½ Σ (mu² + σ² − 1 − log σ²), which trains the encoder alone.

### GAN

```mermaid
flowchart LR
    p["z ~ N(0, I)"] --> D[decoder] --> h[sample x̂] --> C[discriminator] --> S{real or fake}
    x[photograph x] --> C
    S -. knows which .-> C
    S -. fools it .-> D
```

Hinge loss: the discriminator wants scores above 1 for photographs and below −1 for samples; the
decoder wants its samples' scores up. Both see them through the same random colours and shifts
(DiffAugment, Zhao et al. 2020).

### VAE-GAN

```mermaid
flowchart LR
    x[photograph x] --> E[encoder] --> q["mu, logvar"] --> z["z = mu + σ·ε"] --> D[decoder]
    p["z ~ N(0, I)"] --> D
    D --> t[reconstruction x̃] --> C[discriminator]
    D --> h[sample x̂] --> C
    x --> C
    C --> S{real or fake}
    C --> F{feature loss}
    x --> P{pixel loss}
    t --> P
    q --> K{KL}
    K -.-> E
    F -.-> E
    F -.-> D
    P -.-> E
    P -.-> D
    S -. knows which .-> C
    S -. fools it .-> D
```

Feature loss: mean |Dis_l(x̃) − Dis_l(x)| over that layer's mean magnitude, mean over layers; it
trains encoder and decoder, never the discriminator. The adversarial loss trains the decoder, never
the encoder. Where photographs have labels, three losses more make faces that can be edited (not in
the picture; `--no-attributes` leaves them out): the discriminator learns to name attributes, a
reconstruction must be named like its photograph, and an edit must change the name that it is about
and no other. With `--set prior=aggregate` prior samples come from where the latents lie: each z_p
is blended from four of the batch's own mu, m + Σ (mu_k − m) / √4 with their mean m.

## How samples are drawn

From independent components of the training faces' latents and a mixture of Gaussians in their
scores (`vaegan/prior.py`), for a GAN from N(0, I). A model with an encoder can draw with echoes:
what is drawn is decoded and encoded again, twice, and each time stretched to the faces' own spread.
"""

if __name__ == "__main__":
    sys.exit(main())
