"""Reading and writing files: whole or not at all, and strictly.

Models, face sets, reports and pictures that a command makes go through `atomic`, so that an
interrupted run never leaves half a file under a name that somebody trusts. Only a run's metrics
grow line by line. Nothing here unpickles anything.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from vaegan.errors import UserError

# Of what a file may hold; the narrower kinds of float cannot be computed with.
KINDS = {"F16", "BF16", "F32", "F64", "U8", "I8", "I16", "I32", "I64", "BOOL"}
LONGEST_JSON = 10_000_000  # bytes; a file from elsewhere may be anything


class FileError(UserError):
    """A file that cannot be used, said in one sentence that names it."""


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yields a new path beside `path`, which takes `path`'s place when the block succeeds.

    The name keeps its extension, since some writers choose the format by it. If the block raises,
    what it wrote is removed and `path` stays as it was.

    Raises:
        FileError: `write_tensors` met a disk that does not take them; it names `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}-{path.name}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # some writers would keep the file to its owner
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except SafetensorError as error:  # which is no OSError
        raise FileError(f"{path} cannot be written; is the disk full?") from error
    finally:
        temporary.unlink(missing_ok=True)


def clear_aside(path: str | Path) -> None:
    """Removes what writers of `path` left beside it that were killed. None may be at work."""
    path = Path(path)
    for left in path.parent.glob(f".{'[0-9a-f]' * 32}-{path.name}"):
        left.unlink(missing_ok=True)


@contextmanager
def alone(folder: str | Path) -> Iterator[None]:
    """Holds `folder`, made if need be, for this process as long as the block runs.

    Raises:
        FileError: another process holds it.
        OSError: no file can be written there.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise FileError(f"Another process is at work in {folder}.") from error


def write_json(path: str | Path, value: dict[str, Any]) -> None:
    """Writes `value` as indented JSON.

    Raises:
        FileError: `value` is not a dict of what strict JSON can hold (NaN and infinity are not).
    """
    if not isinstance(value, dict):
        raise FileError(f"{path} cannot be written: a {type(value).__name__} is no JSON object.")
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, indent=2)
    except (TypeError, ValueError) as error:
        raise FileError(f"{path} cannot be written as JSON: {error}.") from error
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: str | Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        FileError: missing, longer than LONGEST_JSON, not strict JSON, a key that occurs twice, or
            no object at the top.
    """
    try:
        if Path(path).stat().st_size > LONGEST_JSON:
            raise FileError(f"{path} is longer than such a file can be.")
        value = json.loads(
            Path(path).read_text(encoding="utf-8"),
            parse_constant=_refuse,
            parse_float=_finite,
            object_pairs_hook=_unique,
        )
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}.") from error
    except FileError:
        raise
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise FileError(f"{path} holds no JSON object.")
    return value


def tensors_path(path: str | Path) -> Path:
    """`path`, where tensors go that have a .json of the same name beside them.

    Raises:
        FileError: it does not end in .safetensors.
    """
    if Path(path).suffix != ".safetensors":
        raise FileError(f"{path} must end in .safetensors: a .json of its name goes beside it.")
    return Path(path)


def save_tensors(
    path: str | Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Writes a safetensors file; the tensors may be strided or live on any device.

    Raises:
        FileError: the disk does not take it.
    """
    with atomic(path) as temporary:
        write_tensors(temporary, tensors, metadata)


def write_tensors(
    temporary: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None
) -> None:
    """`save_tensors` into the path that `atomic` yields, which says what is to happen besides."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(tensors, temporary, metadata)


def load_tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Reads a safetensors file onto the CPU: its tensors and its metadata.

    Raises:
        FileError: missing, truncated, not a safetensors file, or of other KINDS.
    """
    try:
        with safe_open(Path(path), framework="pt") as file:
            if not {file.get_slice(name).get_dtype() for name in file.keys()} <= KINDS:  # noqa: SIM118
                raise FileError(f"{path} holds numbers of a kind that cannot be used.")
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise FileError(f"{path} cannot be read as safetensors: {error}.") from error


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key occurs twice")
    return value
