"""What edits do beside what they should: by hand, and on flat faces of known colours."""

from types import SimpleNamespace

import pytest
import torch
from flat import SIDE, FlatEditor, FlatJudge, flat_faces, random
from torch import Tensor

from vaegan import blend, colours, leakage
from vaegan.leakage import bystanders, lacking, matched, verdicts

pytestmark = pytest.mark.usefixtures("strong_colours")


def test_verdicts_by_hand():
    before = torch.tensor([[-1.0, 2, -3, 4], [-2, 2, -3, 4]])
    after = torch.tensor([[0.5, -2, -3, -4], [-1, 2, -3, 4]])
    others = torch.tensor([False, True, True, False])
    found = verdicts(before, after, 0, others).sum(dim=0)
    # One of two turns; the logit gains 1.5 and 1; one of four verdicts leaks, the last not asked.
    assert found.tolist() == [[1, 2], [2.5, 2], [1, 4]]
    # Asked to go, it is gone from the other one, and the logit went the wrong way.
    gone = verdicts(before, after, 0, others, sign=-1).sum(dim=0)
    assert gone.tolist() == [[1, 2], [-2.5, 2], [1, 4]]


def test_an_edited_photograph_keeps_its_detail_and_stays_within_its_range():
    photograph = torch.zeros(1, 3, SIDE, SIDE)
    photograph[:, 0] = 0.2  # the reconstruction misses it
    z = torch.tensor([[0.0, 0.1, 0.5]])
    edited = z + torch.tensor([0.3, 0.0, 2.0])
    editor = FlatEditor()
    pictures = (photograph, edited, editor.decode(z))
    pure = leakage.judged_edit(editor, FlatJudge(), 0, True, *pictures)
    pasted = leakage.judged_edit(editor, FlatJudge(), 0, False, *pictures)
    torch.testing.assert_close(pure, torch.tensor([[0.3, 0.1, 2.5, 0.3]]))
    torch.testing.assert_close(pasted, torch.tensor([[0.5, 0.0, 1.0, 0.5]]))


def test_on_photographs_sliders_of_colour_are_led_as_on_the_page(monkeypatch):
    """By a judge that tells the whole picture."""
    editor = SimpleNamespace(decode=lambda z: z)
    judge = SimpleNamespace(names=("Smiling", "Black_Hair"), see=lambda x: (x, None))
    x, r, edited = (0.2 * random(3, 3, SIDE, SIDE, seed=seed) for seed in (1, 2, 3))
    monkeypatch.setattr(colours, "AROUND", 0.1)
    found = [leakage.judged_edit(editor, judge, row, False, x, edited, r) for row in (0, 1)]
    for picture, coloured in zip(found, (None, edited), strict=True):
        change = blend.change(blend.Base(x, r), edited, 1, 1, coloured)
        torch.testing.assert_close(picture, (x + change).clamp(-1, 1))
    assert (found[0] - found[1]).abs().max() > 0.05


def test_bystanders_are_judged_others_that_do_not_go_with_the_target():
    judge = FlatJudge()
    assert bystanders(judge, 0).tolist() == [False, True, False, False]
    assert bystanders(judge, 1).tolist() == [True, False, True, False]
    assert bystanders(judge, 3).tolist() == [True, True, True, False]


def test_knowing_faces_is_encoding_decoding_and_judging_them():
    known, *_ = leakage.know(FlatEditor(), FlatJudge(), flat_faces())
    torch.testing.assert_close(known.r, known.x, atol=1e-6, rtol=0)
    torch.testing.assert_close(known.seen_x[:, 1], known.z[:, 1])
    assert len(known.rows(torch.tensor([3, 5])).people) == 2


def test_only_faces_that_lack_the_attribute_are_asked():
    seen = torch.tensor([[-1.0], [1], [-2], [-3]])
    assert sorted(lacking(seen, 0, 9, seed=0).tolist()) == [0, 2, 3]
    assert len(lacking(seen, 0, 2, seed=0)) == 2
    assert lacking(seen, 0, 9, seed=0, sign=-1).tolist() == [1]


def ramp(strength: float) -> Tensor:
    """100 faces that turn one after the other, at strengths of 0.03 to 3; half as many leaks."""
    at = torch.arange(1, 101) * 0.03
    turned = (strength >= at).float()
    upper = torch.stack([turned, turned, turned / 2], dim=1)
    return torch.stack([upper, torch.ones_like(upper)], dim=2)


def test_edits_are_matched_at_the_strength_of_the_goal():
    strength, parts = matched(ramp, goal=0.85, rounds=8)
    assert strength == pytest.approx(0.85 * 3, abs=0.03)
    shares = parts.sum(dim=0)
    assert (shares[0, 0] / shares[0, 1]).item() == pytest.approx(0.85, abs=1e-6)
    assert (shares[2, 0] / shares[2, 1]).item() == pytest.approx(0.425, abs=1e-6)


def test_an_edit_that_never_gets_there_is_not_matched():
    assert matched(lambda strength: ramp(min(strength, 2.0))) is None


def test_an_edit_that_overshoots_is_matched_before_it_does():
    def there_and_back(strength: float) -> torch.Tensor:
        return ramp(strength if strength <= 3.2 else 6.4 - strength)

    strength, _ = matched(there_and_back, goal=0.85)
    assert strength == pytest.approx(0.85 * 3, abs=0.03)
