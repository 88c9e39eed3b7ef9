import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vaegan import files
from vaegan.files import FileError


def test_atomic_replaces_only_on_success(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    with files.atomic(path) as temporary:
        temporary.write_text("first")
        assert temporary.parent == path.parent and temporary.suffix == ".txt"
        assert not path.exists()
    assert path.read_text() == "first"
    with pytest.raises(KeyError), files.atomic(path) as temporary:
        temporary.write_text("half of the sec")
        raise KeyError
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_two_writers_do_not_meet(tmp_path):
    path = tmp_path / "a"
    with files.atomic(path) as one, files.atomic(path) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # the outer block ends last


def test_what_killed_writers_left_is_cleared_and_nothing_else(tmp_path):
    for name in ("a.pt", "b.pt", f".{32 * '0'}-b.pt", ".hidden-a.pt", f"{32 * '0'}-a.pt"):
        (tmp_path / name).touch()
    before = set(tmp_path.iterdir())
    killed = "import os, sys; from vaegan import files\nwith files.atomic(sys.argv[1]): os._exit(9)"
    assert subprocess.run([sys.executable, "-c", killed, tmp_path / "a.pt"]).returncode == 9
    assert len(set(tmp_path.iterdir()) - before) == 1
    files.clear_aside(tmp_path / "a.pt")
    assert set(tmp_path.iterdir()) == before


HOLDER = """
import sys
from vaegan import files
with files.alone(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_held_by_one_process(tmp_path):
    folder = tmp_path / "new" / "run"
    words = [sys.executable, "-c", HOLDER, folder]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(FileError, match="Another process is at work in"), files.alone(folder):
            pass
        other.kill()  # whoever is killed holds nothing
        other.wait()
        with files.alone(folder):
            assert folder.is_dir()


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_files_get_the_mode_that_others_get(tmp_path):
    (tmp_path / "plain").touch()
    files.save_tensors(tmp_path / "set", {"a": torch.ones(1)})
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "set")]
    assert modes[0] == modes[1]


def test_json_round_trip(tmp_path):
    value = {"é": [1, 2.5, None, True], "b": {"c": "×"}}
    files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == value


@pytest.mark.parametrize("value", [[1], {"a": float("nan")}, {"a": float("inf")}, {"a": object()}])
def test_json_that_cannot_be_written(tmp_path, value):
    with pytest.raises(FileError, match=r"a\.json"):
        files.write_json(tmp_path / "a.json", value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        '{"a": 1',
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1e999}',
        '{"a": "\xff"}',  # as one byte: not UTF-8
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_json_that_cannot_be_read(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(FileError, match=r"a\.json"):
        files.read_json(tmp_path / "a.json")


def test_json_that_is_too_long_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text('{"a": 1}')
    monkeypatch.setattr(files, "LONGEST_JSON", 8)
    assert files.read_json(tmp_path / "a.json") == {"a": 1}
    monkeypatch.setattr(files, "LONGEST_JSON", 7)
    with pytest.raises(FileError, match=r"a\.json is longer"):
        files.read_json(tmp_path / "a.json")


def test_json_that_is_not_there(tmp_path):
    with pytest.raises(FileError, match=r"a\.json"):
        files.read_json(tmp_path / "a.json")


def test_tensors_round_trip(tmp_path):
    path = tmp_path / "a.safetensors"
    strided = torch.arange(6).reshape(2, 3).T
    files.save_tensors(path, {"a": strided, "b": torch.ones(2, requires_grad=True)}, {"k": "v"})
    tensors, metadata = files.load_tensors(path)
    assert metadata == {"k": "v"}
    assert tensors["a"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert tensors["b"].tolist() == [1, 1]


def test_tensors_do_not_take_the_name_of_what_describes_them():
    assert files.tensors_path("a/b.safetensors") == Path("a/b.safetensors")
    for name in ("a.json", "a"):
        with pytest.raises(FileError, match=r"must end in \.safetensors"):
            files.tensors_path(name)


def test_tensors_without_metadata(tmp_path):
    files.save_tensors(tmp_path / "a", {"a": torch.zeros(1)})
    assert files.load_tensors(tmp_path / "a")[1] == {}


def test_tensors_that_the_disk_does_not_take(tmp_path):
    path = tmp_path / "a.safetensors"
    files.save_tensors(path, {"a": torch.zeros(1)})
    before = path.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))
    try:
        with pytest.raises(FileError) as refused:
            files.save_tensors(path, {"a": torch.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert str(refused.value) == f"{path} cannot be written; is the disk full?"
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_that_cannot_be_computed_with(tmp_path):
    path = tmp_path / "a.safetensors"
    files.save_tensors(path, {"a": torch.zeros(4).to(torch.float8_e4m3fn)})
    with pytest.raises(FileError, match="of a kind that cannot be used"):
        files.load_tensors(path)


@pytest.mark.parametrize("length", [0, 4, 40, -1])
def test_truncated_tensors(tmp_path, length):
    path = tmp_path / "a.safetensors"
    files.save_tensors(path, {"a": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(FileError, match=r"a\.safetensors"):
        files.load_tensors(path)


def test_a_pickle_is_refused(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pt")
    with pytest.raises(FileError):
        files.load_tensors(tmp_path / "a.pt")
    with pytest.raises(FileError):
        files.load_tensors(tmp_path / "missing")


def test_sha256(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.sha256(tmp_path / "abc") == expected
