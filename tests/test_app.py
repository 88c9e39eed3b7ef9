"""The page without a browser: flags and the listeners' functions."""

from __future__ import annotations

import dataclasses
import gc
import io
import json
import threading
import urllib.error
import urllib.request
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from vaegan import (
    BadImage,
    Editor,
    FaceNotFound,
    ModelNotFound,
    Settings,
    attributes,
    checkpoint,
    view,
)

gr = pytest.importorskip("gradio")

import app  # noqa: E402
from page import build, edit, look, models, photographs, visitors  # noqa: E402
from page.edit import Openings, framed  # noqa: E402
from page.morph import Chain  # noqa: E402
from page.sets import FullSet, with_one  # noqa: E402


@pytest.fixture(scope="module")
def editor(tiny_snapshot) -> Editor:
    return Editor.from_pretrained(tiny_snapshot)


@pytest.fixture(scope="module")
def page(editor) -> gr.Blocks:
    return build(editor)


def component(page, elem_id: str):
    return next(block for block in page.blocks.values() if block.elem_id == elem_id)


def decoded(url: str) -> np.ndarray:
    data = b64decode(url.removeprefix("data:image/jpeg;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)))


def sliders(**positions: object) -> dict[str, object]:
    return {"view": "Face", "sliders": {"detail": 0, **positions}}


def test_a_wrong_model_is_one_sentence_and_exit_2(capsys):
    assert app.main(["--model", "nowhere"]) == 2
    printed = capsys.readouterr()
    assert printed.err == "There is no model 'nowhere': no such folder, and no Hub repository.\n"
    assert printed.out == ""


def test_a_folder_that_holds_no_model_is_one_sentence_too(capsys, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert app.main(["--model", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_unknown_flags_end_with_2():
    with pytest.raises(SystemExit) as end:
        app.parse(["--modle", "x"])
    assert end.value.code == 2


def test_a_revision_belongs_to_one_model(capsys):
    with pytest.raises(SystemExit):
        app.parse(["--model", "a/b", "--model", "c/d", "--revision", "v1"])
    assert "user/repo@revision" in capsys.readouterr().err
    assert app.main(["--model", "nowhere@v1"]) == 2
    assert "no model 'nowhere'" in capsys.readouterr().err


def test_several_models_each_have_a_page_and_endpoints(editor):
    several = build(editor, editor, any_model=True)
    addresses = [address for address, *_ in several.pages]
    name = models.address(f"{models.title(editor)} 2")  # the same model twice
    assert addresses == ["", name, "compare-models", "another-model"]
    assert [address for address, *_ in build(editor).pages] == [""]
    named = {function.api_name for function in several.fns.values()}
    assert {"edit", f"{name}_edit"} <= named


def test_visitors_name_models_of_the_hub_and_no_folders(tmp_path, tiny_snapshot):
    shelf = models.Shelf()
    for name in (str(tiny_snapshot), "..", "../..", "", "page/../vaegan", "tests/browser"):
        with pytest.raises(ModelNotFound, match="named as in user/repo"):
            shelf.get(name, "")
    assert shelf.get("faces64", "") is shelf.get(" faces64 ", "")
    assert models.title(Editor.from_pretrained("faces64")) == "faces64"


def test_the_page_asks_nobody_and_keeps_no_history(page):
    assert page.analytics_enabled is False
    assert app.launch_options()["run_history"] is False
    assert "http" not in look.CSS
    assert not any(isinstance(font, gr.themes.GoogleFont) for font in look.theme()._font)


def test_sliders_carry_the_editors_names_and_ranges(page, editor):
    found = [block for block in page.blocks.values() if isinstance(block, gr.Slider)]
    rail = [slider for slider in found if slider.label in {a.label for a in editor.attributes}]
    assert [slider.label for slider in rail] == ["Smiling"]
    assert (rail[0].minimum, rail[0].maximum, rail[0].value, rail[0].step) == (-3, 3, 0, 0.1)


def test_a_frame_is_the_editors_preview(page, editor, astronaut):
    state = visitors.Sitting.at((editor.open(astronaut),))
    wish = {**visitors.remember(state), "sliders": {"Smiling": 1.5, "detail": 0.9, "softness": 1}}
    frame = decoded(component(page, "stage").draw(wish)).astype(int)
    assert frame.shape == (visitors.SIZE, visitors.SIZE, 3)
    wanted = editor.frame(state.views["Face"], Settings({"Smiling": 1.5}, detail=0.9))
    assert np.abs(frame - wanted).mean() < 2  # JPEG
    whole = decoded(component(page, "stage").draw({**wish, "view": "Photograph"})).astype(int)
    settings = {"detail": 0.9, "paste": True, "softness": 1.0}
    pasted = editor.edit(state.face, {"Smiling": 1.5}, **settings)
    assert whole.shape == (512, 512, 3)
    assert np.abs(whole - np.asarray(pasted)).mean() < 3  # a busier picture


def test_held_attributes_reach_the_live_picture(tiny_snapshot, astronaut):
    """Smiling leans on Male, which may be held; what the model lacks is ignored."""
    snapshot = checkpoint.load_snapshot(tiny_snapshot)
    one = attributes.load(tiny_snapshot / "attributes.safetensors")
    leaning = torch.cat([200 * one.above, 100 * one.above + torch.eye(8)[:1]])
    two = dataclasses.replace(
        one,
        names=("Smiling", "Male"),
        above=leaning,
        below=leaning,
        readouts=one.readouts.repeat(2, 1),
        counts=one.counts * 2,
    )
    editor = Editor(snapshot, two, "two")
    state = visitors.Sitting.at((editor.open(astronaut),))
    wish = {**visitors.remember(state), **sliders(Smiling=2)}
    draw = component(build(editor), "stage").draw
    assert draw({**wish, "hold": ["Male"]}) != draw(wish)
    # Held itself it is not in its own way.
    assert draw({**wish, "hold": ["Smiling", "Wings"]}) == draw(wish)


def test_the_photograph_shows_the_edits_of_its_other_faces(editor, astronaut):
    pair = Image.new("RGB", (1024, 512))
    pair.paste(astronaut, (0, 0))
    pair.paste(astronaut.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (512, 0))
    edits = (Settings({"Smiling": 500.0}), Settings())
    state = visitors.Sitting.at(editor.open_all(pair)[:2], 1, edits, editor)
    view = state.views["Photograph"]
    shown = editor.frame(view, Settings()).astype(int)
    first, second = state.faces
    wanted = editor.compose([(first, edits[0])]).resize((512, 256), Image.Resampling.LANCZOS)
    assert np.abs(shown - np.asarray(wanted)).max() <= 1
    # Saved, both are in it.
    state = state.setting(Settings({"Smiling": -500.0}))
    saved = Image.open(visitors.download_edit(editor, state, whole=True))
    both = editor.compose([(first, edits[0]), (second, state.edits[1])])
    assert np.array_equal(np.asarray(saved), np.asarray(both))


def test_sliders_out_of_range_or_emptied(page, editor, astronaut):
    key = visitors.remember(state := visitors.Sitting.at((editor.open(astronaut),)))
    draw = component(page, "stage").draw
    assert draw({**key, **sliders(Smiling=7)}) == draw({**key, **sliders(Smiling=3)})
    assert draw({**key, **sliders(Smiling=-7)}) == draw({**key, **sliders(Smiling=-3.0)})
    assert draw({**key, **sliders(Smiling=None)}) == draw({**key, **sliders()})
    assert draw({**key, **sliders(Smiling=3)}) != draw({**key, **sliders()})
    assert state.face.z.shape == (1, 8)


def test_a_face_lives_as_long_as_its_visitor_keeps_it(page, editor, astronaut):
    state = visitors.Sitting.at((editor.open(astronaut),))
    wish = {**visitors.remember(state), **sliders()}
    other = visitors.remember(state)
    assert len(wish["key"]) > 20 and other["key"] != wish["key"]
    assert component(page, "stage").draw(wish)
    del state
    gc.collect()
    assert component(page, "stage").draw(wish) == ""
    assert component(page, "stage").draw({"key": "guessed", **sliders()}) == ""
    assert not visitors.opened


def test_of_too_many_things_open_the_one_left_alone_longest_is_forgotten(
    page, editor, astronaut, monkeypatch
):
    """A live picture that follows a slider counts as looking at it."""
    monkeypatch.setattr(visitors, "MOST_OPEN", 3)
    monkeypatch.setattr(visitors, "opened", visitors.Opened())
    monkeypatch.setattr(edit, "opened", visitors.opened)
    face = editor.open(astronaut)
    states = [visitors.Sitting.at((face,)) for _ in range(3)]
    wishes = [{**visitors.remember(state), **sliders()} for state in states]
    draw = component(page, "stage").draw
    assert all(draw(wish) for wish in wishes)
    assert draw(wishes[0])
    chain = Chain((face, face))
    visitors.remember(chain)
    assert [bool(state) for state in states] == [True, False, True]
    assert [bool(draw(wish)) for wish in wishes] == [True, False, True]
    assert not states[1].faces and not states[1].views
    for state in (states[0], states[2], visitors.Sitting.at((face,))):
        visitors.remember(state)
    assert chain.faces == ()
    (apply,) = (one.fn for one in page.fns.values() if one.name == "apply")
    said = apply(SimpleNamespace(), Openings(), states[1], states[1].id).values()
    assert "This face was forgotten after a while. Please open it again." in said


def test_what_was_set_for_another_face_is_not_applied_or_saved(page, editor, astronaut):
    """Its values are of the click, the face is of when its turn has come."""
    state = visitors.Sitting.at((editor.open(astronaut),))
    values = (0.7, 0.3, [], 2.0)
    named = {one.name: one.fn for one in page.fns.values()}
    for name in ("apply", "copy_to_all"):
        said = named[name](SimpleNamespace(), Openings(), state, "another", *values).values()
        assert "Another face was opened meanwhile. Please try again." in said
    before = visitors.Sitting.at(state.faces)
    state = dataclasses.replace(state, before=before)
    copied = named["copy_to_all"](SimpleNamespace(), Openings(), state, state.id, *values).values()
    (copy,) = (value for value in copied if isinstance(value, visitors.Sitting))
    assert copy.edits[0].sliders == {"Smiling": 2.0} and copy.before is before
    (said,) = named["refine"](state, "another", *values)
    assert list(said.values()) == ["Another face was opened meanwhile. Please try again."]
    assert named["filmstrip"]("Smiling", state, "another", *values) == []
    assert len(named["filmstrip"]("Smiling", state, state.id, *values)) == 7


def test_a_morph_goes_from_the_first_face_to_the_last(page, editor):
    a, b, c = (editor.face_of(z[None]) for z in editor.draw(3, truncation=1.0, seed=3))
    key = visitors.remember(chain := Chain((a, b, c)))
    draw = component(page, "morphed").draw
    for t, face in ((0, a), (0.5, b), (1, c), (-5, a), (9, c)):
        frame = decoded(draw({**key, **sliders(t=t)})).astype(int)
        wanted = view.plain(face.reconstruction, visitors.SIZE)
        assert np.abs(frame - wanted).mean() < 2
    assert chain.faces[0] is a
    assert draw({**visitors.remember(one := Chain((a,))), **sliders(t=0)}) == ""
    assert len(one.faces) == 1


def test_a_crowd_waits_its_turn(page, editor, astronaut, monkeypatch):
    running, most, lock = 0, 0, threading.Lock()
    preview = editor.frame

    def counted(*arguments):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        result = preview(*arguments)
        with lock:
            running -= 1
        return result

    monkeypatch.setattr(editor, "frame", counted)
    state = visitors.Sitting.at((editor.open(astronaut),))
    wish = {**visitors.remember(state), **sliders(Smiling=1)}
    draw = component(page, "stage").draw
    with ThreadPoolExecutor(32) as crowd:
        frames = set(crowd.map(lambda _: draw(wish), range(64)))
    assert most <= visitors.CORES
    assert len(frames) == 1


def test_faces_beyond_the_most_are_not_left_out_in_silence(
    editor, astronaut, tmp_path, monkeypatch
):
    pair = Image.new("RGB", (1024, 512))
    pair.paste(astronaut, (0, 0))
    pair.paste(astronaut, (512, 0))
    pair.save(tmp_path / "pair.png")
    found = photographs.open_faces(editor, str(tmp_path / "pair.png"))
    assert [face.warning for face in found] == ["", ""]
    monkeypatch.setattr(photographs, "MOST_FACES", 1)
    (face,) = photographs.open_faces(editor, str(tmp_path / "pair.png"))
    assert face.warning == photographs.MANY


def test_a_full_set_takes_no_more(editor):
    a, b = (editor.face_of(z[None]) for z in editor.draw(2, seed=0))
    assert with_one((a,), b, 2) == (a, b)
    with pytest.raises(FullSet, match="There are 2 faces already"):
        with_one((a, b), a, 2)


def test_a_large_photograph_is_kept_smaller(editor, astronaut, tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    astronaut.save(path)
    assert photographs.open_faces(editor, str(path))[0].photo.size == (512, 512)
    monkeypatch.setattr(photographs, "MAX_PHOTO", 400 * 400)
    face = photographs.open_faces(editor, str(path))[0]
    assert face.photo.size == (400, 400)
    assert face.warning == photographs.SHRUNK


def test_bad_uploads_raise_what_the_page_turns_into_sentences(editor, tmp_path):
    empty, plain = tmp_path / "empty.jpg", tmp_path / "plain.png"
    empty.touch()
    Image.new("RGB", (200, 200), "gray").save(plain)
    with pytest.raises(BadImage, match="empty"):
        photographs.open_faces(editor, str(empty))
    with pytest.raises(FaceNotFound, match="No face"):
        photographs.open_faces(editor, str(plain))


@pytest.mark.parametrize(
    ("file", "ending"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tiff")]
)
def test_downloads_keep_size_format_and_profile(editor, astronaut, tmp_path, file, ending):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source = tmp_path / f"source.{ending}"
    astronaut.resize((600, 600)).save(source, file, icc_profile=profile, quality=95)
    face = editor.open(source)
    state = visitors.Sitting.at((face,))
    whole = Image.open(visitors.download_edit(editor, state, whole=True))
    assert (whole.format, whole.size) == (file, (600, 600))
    assert whole.info["icc_profile"] == profile
    assert np.abs(np.asarray(whole).astype(int) - np.asarray(face.photo)).mean() < 2
    crop = Image.open(visitors.download_edit(editor, state, whole=False))
    assert crop.format == "PNG" and crop.info["icc_profile"] == profile
    assert np.array_equal(np.asarray(crop), face.crop)  # unedited: the photograph's own pixels


def test_a_drawn_face_downloads_as_it_was_shown(editor):
    face = editor.face_of(editor.draw(1, seed=0))
    state = visitors.Sitting.at((face,)).setting(Settings({"Smiling": 2.0}))
    saved = np.asarray(Image.open(visitors.download_edit(editor, state, whole=False)))
    assert np.array_equal(
        saved, view.plain(editor.draw_edit(face, Settings({"Smiling": 2.0})), visitors.SIZE)
    )


@pytest.fixture(scope="module")
def client(editor):
    gradio_client = pytest.importorskip("gradio_client")
    page = build(editor)
    options = app.launch_options()
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, **options)
    yield gradio_client.Client(address, verbose=False)
    page.close()


def test_frames_come_by_a_route_of_their_own(client, editor, astronaut):
    state = visitors.Sitting.at((editor.open(astronaut),))
    wish = {**visitors.remember(state), **sliders(Smiling=1)}

    def ask(name: str, body: bytes) -> tuple[int, str]:
        url = f"{client.src.rstrip('/')}/frame/{name}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""

    status, url = ask("stage", json.dumps(wish).encode())
    wanted = editor.frame(state.views["Face"], Settings({"Smiling": 1}, detail=0.0))
    assert status == 200 and np.abs(decoded(url).astype(int) - wanted).mean() < 2
    assert ask("stage", json.dumps({**wish, "key": "guessed"}).encode()) == (200, "")
    for body in (b"", b"[]", b"{}", b'{"key": [], "sliders": {}}', b"\xff", b"[" * 19_000,
                 json.dumps({**wish, "sliders": {"Smiling": 10**400}}).encode(),
                 json.dumps({**wish, "sliders": {"Smiling": "x"}}).encode()):  # fmt: skip
        assert ask("stage", body) == (400, ""), body
    assert ask("stage", b" " * 50_000) == (413, "")
    for name in ("tools", "reconstruction", "nowhere"):
        assert ask(name, json.dumps(wish).encode()) == (404, ""), name


def test_only_a_square_in_the_photograph_is_a_frame():
    photo = Image.new("RGB", (300, 200))
    assert framed([10, 20.5, 110, 120.5], photo) == (10, 20.5, 110, 120.5)
    assert framed([100, 0, 300, 200], photo) == (100, 0, 300, 200)
    for box in (None, 7, [1, 2, 3], ["a"] * 4, [0, 0, float("nan"), 10], [0, 0, 40_000, 40_000],
                [-5, 0, 50, 50], [50, 50, 50, 60], [90, 0, 10, 80], [0, 0, 300, 20]):  # fmt: skip
        assert framed(box, photo) is None, box


def test_models_of_one_name_can_be_told_apart():
    editors = [
        SimpleNamespace(name=name)
        for name in ("a/x", "runs/x/model", "y", "b/x@v2", "b/x@refs/pr/1")
    ]
    assert models.titles(editors) == ["x", "x 2", "y", "x@v2", "x@refs/pr/1"]
    assert models.address("x@v2") == "x-v2"


def test_a_slider_tells_what_it_was_measured_to_do():
    from page.edit_layout import hint
    from vaegan.editor import Attribute

    def told(**measured: object) -> str:
        return hint(Attribute("Smiling", "Smiling", "Expression", measured=measured))

    moves = {"Heavy_Makeup": 0.2, "Blurry": 0.19, "Bald": 0.15}  # Blurry has no slider
    also = "It also changes: Makeup (20 of 100), Bald (15 of 100)."
    above = {"judged": True, "effect": 0.93}
    assert told(**above, moves=moves) == f"At +2, 93 of 100 faces show it. {also}"
    assert told(**above, moves={"Blurry": 1}, below={"effect": 0.8}) == (
        "At +2, 93 of 100 faces show it; at −2, it is gone from 80 of 100 that had it."
    )
    assert told(judged=False, effect=0.93, moves=moves, below={"effect": 0.8}) == also


def test_sliders_of_a_face_that_is_no_longer_open_are_not_the_next_ones(editor, page, astronaut):
    """A click that was made while another face was being opened brings the sliders of before."""
    (pick,) = (one.fn for one in page.fns.values() if one.name == "pick_other")
    face = editor.open(astronaut)
    kept = Settings({"Smiling": -2.0})
    state = visitors.Sitting.at((face, face), 0, (Settings(), kept), editor)
    sittings = {}
    for shown in (state.id, "another"):
        updates = pick(SimpleNamespace(index=1), Openings(), state, shown, 0.7, 0.3, [], 1.0)
        (sittings[shown],) = (v for v in updates.values() if isinstance(v, visitors.Sitting))
    assert all(sitting.edits[1] == kept for sitting in sittings.values())
    assert sittings[state.id].edits[0].sliders == {"Smiling": 1.0}
    assert sittings["another"].edits[0] == Settings()


def test_whatever_opens_a_face_stops_a_refinement(page):
    listeners = page.fns.values()
    (refine,) = (one for one in listeners if one.name == "refine")
    stopping = {target for one in listeners if refine._id in one.cancels for target in one.targets}
    opening = {"upload", "pick_example", "pick_other", "use_frame", "send_to_edit"}
    targets = [target for one in listeners if one.name in opening for target in one.targets]
    assert len(targets) == len(opening) and set(targets) <= stopping
