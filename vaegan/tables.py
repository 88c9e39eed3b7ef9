"""An evaluation for people to read."""

from __future__ import annotations

from typing import Any

FORMAT = 2  # of reports


def tables(report: dict[str, Any]) -> str:
    """The report for people to read: shares in %, 95 % intervals in brackets."""
    lines = []
    for name, numbers in report.get("reconstruction", {}).items():
        psnr_, ssim_ = numbers["psnr"], numbers["ssim"]
        lines.append(
            f"reconstruction, {name}: PSNR {_number(psnr_, 2)} dB, SSIM {_number(ssim_, 3)}, "
            f"{psnr_['count']} faces"
        )
    if kept := report.get("kept"):
        lines.append(
            f"attributes kept: {_number(kept['average'], 1, 100)} % balanced agreement, mean of "
            f"{len(kept['attributes'])} judged attributes"
        )
    distance = report["distance"]
    lines += [
        "",
        f"distance to {distance['reference']} training photographs, {distance['extractor']}",
    ]
    for kind in ("photographs", "reconstructions", "as many samples", "samples", "with echoes"):
        if not (numbers := distance.get(kind)):
            continue
        lines.append(
            f"  {kind:16}Fréchet {_number(numbers['frechet'], 2)}, "
            f"kernel × 1000 {_number(numbers['kernel'], 2, 1000)}, "
            f"{numbers['frechet']['count']} pictures"
        )
    for mode, edits in report.get("editing", {}).items():
        lines += ["", *_edit_table(mode, edits)]
    if matched := report.get("matched"):
        lines += ["", *_matched_table(matched)]
    if similarity := report.get("similarity"):
        lines += [
            "",
            f"asked-for against read-back attributes ({similarity['attributes']}), after Larsen "
            "et al.",
        ]
        lines += [
            f"  {kind:20}cosine {_number(row['cosine'], 3)}, squared error "
            f"{_number(row['squared error'], 3)}"
            for kind, row in similarity.items()
            if kind != "attributes"
        ]
    if groups := report.get("groups"):
        lines += ["", *_group_table(groups)]
    if judge := report.get("judge"):
        rows = sorted(judge["balanced_accuracy"].items(), key=lambda row: -row[1])
        lines += ["", "the judge's balanced accuracy on photographs of test people, in %"]
        lines += [f"  {name:24}{100 * accuracy:.1f}" for name, accuracy in rows]
    if identity := report.get("identity"):
        lines += [
            "",
            f"identity: nearest to its own among {identity['among']}: reconstruction "
            f"{_number(identity['reconstruction'], 1, 100)} %",
        ]
        means = {"average": "mean", "recognisable": "mean but age and gender"}
        rows = {label: identity[key] for key, label in means.items() if key in identity}
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


def _matched_table(matched: dict[str, Any]) -> list[str]:
    lines = [f"leakage at {matched['effect']:.0%} effect, in %: these vectors, plain differences"]
    if "ratio" in matched:
        shipped, plain = (_number(matched[kind], 1, 100) for kind in ("shipped", "plain"))
        lines.append(f"  {'mean':24}{shipped}, {plain}: ratio {_number(matched['ratio'], 2)}")
    for name, row in matched["attributes"].items():
        shipped, plain = (_plain(row[kind]["leakage"], 100) for kind in ("shipped", "plain"))
        lines.append(f"  {name:24}{shipped:>8}{plain:>8}")
    if matched["left_out"]:
        lines.append(f"  without {', '.join(matched['left_out'])}, which do not get there")
    return lines


def _group_table(groups: dict[str, Any]) -> list[str]:
    """A row for each group: dB, and shares in %."""
    head = "".join(f"{name:>8}" for name in ("faces", "PSNR", "SSIM", "kept", "sliders"))
    head += "".join(f"{name:>20}" for name in ("effect", "leaks"))
    lines = [f"{'by group, edits at +2':20}{head}{'edited':>8}"]
    for name, row in groups.items():
        plain = {"psnr": (1, 1), "ssim": (1, 3), "kept": (100, 1)}
        cells = "".join(f"{_plain(row[key], *how):>8}" for key, how in plain.items())
        cells = f"{row['psnr']['count']:>8}{cells}{row['sliders']:>8}"
        if "leakage" in row:
            cells += "".join(f"{_number(row[key], 1, 100):>20}" for key in ("effect", "leakage"))
            cells += f"{row['leakage']['count']:>8}"
        lines.append(f"  {name:18}{cells}")
    return lines


def _number(found: dict[str, Any], digits: int, times: float = 1) -> str:
    if found["value"] is None:
        return "–"
    value, low, high = (_rounded(found[key], digits, times) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _plain(found: dict[str, Any] | None, times: float, digits: int = 1) -> str:
    return _rounded(found and found["value"], digits, times)


def _rounded(value: float | None, digits: int, times: float) -> str:
    return "–" if value is None else f"{times * value:.{digits}f}"
