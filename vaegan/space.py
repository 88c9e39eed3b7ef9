"""Assembles a Hugging Face Space: the files that the page needs, and no others.

python -m vaegan.space FOLDER
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from vaegan import hub
from vaegan.errors import command_line

ROOT = hub.ROOT
NEEDED = (
    "README.md",  # its front matter tells the Space what to start
    "LICENSE",
    "requirements.txt",
    "app.py",
    "page/*.py",
    "page/*.css",
    "page/scripts/*.js",
    "vaegan/*.py",
    "docs/astronaut.jpg",
    f"pretrained/{hub.BUNDLED}/*",
    f"attributes/{hub.BUNDLED}.*",
)
EPILOG = """
The folder is a whole Space. Try it, and send it with the Hub's own tool:

  cd FOLDER && python app.py
  hf upload USER/NAME FOLDER . --repo-type space
"""


def needed() -> list[Path]:
    """The files of a Space, as paths from the project's folder."""
    found = {path for pattern in NEEDED for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(path.relative_to(ROOT) for path in found)


def assemble(folder: Path) -> list[Path]:
    """Copies the files of a Space into a new folder; what was copied.

    Raises:
        FileExistsError: there is something in the folder already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there already; a Space takes a new or empty folder.")
    copied = needed()
    for path in copied:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, folder / path)
    return copied


@command_line
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m vaegan.space",
        description="Assembles a Hugging Face Space with the bundled model.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="a new or empty folder")
    flags = parser.parse_args(arguments)
    copied = assemble(flags.folder)
    size = sum((flags.folder / path).stat().st_size for path in copied)
    print(f"{len(copied)} files, {size / 1e6:.0f} MB, are in {flags.folder}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
