"""Imports point one way: a file imports files of lower layers only (and the page, everything)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = [
    {"errors"},
    {
        "config",
        "losses",
        "images",
        "files",
        "distributed",
        "latents",
        "metrics",
        "tables",
        "ica",
        "parallel",
        "colours",
        "recording",
    },
    {"prior", "networks", "align", "augment", "blend", "charts", "directions", "eigenfaces"},
    {"refine", "sources", "tuning", "video"},
    {"models", "data", "curves", "face", "settings"},
    {"checkpoint", "view"},
    {"attributes", "judge"},
    {"custom", "hub"},
    {"editor"},
    {"leakage", "candidates"},
    {"effects", "identity"},
    {"evaluate"},
    {"select", "card"},
    {"trainer", "edit", "morph", "space"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FILES = sorted(p for p in (ROOT / "vaegan").glob("*.py") if p.stem != "__init__")


def imported(path: Path) -> set[str]:
    """The project's own modules that a file imports, wherever the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vaegan"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            found |= {parts[1] for parts in names if parts[0] == "vaegan" and len(parts) > 1}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_imports_lower_layers_only(path):
    assert path.stem in LEVEL, f"say in which layer {path.name} stands"
    upward = {name for name in imported(path) if LEVEL.get(name, 99) >= LEVEL[path.stem]}
    assert not upward


def test_the_package_knows_no_page():
    for path in FILES:
        assert "gradio" not in path.read_text("utf-8"), path


def test_every_file_stands_in_one_layer():
    assert sorted(path.stem for path in FILES) == sorted(name for names in LAYERS for name in names)
