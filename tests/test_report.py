"""The report from real runs, tiny ones: trained, measured and drawn by the real commands."""

import sys
from pathlib import Path

import pytest

import train
from vaegan import evaluate, files
from vaegan.evaluate import Extent

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))
import report  # noqa: E402

TINY = ["latent_dim=8", "eigenface_side=8", "encoder_widths=4,8,8", "encoder_hidden=16"]
TINY += ["decoder_widths=8,8,8", "discriminator_widths=4,8,8"]


@pytest.fixture(scope="module")
def runs(prepared_faces, tmp_path_factory) -> Path:
    """A VAE and a GAN, trained for a moment and measured."""
    pytest.importorskip("efficientnet_lite_pytorch")
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "Extent", lambda: Extent(faces=4, samples=20))
        for name in ("vae", "gan"):
            words = ["--data", str(prepared_faces), "--out", str(folder / name), "--model", name]
            words += ["--resolution", "32", "--batch-size", "8", "--device", "cpu", "--evaluate"]
            words += ["--judge", str(folder / "judge.safetensors"), "--steps", "50"]
            words += [word for setting in TINY for word in ("--set", setting)]
            assert train.main([*words, "--precision", "float32"]) == 0
    return folder


def test_a_run_is_measured_at_its_end(runs):
    found = files.read_json(runs / "vae" / "evaluation.json")
    assert found["training"]["steps"] == 50
    assert found["reconstruction"]["labelled"]["psnr"]["count"] == 8
    assert "Measured" in (runs / "vae" / "model" / "README.md").read_text("utf-8")
    assert (runs / "vae" / "evaluation-reconstruction.svg").is_file()
    gan = files.read_json(runs / "gan" / "evaluation.json")
    assert "reconstruction" not in gan and gan["distance"]["samples"]["frechet"]["count"] == 20


def test_the_report_tells_what_was_measured_and_what_is_missing(runs, tmp_path):
    table = {
        "goal": 0.85,
        "chosen": {"Smiling": "least squares"},
        "average": {
            "difference of means": {"leakage": 0.2, "distance": None},
            "least squares": {"leakage": 0.1, "distance": 2.0},
        },
        "attributes": {"Smiling": {"difference of means": None, "least squares": {"leakage": 0.1}}},
    }
    files.write_json(tmp_path / "table.json", table)
    words = [str(runs), "--out", str(tmp_path / "report.md")]
    assert report.main([*words, "--vectors", str(tmp_path / "table.json")]) == 0
    text = (tmp_path / "report.md").read_text("utf-8")
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line[:2] == "| "}
    psnr = files.read_json(runs / "vae" / "evaluation.json")["reconstruction"]["labelled"]["psnr"]
    assert "| AutoEncoder | not run yet |" in text
    assert f"| VAE | {psnr['value']:.2f} [" in text
    assert "| GAN | – | – |" in text
    assert "50 steps on the same faces" in text
    assert rows["their mean distance"] == "| their mean distance | 2.0 | – |"
    assert rows["Smiling"] == "| Smiling | **10.0** | – |"
    named = {part.split(")")[0] for part in text.split("](report/")[1:]}
    assert {path.name for path in (tmp_path / "report").iterdir()} == named
    assert "vae-astronaut.png" in named and "gan-samples.png" in named
    assert "gan-astronaut.png" not in named


def test_without_any_run_the_report_says_so(tmp_path):
    assert report.main([str(tmp_path / "none"), "--out", str(tmp_path / "report.md")]) == 0
    text = (tmp_path / "report.md").read_text("utf-8")
    assert text.count("not run yet") == 11
    assert "has not been run" in text
