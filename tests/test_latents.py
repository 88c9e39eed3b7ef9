"""Ways through z, worked out by hand."""

import math

import pytest
import torch

from vaegan import latents


def test_the_straight_line():
    a, b = torch.tensor([0.0, 4.0]), torch.tensor([8.0, 0.0])
    t = torch.tensor([0.0, 0.25, 1.0])
    wanted = torch.tensor([[0.0, 4.0], [2.0, 3.0], [8.0, 0.0]])
    torch.testing.assert_close(latents.between(a, b, t), wanted)


def test_the_arc_turns_evenly_around_its_center():
    center = torch.tensor([1.0, 1.0])
    a, b = center + torch.tensor([2.0, 0.0]), center + torch.tensor([0.0, 4.0])
    path = latents.between(a, b, torch.tensor([0.0, 1 / 3, 0.5, 1.0]), center) - center
    angles = torch.atan2(path[:, 1], path[:, 0])
    torch.testing.assert_close(angles, torch.tensor([0.0, 1 / 3, 0.5, 1.0]) * math.pi / 2)
    torch.testing.assert_close(path.norm(dim=1), torch.tensor([2.0, 2 + 2 / 3, 3.0, 4.0]))


@pytest.mark.parametrize("b", [[3.0, 0.0], [-3.0, 0.0], [0.0, 0.0]])
def test_where_there_is_no_one_arc_the_line_is_straight(b):
    a, b, t = torch.tensor([1.0, 0.0]), torch.tensor(b), torch.linspace(0, 1, 5)
    torch.testing.assert_close(latents.between(a, b, t, torch.zeros(2)), latents.between(a, b, t))


def test_a_chain_passes_through_every_face():
    points = torch.tensor([[0.0], [10.0], [4.0]])
    t = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0, 9.0])
    path = latents.along(points, t)[:, 0]
    torch.testing.assert_close(path, torch.tensor([0.0, 5.0, 10.0, 7.0, 4.0, 4.0]))
    with pytest.raises(ValueError, match="two faces"):
        latents.along(points[:1], t)


def test_times_forth_and_back_run_in_a_circle():
    forth = latents.times(5, ease=False, back=False)
    torch.testing.assert_close(forth, torch.tensor([0, 0.25, 0.5, 0.75, 1]))
    both = latents.times(5, ease=False)
    torch.testing.assert_close(both, torch.tensor([0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25]))


def test_easing_is_slow_at_every_face():
    eased = latents.times(9, legs=2, back=False)
    torch.testing.assert_close(eased[[0, 2, 4, 6, 8]], torch.tensor([0, 0.25, 0.5, 0.75, 1.0]))
    assert eased[1].item() == pytest.approx((3 / 16 - 2 / 64) / 2)  # 3t² − 2t³ at a quarter
    speed = eased.diff()
    assert speed[3] < speed[2] and speed[4] < speed[5]
    with pytest.raises(ValueError, match="two pictures"):
        latents.times(1)


def test_neighbours_lie_where_faces_differ_a_step_away():
    z = torch.full((1, 3), 5.0)
    cholesky = torch.diag(torch.tensor([2.0, 1.0, 0.0]))
    near = latents.neighbours(z, 20_000, cholesky, step=0.5, seed=0)
    torch.testing.assert_close(near.std(0), torch.tensor([1.0, 0.5, 0.0]), rtol=0.03, atol=1e-6)
    torch.testing.assert_close(near.mean(0), z[0], atol=0.03, rtol=0)
    again = latents.neighbours(z, 3, cholesky, 0.5, seed=0)
    assert torch.equal(again, latents.neighbours(z, 3, cholesky, 0.5, seed=0))
