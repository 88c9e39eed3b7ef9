"""Sources of photographs: what lies in a folder or zip, and what is known of it.

A source has one of three layouts, recognised by what it holds:

- CelebA: `img_align_celeba/` (or that folder's zip) beside `list_attr_celeba.txt`,
  `identity_CelebA.txt`, `list_eval_partition.txt`; at full or reduced size; already aligned.
- LFW: `Person_Name/Person_Name_0001.jpg`; the face nearest to the centre is the person's.
- Anything else: the largest face of each photograph. A `metadata.csv` may give, by `file_name`,
  attributes (1, -1, 0 for unknown; or true, false), `identity` and `split`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from vaegan import images

SPLITS = ("train", "validation", "test")
CELEBA_ATTRIBUTES = (
    "5_o_Clock_Shadow",
    "Arched_Eyebrows",
    "Attractive",
    "Bags_Under_Eyes",
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Blurry",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Chubby",
    "Double_Chin",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Heavy_Makeup",
    "High_Cheekbones",
    "Male",
    "Mouth_Slightly_Open",
    "Mustache",
    "Narrow_Eyes",
    "No_Beard",
    "Oval_Face",
    "Pale_Skin",
    "Pointy_Nose",
    "Receding_Hairline",
    "Rosy_Cheeks",
    "Sideburns",
    "Smiling",
    "Straight_Hair",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Wearing_Necklace",
    "Wearing_Necktie",
    "Young",
)
MAX_FILE = 100_000_000  # bytes of one photograph, before and after a zip's compression
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff")


class DataError(ValueError):
    """Sources or a prepared set that cannot be used, said in one sentence."""


@dataclass(frozen=True)
class Photo:
    """One photograph of a source.

    container: the folder or zip that holds it
    name: its path inside, with forward slashes
    identity: unique within the source
    split: index into SPLITS
    attributes: (A,) int8, in the source's order
    """

    container: Path
    name: str
    identity: str
    split: int
    attributes: NDArray[np.int8]


@dataclass(frozen=True)
class Source:
    """A source as listed.

    frame: how a photograph becomes a face: celeba, largest or central face
    unmatched: rows of metadata.csv that name none of the photographs
    """

    label: str
    frame: str
    attribute_names: tuple[str, ...]
    photos: list[Photo]
    unmatched: int = 0


# ---------------------------------------------------------------- reading sources


def read_source(path: Path) -> Source:
    """Lists a folder or zip without opening a photograph.

    Raises:
        DataError: nothing is there, or its lists cannot be understood.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist.")
    _archive.cache_clear()  # a zip may have been replaced since
    names = _names(path)
    if any(_celeba_image(name) or name.endswith("img_align_celeba.zip") for name in names):
        source = _read_celeba(path, names)
    else:
        found = [name for name in names if _is_image(name)]
        lfw = found and all(map(_LFW.search, found))
        source = _read_lfw(path, found) if lfw else _read_folder(path, names, found)
    if not source.photos:
        raise DataError(f"{path} holds no photographs.")
    return source


_LFW = re.compile(r"(?:^|/)(?P<person>[^/]+)/(?P=person)_\d{4}\.[^/]+$")


def _read_celeba(path: Path, names: list[str]) -> Source:
    container = path
    found = [name for name in names if _celeba_image(name)]
    if not found:  # as CelebA is handed out: the pictures' zip beside the lists
        container = path / next(name for name in names if name.endswith("img_align_celeba.zip"))
        found = [name for name in _names(container) if _is_image(name)]
    rows = partial(_rows, path, names)
    identities = {key: label for key, (label,) in rows("identity_CelebA.txt", 1)}
    partition = {key: label for key, (label,) in rows("list_eval_partition.txt", 1)}
    if wrong := set(partition.values()) - set("012"):
        raise DataError(f"{path}: list_eval_partition.txt holds {min(wrong)!r}, not 0, 1 or 2.")
    attribute_names, attributes = _celeba_attributes(path, names)
    unknown = np.zeros(len(attribute_names), np.int8)
    photos = []
    for name in found:
        key = PurePosixPath(name).name
        identity = identities.get(key, PurePosixPath(name).stem)
        split = int(partition[key]) if key in partition else _hashed_split(identity)
        photos.append(Photo(container, name, identity, split, attributes.get(key, unknown)))
    return Source(path.absolute().name, "celeba", attribute_names, photos)


def _celeba_attributes(
    path: Path, names: list[str]
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int8]]]:
    """The attributes' names, and the values by file name."""
    file = "list_attr_celeba.txt"
    lines = _lines(path, names, file)
    if not lines:
        return (), {}
    # The first line holds the number of rows, the second the names.
    header = tuple(lines[1].split()) if len(lines) > 1 else ()
    values = {"1": 1, "-1": -1, "0": 0}
    attributes = {}
    for key, row in _rows(path, names, file, len(header), skip=2):
        try:
            attributes[key] = np.array([values[value] for value in row], np.int8)
        except KeyError as error:
            raise DataError(f"{path}: {file} holds {error} for {key}, not 1 or -1.") from error
    return header, attributes


def _read_lfw(path: Path, found: list[str]) -> Source:
    photos = []
    for name in found:
        person = _LFW.search(name)["person"]
        photos.append(Photo(path, name, person, _hashed_split(person), np.zeros(0, np.int8)))
    return Source(path.absolute().name, "central", (), photos)


def _read_folder(path: Path, names: list[str], found: list[str]) -> Source:
    tables = [name for name in names if PurePosixPath(name).name == "metadata.csv"]
    table = min(tables, key=lambda name: name.count("/"), default=None)
    root = PurePosixPath(table).parent if table else _common_folder(found)
    attribute_names, rows = _read_table(path, table) if table else ((), {})
    blank = _Row("", None, np.zeros(len(attribute_names), np.int8))
    photos, named = [], set()
    for name in found:
        inside = PurePosixPath(name)
        inside = inside.relative_to(root) if inside.is_relative_to(root) else inside
        named.add(str(inside))
        row = rows.get(str(inside), blank)
        # The folder belongs to it: a/1.jpg and b/1.jpg need not be one person.
        identity = row.identity or str(inside.with_suffix(""))
        split = _hashed_split(identity) if row.split is None else row.split
        photos.append(Photo(path, name, identity, split, row.attributes))
    unmatched = len(rows.keys() - named)
    if found and rows and unmatched == len(rows):
        raise DataError(f"{path}: no file_name in metadata.csv is that of a photograph.")
    return Source(path.absolute().name, "largest", attribute_names, photos, unmatched)


@dataclass(frozen=True)
class _Row:
    identity: str
    split: int | None
    attributes: NDArray[np.int8]


def _read_table(path: Path, table: str) -> tuple[tuple[str, ...], dict[str, _Row]]:
    """metadata.csv: the attributes' names, and the rows by file name."""
    reader = csv.DictReader(io.StringIO(_text(path, table), newline=""))
    try:
        records = [(reader.line_num, record) for record in reader]
    except csv.Error as error:
        raise DataError(f"{path}: metadata.csv cannot be read: {error}.") from error
    columns = list(reader.fieldnames or ())
    if "file_name" not in columns:
        raise DataError(f"{path}: metadata.csv has no column file_name.")
    # A column without a name numbers the rows: pandas writes one.
    names = tuple(name for name in columns if name not in ("", "file_name", "identity", "split"))
    rows = {}
    written = set()
    for line, record in records:
        cells = {name: (record[name] or "").strip() for name in columns}
        where = f"{path}: metadata.csv, line {line}"
        split = cells.get("split", "")
        if split not in ("", *SPLITS):
            raise DataError(f"{where}: the split is {split!r}, not one of {', '.join(SPLITS)}.")
        values = [_attribute(cells[name], name, where) for name in names]
        written.update(cells[name] for name in names)
        rows[str(PurePosixPath(cells["file_name"]))] = _Row(
            cells.get("identity", ""),
            SPLITS.index(split) if split else None,
            np.array(values, np.int8),
        )
    if {"0", "1"} <= written <= {"0", "1", ""}:
        raise DataError(f"{path}: metadata.csv has 0 (unknown) and 1 only: write -1 for no.")
    return names, rows


_VALUES = {"1": 1, "-1": -1, "0": 0, "true": 1, "false": -1, "": 0}


def _attribute(cell: str, name: str, where: str) -> int:
    if cell.lower() not in _VALUES:
        raise DataError(f"{where}: {name} is {cell!r}, not 1, -1, 0 (unknown), true or false.")
    return _VALUES[cell.lower()]


def _hashed_split(identity: str) -> int:
    """The same person always lands in the same part: 8 in 10 train, 1 validation, 1 test."""
    tenth = int(hashlib.sha1(os.fsencode(identity)).hexdigest(), 16) % 10
    return {8: 1, 9: 2}.get(tenth, 0)


def _celeba_image(name: str) -> bool:
    return _is_image(name) and "img_align_celeba" in PurePosixPath(name).parts


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in EXTENSIONS


def _common_folder(names: list[str]) -> PurePosixPath:
    """The folder that holds all of them, such as the one at the top of a zip."""
    parents = [str(PurePosixPath(name).parent) for name in names]
    return PurePosixPath(os.path.commonpath(parents) if parents else ".")


def _rows(
    path: Path, names: list[str], file: str, count: int, skip: int = 0
) -> Iterator[tuple[str, list[str]]]:
    """The lines `key value value …` of a list of CelebA's; none when the list is missing."""
    for number, line in enumerate(_lines(path, names, file)[skip:], skip + 1):
        key, *values = line.split() or [""]
        if key and len(values) != count:
            raise DataError(
                f"{path}: {file}, line {number} holds {len(values)} values, not {count}."
            )
        if key:
            yield key, values


def _lines(path: Path, names: list[str], file: str) -> list[str]:
    matches = [name for name in names if PurePosixPath(name).name == file]
    name = min(matches, key=lambda name: name.count("/"), default=None)
    return _text(path, name).splitlines() if name else []


# ---------------------------------------------------------------- folders and zips


def _names(container: Path) -> list[str]:
    """The files inside as relative paths, sorted, without hidden ones."""
    if container.is_dir():
        found = (p.relative_to(container).as_posix() for p in container.rglob("*") if p.is_file())
    else:
        try:
            with zipfile.ZipFile(container) as archive:
                found = {info.filename for info in archive.infolist() if not info.is_dir()}
        except Exception as error:  # zipfile meets damaged zips with exceptions of every kind
            raise DataError(f"{container} is neither a folder nor a readable zip.") from error
    return sorted(name for name in found if not _hidden(name))


def _hidden(name: str) -> bool:
    """Also "..", "/" and macOS's leftovers, none of which an honest zip of photographs needs."""
    return any(part.startswith((".", "/", "__MACOSX")) for part in PurePosixPath(name).parts)


def read(container: Path, name: str) -> bytes:
    """A file's bytes out of a folder or zip; nothing is ever extracted.

    Raises:
        BadImage: larger than MAX_FILE, or it cannot be read.
    """
    try:
        if container.is_dir():
            file = container / name
            size, fetch = file.stat().st_size, file.read_bytes
        else:
            archive = _archive(container, os.getpid())
            size, fetch = archive.getinfo(name).file_size, partial(archive.read, name)
        if size <= MAX_FILE:
            return fetch()
    except Exception as error:  # zipfile meets damaged entries with exceptions of every kind
        raise images.BadImage(f"{name} cannot be read.") from error
    raise images.BadImage(f"{name} is larger than {MAX_FILE} bytes.", "too large")


@lru_cache(maxsize=4)
def _archive(path: Path, process: int) -> zipfile.ZipFile:
    """An open zip. A forked process opens its own: the file position would be shared."""
    return zipfile.ZipFile(path)


def _text(container: Path, name: str) -> str:
    try:
        return read(container, name).decode("utf-8-sig")
    except (images.BadImage, UnicodeDecodeError) as error:
        raise DataError(f"{container}: {name} cannot be read as text.") from error
