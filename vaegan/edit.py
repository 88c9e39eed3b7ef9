"""Edits a photograph from the command line.

python -m vaegan.edit photo.jpg --set Smiling=2 --set Eyeglasses=1.5 --out out.png
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from vaegan import files
from vaegan.attributes import VectorError
from vaegan.checkpoint import SnapshotError
from vaegan.editor import Editor, FaceNotFound
from vaegan.hub import ModelNotFound
from vaegan.images import BadImage

FORMATS = (".png", ".jpg", ".jpeg", ".webp")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m vaegan.edit", description="Edits the face in a photograph."
    )
    add = parser.add_argument
    add("photo", type=Path, nargs="?", help="the photograph")
    add("--set", type=setting, action="append", default=[], metavar="NAME=VALUE", dest="settings",
        help="an attribute and its strength, about -3 to 3; repeat it for more")  # fmt: skip
    add("--out", type=picture, help="the picture to write: .png, .jpg or .webp")
    add("--face", type=int, default=1, help="which face, 1 being the largest")
    add("--detail", type=float, default=1.0, help="0: the decoder's picture … 1: all of the "
        "photograph's texture")  # fmt: skip
    add("--whole", action="store_true", help="write the whole photograph, not the face alone")
    add("--model", help="a folder or a Hub repository user/repo; otherwise the bundled model")
    add("--revision", help="a branch, tag or commit of the Hub repository")
    add("--list", action="store_true", help="print the attributes and stop")
    flags = parser.parse_args(arguments)
    if not flags.list and not (flags.photo and flags.out):
        parser.error("a photograph and --out are needed")
    if not 0 <= flags.detail <= 1:
        parser.error("--detail lies between 0 and 1")
    return flags


def setting(text: str) -> tuple[str, float]:
    """ "Smiling=2" → ("Smiling", 2.0)."""
    name, _, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not name or not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as Smiling=2")
    return name, number


def picture(text: str) -> Path:
    """A path whose ending says a format that can be written."""
    if Path(text).suffix.lower() not in FORMATS:
        raise argparse.ArgumentTypeError(f"{text!r} does not end in one of {', '.join(FORMATS)}")
    return Path(text)


def main(arguments: list[str] | None = None) -> int:
    flags = parse(arguments)
    try:
        editor = Editor.from_pretrained(flags.model, revision=flags.revision)
        if flags.list:
            for name in editor.vectors.names if editor.vectors else ():
                print(name)
            return 0
        face = editor.open(flags.photo, flags.face - 1)
        result = editor.edit(face, dict(flags.settings), flags.detail, paste=flags.whole)
        with files.atomic(flags.out) as temporary:
            result.save(temporary, quality=95)
    except (
        BadImage,
        FaceNotFound,
        ModelNotFound,
        SnapshotError,
        VectorError,
        files.FileError,
        OSError,
    ) as error:
        print(error, file=sys.stderr)
        return 2
    if face.warning:
        print(face.warning, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
