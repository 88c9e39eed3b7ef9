"""What programs can call, through the real client and a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from vaegan import Editor, custom

pytest.importorskip("gradio")

from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

import app
from page import build


@pytest.fixture(scope="module")
def editor(tiny_snapshot) -> Editor:
    return Editor.from_pretrained(tiny_snapshot)


@pytest.fixture(scope="module")
def address(editor) -> Iterator[str]:
    page = build(editor)
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, **app.launch_options())
    yield address
    page.close()


@pytest.fixture(scope="module")
def client(address) -> Client:
    return Client(address, verbose=False)


@pytest.fixture(scope="module")
def photos(astronaut, tmp_path_factory) -> list[Path]:
    """The astronaut, and somebody in blue who looks the other way."""
    paths = [tmp_path_factory.mktemp("photos") / f"{name}.png" for name in "ab"]
    astronaut.save(paths[0])
    blue = Image.merge("RGB", astronaut.split()[::-1])
    blue.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(paths[1])
    return paths


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_every_endpoint_is_named_typed_and_described(client):
    found = client.view_api(return_format="dict")
    assert not found["unnamed_endpoints"]
    assert sorted(found["named_endpoints"]) == [
        "/attributes", "/decode", "/edit", "/morph", "/neighbours", "/open", "/own_attribute",
        "/sample",
    ]  # fmt: skip
    for name, endpoint in found["named_endpoints"].items():
        types = [part["python_type"]["type"] for part in endpoint["parameters"]]
        types += [part["python_type"]["type"] for part in endpoint["returns"]]
        assert "Any" not in types and types, name
        assert len(endpoint["description"]) > 20, name


def test_attributes(client):
    smiling = {"name": "Smiling", "label": "Smiling", "group": "Expression", "low": -3, "high": 3}
    assert client.predict(api_name="/attributes") == [smiling]


def test_open_and_decode(client, editor, photos):
    (found,) = client.predict(handle_file(photos[0]), api_name="/open")
    face = editor.open(photos[0])
    np.testing.assert_allclose(found["z"], face.z[0], rtol=1e-6)
    drawn = client.predict(found["z"], api_name="/decode")
    wanted = editor.edit(face, {}).resize((384, 384), Image.Resampling.LANCZOS)
    assert np.array_equal(pixels(drawn), np.asarray(wanted))


def test_edit(client, editor, photos):
    result = client.predict(handle_file(photos[0]), {"Smiling": 3}, 0.5, api_name="/edit")
    wanted = editor.edit(editor.open(photos[0]), {"Smiling": 3}, 0.5, paste=True)
    assert np.array_equal(pixels(result), np.asarray(wanted))
    face = client.predict(handle_file(photos[0]), {}, whole=False, api_name="/edit")
    assert np.array_equal(pixels(face), editor.open(photos[0]).crop)


def test_sample_and_neighbours(client, editor):
    pictures, latents = client.predict(3, 1.0, 5, api_name="/sample")
    assert len(pictures) == 3
    np.testing.assert_allclose(latents, editor.draw(3, 1.0, 5), rtol=1e-6)
    _, plain = client.predict(1, 1.0, 5, False, api_name="/sample")
    np.testing.assert_allclose(plain, editor.draw(1, 1.0, 5, fitted=False), rtol=1e-6)
    near, around = client.predict(latents[0], 2, 0.01, api_name="/neighbours")
    assert len(near) == 2
    np.testing.assert_allclose(around, [latents[0]] * 2, atol=0.1)
    assert around[0] != around[1]


def test_morph(client, photos):
    faces = [handle_file(path) for path in photos]
    film = Image.open(client.predict(faces, True, 64, 0.2, api_name="/morph"))
    assert film.format == "GIF" and film.size == (64, 64) and film.n_frames == 8
    assert client.predict(faces, size=64, seconds=0.2, api_name="/morph").endswith(".mp4")


def test_where_the_largest_face_counts_no_other_is_opened(client, editor, photos, monkeypatch):
    monkeypatch.delattr(Editor, "open_all")
    faces = [handle_file(path) for path in photos]
    client.predict(faces, True, 64, 0.2, api_name="/morph")
    client.predict(faces[:1], faces[1:], "Blue", api_name="/own_attribute")


def test_own_attribute_comes_back_as_a_slider(client, editor, photos):
    sets = [[handle_file(path)] for path in photos]
    file, separation, words = client.predict(*sets, "Blue", api_name="/own_attribute")
    assert separation is None and "ten on each" in words
    own = custom.load(file, editor.model, 8)
    result = client.predict(
        handle_file(photos[0]), {}, own_attribute=handle_file(file), own_strength=2.0,
        api_name="/edit",
    )  # fmt: skip
    wanted = editor.edit(editor.open(photos[0]), {own: 2.0}, paste=True)
    assert np.array_equal(pixels(result), np.asarray(wanted))


def test_what_is_wrong_is_one_sentence(client, photos, tmp_path):
    broken = tmp_path / "a.png"
    broken.write_bytes(b"not a picture")
    photo = handle_file(photos[0])
    calls = {
        "no attribute 'Wings'": (photo, {"Wings": 1}, "/edit"),
        "There is no face 2": (photo, {}, 1.0, 2, "/edit"),
        "detail lies between": (photo, {}, 7.0, "/edit"),
        "not a picture": (handle_file(broken), "/open"),
        "z has 8": ([1.0, 2.0], "/decode"),
        "count lies": (1000, "/sample"),
        "truncation lies between 0 and 1": (1, 1e308, "/sample"),
        "step lies between 0 and 3": ([0.0] * 8, 1, -1e308, "/neighbours"),
        "takes 2 to": ([photo], "/morph"),
        "at least one face": ([photo], [], "X", "/own_attribute"),
        "of another kind than": (photo, ["Smiling"], "/edit"),
        "An argument is missing, too": (["a"] * 8, "/decode"),
        "than the documentation": (None, "/morph"),
    }
    for sentence, (*arguments, name) in calls.items():
        with pytest.raises(AppError, match=sentence) as error:
            client.predict(*arguments, api_name=name)
        assert "\n" not in str(error.value)


def test_only_uploaded_files_are_opened(address, photos):
    """A request can name any path; none but an upload may be looked at."""
    for path in (str(photos[0]), "../../../../etc/hostname", ""):
        call = httpx.post(f"{address}gradio_api/call/open", json={"data": [{"path": path}]})
        answer = httpx.get(f"{address}gradio_api/call/open/{call.json()['event_id']}").text
        assert "event: error" in answer and "Only files that were uploaded" in answer


@pytest.mark.parametrize("calls", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_two_programs_at_once_each_get_their_own(address, editor, photos, calls):
    strengths = [3 * n / calls for n in range(calls)]
    faces = [editor.open(path) for path in photos]

    def work(which: int) -> int:
        program = Client(address, verbose=False)
        photo, right = handle_file(photos[which]), 0
        for strength in strengths:
            settings = {"Smiling": strength}
            result = program.predict(photo, settings, 0.5, whole=False, api_name="/edit")
            wanted = editor.edit(faces[which], settings, 0.5)
            right += np.array_equal(pixels(result), np.asarray(wanted))
        return right

    with ThreadPoolExecutor(2) as both:
        assert list(both.map(work, range(2))) == [calls, calls]
    assert not np.array_equal(faces[0].crop, faces[1].crop)


def test_no_endpoint_is_left_out_of_the_documentation(client):
    text = (Path(__file__).parents[1] / "docs" / "python.md").read_text("utf-8")
    shown = set(re.findall(r'api_name="(/\w+)"', text))
    assert shown == set(client.view_api(return_format="dict")["named_endpoints"])
