"""Where models come from: bundled with the program, a folder, or the Hugging Face Hub."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from vaegan import files

ROOT = Path(__file__).resolve().parent.parent
PRETRAINED, VECTORS = ROOT / "pretrained", ROOT / "attributes"
BUNDLED = "faces64"  # the model that is used when nothing is named
FILES = ("config.json", "model.safetensors", "attributes.safetensors", "attributes.json")
_COMMIT = re.compile(r"[0-9a-f]{40}")


class ModelNotFound(ValueError):
    """No model under that name, said in one sentence."""


def bundled() -> list[str]:
    """Names of the models that came with the program."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))


def locate(model: str | Path | None = None, revision: str | None = None) -> tuple[Path, Path]:
    """The folder of a model and the path of its attribute vectors (which may not exist).

    Args:
        model: nothing (the bundled one), the name of a bundled one, a folder, or `user/repo`.
        revision: a branch, tag or commit of a Hub repository.

    Raises:
        ModelNotFound: it is nowhere to be had.
    """
    name = str(model or BUNDLED)
    if Path(name).is_dir() and (Path(name) / "config.json").is_file():
        return Path(name), Path(name) / "attributes.safetensors"
    if name in bundled():
        return PRETRAINED / name, VECTORS / f"{name}.safetensors"
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not Path(name).exists():
        folder = download(name, revision)
        return folder, folder / "attributes.safetensors"
    raise ModelNotFound(f"There is no model {name!r}: no such folder, and no Hub repository.")


def download(repo: str, revision: str | None = None) -> Path:
    """The folder in the local cache that holds a Hub repository's model.

    A commit's hash never changes its meaning, so the cache answers; for a branch the Hub is asked,
    and the cache if the Hub cannot be reached.

    Raises:
        ModelNotFound: no such repository or revision, no permission, or offline without a cache.
    """
    ask = {"repo_id": repo, "revision": revision, "allow_patterns": list(FILES)}
    if revision and _COMMIT.fullmatch(revision):
        try:
            return _complete(Path(snapshot_download(**ask, local_files_only=True)), repo)
        except (LocalEntryNotFoundError, ModelNotFound):
            pass
    try:
        return _complete(Path(snapshot_download(**ask)), repo)
    except GatedRepoError as error:
        raise ModelNotFound(f"{repo} asks for permission on the Hub, and you lack it.") from error
    except RepositoryNotFoundError as error:
        raise ModelNotFound(
            f"The Hub has no repository {repo}, or your token may not read it."
        ) from error
    except RevisionNotFoundError as error:
        raise ModelNotFound(f"{repo} has no revision {revision}.") from error
    except LocalEntryNotFoundError as error:
        raise ModelNotFound(
            f"The Hub cannot be reached, and {repo} is not in the local cache."
        ) from error
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        raise ModelNotFound(f"{repo} could not be downloaded from the Hub.") from error


def bundle(folder: Path, name: str) -> None:
    """Copies a model's folder among those that come with the program: writes tracked files."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise ModelNotFound(f"A bundled model's name is of a-z, 0-9 and -, which {name!r} is not.")
    targets = {
        "config.json": PRETRAINED / name / "config.json",
        "model.safetensors": PRETRAINED / name / "model.safetensors",
        "README.md": PRETRAINED / name / "README.md",
        "attributes.safetensors": VECTORS / f"{name}.safetensors",
        "attributes.json": VECTORS / f"{name}.json",
    }
    for source, target in targets.items():
        if (folder / source).is_file():
            with files.atomic(target) as temporary:
                shutil.copyfile(folder / source, temporary)


def _complete(folder: Path, repo: str) -> Path:
    if missing := [name for name in FILES[:2] if not (folder / name).is_file()]:
        raise ModelNotFound(f"{repo} holds no model of this program: {missing[0]} is missing.")
    return folder
