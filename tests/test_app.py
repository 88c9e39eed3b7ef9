"""The page without a browser: flags and the listeners' functions."""

from __future__ import annotations

import copy
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

import httpx
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
from vaegan.custom import OwnAttribute
from vaegan.face import Face

gr = pytest.importorskip("gradio")

import app  # noqa: E402
from page import (  # noqa: E402
    build,
    edit,
    in_words,
    look,
    models,
    morph,
    own,
    photographs,
    random_faces,
    visitors,
)
from page.edit import Openings, framed  # noqa: E402
from page.morph import Chain  # noqa: E402
from page.own import Workshop  # noqa: E402
from page.sets import FullSet, with_more, with_one  # noqa: E402


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


def listener(page, what: str, event: str = "click", nth: int = -1):
    """The function of the last thing, or the nth, on the page that is called `what`."""

    def meant(one, target: int, kind: str) -> bool:
        block = page.blocks.get(target)
        called = what in (getattr(block, "label", None), getattr(block, "value", None))
        return bool(one.fn) and kind == event and called

    found = [one.fn for one in page.fns.values() for target in one.targets if meant(one, *target)]
    return found[nth]


def named(page, name: str):
    return next(one.fn for one in page.fns.values() if one.name == name)


def drawn(editor, count: int = 1, seed: int = 0) -> tuple[Face, ...]:
    return tuple(editor.face_of(z[None]) for z in editor.draw(count, 1.0, seed))


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


@pytest.fixture
def nothing_open(monkeypatch) -> None:
    """Nobody has anything open yet, and one thing may be."""
    monkeypatch.setattr(visitors, "opened", visitors.Opened())
    monkeypatch.setattr(visitors, "MOST_OPEN", 1)
    for module in (edit, own, morph):
        monkeypatch.setattr(module, "opened", visitors.opened)


FORGOTTEN = "This face was forgotten after a while. Please open it again."


@pytest.mark.usefixtures("nothing_open")
def test_only_what_holds_a_face_takes_a_place(editor):
    (face,) = drawn(editor)
    visitors.remember(state := visitors.Sitting.at((face,)))
    for empty in (Workshop(), Chain()):
        key = visitors.remember(empty)["key"]
        assert visitors.opened.get(key) is empty
    assert state and len(visitors.opened) == 1
    visitors.remember(chain := Chain((face,)))
    chain.faces = ()
    visitors.remember(chain)
    assert not state and len(visitors.opened) == 0


@pytest.mark.usefixtures("nothing_open")
def test_a_forgotten_face_does_not_become_an_example(page, editor):
    """Neither once another needed its place, nor once Gradio put the first state there again."""
    (face,) = drawn(editor, seed=4)
    work = Workshop(own=(slider(editor),), sets=((face,), (face,)))
    work.sitting = visitors.Sitting.at((face,))
    shown = visitors.remember(work)
    save = listener(page, "Save face")
    further, learn = named(page, "edit_further"), named(page, "learn")

    def answers(work: Workshop) -> list[dict]:
        return [save(shown, work), further(SimpleNamespace(), Openings(), shown, work),
                learn("", shown, work), named(page, "enter")(shown, work)]  # fmt: skip

    assert not any(FORGOTTEN in said.values() for said in answers(work)[:2])
    assert all(FORGOTTEN in said.values() for said in answers(Workshop()))
    work.sets = ((face,), (face,))
    shown = visitors.remember(work)
    visitors.remember(Chain((face,)))
    assert work.sitting is None and work.sets == ((), ())
    said = answers(work)
    assert all(FORGOTTEN in each.values() for each in said)
    assert not any(isinstance(value, str) and value.endswith("png") for value in said[0].values())
    assert FORGOTTEN not in save(None, Workshop()).values()  # the first example, as it is shown


def test_a_forgotten_drawing_does_not_become_another(page):
    """Gradio puts the first one there again, while the page still shows the later."""
    first = next(block.value for block in page.blocks.values()
                 if isinstance(getattr(block, "value", None), random_faces.Drawing))  # fmt: skip
    updates = named(page, "draw_faces")(4, 1.0, "The training faces", 5).values()
    (drawing,) = (one for one in updates if isinstance(one, random_faces.Drawing))
    pick, to_morph = named(page, "pick"), named(page, "send_to_morph")

    def sent(state: random_faces.Drawing) -> Chain:
        (picked,) = (one for one in pick(state, SimpleNamespace(index=2)).values()
                     if isinstance(one, random_faces.Drawing))  # fmt: skip
        said = to_morph(picked, drawing.id, chain := Chain())
        assert (FORGOTTEN in said.values()) == (state is first)
        return chain

    assert torch.equal(sent(drawing).faces[0].z, drawing.z[2:3])
    assert sent(first).faces == ()
    for name, more in (("send_to_morph", Chain()), ("draw_around", 0.3)):  # none was picked
        assert list(named(page, name)(first, first.id, more).values()) == [FORGOTTEN]
    to_edit = named(page, "send_to_edit")
    said = to_edit(SimpleNamespace(), Openings(), first, drawing.id).values()
    assert list(said) == [FORGOTTEN]


@pytest.mark.usefixtures("nothing_open")
def test_a_photograph_that_waits_to_be_framed_is_forgotten_too(page, editor, astronaut):
    state = visitors.Sitting.at((editor.open(astronaut),))
    (held,) = (value for value in named(page, "frame_another")(state).values()
               if isinstance(value, edit.Unframed))  # fmt: skip
    use = named(page, "use_frame")
    arguments = (SimpleNamespace(box=[0, 0, 100, 100]), Openings(), held, None, "")
    assert any(isinstance(value, visitors.Sitting) for value in use(*arguments).values())
    held = edit.Unframed(astronaut)
    visitors.opened.add(held)
    visitors.remember(chain := Chain(drawn(editor)))
    assert held.photo is None and chain.faces
    arguments = (SimpleNamespace(box=[0, 0, 100, 100]), Openings(), held, None, "")
    assert FORGOTTEN in use(*arguments).values()
    given_up = (SimpleNamespace(box=None), Openings(), held, None, "")
    assert FORGOTTEN not in use(*given_up).values()


def test_a_frame_that_cannot_be_used_is_one_sentence(page, editor, astronaut, monkeypatch):
    def refuse(*_, **__):
        raise BadImage("It cannot be.")

    monkeypatch.setattr(editor, "open", refuse)
    held = edit.Unframed(astronaut)
    arguments = (SimpleNamespace(box=[0, 0, 100, 100]), Openings(), held, None, "")
    assert "It cannot be." in named(page, "use_frame")(*arguments).values()


# ---------------------------------------------------------------- several things at once


def slider(editor, name: str = "Mine") -> OwnAttribute:
    return OwnAttribute(name, torch.ones(8), (1, 1), None, editor.model)


def test_sets_are_filled_at_once_and_sliders_go_meanwhile(page, editor, monkeypatch):
    """Whoever ends last undoes nothing of what was done since it began."""
    old, kept = slider(editor, "Old"), slider(editor, "Kept")
    work = Workshop(own=(old, kept))
    (face,) = drawn(editor)

    def open_set(editor, paths, keep, room):
        if paths == ["slow"]:
            listener(page, "Without it", "upload")(["quick"], work)
            listener(page, "Remove", nth=0)(work, 1.0, 2.0)
        return (face,), []

    monkeypatch.setattr(own, "open_set", open_set)
    listener(page, "With it", "upload")(["slow"], work)
    assert work.sets == ((face,), (face,))
    assert work.own == (kept,)


def test_sliders_stay_where_they_stood_when_one_goes_meanwhile(page, editor, monkeypatch):
    old, kept, new = (slider(editor, name) for name in ("Old", "Kept", "New"))
    work = Workshop(own=(old, kept))

    def attribute_from(*_, **__):
        work.own = (kept,)
        return new

    monkeypatch.setattr(editor, "attribute_from", attribute_from)
    updates = named(page, "learn")("New", None, work, 1.0, -2.0, 0.0, 0.0)
    assert work.own == (new, kept)
    shown = [value for value in updates.values() if isinstance(value, gr.Slider)]
    assert [(one.label, one.value) for one in shown[:2]] == [("New", 1.5), ("Kept", -2.0)]


def test_of_faces_to_try_on_the_one_chosen_last_stays(page, editor, astronaut, monkeypatch):
    """An example may be clicked on while a photograph is being opened."""
    work = Workshop()
    photo = editor.open(astronaut)
    pick = named(page, "try_sample")

    def largest_face(*_):
        pick(work, SimpleNamespace(index=2))
        return photo

    monkeypatch.setattr(own, "largest_face", largest_face)
    named(page, "try_photo")({"path": "a.png"}, work)
    assert work.sitting.face.photo is None
    monkeypatch.setattr(own, "largest_face", lambda *_: photo)
    named(page, "try_photo")({"path": "a.png"}, work)
    assert work.sitting.face is photo


def test_a_morph_keeps_what_is_done_while_photographs_are_opened(page, editor, monkeypatch):
    chain = Chain()
    faces = drawn(editor, morph.MOST)

    def open_set(*_):
        named(page, "add_random")(chain)
        named(page, "turn_to")("Spherical", chain)
        return faces, []

    monkeypatch.setattr(morph, "open_set", open_set)
    updates = named(page, "add")(["a.png"], chain)
    assert chain.spherical and len(chain.faces) == morph.MOST
    assert chain.faces[1:] == faces[:-1]  # after the random one
    assert "1 more were left out: the set is full." in updates.values()


def test_a_film_of_a_morph_that_was_changed_meanwhile_is_not_shown(page, editor, monkeypatch):
    chain = Chain(drawn(editor, 2))
    film = [".mp4", 256, 1.0, True, True, False, chain]
    monkeypatch.setattr(morph, "write_film", lambda *_: "film.mp4")
    assert list(named(page, "film")(*film).values()) == ["", "film.mp4"]

    def change(*_):
        named(page, "add_random")(chain)
        return "film.mp4"

    monkeypatch.setattr(morph, "write_film", change)
    said = named(page, "film")(*film).values()
    assert list(said) == ["The morph was changed meanwhile. Please make the film again.", None]


def test_each_visitor_begins_with_belongings_of_their_own(editor):
    for one in (Workshop(), Chain()):
        other = copy.deepcopy(one)
        assert type(other) is type(one) and other.changing is not one.changing
        with one.changing:
            assert other.changing.acquire(blocking=False)


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
    assert with_more((a,), (b,), 2) == ((a, b), [])
    assert with_more((a,), (b, a, b), 2) == ((a, b), ["2 more were left out: the set is full."])


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


def test_a_place_on_the_way_is_a_number(client, editor):
    key = visitors.remember(chain := Chain(drawn(editor, 2)))["key"]

    def status(t: str) -> int:
        wish = f'{{"key": "{key}", "sliders": {{"t": {t}}}}}'
        return httpx.post(f"{client.src.rstrip('/')}/frame/morphed", content=wish).status_code

    assert status("0.5") == 200
    assert [status(t) for t in ("NaN", '"x"', "null", "[]")] == [400] * 4
    assert len(chain.faces) == 2


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


def test_a_page_says_what_its_own_model_is(editor, tiny_snapshot):
    snapshot = checkpoint.load_snapshot(tiny_snapshot)
    config = dataclasses.replace(snapshot.config, model="gan")
    networks = {"decoder": snapshot.decoder}
    gan = Editor(dataclasses.replace(snapshot, config=config, networks=networks), None, "gan")
    bundled = SimpleNamespace(name="faces64", encoder=editor.encoder, config=editor.config)
    mine, drawing, known = map(in_words, (editor, gan, bundled))
    assert "(VAE-GAN)" in mine and "*encoder* turns a photograph into z" in mine
    assert "(GAN)" in drawing and "It has no encoder" in drawing
    assert "reconstruction" in mine and "reconstruction" not in drawing
    assert ["celebrities" in words for words in (mine, drawing, known)] == [False, False, True]
    several = build(editor, gan)
    told = [block.value for block in several.blocks.values()
            if getattr(block.parent, "elem_id", None) == "about"]  # fmt: skip
    assert told == [words.strip() for words in (mine, drawing)]


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
