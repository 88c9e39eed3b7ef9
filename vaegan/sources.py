"""Sources of photographs: what lies in a folder or zip, and what is known of it.

A source has one of three layouts, recognised by what it holds:

- CelebA: `img_align_celeba/` (or that folder's zip) beside `list_attr_celeba.txt`,
  `identity_CelebA.txt`, `list_eval_partition.txt` (or Kaggle's `.csv` of them); at full or reduced
  size; already aligned.
- LFW: `Person_Name/Person_Name_0001.jpg`; the face nearest to the centre is the person's. A few
  pictures with other names are left out.
- Anything else: the largest face of each photograph.

Where CelebA's lists are not, `metadata.csv` may give, by `file_name`, attributes (1, -1, 0 for
unknown; or true, false), `identity` and `split`. There may be several: each names photographs as
seen from its own folder. Folders at the top called `train`, `validation` and `test` give the split
of what lies in them and no table gives one. Names are the same however Unicode composes their
accents.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import posixpath
import re
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import islice, zip_longest
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from vaegan import images
from vaegan.errors import UserError

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
LISTS = ("identity_CelebA", "list_eval_partition", "list_attr_celeba")  # CelebA's: .txt or .csv
TABLE = "metadata.csv"
MAX_FILE = 100_000_000  # bytes of one photograph, before and after a zip's compression
EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff")


class DataError(UserError):
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
    left_out: by reason, how many photographs are not listed
    """

    label: str
    frame: str
    attribute_names: tuple[str, ...]
    photos: list[Photo]
    unmatched: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


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
        source = _read_folder(path, names)
    if not source.photos:
        raise DataError(f"{path} holds no photographs.")
    return source


def _read_celeba(path: Path, names: list[str]) -> Source:
    container = path
    found = [name for name in names if _celeba_image(name)]
    if not found:  # as CelebA is handed out: the pictures' zip beside the lists
        container = path / next(name for name in names if name.endswith("img_align_celeba.zip"))
        found = [name for name in _names(container) if _is_image(name)]
    people = {name: PurePosixPath(_composed(name)).stem for name in found}
    if set(LISTS).isdisjoint(PurePosixPath(name).stem for name in names):
        return _described(path, _tables(names), container, people, "celeba")
    identities, partition = _celeba_identities(path, names), _celeba_partition(path, names)
    attribute_names, attributes = _celeba_attributes(path, names)
    keys = {name: PurePosixPath(_composed(name)).name for name in people}
    for stem, rows in zip(LISTS, (identities, partition, attributes), strict=True):
        if people and rows and rows.keys().isdisjoint(keys.values()):
            raise DataError(f"{path}: {stem} names no photograph there.")
    unknown = np.zeros(len(attribute_names), np.int8)
    photos = []
    for name, person in people.items():
        key = keys[name]
        identity = identities.get(key) or person
        split = partition[key] if key in partition else _hashed_split(identity)
        photos.append(Photo(container, name, identity, split, attributes.get(key, unknown)))
    return Source(path.absolute().name, "celeba", attribute_names, photos)


def _celeba_identities(path: Path, names: list[str]) -> dict[str, str]:
    _, _, rows = _celeba_list(path, names, "identity_CelebA", ("identity",))
    return {key: label for key, (label,) in rows}


def _celeba_partition(path: Path, names: list[str]) -> dict[str, int]:
    """The parts, as indices into SPLITS, by file name."""
    file, _, rows = _celeba_list(path, names, "list_eval_partition", ("partition",))
    partition = {key: part for key, (part,) in rows}
    if wrong := set(partition.values()) - set("012"):
        raise DataError(f"{path}: {file} holds {min(wrong)!r}, not 0, 1 or 2.")
    return {key: int(part) for key, part in partition.items()}


def _celeba_attributes(
    path: Path, names: list[str]
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int8]]]:
    """The attributes' names, and the values by file name."""
    file, columns, rows = _celeba_list(path, names, "list_attr_celeba")
    values = {"1": 1, "-1": -1, "0": 0}
    attributes = {}
    for key, row in rows:
        try:
            attributes[key] = np.array([values[value] for value in row], np.int8)
        except KeyError as error:
            raise DataError(f"{path}: {file} holds {error} for {key}, not 1 or -1.") from error
    return columns, attributes


def _celeba_list(
    path: Path, names: list[str], stem: str, columns: tuple[str, ...] = ()
) -> tuple[str, tuple[str, ...], Iterator[tuple[str, list[str]]]]:
    """A list of CelebA's: its file's name, its columns' names, and file names with their values.

    The .txt is CelebA's own, the .csv Kaggle's. A list that is missing has no rows.

    columns: their names, unless the list itself holds them
    """
    if name := _shallowest(names, f"{stem}.txt"):
        named, lines = _read_txt(path, name, headed=not columns)
    elif name := _shallowest(names, f"{stem}.csv"):
        named, lines = _read_csv(path, name, "image_id")
    else:
        return stem, columns, iter(())
    columns, file = columns or named, PurePosixPath(name).name
    return file, columns, _complete(lines, len(columns), f"{path}: {file}")


def _complete(lines: _Lines, count: int, where: str) -> Iterator[tuple[str, list[str]]]:
    for line, key, values in lines:
        if len(values) != count:
            raise DataError(f"{where}, line {line} holds {len(values)} values, not {count}.")
        yield key, values


_LFW = re.compile(r"(?:^|/)(?P<person>[^/]+)/(?P=person)_\d{4}\.[^/]+$")
_PARTS = {"train": 0, "validation": 1, "valid": 1, "val": 1, "test": 2}  # folders' names
_LFW_SHARE = 0.95  # of the pictures, from which on a few others do not make it another layout


def _read_folder(path: Path, names: list[str]) -> Source:
    """LFW, or anything else."""
    tables = _tables(names)
    found = [name for name in names if _is_image(name)]
    matches = {name: _LFW.search(_composed(name)) for name in found}
    people = {name: match["person"] for name, match in matches.items() if match}
    if len(people) >= _LFW_SHARE * len(found):
        source = _described(path, tables, path, people, "central")
        others = ("not in LFW's layout" for name in found if name not in people)
        return replace(source, left_out=Counter(others))
    root = _common_folder([_composed(name) for name in tables or found])
    people = {name: _own_identity(name, root) for name in found}
    return _described(path, tables, path, people, "largest")


def _described(
    path: Path, tables: list[str], container: Path, people: dict[str, str], frame: str
) -> Source:
    """Photographs of `container`, with what the tables of `path` say of them.

    people: by photograph, who it shows unless a table says it
    """
    attribute_names, rows = _read_tables(path, tables)
    blank = _Row("", None, np.zeros(len(attribute_names), np.int8))
    splits = _folder_splits(list(people))
    photos = []
    for name, person in people.items():
        row = rows.get(_composed(name), blank)
        identity = row.identity or person
        split = splits.get(name, _hashed_split(identity)) if row.split is None else row.split
        photos.append(Photo(container, name, identity, split, row.attributes))
    unmatched = len(rows.keys() - set(map(_composed, people)))
    if people and rows and unmatched == len(rows):
        raise DataError(f"{path}: no file_name in metadata.csv is that of a photograph there.")
    return Source(path.absolute().name, frame, attribute_names, photos, unmatched)


def _tables(names: list[str]) -> list[str]:
    return [name for name in names if PurePosixPath(name).name == TABLE]


@dataclass(frozen=True)
class _Row:
    identity: str
    split: int | None
    attributes: NDArray[np.int8]


def _read_tables(path: Path, tables: list[str]) -> tuple[tuple[str, ...], dict[str, _Row]]:
    """Every metadata.csv: the attributes' names, and the rows by the photograph's path."""
    read = [_read_table(path, table) for table in tables]
    names = tuple(dict.fromkeys(name for own, _ in read for name in own))
    together: dict[str, _Row] = {}
    for own, rows in read:
        columns = [names.index(name) for name in own]
        for name, row in rows:
            if name in together:
                raise DataError(f"{path}: metadata.csv has two rows for {name}.")
            attributes = np.zeros(len(names), np.int8)
            attributes[columns] = row.attributes
            together[name] = replace(row, attributes=attributes)
    return names, together


def _read_table(path: Path, table: str) -> tuple[tuple[str, ...], list[tuple[str, _Row]]]:
    """One metadata.csv: the attributes' names, and the rows, each with the photograph's path."""
    columns, lines = _read_csv(path, table, "file_name")
    names = tuple(name for name in columns if name not in ("identity", "split"))
    folder = PurePosixPath(_composed(table)).parent
    rows = []
    written = set()
    for line, file, values in lines:
        cells = dict(zip(columns, values, strict=True))
        where = f"{path}: {table}, line {line}"
        if not file:
            raise DataError(f"{where}: there is no file_name.")
        split = cells.get("split", "")
        if split not in ("", *SPLITS):
            raise DataError(f"{where}: the split is {split!r}, not one of {', '.join(SPLITS)}.")
        attributes = np.array([_attribute(cells[name], name, where) for name in names], np.int8)
        written.update(cells[name] for name in names)
        part = SPLITS.index(split) if split else None
        rows.append((str(folder / file), _Row(cells.get("identity", ""), part, attributes)))
    if {"0", "1"} <= written <= {"0", "1", ""}:
        raise DataError(f"{path}: {table} has 0 (unknown) and 1 only: write -1 for no.")
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
    return PurePosixPath(posixpath.commonpath(parents) if parents else ".")


def _folder_splits(names: list[str]) -> dict[str, int]:
    """What folders at the top say, if they are a set's training part and others; else {}.

    Of pictures that lie beside them they say nothing.
    """
    root = _common_folder(names)
    inside = {name: PurePosixPath(name).relative_to(root).parts for name in names}
    tops = {name: parts[0].lower() for name, parts in inside.items() if len(parts) > 1}
    if {"train"} < set(tops.values()) <= set(_PARTS):
        return {name: _PARTS[top] for name, top in tops.items()}
    return {}


def _own_identity(name: str, root: PurePosixPath) -> str:
    """With the folder, since a/1.jpg and b/1.jpg need not be one person."""
    file = PurePosixPath(_composed(name))
    return str((file.relative_to(root) if file.is_relative_to(root) else file).with_suffix(""))


def _composed(name: str) -> str:
    """One spelling of names that look the same: macOS takes é apart, and most programs do not."""
    return unicodedata.normalize("NFC", name)


def _shallowest(names: list[str], file: str) -> str | None:
    matches = [name for name in names if PurePosixPath(name).name == file]
    return min(matches, key=lambda name: name.count("/"), default=None)


_Lines = Iterator[tuple[int, str, list[str]]]  # each with its number, its key and its values


def _read_txt(path: Path, name: str, headed: bool) -> tuple[tuple[str, ...], _Lines]:
    """The columns' names and the lines `key value value …` of a list of CelebA's."""
    lines = enumerate(_text(path, name).splitlines(), 1)
    rows = ((line, words) for line, text in lines if (words := text.split()))
    # Where there is a head, its first line holds the number of rows, its second the names.
    head = list(islice(rows, 2)) if headed else []
    columns = head[1][1] if len(head) == 2 else []
    _refuse_doubled(columns, f"{path}: {name}")
    return tuple(columns), ((line, key, values) for line, (key, *values) in rows)


def _read_csv(path: Path, name: str, key: str) -> tuple[tuple[str, ...], _Lines]:
    """The names of the columns beside `key`, and the lines, without spaces around any cell."""
    rows = _csv_rows(path, name)
    _, header = next(rows, (1, []))
    if key not in header:
        raise DataError(f"{path}: {name} has no column {key}.")
    # A column without a name numbers the rows: pandas writes one.
    named = [column for column in header if column]
    _refuse_doubled(named, f"{path}: {name}")
    columns = tuple(column for column in named if column != key)
    records = (
        (line, dict(zip_longest(header, cells[: len(header)], fillvalue="")))
        for line, cells in rows
    )
    return columns, (
        (line, record[key], [record[column] for column in columns]) for line, record in records
    )


def _refuse_doubled(columns: list[str], where: str) -> None:
    if doubled := [column for column in columns if columns.count(column) > 1]:
        raise DataError(f"{where} has two columns {doubled[0]}.")


def _csv_rows(path: Path, name: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the number of its line."""
    reader = csv.reader(io.StringIO(_text(path, name), newline=""), skipinitialspace=True)
    try:
        for row in reader:
            if any(cells := [cell.strip() for cell in row]):
                yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(f"{path}: {name} cannot be read: {error}.") from error


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
    """A file of text, with its accents composed."""
    try:
        return _composed(read(container, name).decode("utf-8-sig"))
    except (images.BadImage, UnicodeDecodeError) as error:
        raise DataError(f"{container}: {name} cannot be read as text.") from error
