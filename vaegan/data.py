"""From folders and zips of photographs to a prepared face set, and from there to tensors.

    python -m vaegan.data prepare SOURCE… --out FILE --resolution 64

`vaegan.sources` says what a source may be.

A prepared set is one safetensors file: `bytes` (uint8, JPEG files end to end), `offsets` (N + 1,
int64), `attributes` (N, A; int8: 1, -1, 0 for unknown), `identity` (N, int32), `split` (N, uint8:
0 train, 1 validation, 2 test). The same sources give the same file, byte for byte.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from vaegan import align, files, images
from vaegan.errors import command_line
from vaegan.parallel import cores
from vaegan.sources import (
    CELEBA_ATTRIBUTES,
    SPLITS,
    DataError,
    Photo,
    Source,
    read,
    read_source,
)

FORMAT = 1
RESOLUTIONS = range(8, 1025)  # pixels


# ---------------------------------------------------------------- the prepared set


@dataclass(frozen=True, eq=False)
class FaceSet:
    """Aligned faces in memory.

    images: (N, 3, R, R) uint8
    attributes: (N, A) int8: 1 has it, -1 has it not, 0 unknown
    identity: (N,) int32: equal numbers are one person
    split: (N,) uint8, an index into SPLITS
    fingerprint: names the prepared set that this came from, whatever the subset
    """

    images: Tensor
    attributes: Tensor
    identity: Tensor
    split: Tensor
    attribute_names: tuple[str, ...]
    fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.images)

    @property
    def resolution(self) -> int:
        return self.images.shape[-1]

    def subset(self, name: str) -> FaceSet:
        """The faces of one part: "train", "validation" or "test"; their pixels are copied."""
        if name not in SPLITS:
            raise DataError(f"There is no part {name!r}, only {', '.join(SPLITS)}.")
        return self._where(self.split == SPLITS.index(name))

    def labelled(self) -> FaceSet:
        """The faces of which at least one attribute is known."""
        return self._where((self.attributes != 0).any(1))

    def _where(self, chosen: Tensor) -> FaceSet:
        return replace(
            self,
            images=self.images[chosen],
            attributes=self.attributes[chosen],
            identity=self.identity[chosen],
            split=self.split[chosen],
        )


def load(path: str | Path, *, resolution: int | None = None) -> FaceSet:
    """Reads a prepared set; a folder or zip of photographs is prepared on the way.

    Args:
        resolution: needed for a folder or zip; of a prepared set, what it must have.

    Raises:
        DataError, FileError: there is nothing there that can be used.
    """
    path = Path(path)
    if not (path.is_dir() or zipfile.is_zipfile(path)):
        return _load(path, resolution)
    if resolution is None:
        raise DataError(f"{path} is not prepared yet: say at which resolution it shall be.")
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "faces.safetensors"
        prepare([path], prepared, resolution)
        return _load(prepared, resolution)


def _load(path: Path, resolution: int | None) -> FaceSet:
    tensors, metadata = files.load_tensors(path)
    about = _about(path, tensors, metadata)
    side = about["resolution"]
    if resolution not in (None, side):
        raise DataError(
            f"{path} holds faces of {side}×{side} pixels, not {resolution}×{resolution}."
        )
    return FaceSet(
        images=_decode(path, tensors["bytes"], tensors["offsets"].tolist(), side),
        attributes=tensors["attributes"].clone(),
        identity=tensors["identity"].clone(),
        split=tensors["split"].clone(),
        attribute_names=tuple(about["attributes"]),
        fingerprint=files.sha256(path),
    )


def _about(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> dict:
    """A prepared set's description, once the set is known to be sound."""
    try:
        about = json.loads(metadata["faces"])
        version = about["format"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not a prepared face set.") from error
    if version != FORMAT:
        raise DataError(f"{path} has format {version}; this program reads format {FORMAT}.")
    if not _sound(tensors, about):
        raise DataError(f"{path} is damaged: its parts do not fit together.")
    return about


def _sound(tensors: dict[str, Tensor], about: dict) -> bool:
    try:
        offsets, size, labels = tensors["offsets"], len(tensors["bytes"]), tensors["attributes"]
        count = len(offsets) - 1
        expected = {
            "bytes": (torch.uint8, (size,)),
            "offsets": (torch.int64, (count + 1,)),
            "attributes": (torch.int8, (count, len(about["attributes"]))),
            "identity": (torch.int32, (count,)),
            "split": (torch.uint8, (count,)),
        }
        found = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
        return (
            found == expected
            and isinstance(about["resolution"], int)
            and about["resolution"] in RESOLUTIONS
            and all(isinstance(name, str) for name in about["attributes"])
            and torch.equal(labels, labels.clamp(-1, 1))
            and offsets[[0, -1]].tolist() == [0, size]
            and bool((offsets.diff() > 0).all())
            and bool((tensors["split"] < len(SPLITS)).all())
        )
    except (KeyError, TypeError, IndexError):
        return False


def _decode(path: Path, data: Tensor, offsets: list[int], side: int) -> Tensor:
    """All JPEG files of a set → (N, 3, side, side) uint8."""
    count, encoded = len(offsets) - 1, data.numpy()
    try:
        pixels = np.empty((count, 3, side, side), np.uint8)
    except MemoryError as error:
        said = f"{path} holds {count} faces of {side}×{side} pixels, which the memory cannot take."
        raise DataError(said) from error

    def decode(start: int) -> None:
        for index in range(start, min(start + 512, count)):
            file = io.BytesIO(encoded[offsets[index] : offsets[index + 1]])
            image = Image.open(file, formats=["JPEG"])
            if image.size != (side, side):
                raise ValueError(f"face {index} is of another size")
            pixels[index] = np.asarray(image).transpose(2, 0, 1)

    try:
        with ThreadPoolExecutor(cores()) as pool:  # PIL decodes outside Python's lock
            list(pool.map(decode, range(0, count, 512)))
    except Exception as error:  # decoders meet damaged files with exceptions of every kind
        raise DataError(f"{path} is damaged: it holds a face that cannot be decoded.") from error
    return torch.from_numpy(pixels)


# ---------------------------------------------------------------- preparing


@dataclass
class Report:
    """What became of a source's photographs: counts by part, and by reason for the others."""

    label: str
    used: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


def prepare(
    sources: Sequence[str | Path],
    out: str | Path,
    resolution: int,
    *,
    quality: int = 95,
    workers: int | None = None,
) -> list[Report]:
    """Writes the prepared set of `sources` to `out`, and says what it used.

    Rows of a metadata.csv that name no photograph are counted on stderr.

    Args:
        resolution: side of the faces, in pixels
        quality: of the JPEG files, 1 to 100; chroma is never subsampled
        workers: processes, by default one for each core

    Raises:
        DataError: a source cannot be understood, no face was found in any, a number is no use,
            `out` cannot be written, or a worker was killed.
    """
    workers = cores() if workers is None else workers
    if resolution not in RESOLUTIONS or quality not in range(1, 101) or workers < 1:
        raise DataError("The resolution is 8 to 1024, the quality 1 to 100, workers 1 or more.")
    listed = [read_source(Path(source)) for source in sources]
    _check_writable(Path(out))
    encoded, used, reports = [], [], []
    for source in listed:
        if source.unmatched:
            said = f"{source.unmatched} rows of metadata.csv name no photograph."
            print(f"{source.label}: {said}", file=sys.stderr)
        report = Report(source.label, left_out=source.left_out.copy())
        photos: list[Photo] = []
        results = _encode_all(source, resolution, quality, workers)
        for photo, result in zip(source.photos, results, strict=True):
            if isinstance(result, str):
                report.left_out[result] += 1
            else:
                encoded.append(result)
                photos.append(photo)
                report.used[SPLITS[photo.split]] += 1
        used.append(replace(source, photos=photos))
        reports.append(report)
    if not encoded:
        raise DataError("No photograph of these sources could be used.")
    names = _union([source.attribute_names for source in used])
    about = {
        "format": FORMAT,
        "resolution": resolution,
        "quality": quality,
        "attributes": names,
        "sources": [vars(report) for report in reports],
    }
    # One key, since safetensors writes several in no fixed order.
    metadata = {"faces": json.dumps(about, sort_keys=True)}
    files.save_tensors(out, _pixels(encoded) | _labels(used, names), metadata)
    return reports


def _check_writable(path: Path) -> None:
    """Hours of work may come before the writing.

    Raises:
        DataError: no file can be written there.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder, and the set is a file.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}.") from error


def _pixels(encoded: list[bytes]) -> dict[str, Tensor]:
    lengths = torch.tensor([0, *map(len, encoded)])
    joined = torch.frombuffer(bytearray(b"".join(encoded)), dtype=torch.uint8)
    return {"bytes": joined, "offsets": lengths.cumsum(0)}


def _labels(sources: list[Source], names: tuple[str, ...]) -> dict[str, Tensor]:
    """Of every photograph in order; equal identities of two sources are two people."""
    photos = [(index, photo) for index, source in enumerate(sources) for photo in source.photos]
    columns = [[names.index(name) for name in source.attribute_names] for source in sources]
    attributes = np.zeros((len(photos), len(names)), np.int8)
    for row, (index, photo) in zip(attributes, photos, strict=True):
        row[columns[index]] = photo.attributes
    numbers: dict[tuple[int, str], int] = {}
    identity = [numbers.setdefault((i, photo.identity), len(numbers)) for i, photo in photos]
    return {
        "attributes": torch.from_numpy(attributes),
        "identity": torch.tensor(identity, dtype=torch.int32),
        "split": torch.tensor([photo.split for _, photo in photos], dtype=torch.uint8),
    }


def _union(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Every name once: CelebA's in CelebA's order, then the others as they come."""
    seen = dict.fromkeys(name for names in lists for name in names)
    known = [name for name in CELEBA_ATTRIBUTES if name in seen]
    return (*known, *(name for name in seen if name not in CELEBA_ATTRIBUTES))


def _encode_all(
    source: Source, resolution: int, quality: int, workers: int
) -> Iterator[bytes | str]:
    """For each photograph in order, its face as a JPEG file, or why there is none."""
    job = partial(_encode, frame=source.frame, resolution=resolution, quality=quality)
    where = [(photo.container, photo.name) for photo in source.photos]
    progress = partial(tqdm, total=len(where), desc=source.label, unit="photo", disable=None)
    if workers == 1:
        yield from progress(map(job, where))
        return
    try:
        with ProcessPoolExecutor(workers) as pool:
            yield from progress(pool.map(job, where, chunksize=16))
    except BrokenProcessPool as error:
        said = "A worker was killed, perhaps since the memory ran out: take fewer workers."
        raise DataError(said) from error


def _encode(where: tuple[Path, str], frame: str, resolution: int, quality: int) -> bytes | str:
    try:
        photo = images.open_image(read(*where))
    except images.BadImage as error:
        return error.kind
    face = _CROPS[frame](photo, resolution)
    if isinstance(face, str):
        return face
    file = io.BytesIO()
    face.save(file, "JPEG", quality=quality, subsampling="4:4:4")
    return file.getvalue()


def _celeba_crop(photo: Image.Image, resolution: int) -> Image.Image | str:
    scale = photo.width / align.FRAME[0]
    if abs(photo.height - scale * align.FRAME[1]) > 1:
        return "not in CelebA's frame"
    box = tuple(edge * scale for edge in align.CROP)
    return photo.resize((resolution, resolution), images.RESAMPLE, box)


def _aligned_crop(
    photo: Image.Image,
    resolution: int,
    choose: Callable[[Image.Image, list[align.Detection]], align.Detection],
) -> Image.Image | str:
    found = align.detect(photo)
    if not found:
        return "no face"
    matrix = align.similarity(choose(photo, found).landmarks)
    if align.crop_size(matrix) < resolution / 2:
        return "face too small"
    return align.align(photo, matrix, resolution)


def _largest(photo: Image.Image, found: list[align.Detection]) -> align.Detection:
    return found[0]


def _central(photo: Image.Image, found: list[align.Detection]) -> align.Detection:
    middle = np.array(photo.size) / 2
    return min(found, key=lambda detection: float(np.hypot(*(detection.centre - middle))))


_CROPS = {
    "celeba": _celeba_crop,
    "largest": partial(_aligned_crop, choose=_largest),
    "central": partial(_aligned_crop, choose=_central),
}


# ---------------------------------------------------------------- command line


def summary(reports: list[Report]) -> str:
    """The counts of `prepare`, one line per source."""
    reasons = sorted({reason for report in reports for reason in report.left_out})
    header = ["source", "used", *SPLITS, "left out", *reasons]
    rows = [
        [
            report.label,
            report.used.total(),
            *(report.used[name] for name in SPLITS),
            report.left_out.total(),
            *(report.left_out[reason] for reason in reasons),
        ]
        for report in reports
    ]
    rows.append(["together", *(sum(column) for column in list(zip(*rows, strict=True))[1:])])
    lines = [header, *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m vaegan.data", description="Face sets.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("prepare", help="align photographs and pack them in one file")
    command.add_argument("sources", nargs="+", type=Path, metavar="SOURCE", help="folder or zip")
    command.add_argument("--out", type=Path, required=True, metavar="FILE")
    command.add_argument("--resolution", type=int, default=64, help="pixels (%(default)s)")
    command.add_argument("--quality", type=int, default=95, help="of the JPEGs (%(default)s)")
    command.add_argument("--workers", type=int, help="processes (one for each core)")
    options = parser.parse_args(arguments)
    reports = prepare(
        options.sources,
        options.out,
        options.resolution,
        quality=options.quality,
        workers=options.workers,
    )
    print(summary(reports))
    return 0


if __name__ == "__main__":
    sys.exit(main())
