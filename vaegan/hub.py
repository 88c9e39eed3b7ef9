"""Where models come from and go to: bundled, a folder, or the Hugging Face Hub.

    python -m vaegan.hub push runs/mine/model user/repo
    python -m vaegan.hub pull user/repo --out FOLDER

What leaves and what arrives is safetensors and JSON; a pickle is never even downloaded.
"""

from __future__ import annotations

import argparse
import filecmp
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import disable_progress_bars, logging

from vaegan import attributes, checkpoint, files
from vaegan.checkpoint import CONFIG, DISCRIMINATOR, WEIGHTS
from vaegan.errors import UserError, command_line
from vaegan.sources import EXTENSIONS, LISTS, TABLE

ROOT = Path(__file__).resolve().parent.parent
PRETRAINED, VECTORS = ROOT / "pretrained", ROOT / "attributes"
BUNDLED = "faces64"  # the model that is used when nothing is named
PAIR = ("attributes.safetensors", "attributes.json")
PICTURES = ("card/samples.png", "card/edits.png", "card/curves.svg")  # that the README shows
FILES = (CONFIG, WEIGHTS, "README.md", *PAIR, *PICTURES)
LOG_IN = "The Hub wants a valid token: `hf auth login` saves one, or HF_TOKEN holds one."
LIMIT = 1_000_000_000  # bytes of a model's files together; the bundled one's are a twentieth
DATA = ["*.safetensors", "*.zip", f"*{TABLE}"]  # of a data set: sets, zips and tables …
DATA += [f"*{name}.{kind}" for name in LISTS for kind in ("txt", "csv")]  # … CelebA's lists …
# … and photographs, in small and capital letters
DATA += [f"*{kind}" for each in EXTENSIONS for kind in (each, each.upper())]
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
_REVISION = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*")  # git has no part that begins with a dot


class HubError(UserError):
    """A model that cannot be sent or fetched, said in one sentence."""


class ModelNotFound(HubError):
    """No model under that name, said in one sentence."""


def bundled() -> list[str]:
    """Names of the models that came with the program."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))


def locate(
    model: str | Path | None = None, revision: str | None = None, training_state: bool = False
) -> tuple[Path, Path]:
    """The folder of a model and the path of its attribute vectors (which may not exist).

    Args:
        model: nothing (the bundled one), the name of a bundled one, a folder, or `user/repo`.
        revision: a branch, tag or commit of a Hub repository.
        training_state: fetch the discriminator too, where a Hub repository has it.

    Raises:
        ModelNotFound: it is nowhere to be had.
    """
    name = str(model or BUNDLED)
    if (Path(name) / CONFIG).is_file():
        folder = Path(name)
    elif name in bundled():
        folder = PRETRAINED / name
    elif Path(name).is_dir():
        raise ModelNotFound(f"The folder {name} holds no model: {CONFIG} is missing.")
    elif _REPOSITORY.fullmatch(name) and not Path(name).exists():
        folder = download(name, revision, training_state)
    else:
        raise ModelNotFound(f"There is no model {name!r}: no such folder, and no Hub repository.")
    return folder, _contents(folder)["attributes.safetensors"]


def check(folder: Path) -> None:
    """Loads a model's files as strictly as the editor does.

    Raises:
        SnapshotError, VectorError, FileError: the editor could not use them.
    """
    snapshot = checkpoint.load_snapshot(folder)
    path = _contents(folder)["attributes.safetensors"]
    if path.is_file():
        attributes.load(path, snapshot)


# ------------------------------------------------------------ from the Hub


def download(repo: str, revision: str | None = None, training_state: bool = False) -> Path:
    """The folder in the local cache that holds a Hub repository's model.

    A commit's hash never changes its meaning, so the cache answers; for a branch the Hub is asked,
    and the cache if the Hub cannot be reached.

    Args:
        training_state: fetch the discriminator too, where there is one.

    Raises:
        ModelNotFound: no such repository or revision, no permission, offline without a cache, or
            files beyond LIMIT.
    """
    _check_revision(revision)
    names = [*FILES, DISCRIMINATOR] if training_state else list(FILES)
    ask = {"repo_id": repo, "revision": revision, "allow_patterns": names}
    if (
        revision
        and _COMMIT.fullmatch(revision)
        and (folder := _cached(ask))
        and (not training_state or (folder / DISCRIMINATOR).is_file())
    ):
        return folder
    _check_size(repo, revision, names)
    broken = f"The connection to the Hub broke before all of {repo} was here; try it again."
    with _one_sentence(ModelNotFound, repo, revision, otherwise=broken):
        try:
            folder = Path(snapshot_download(**ask))
        except HfHubHTTPError:  # the Hub's own answer, for which the client asked the cache itself
            raise
        except Exception:
            if not (folder := _cached(ask)):
                raise
    if missing := [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]:
        raise ModelNotFound(f"{repo} holds no model of this program: {missing[0]} is missing.")
    return folder


def public_commit(repo: str, revision: str | None = None) -> str:
    """The commit of a Hub repository's model, if anybody may have it.

    The Hub itself is asked, without a token.

    Raises:
        ModelNotFound: it is not public, or not there, or the Hub cannot be reached.
    """
    _check_revision(revision)
    broken = f"The Hub cannot be reached to ask whether {repo} is public."
    with _one_sentence(ModelNotFound, repo, revision, otherwise=broken):
        url = hf_hub_url(repo, CONFIG, revision=revision)
        try:
            return get_hf_file_metadata(url, token=False).commit_hash
        except RemoteEntryNotFoundError as error:
            said = f"{repo} holds no model of this program: {CONFIG} is missing."
            raise ModelNotFound(said) from error


def _check_revision(revision: str | None) -> None:
    """The cache looks in a file of that name, which must not lie elsewhere.

    Raises:
        ModelNotFound: it cannot be a branch, tag or commit.
    """
    if revision and not _REVISION.fullmatch(revision):
        raise ModelNotFound(f"{revision!r} cannot be a branch, tag or commit.")


def _check_size(repo: str, revision: str | None, names: list[str]) -> None:
    """Refuses to fetch what is too large for a model of this program, such as a language model.

    Raises:
        ModelNotFound: the Hub says that the files of these names are beyond LIMIT.
    """
    try:
        about = HfApi().model_info(repo, revision=revision, files_metadata=True)
    except Exception:  # the download meets the same, and knows whether the cache can answer
        return
    size = sum(file.size or 0 for file in about.siblings or [] if file.rfilename in names)
    if size > LIMIT:
        raise ModelNotFound(
            f"{repo} holds {size / 1e9:.1f} GB, and a model of this program has at most "
            f"{LIMIT / 1e9:g} GB."
        )


def pull(
    repo: str, folder: Path, revision: str | None = None, *, with_training_state: bool = False
) -> None:
    """Writes a Hub repository's model into a folder of its own, once it is known to load.

    What an earlier pull wrote there is replaced, as long as the cache has it too; no other file is.

    Args:
        with_training_state: the discriminator too, to train on.

    Raises:
        ModelNotFound, HubError, SnapshotError, VectorError, FileError: it cannot be had, or not be
            used, or the folder holds other files of these names.
    """
    source = download(repo, revision, with_training_state)
    check(source)
    if with_training_state:
        files.load_tensors(source / DISCRIMINATOR)
    broken = f"{repo} cannot be written to {folder}."
    with _one_sentence(HubError, repo, revision, otherwise=broken):
        _check_replaceable(Path(folder), source, repo)
        _copy(source, Path(folder), with_training_state)


def _check_replaceable(folder: Path, snapshot: Path, repo: str) -> None:
    """Nothing may be lost that the repository cannot give back, such as another project's README.

    Raises:
        HubError: the folder has a file of a model's that no snapshot of the repository has.
    """
    for name, there in _contents(folder).items():
        known = snapshot.parent.glob(f"*/{name}")
        if there.is_file() and not any(filecmp.cmp(there, path, shallow=False) for path in known):
            raise HubError(
                f"{folder} holds another {name} than {repo}: choose another folder, or remove it."
            )


def data_source(name: str, revision: str | None = None) -> Path:
    """What `--data` means: a path as it is, or the local copy of a Hub data set `user/repo`.

    Of a repository with one safetensors file that is taken, as a prepared set; of one with a zip
    and neither photographs nor tables, the zip; of any other, the folder with its photographs.

    Raises:
        ModelNotFound: there is neither such a path nor such a repository.
    """
    path = Path(name)
    if path.exists() or path.suffix in (".safetensors", ".zip") or not _REPOSITORY.fullmatch(name):
        return path
    _check_revision(revision)
    broken = f"There is no {name}, and the Hub cannot be reached to ask for a data set."
    with _one_sentence(ModelNotFound, name, revision, otherwise=broken):
        folder = Path(
            snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=DATA)
        )
    found = [path for path in folder.rglob("*") if path.is_file()]
    prepared = [path for path in found if path.suffix == ".safetensors"]
    if len(prepared) == 1:
        return prepared[0]
    return found[0] if [path.suffix for path in found] == [".zip"] else folder


def _cached(ask: dict[str, Any]) -> Path | None:
    """The same question to the local cache alone; None unless the answer is a whole model."""
    try:
        folder = Path(snapshot_download(**ask, local_files_only=True))
    except (LocalEntryNotFoundError, ValueError):
        return None
    return folder if all((folder / name).is_file() for name in (CONFIG, WEIGHTS)) else None


# ------------------------------------------------------------ to the Hub


def repository(name: str) -> str:
    """`name`, if it reads user/repo.

    Raises:
        HubError: it does not.
    """
    if not _REPOSITORY.fullmatch(name):
        raise HubError(f"A Hub repository is named as in user/repo, which {name!r} is not.")
    return name


def push(
    folder: Path,
    repo: str,
    *,
    private: bool = False,
    revision: str | None = None,
    with_training_state: bool = False,
    token: str | None = None,
) -> str:
    """Uploads a model's files, and no others, in one commit; the repository is made if need be.

    Vectors or a training state that the repository has and this upload has not are removed there:
    they would belong to the model before. Everything else in the repository stays.

    Args:
        private: make a private repository, or refuse one that is not.
        revision: the branch; it is made from main if need be.
        with_training_state: the discriminator too, for who wants to train on.
        token: in place of the one that `hf auth login` saved or HF_TOKEN holds.

    Returns:
        The commit's address, which ends in its hash.

    Raises:
        SnapshotError, VectorError, FileError, HubError: the model is damaged, or is links to other
            places, and nothing was sent; or the Hub did not take it, and the repository is as it
            was.
    """
    folder = Path(folder)
    repository(repo)
    if revision and _COMMIT.fullmatch(revision):
        raise HubError(f"A model is pushed to a branch, and {revision} is a commit.")
    check(folder)
    _check_links(folder)
    if with_training_state:
        files.load_tensors(folder / DISCRIMINATOR)

    api = HfApi(token=token)
    broken = f"The Hub cannot be reached, so {repo} is as it was."
    with _one_sentence(HubError, repo, revision, otherwise=broken):
        api.whoami()  # without a valid token, later answers are "no such repository"
        # None leaves it to the namespace, since an organisation may want its models private
        api.create_repo(repo, private=private or None, exist_ok=True)
        if private and not api.model_info(repo).private:
            raise HubError(f"{repo} is there already, and it is public; nothing was uploaded.")
        if revision:
            api.create_branch(repo, branch=revision, exist_ok=True)

    broken = (
        f"The upload to {repo} broke off: it holds the files from before, or all of the new ones "
        "if only the Hub's answer was lost, so run it again."
    )
    with (
        _one_sentence(HubError, repo, revision, otherwise=broken),
        tempfile.TemporaryDirectory() as temporary,
    ):
        staged = Path(temporary)  # a bundled model's vectors lie in another folder
        _copy(folder, staged, with_training_state)
        commit = api.upload_folder(
            repo_id=repo,
            folder_path=staged,
            revision=revision,
            delete_patterns=[*PAIR, *PICTURES, DISCRIMINATOR],
            commit_message="Upload a model",
        )
    return commit.commit_url


def _check_links(folder: Path) -> None:
    """A link in a folder from elsewhere may point at what is nobody's business.

    Raises:
        HubError: a file is a link that leaves the folder, but for a snapshot's in the Hub's cache.
    """
    home = folder.resolve()
    homes = [home, VECTORS]
    if home.parent.name == "snapshots":
        homes.append(home.parent.parent / "blobs")
    for path in _contents(folder).values():
        if path.is_file() and not any(path.resolve().is_relative_to(home) for home in homes):
            raise HubError(f"{path} is a link to outside the model's folder; nothing was uploaded.")


# ------------------------------------------------------------ files


def bundle(folder: Path, name: str) -> None:
    """Copies a model's folder among those that come with the program: writes tracked files.

    Its discriminator comes along, so that `train.py --init NAME` goes on with it.

    Raises:
        HubError: the name is none.
    """
    _copy(folder, PRETRAINED / bundled_name(name), training_state=True)


def bundled_name(name: str) -> str:
    """`name`, if it can be that of a bundled model.

    Raises:
        HubError: it cannot.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", name):
        raise HubError(f"A bundled model's name is of a-z, 0-9 and -, which {name!r} is not.")
    return name


def _contents(folder: Path) -> dict[str, Path]:
    """Where each of a model's files lies, or would lie: FILES and DISCRIMINATOR → path."""
    paths = {name: folder / name for name in (*FILES, DISCRIMINATOR)}
    if folder.resolve().parent == PRETRAINED:
        for name in PAIR:
            paths[name] = VECTORS / f"{folder.name}{Path(name).suffix}"
    return paths


def _copy(source: Path, target: Path, training_state: bool = False) -> None:
    """Copies a model's files; what belongs to the model that was there before does not stay."""
    sources, targets = _contents(source), _contents(target)
    for name, path in sources.items():
        if path.is_file() and (name != DISCRIMINATOR or training_state):
            with files.atomic(targets[name]) as temporary:
                shutil.copyfile(path, temporary)
        elif name in (*PAIR, *PICTURES, DISCRIMINATOR):
            targets[name].unlink(missing_ok=True)


# ------------------------------------------------------------ what went wrong


@contextmanager
def _one_sentence(
    kind: type[HubError], repo: str, revision: str | None, otherwise: str
) -> Iterator[None]:
    """Turns whatever the client raises into one sentence.

    Its own errors, those of the HTTP and Xet libraries beneath it and the system's have no base in
    common, and it wraps some in others: hence the broad net and the look at the causes.
    """
    try:
        yield
    except HubError:
        raise
    except Exception as error:
        raise kind(_reason(error, repo, revision) or otherwise) from error


def _reason(error: Exception, repo: str, revision: str | None) -> str | None:
    answer: BaseException | None = error
    while answer and not isinstance(answer, HfHubHTTPError):
        answer = answer.__cause__
    if answer:
        return _refusal(answer, repo, revision)
    if isinstance(error, LocalEntryNotFoundError):
        return f"The Hub cannot be reached, and the local cache does not hold all of {repo}."
    if isinstance(error, HFValidationError):
        return f"{repo!r} cannot be the name of a Hub repository."
    if isinstance(error, LocalTokenNotFoundError):
        return LOG_IN
    if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError):
        return f"{error.filename or 'The disk'} cannot be used: {error.strerror}."
    return None


def _refusal(error: HfHubHTTPError, repo: str, revision: str | None) -> str:
    """The sentence for an answer of the Hub."""
    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        return f"{repo} is gated: its page on the Hub says how to ask for access."
    if isinstance(error, RepositoryNotFoundError):
        return f"The Hub has no repository {repo}, or it is private and your token may not see it."
    if isinstance(error, RevisionNotFoundError):
        return f"{repo} has no revision {revision or 'main'}."
    if status == 401:
        return LOG_IN
    if status == 403:
        return f"Your token may not do this with {repo}."
    said = " ".join((error.server_message or error.response.reason_phrase).split())
    return f"The Hub answered {status} about {repo}: {said.rstrip('.')}."


@command_line
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m vaegan.hub",
        description="Sends models to the Hugging Face Hub, or gets them.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("push", help="upload a model").add_argument
    add("folder", type=Path, help="the model's folder")
    add("repo", help="the repository, user/repo; it is made if need be")
    add("--private", action="store_true", help="make a private repository")
    add("--revision", help="the branch; main if nothing is said")
    add("--with-training-state", action="store_true", help="upload the discriminator too")
    add = commands.add_parser("pull", help="download a model").add_argument
    add("repo", help="the repository, user/repo")
    add("--revision", help="a branch, tag or commit")
    add("--with-training-state", action="store_true", help="download the discriminator too")
    add("--out", type=Path, required=True, help="the folder to write")
    flags = parser.parse_args(arguments)
    logging.set_verbosity_error()  # the client's warnings repeat what the one sentence says
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        if flags.command == "pull":
            pull(
                repository(flags.repo),
                flags.out,
                flags.revision,
                with_training_state=flags.with_training_state,
            )
            print(f"{flags.repo} is in {flags.out}.")
            return 0
        address = push(
            flags.folder,
            flags.repo,
            private=flags.private,
            revision=flags.revision,
            with_training_state=flags.with_training_state,
        )
    except KeyboardInterrupt:
        print("Stopped; run it again.", file=sys.stderr)
        return 130
    print(f"{flags.folder} is at {address}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
