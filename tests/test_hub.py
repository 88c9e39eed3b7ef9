"""Push and pull: the real client of the Hub against the stand-in of `hub_server`."""

from __future__ import annotations

import errno
import os
import pickle
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hub_server import Hub
from huggingface_hub import HfApi, constants
from huggingface_hub.utils import close_session

import train
from vaegan import Editor, SnapshotError, VectorError, attributes, checkpoint, files, hub, sources
from vaegan.hub import HubError, ModelNotFound
from vaegan.trainer import Trainer

REPO = "user/faces"
TOKENS = {"right": "user", "other": "somebody"}
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that the client of this process talks to, with an empty cache and as `user`."""
    with Hub() as server:
        server.tokens = dict(TOKENS)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        # The client reads its environment when it is imported, and that is long ago.
        for name, value in {
            "ENDPOINT": server.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": template,
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_TOKEN_PATH": str(tmp_path / "token"),
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_DISABLE_TELEMETRY": True,
        }.items():
            monkeypatch.setattr(constants, name, value)
        for name in ("HF_OIDC_RESOURCE", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("HF_TOKEN", "right")
        close_session()
        assert HfApi().endpoint == server.url
        yield server
        close_session()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client tries again after 1, 2, 4, 8 and 8 seconds; a test need not wait for it."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


@pytest.fixture
def model(tiny_snapshot: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, with a card and with things that are nobody's business."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_snapshot, folder)
    (folder / "README.md").write_text("---\nlicense: other\n---\n# Tiny\n", "utf-8")
    (folder / "card").mkdir()
    for name in hub.PICTURES:
        (folder / name).write_bytes(b"a picture")
    (folder / "card" / "draft.png").write_bytes(b"not for others")
    (folder / "checkpoint.pt").write_bytes(b"not for others")
    (folder / "notes.txt").write_text("nor this", "utf-8")
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command line in this process; returns what it prints when all goes well."""

    def run(*arguments: str | Path) -> str:
        assert hub.main([str(argument) for argument in arguments]) == 0
        return capsys.readouterr().out.strip()

    return run


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command line, which must fail with 2 and one sentence; returns the sentence."""

    def fails(*arguments: str | Path) -> str:
        assert hub.main([str(argument) for argument in arguments]) == 2
        out, err = capsys.readouterr()
        assert not out
        return sentence(err)

    return fails


def sentence(text: str) -> str:
    text = text.removesuffix("\n")
    assert text and text.endswith(".")
    assert "\n" not in text and "Traceback" not in text
    return text


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in hub.FILES if (folder / name).exists()}


def change(folder: Path) -> None:
    """Gives the model another mean face, and so vectors that are not its own."""
    path = folder / "model.safetensors"
    tensors, metadata = files.load_tensors(path)
    tensors["prior_mean"] = torch.ones_like(tensors["prior_mean"])
    files.save_tensors(path, tensors, metadata)


def replace(folder: Path) -> None:
    """Puts another model in its place, one without vectors."""
    change(folder)
    for name in (*hub.PAIR, *hub.PICTURES):
        (folder / name).unlink()


# ------------------------------------------------------------ there and back


def test_a_model_comes_back_byte_for_byte(server, model, tmp_path, run):
    address = run("push", model, REPO).split()[-1]
    assert run("pull", REPO, "--out", tmp_path / "back") == f"{REPO} is in {tmp_path / 'back'}."
    assert contents(tmp_path / "back") == contents(model)
    assert len(contents(model)) == 8
    assert address == f"{server.url}/{REPO}/commit/{server.repositories[REPO].branches['main']}"

    editor = Editor.from_pretrained(REPO)
    assert [attribute.name for attribute in editor.attributes] == ["Smiling"]
    here = Editor.from_pretrained(model)
    assert editor.sample(1, seed=1)[0].tobytes() == here.sample(1, seed=1)[0].tobytes()


def test_nothing_but_the_model_is_uploaded(server, model, run):
    files.save_tensors(model / checkpoint.DISCRIMINATOR, {"weight": torch.ones(2)})
    run("push", model, REPO)
    expected = {".gitattributes", *hub.FILES}
    assert set(server.tree(REPO)) == expected

    run("push", model, REPO, "--with-training-state")
    assert set(server.tree(REPO)) == expected | {checkpoint.DISCRIMINATOR}
    sent = server.tree(REPO)[checkpoint.DISCRIMINATOR]
    assert sent == (model / checkpoint.DISCRIMINATOR).read_bytes()


def test_a_training_state_that_is_not_there_is_missed_at_once(server, model, fails):
    assert "discriminator.safetensors" in fails("push", model, REPO, "--with-training-state")
    assert not server.requests


def test_a_training_state_comes_back_for_who_asks(server, model, tmp_path, run):
    files.save_tensors(model / checkpoint.DISCRIMINATOR, {"weight": torch.ones(2)})
    run("push", model, REPO, "--with-training-state")
    there = tmp_path / "back" / checkpoint.DISCRIMINATOR
    run("pull", REPO, "--out", tmp_path / "back", "--with-training-state")
    assert there.read_bytes() == (model / checkpoint.DISCRIMINATOR).read_bytes()
    assert contents(tmp_path / "back") == contents(model)
    run("pull", REPO, "--out", tmp_path / "back")
    assert not there.exists(), "it may belong to the model before"


def test_a_cache_without_the_training_state_does_not_answer_for_it(server, model):
    files.save_tensors(model / checkpoint.DISCRIMINATOR, {"weight": torch.ones(2)})
    commit = hub.push(model, REPO, with_training_state=True).rsplit("/", 1)[1]
    assert not (hub.download(REPO, commit) / checkpoint.DISCRIMINATOR).exists()
    assert (hub.download(REPO, commit, training_state=True) / checkpoint.DISCRIMINATOR).is_file()
    server.requests.clear()
    hub.download(REPO, commit, training_state=True)
    assert not server.requests


def test_a_training_state_that_the_hub_has_not(server, model, tmp_path, fails):
    server.add(REPO, contents(model))
    said = fails("pull", REPO, "--out", tmp_path / "back", "--with-training-state")
    assert "discriminator.safetensors" in said
    assert not (tmp_path / "back").exists()
    assert contents(hub.locate(REPO, training_state=True)[0]) == contents(model)


def test_training_begins_with_the_discriminator_on_the_hub(
    server, prepared_faces, tmp_path, monkeypatch
):
    def command(out: str, *more: str) -> list[str]:
        flags = ["--data", str(prepared_faces), "--resolution", "32", "--steps", "1", "--device",
                 "cpu", "--batch-size", "4", "--precision", "float32"]  # fmt: skip
        return [*flags, "--out", str(tmp_path / out), *more]

    def discriminator(out: str) -> torch.Tensor:
        path = tmp_path / out / "model" / checkpoint.DISCRIMINATOR
        return files.load_tensors(path)[0]["blocks.0.0.parametrizations.weight.original"]

    pushed = ("--push-to-hub", REPO, "--with-training-state", "--seed", "1")
    assert train.main(command("first", *pushed)) == 0
    assert train.main(command("second", "--init", REPO)) == 0
    assert (discriminator("first") - discriminator("second")).abs().max() < 0.01


def test_what_belongs_to_the_model_before_leaves_with_it(server, model, tmp_path, run):
    files.save_tensors(model / checkpoint.DISCRIMINATOR, {"weight": torch.ones(2)})
    run("push", model, REPO, "--with-training-state")
    server.tree(REPO)["examples/smile.png"] = b"somebody's own"
    run("pull", REPO, "--out", tmp_path / "back")

    replace(model)
    run("push", model, REPO)
    assert not {*hub.PAIR, *hub.PICTURES, checkpoint.DISCRIMINATOR} & set(server.tree(REPO))
    assert server.tree(REPO)["examples/smile.png"] == b"somebody's own"
    run("pull", REPO, "--out", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(model)


@pytest.mark.parametrize("name", ["model.safetensors", "attributes.safetensors"])
def test_what_took_training_is_not_replaced(server, model, tmp_path, run, fails, name):
    server.add(REPO, contents(model))
    back = tmp_path / "back"
    run("pull", REPO, "--out", back)
    run("pull", REPO, "--out", back)
    tensors, metadata = files.load_tensors(back / name)
    files.save_tensors(back / name, {key: row + 1 for key, row in tensors.items()}, metadata)
    own = contents(back)
    said = f"{back} holds another {name} than {REPO}: choose another folder, or remove it."
    assert fails("pull", REPO, "--out", back) == said
    assert contents(back) == own
    (back / name).unlink()
    run("pull", REPO, "--out", back)
    assert contents(back) == contents(model)


@pytest.mark.parametrize("name", ["config.json", "README.md", "attributes.json", *hub.PICTURES])
def test_files_of_another_project_stay(server, model, tmp_path, fails, name):
    server.add(REPO, contents(model))
    project = tmp_path / "project"
    (project / name).parent.mkdir(parents=True)
    (project / name).write_text("somebody's own")
    said = f"{project} holds another {name} than {REPO}: choose another folder, or remove it."
    assert fails("pull", REPO, "--out", project) == said
    replace(model)  # a model without vectors and pictures would remove them
    server.add(REPO, contents(model))
    assert fails("pull", REPO, "--out", project) == said
    assert contents(project) == {name: b"somebody's own"}


def test_a_pull_that_broke_off_goes_on(server, model, tmp_path, run):
    server.add(REPO, contents(model))
    back = tmp_path / "back"
    back.mkdir()
    (back / "notes.txt").write_text("somebody's own")
    shutil.copy(model / "config.json", back)
    run("pull", REPO, "--out", back)
    assert contents(back) == contents(model)
    assert (back / "notes.txt").read_text() == "somebody's own"


def test_a_link_to_elsewhere_is_not_followed(server, model, tmp_path, fails):
    (tmp_path / "id_rsa").write_text("a private key")
    (model / "card" / "samples.png").unlink()
    (model / "card" / "samples.png").symlink_to(tmp_path / "id_rsa")
    said = fails("push", model, REPO)
    assert "samples.png is a link to outside the model's folder; nothing was uploaded." in said
    shutil.rmtree(model / "card")
    (tmp_path / "samples.png").write_text("a private picture")
    (model / "card").symlink_to(tmp_path)
    assert "is a link to outside" in fails("push", model, REPO)
    assert not server.requests


def test_a_link_within_the_folder_and_a_snapshot_of_the_cache_are_uploaded(server, model, run):
    (model / "card" / "samples.png").unlink()
    (model / "card" / "samples.png").symlink_to("edits.png")
    run("push", model, REPO)
    snapshot = hub.download(REPO)
    assert (snapshot / "card" / "edits.png").is_symlink()
    run("push", snapshot, "user/copy")
    assert server.tree("user/copy") == server.tree(REPO)


def test_the_same_model_again_is_no_new_commit(server, model):
    first = hub.push(model, REPO)
    assert hub.push(model, REPO) == first
    assert len(server.repositories[REPO].commits) == 2  # the empty one, and the model


def test_a_branch_of_its_own(server, model, tmp_path, run):
    run("push", model, REPO)
    before = contents(model)
    replace(model)
    run("push", model, REPO, "--revision", "try/this")
    run("pull", REPO, "--out", tmp_path / "main")
    run("pull", REPO, "--revision", "try/this", "--out", tmp_path / "branch")
    assert contents(tmp_path / "main") == before
    assert contents(tmp_path / "branch") == contents(model) != before


def test_a_bundled_model_finds_its_vectors_and_takes_them_along(
    server, model, tmp_path, monkeypatch, run
):
    monkeypatch.setattr(hub, "PRETRAINED", tmp_path / "pretrained")
    monkeypatch.setattr(hub, "VECTORS", tmp_path / "attributes")
    hub.bundle(model, "tiny")
    assert hub.bundled() == ["tiny"]
    assert {path.name for path in (tmp_path / "pretrained" / "tiny").iterdir()} == {
        "README.md", "config.json", "model.safetensors", "card",
    }  # fmt: skip
    for named in ("tiny", tmp_path / "pretrained" / "tiny"):
        assert hub.locate(named)[1] == tmp_path / "attributes" / "tiny.safetensors"
    run("push", tmp_path / "pretrained" / "tiny", REPO)
    run("pull", REPO, "--out", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(model)
    with pytest.raises(HubError, match="name is of a-z"):
        hub.bundle(model, "../tiny")
    discriminator = Path("training", "discriminator.safetensors")
    (model / "training").mkdir()
    (model / discriminator).write_bytes(b"weights")
    hub.bundle(model, "tiny")
    assert (tmp_path / "pretrained" / "tiny" / discriminator).read_bytes() == b"weights"


def test_training_ends_with_a_push(
    server, tiny_model, tiny_training, drawn_faces, tmp_path, capsys
):
    trainer = Trainer(tiny_model, tiny_training, drawn_faces, tmp_path / "run")
    trainer.run()
    flags = ["--data", "faces", "--out", str(tmp_path / "run"), "--push-to-hub", REPO]
    train.finish(trainer, drawn_faces, train.parse(flags))
    assert f"It is at {server.url}/{REPO}/commit/" in capsys.readouterr().out
    assert set(server.tree(REPO)) == {".gitattributes", *hub.FILES}
    train.finish(trainer, drawn_faces, train.parse([*flags, "--with-training-state"]))
    discriminator = server.tree(REPO)[checkpoint.DISCRIMINATOR]
    (tmp_path / "sent.safetensors").write_bytes(discriminator)
    sent, _ = files.load_tensors(tmp_path / "sent.safetensors")
    trainer.model.networks["discriminator"].load_state_dict(sent)


@pytest.mark.parametrize(
    "flags",
    [["--push-to-hub", "faces"], ["--bundle", "../escape"]],
    ids=["no user", "no name"],
)
def test_training_does_not_begin_with_a_name_that_cannot_be(flags):
    with pytest.raises(SystemExit) as stopped:
        train.parse(["--data", "faces", "--out", "run", *flags])
    assert stopped.value.code == 2


def test_a_repository_without_a_user_is_told_how_one_is_named(capsys):
    with pytest.raises(SystemExit):
        train.parse(["--data", "faces", "--out", "run", "--push-to-hub", "me"])
    assert "is named as in user/repo, which 'me' is not." in capsys.readouterr().err


# ------------------------------------------------------------ revisions and the cache


def test_a_commit_comes_from_the_cache_without_asking(server, model, tmp_path, monkeypatch):
    commit = hub.push(model, REPO).rsplit("/", 1)[1]
    hub.download(REPO, commit)
    # Without the list of files that the newest clients keep there, the client would ask for it.
    older = tmp_path / "older"
    shutil.copytree(tmp_path / "cache", older, True, shutil.ignore_patterns("trees"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(older))
    server.requests.clear()
    folder = hub.download(REPO, commit)
    assert not server.requests
    server.down()
    assert hub.download(REPO, commit) == folder
    assert contents(folder) == contents(model)
    assert Editor.from_pretrained(REPO, revision=commit).vectors is not None


def test_a_branch_asks_and_then_makes_do_with_the_cache(server, model, monkeypatch):
    server.add(REPO, contents(model))
    old = contents(hub.download(REPO))
    replace(model)
    new = server.add(REPO, contents(model))
    assert contents(hub.download(REPO)) == contents(model) != old

    server.cut("GET")
    assert hub.download(REPO).name == new
    server.down()
    assert hub.download(REPO).name == new
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.download(REPO).name == new


def test_a_branch_that_is_gone_is_not_served_from_the_cache(server, model, fails, tmp_path):
    server.add(REPO, contents(model))
    server.repositories[REPO].branches["try"] = server.repositories[REPO].branches["main"]
    hub.download(REPO, "try")
    del server.repositories[REPO].branches["try"]
    said = fails("pull", REPO, "--revision", "try", "--out", tmp_path / "back")
    assert said == f"{REPO} has no revision try."


@pytest.mark.parametrize(
    "revision", ["../../../elsewhere", "try/../../../elsewhere", "/elsewhere", "..", "a//b", "a b"]
)
def test_a_revision_is_no_path(server, model, tmp_path, fails, revision):
    server.add(REPO, contents(model))
    hub.download(REPO)
    shutil.copytree(model, tmp_path / "private")
    (tmp_path / "elsewhere").write_text("../../../private")  # as the cache keeps a branch's commit
    server.down()
    said = f"{revision!r} cannot be a branch, tag or commit."
    assert fails("pull", REPO, "--revision", revision, "--out", tmp_path / "back") == said
    for asks in (hub.public_commit, hub.data_source):
        with pytest.raises(ModelNotFound, match="cannot be a branch"):
            asks(REPO, revision)


def test_offline_without_a_cache(server, model, fails, tmp_path, monkeypatch, at_once):
    commit = server.add(REPO, contents(model))
    server.down()
    said = f"The Hub cannot be reached, and the local cache does not hold all of {REPO}."
    assert fails("pull", REPO, "--out", tmp_path / "back") == said
    with pytest.raises(ModelNotFound, match="cannot be reached"):
        Editor.from_pretrained(REPO)
    with pytest.raises(ModelNotFound):
        Editor.from_pretrained(REPO, revision=commit)
    assert fails("push", model, REPO) == f"The Hub cannot be reached, so {REPO} is as it was."
    server.up()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fails("pull", REPO, "--out", tmp_path / "back") == said
    assert not (tmp_path / "back").exists()


# ------------------------------------------------------------ who may


@pytest.mark.parametrize(
    "token, said",
    [
        (None, "or it is private and your token may not see it"),
        ("other", "or it is private and your token may not see it"),
        ("wrong", "The Hub wants a valid token"),
        ("right", None),
    ],
)
def test_a_private_model_is_for_its_owner(
    server, model, token, said, fails, run, tmp_path, monkeypatch
):
    run("push", model, REPO, "--private")
    assert server.repositories[REPO].private
    monkeypatch.delenv("HF_TOKEN") if token is None else monkeypatch.setenv("HF_TOKEN", token)
    if said is None:
        run("pull", REPO, "--out", tmp_path / "back")
        assert contents(tmp_path / "back") == contents(model)
    else:
        assert said in fails("pull", REPO, "--out", tmp_path / "back")
        assert not (tmp_path / "back").exists()


def test_what_anybody_may_have(server, model, monkeypatch, at_once):
    """As the Hub says it to nobody in particular, whoever asks."""
    commit = server.add(REPO, contents(model))
    server.add("user/private", contents(model), private=True)
    server.add("user/gated", contents(model), gated=True)
    server.add("user/other", {"weights.bin": b""})
    assert hub.public_commit(REPO) == hub.public_commit(REPO, commit) == commit
    hub.download("user/private")
    for repo, revision, said in (
        ("user/private", None, "or it is private"),
        ("user/private", server.repositories["user/private"].branches["main"], "or it is private"),
        ("user/gated", None, "is gated"),
        ("user/other", None, "holds no model of this program: config.json is missing."),
        (REPO, "none", "has no revision none."),
    ):
        with pytest.raises(ModelNotFound, match=said):
            hub.public_commit(repo, revision)
    hub.download(REPO)
    server.down()
    with pytest.raises(ModelNotFound, match="cannot be reached to ask whether"):
        hub.public_commit(REPO)


@pytest.mark.parametrize("there", [True, False], ids=["there", "new"])
@pytest.mark.parametrize(
    "token, said",
    [
        (None, "The Hub wants a valid token"),
        ("wrong", "The Hub wants a valid token"),
        ("other", f"Your token may not do this with {REPO}"),
    ],
)
def test_nobody_else_can_push(server, model, token, said, there, fails, monkeypatch):
    if there:
        server.add(REPO, {"config.json": b"{}"})
    monkeypatch.delenv("HF_TOKEN") if token is None else monkeypatch.setenv("HF_TOKEN", token)
    assert said in fails("push", model, REPO)
    assert not there or server.tree(REPO) == {"config.json": b"{}"}
    assert there or REPO not in server.repositories


def test_a_token_can_be_handed_over(server, model, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "wrong")
    hub.push(model, REPO, token="right")
    assert "config.json" in server.tree(REPO)


def test_private_is_not_published_in_a_public_repository(server, model, fails):
    server.add(REPO, {"config.json": b"{}"})
    assert "it is public; nothing was uploaded" in fails("push", model, REPO, "--private")
    assert server.tree(REPO) == {"config.json": b"{}"}


# ------------------------------------------------------------ what the Hub has not


def test_a_gated_model(server, model, fails, tmp_path, monkeypatch):
    server.add(REPO, contents(model), gated=True)
    monkeypatch.setenv("HF_TOKEN", "other")
    assert f"{REPO} is gated" in fails("pull", REPO, "--out", tmp_path / "back")


@pytest.mark.parametrize(
    "repo, revision, said",
    [
        ("user/none", "main", "The Hub has no repository user/none"),
        (REPO, "none", f"{REPO} has no revision none."),
        (REPO, "0" * 40, f"{REPO} has no revision {'0' * 40}."),
        ("user/bad--name", "main", "'user/bad--name' cannot be the name of a Hub repository."),
        ("justaname", "main", "'justaname' is not"),
    ],
)
def test_what_is_not_there_is_said(server, model, repo, revision, said, fails, tmp_path):
    server.add(REPO, contents(model))
    assert said in fails("pull", repo, "--revision", revision, "--out", tmp_path / "back")


def test_a_name_that_is_nothing(server):
    with pytest.raises(ModelNotFound, match="no such folder, and no Hub repository"):
        hub.locate("no/such/thing")


def test_a_folder_without_a_model_says_what_is_missing(tmp_path):
    with pytest.raises(ModelNotFound) as missed:
        hub.locate(tmp_path)
    assert str(missed.value) == f"The folder {tmp_path} holds no model: config.json is missing."


def test_a_push_goes_to_a_branch(server, model, fails):
    assert "is a commit" in fails("push", model, REPO, "--revision", "0" * 40)
    assert not server.requests


def test_the_hub_says_what_it_does_not_like(server, model, fails):
    (model / "README.md").write_text("a card without its head", "utf-8")
    assert "400" in (said := fails("push", model, REPO))
    assert "metadata block was not found" in said
    assert set(server.tree(REPO)) == {".gitattributes"}


# ------------------------------------------------------------ broken connections


@pytest.mark.parametrize("request_", ["PUT /lfs", f"POST /api/models/{REPO}/commit"])
def test_an_interrupted_upload_leaves_the_old_model_whole(
    server, model, request_, fails, run, tmp_path, at_once
):
    run("push", model, REPO)
    before, old = server.tree(REPO), contents(model)
    replace(model)
    server.cut(request_)
    said = fails("push", model, REPO)
    assert f"The upload to {REPO} broke off" in said and "run it again" in said
    assert server.tree(REPO) == before
    run("pull", REPO, "--out", tmp_path / "between")
    assert contents(tmp_path / "between") == old

    server.cut("", 0)
    run("push", model, REPO)
    run("pull", REPO, "--out", tmp_path / "after")
    assert contents(tmp_path / "after") == contents(model) != old


def test_an_upload_through_xet_that_fails(server, model, fails, monkeypatch):
    """The client's usual way for large files, which this stand-in does not know."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    assert f"The upload to {REPO} broke off" in fails("push", model, REPO)
    assert any("xet-write-token" in request for request in server.requests)
    assert set(server.tree(REPO)) == {".gitattributes"}


def test_an_interrupted_download_goes_on_where_it_stopped(server, model, at_once):
    server.add(REPO, contents(model))
    server.cut(f"GET /{REPO}/resolve", times=3)
    assert contents(hub.download(REPO)) == contents(model)


def test_a_download_that_never_ends_leaves_no_half_model(
    server, model, fails, run, tmp_path, at_once
):
    server.add(REPO, contents(model))
    server.cut(f"GET /{REPO}/resolve")
    assert "broke before all of" in fails("pull", REPO, "--out", tmp_path / "back")
    assert not (tmp_path / "back").exists()
    server.down()
    said = fails("pull", REPO, "--out", tmp_path / "back")
    assert said == f"The Hub cannot be reached, and the local cache does not hold all of {REPO}."
    server.up()
    server.cut("", 0)
    run("pull", REPO, "--out", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(model)


def test_the_command_as_people_run_it(server, model, tmp_path):
    """A process of its own with nothing but its environment, and the connection cut."""
    server.add(REPO, {"config.json": b"{}"})
    server.cut(f"POST /api/models/{REPO}/commit")
    done = subprocess.run(
        [sys.executable, "-m", "vaegan.hub", "push", model, REPO],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
        env={
            **os.environ,
            "HF_ENDPOINT": server.url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        },
    )  # fmt: skip
    assert done.returncode == 2
    assert f"The upload to {REPO} broke off" in sentence(done.stderr)
    assert server.tree(REPO) == {"config.json": b"{}"}


# ------------------------------------------------------------ models that are none


def test_weights_that_do_not_fit_their_config(server, model, fails, tmp_path):
    config = files.read_json(model / "config.json")
    config["model"]["latent_dim"] = 9
    files.write_json(model / "config.json", config)
    assert "do not fit its config" in fails("push", model, REPO)
    assert not server.requests

    server.add(REPO, contents(model))
    assert "do not fit its config" in fails("pull", REPO, "--out", tmp_path / "back")
    assert not (tmp_path / "back").exists()
    with pytest.raises(SnapshotError, match="do not fit its config"):
        Editor.from_pretrained(REPO)


def test_vectors_of_another_model(server, model, fails, tmp_path):
    change(model)
    assert "belong to another model" in fails("push", model, REPO)
    assert not server.requests

    server.add(REPO, contents(model))
    assert "belong to another model" in fails("pull", REPO, "--out", tmp_path / "back")
    assert not (tmp_path / "back").exists()
    with pytest.raises(VectorError, match="belong to another model"):
        Editor.from_pretrained(REPO)


def test_vectors_of_another_length(server, model, fails):
    vectors = attributes.load(model / "attributes.safetensors")
    longer = torch.zeros(len(vectors.names), 3, 9)
    files.save_tensors(
        model / "attributes.safetensors", dict(zip(vectors.names, longer, strict=True))
    )
    assert "have another length than z" in fails("push", model, REPO)
    assert not server.requests


def test_vectors_without_their_description(server, model, fails):
    (model / "attributes.json").unlink()
    assert "attributes.json" in fails("push", model, REPO)
    assert not server.requests


def test_a_description_without_vectors_is_nothing_to_the_editor(server, model, run):
    (model / "attributes.safetensors").unlink()
    run("push", model, REPO)
    assert Editor.from_pretrained(REPO).vectors is None


@pytest.mark.parametrize("what", ["not a number", "no offset"])
def test_vectors_that_the_editor_cannot_use(server, model, what, fails, tmp_path):
    path = model / "attributes.safetensors"
    if what == "not a number":
        tensors, _ = files.load_tensors(path)
        files.save_tensors(path, {name: row * torch.nan for name, row in tensors.items()})
    else:
        described = files.read_json(path.with_suffix(".json"))
        for row in described["attributes"]:
            del row["readout_offset"]
        files.write_json(path.with_suffix(".json"), described)
    with pytest.raises(VectorError) as refused:
        Editor.from_pretrained(model)
    assert fails("push", model, REPO) == str(refused.value)
    assert not server.requests
    server.add(REPO, contents(model))
    fails("pull", REPO, "--out", tmp_path / "back")
    assert not (tmp_path / "back").exists()


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors", "model.pt"])
def test_a_pickle_is_never_opened(server, model, name, fails, tmp_path):
    trace = tmp_path / "unpickled"
    trap = pickle.dumps(Trap(trace))
    pickle.loads(trap)
    assert trace.exists(), "the trap does not work"
    trace.unlink()

    server.add(REPO, {"config.json": contents(model)["config.json"], name: trap})
    said = fails("pull", REPO, "--out", tmp_path / "back")
    with pytest.raises((ModelNotFound, SnapshotError)):
        Editor.from_pretrained(REPO)
    assert not trace.exists()
    if name == "model.safetensors":
        assert "cannot be read as safetensors" in said
    else:
        assert said == f"{REPO} holds no model of this program: model.safetensors is missing."
        assert not any(request.endswith(name) for request in server.requests)


def test_what_is_too_large_is_not_fetched(server, model, fails, tmp_path, monkeypatch):
    server.add(REPO, {**contents(model), "notes.bin": bytes(10**6)})
    size = sum(map(len, contents(model).values()))
    monkeypatch.setattr(hub, "LIMIT", size)
    assert contents(hub.download(REPO)) == contents(model)  # what is not fetched does not count

    commit = server.add("user/large", contents(model) | {"model.safetensors": bytes(10**6)})
    monkeypatch.setattr(hub, "LIMIT", 10**6)
    for words in ([], ["--revision", commit]):
        said = fails("pull", "user/large", "--out", tmp_path / "back", *words)
        assert said == (
            "user/large holds 0.0 GB, and a model of this program has at most 0.001 GB."
        )
    with pytest.raises(ModelNotFound, match="user/large holds"):
        Editor.from_pretrained("user/large")
    assert not any("GET /user/large/resolve" in request for request in server.requests)


# ------------------------------------------------------------ disks


def test_a_disk_that_takes_no_more(server, model, fails, tmp_path):
    server.add(REPO, contents(model))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))
    try:
        said = fails("pull", REPO, "--out", tmp_path / "back")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert said == "The disk cannot be used: File too large."


def test_a_cache_that_cannot_be_there(server, model, fails, tmp_path, monkeypatch):
    server.add(REPO, contents(model))
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file"))
    assert "Not a directory" in fails("pull", REPO, "--out", tmp_path / "back")


def test_what_the_system_refuses_is_said(model, capsys, monkeypatch):
    def push(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(model))

    monkeypatch.setattr(hub, "push", push)
    assert hub.main(["push", str(model), REPO]) == 2
    assert capsys.readouterr().err == f"[Errno {errno.EACCES}] Permission denied: '{model}'\n"


def test_a_folder_that_cannot_be_written(server, model, fails, tmp_path):
    server.add(REPO, contents(model))
    (tmp_path / "file").touch()
    said = fails("pull", REPO, "--out", tmp_path / "file")
    assert said == f"{tmp_path / 'file'} cannot be used: File exists."


# ------------------------------------------------------------ data sets


def test_a_data_set_comes_from_the_hub(server, prepared_faces, tmp_path, monkeypatch):
    server.add("datasets/user/portraits", {
        "faces32.safetensors": prepared_faces.read_bytes(), "code.py": b"not wanted",
    })  # fmt: skip
    path = hub.data_source("user/portraits")
    assert path.read_bytes() == prepared_faces.read_bytes()
    assert not (path.parent / "code.py").exists()
    flags = ["--out", str(tmp_path / "run"), "--resolution", "32", "--steps", "1"]
    flags += ["--batch-size", "4", "--device", "cpu", "--precision", "float32"]
    assert train.main(["--data", "user/portraits", *flags]) == 0
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


def test_photographs_on_the_hub_are_a_folder(server):
    server.add("datasets/user/photos", {"a.jpg": b"1", "b/c.png": b"2", "metadata.csv": b"3"})
    folder = hub.data_source("user/photos")
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {"a.jpg", "b/c.png", "metadata.csv"}


def test_every_photograph_that_is_read_is_fetched_too(server):
    kinds = [kind for each in sources.EXTENSIONS for kind in (each, each.upper())]
    photographs = {f"IMG_{number}{kind}": b"1" for number, kind in enumerate(kinds)}
    server.add("datasets/user/camera", {**photographs, "code.py": b"not wanted"})
    folder = hub.data_source("user/camera")
    assert {path.name for path in folder.iterdir()} == photographs.keys()


def test_a_prepared_set_may_lie_in_a_folder(server):
    server.add("datasets/user/deep", {"data/faces32.safetensors": b"1", "data/a.jpg": b"2"})
    assert hub.data_source("user/deep").name == "faces32.safetensors"


def test_a_zip_without_photographs_beside_it_is_a_set(server):
    """And one with them is not; CelebA's belongs to its lists."""
    extra = {"LICENSE.txt": b"not wanted", "classes.csv": b"nor this"}
    server.add("datasets/user/zipped", {"data/photos.zip": b"1", **extra})
    path = hub.data_source("user/zipped")
    assert path.name == "photos.zip" and path.read_bytes() == b"1"
    celeba = {"img_align_celeba.zip": b"1", "Anno/list_attr_celeba.txt": b"2"}
    for name, files_ in {
        "celeba": celeba,
        "mixed": {"more.zip": b"1", "a.jpg": b"2"},
        "zips": {"a.zip": b"1", "b.zip": b"2"},
    }.items():
        server.add(f"datasets/user/{name}", files_ | extra)
        folder = hub.data_source(f"user/{name}")
        found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert found == files_.keys()


def test_paths_are_not_looked_for_on_the_hub(server, tmp_path):
    assert hub.data_source(str(tmp_path)) == tmp_path
    assert hub.data_source("runs/faces64.safetensors") == Path("runs/faces64.safetensors")
    assert server.requests == []


def test_a_data_set_that_is_nowhere_is_one_sentence(server, tmp_path, capsys):
    out = str(tmp_path / "run")
    assert train.main(["--data", "user/nothing", "--out", out, "--resolution", "32"]) == 2
    assert "The Hub has no repository user/nothing" in sentence(capsys.readouterr().err)
