"""Writes docs/morph.gif: the astronaut turns into a face that the model drew, and back.

python docs/morph.py           # --seed chooses the other face, --out another file
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from vaegan import morph  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "morph.gif")
    flags = parser.parse_args()
    astronaut = ROOT / "docs" / "astronaut.jpg"
    options = ["--size", "256", "--seconds", "1.5", "--fps", "14", "--spherical"]
    return morph.main([str(astronaut), f"random:{flags.seed}", *options, "--out", str(flags.out)])


if __name__ == "__main__":
    sys.exit(main())
