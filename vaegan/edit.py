"""Edits a photograph from the command line.

python -m vaegan.edit photo.jpg --set Smiling=2 --set Eyeglasses=1.5 --out out.png
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from pathlib import Path

from vaegan import files, images
from vaegan.editor import Editor
from vaegan.errors import command_line
from vaegan.settings import Settings


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m vaegan.edit", description="Edits the face in a photograph."
    )
    add = parser.add_argument
    add("photo", type=Path, nargs="?", help="the photograph")
    add("--set", type=setting, action="append", default=[], metavar="NAME=VALUE",
        help="an attribute and its strength, about -3 to 3; repeat it for more")  # fmt: skip
    add("--hold", action="append", default=[], metavar="NAME",
        help="an attribute to leave alone while others change; repeat it for more")  # fmt: skip
    add("--settings", type=Path, metavar="FILE", help="settings saved before, as JSON; what --set, "
        "--hold, --detail and --softness say comes on top")  # fmt: skip
    add("--out", type=picture, help="the picture to write: .png, .jpg, .webp, .avif, .tiff …")
    add("--face", type=int, default=1, help="which face, 1 being the largest")
    add("--detail", type=share, help="0: the decoder's picture … 1: all of the photograph's texture"
        f"; otherwise {Settings.detail}")  # fmt: skip
    add("--softness", type=share, help=f"of the pasted edge, 0 to 1; otherwise {Settings.softness}")
    add("--refine", action="store_true", help="first spend a few seconds on a closer z")
    add("--whole", action="store_true", help="write the whole photograph, not the face alone")
    add("--model", help="a folder or a Hub repository user/repo; otherwise the bundled model")
    add("--revision", help="a branch, tag or commit of the Hub repository")
    add("--list", action="store_true", help="print the attributes and stop")
    flags = parser.parse_args(arguments)
    if not flags.list and not (flags.photo and flags.out):
        parser.error("a photograph and --out are needed")
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


def share(text: str) -> float:
    """A number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} does not lie between 0 and 1")
    return number


def picture(text: str) -> Path:
    """A path whose ending says a format that can be written."""
    if not images.writable(text):
        endings = ", ".join(images.ENDINGS.values())
        raise argparse.ArgumentTypeError(f"{text!r} does not end in one of {endings}")
    return Path(text)


def wanted(flags: argparse.Namespace) -> Settings:
    """The settings of the file, if there is one, and of the flags on top.

    Raises:
        SettingsError, OSError: the file cannot be used.
    """
    settings = Settings.from_json(flags.settings.read_bytes()) if flags.settings else Settings()
    given = {name: getattr(flags, name) for name in ("detail", "softness")}
    return replace(
        settings,
        sliders={**settings.sliders, **dict(flags.set)},
        hold=(*settings.hold, *flags.hold),
        **{name: value for name, value in given.items() if value is not None},
    )


@command_line
def main(arguments: list[str] | None = None) -> int:
    flags = parse(arguments)
    editor = Editor.from_pretrained(flags.model, revision=flags.revision)
    if flags.list:
        for name in editor.vectors.names if editor.vectors else ():
            print(name)
        return 0
    face = editor.open(flags.photo, flags.face - 1)
    settings = wanted(flags)
    if flags.refine:
        *_, face = editor.refine(face)
    result = editor.edit(
        face,
        settings.sliders,
        settings.detail,
        flags.whole,
        settings.hold,
        settings.softness,
    )
    with files.atomic(flags.out) as temporary:
        images.save(result, temporary)
    if face.warning:
        print(face.warning, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
