"""Tuning on faces so simple that the best direction is known: flat pictures, z being the colour."""

from collections.abc import Callable

import torch
from torch import Tensor

from vaegan import directions, images, tuning

SIDE = 16


def flat(z: Tensor) -> Tensor:
    return z.view(-1, 3, 1, 1).expand(-1, -1, SIDE, SIDE)


def colour_of(z: Tensor) -> Callable[[Tensor], Tensor]:
    """Sees the colour of flat pictures, in deviations of z."""
    return lambda x: x.mean(dim=(2, 3)) / z.std(dim=0)


def deviations(z: Tensor) -> Tensor:
    """Of faces of as many people."""
    return directions.covariance_root(z, torch.arange(len(z)))


def colours(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (0.3 * torch.randn(count, 3, generator=generator)).clamp(-0.9, 0.9)


def test_the_classifier_learns_what_the_labels_say_and_ignores_the_unknown():
    z = colours(512)
    labels = torch.where(z[:, :2] > 0, 1, -1).to(torch.int8)
    labels[256:, 1] = 0
    pixels = images.to_uint8(flat(z))
    classifier = tuning.train_classifier(pixels[:400], labels[:400], epochs=25)
    assert not classifier.training
    found = classifier(images.to_float(pixels[400:])) > 0
    truth = z[400:, :2] > 0
    assert (found == truth).float().mean(dim=0).min() > 0.9


def everywhere(*colour: float) -> Tensor:
    """The tint of an attribute that shows all over the picture."""
    return torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, tuning.CELLS, tuning.CELLS)


def tuned(
    begin: list[float],
    decode: Callable[[Tensor], Tensor],
    see: Callable[[Tensor], Tensor],
    faces: tuning.Faces,
    tint: Tensor,
    root: Tensor | None = None,
    lengths: Tensor | None = None,
    bystanders: Tensor | None = None,
    sign: int = 1,
) -> Tensor:
    """What becomes of one direction, (D,), towards the first score.

    Nobody else is judged, and every face is moved by one step, unless it is said otherwise.
    """
    return tuning.tune(
        torch.tensor([begin]),
        decode,
        see,
        faces,
        deviations(faces.z) if root is None else root,
        torch.tensor([0]),
        torch.ones(len(faces.z), 1) if lengths is None else lengths,
        torch.zeros(1, faces.seen_r.shape[1]) if bystanders is None else bystanders,
        tint,
        sign,
        steps=300,
    )[0]


def held_and_free(monkeypatch, *arguments, weight: str = "ODD") -> tuple[Tensor, Tensor]:
    """What becomes of a direction with a weight, and without it."""
    held = tuned(*arguments)
    monkeypatch.setattr(tuning, weight, 0.0)
    return held, tuned(*arguments)


def test_a_direction_loses_what_it_dragged_along_and_reaches_its_goal():
    z = colours(400)
    seen = z / z.std(dim=0)
    pixels = images.to_uint8(flat(z))
    faces = tuning.Faces(pixels, z, pixels, seen, seen)
    # Red is wanted, green must stay; the start moves both. Nobody asks for blue.
    others = torch.tensor([[0.0, 1.0, 0.0]])
    red = everywhere(1.0, 0.0, 0.0)

    def one_way(sign: int) -> Tensor:
        begin = [sign * 0.3, sign * 0.3, 0.0]
        return tuned(begin, flat, colour_of(z), faces, red, bystanders=others, sign=sign)

    for sign in (1, -1):
        found = one_way(sign)
        lacking = sign * z[sign * z[:, 0] < 0, 0]
        assert ((lacking + sign * found[0]) > 0).float().mean() > 0.75
        assert abs(found[1]) < 0.1 * abs(found[0])
    assert torch.equal(found, one_way(-1))


def halves(z: Tensor) -> Tensor:
    """Grey pictures: z[:, 0] above, z[:, 1] below."""
    return z[:, None, :2].repeat_interleave(SIDE // 2, dim=2)[..., None].expand(-1, 3, -1, SIDE)


def test_what_tells_an_attribute_is_found_in_the_pictures():
    z = colours(400)
    labels = torch.where(z[:, :2] > 0, 1, -1).to(torch.int8)
    found = tuning.tints(images.to_uint8(halves(z)), labels)
    above, below = found[:, :, : tuning.CELLS // 2], found[:, :, tuning.CELLS // 2 :]
    grey = torch.full_like(above[0], 3**-0.5)  # of length 1, brighter and not darker
    torch.testing.assert_close(above[0], grey, rtol=0, atol=0.01)
    torch.testing.assert_close(below[1], grey, rtol=0, atol=0.01)
    for alike in (below[0], above[1]):
        assert alike.norm(dim=0).square().max() < 0.3


def test_along_its_tint_an_edit_is_not_odd():
    red = everywhere(1.0, 0.0, 0.0)
    assert not tuning.odd(-0.4 * red, red).any()
    torch.testing.assert_close(tuning.odd(everywhere(0.4, 0.3, 0.0), red), torch.tensor([0.1]))
    torch.testing.assert_close(tuning.odd(0.4 * red, 0 * red), torch.tensor([0.4 / 3]))
    torch.testing.assert_close(tuning.odd(0.4 * red, 0.5**0.5 * red), torch.tensor([0.2 / 3]))


def test_a_direction_leaves_alone_what_nobody_judges_but_labels_say_stays(monkeypatch):
    z = colours(400)
    pixels = images.to_uint8(halves(z))
    seen = z / z.std(dim=0)
    faces = tuning.Faces(pixels, z, pixels, seen, seen)
    above = everywhere(*[3**-0.5] * 3).clone()
    above[:, :, tuning.CELLS // 2 :] = 0
    held, free = held_and_free(
        monkeypatch,
        [0.3, 0.3, 0.0],
        halves,
        lambda x: x[:, :, 0].mean(dim=(1, 2))[:, None] / z.std(dim=0),
        faces,
        above,
    )
    lacking = z[z[:, 0] < 0, 0]
    assert ((lacking + held[0]) > 0).float().mean() > 0.75
    assert abs(held[1]) < 0.5 * abs(free[1])


def test_a_direction_takes_no_colour_that_photographs_do_not_have(monkeypatch):
    z = colours(400)
    pixels = images.to_uint8(flat(z))
    # Red or blue will convince, but those who have it are red.
    sum_of_both = z[:, [0, 2]].sum(dim=1, keepdim=True)
    faces = tuning.Faces(pixels, z, pixels, sum_of_both, sum_of_both)
    held, free = held_and_free(
        monkeypatch,
        [0.3, 0.0, 0.3],
        flat,
        lambda x: x.mean(dim=(2, 3))[:, [0, 2]].sum(dim=1, keepdim=True),
        faces,
        everywhere(1.0, 0.0, 0.0),
    )
    assert free[2] > 0.5 * free[0]
    assert abs(held[2]) < 0.4 * held[0]


def test_of_two_ways_the_one_that_draws_nothing_anew_is_taken(monkeypatch):
    """Both brighten a striped picture; one draws stripes across the others as well."""
    monkeypatch.setattr(tuning, "ODD", 0.0)
    z = colours(400)
    stripes = (0.3 * (1 - 2 * (torch.arange(SIDE) // 2 % 2))).float()

    def drawn(z: Tensor) -> Tensor:
        brighter, across, _ = z.view(-1, 3, 1, 1, 1).unbind(dim=1)
        picture = stripes + brighter + across * (1 + 5 * stripes[:, None])
        return picture.expand(-1, 3, SIDE, SIDE)

    pixels = images.to_uint8(drawn(z * torch.tensor([1.0, 0.0, 0.0])))
    at = z * torch.tensor([1.0, 0.0, 0.0])
    faces = tuning.Faces(pixels, at, pixels, at[:, :1], at[:, :1])
    held, free = held_and_free(
        monkeypatch,
        [0.2, 0.2, 0.0],
        drawn,
        lambda x: x.mean(dim=(1, 2, 3))[:, None],
        faces,
        everywhere(1.0, 0.0, 0.0),
        deviations(z),
        weight="ANEW",
    )
    assert free[1] > 0.5 * free[0]
    assert abs(held[1]) < 0.4 * held[0]


def test_of_two_ways_the_one_that_people_themselves_go_is_taken(monkeypatch):
    monkeypatch.setattr(tuning, "ODD", 0.0)
    z = colours(400)
    pixels = images.to_uint8(flat(z))
    # Red or green will do, and by deviations that are alike both would come in equal parts. One
    # person's photographs differ more in green.
    brightness = z[:, :2].sum(dim=1, keepdim=True)
    faces = tuning.Faces(pixels, z, pixels, brightness, brightness)
    found = tuned(
        [0.1, 0.1, 0.0],
        flat,
        lambda x: x.mean(dim=(2, 3))[:, :2].sum(dim=1, keepdim=True),
        faces,
        everywhere(0.0, 0.0, 0.0),
        torch.diag(torch.tensor([0.1, 0.3, 0.3])),
    )
    dark = z[brightness[:, 0] < 0, :2].sum(dim=1)
    assert ((dark + found[:2].sum()) > 0).float().mean() > 0.75
    assert found[1] > 2 * abs(found[0])


def test_a_direction_is_one_step_of_as_many_as_each_face_needs():
    z = colours(400)
    pixels = images.to_uint8(flat(z))
    seen = z / z.std(dim=0)
    faces = tuning.Faces(pixels, z, pixels, seen, seen)

    # If each goes exactly as far as it is from the threshold, one step is enough for all.
    lengths = -z[:, :1].clamp(max=-0.01)
    red = everywhere(1.0, 0.0, 0.0)
    exact = tuned([0.3, 0.0, 0.0], flat, colour_of(z), faces, red, lengths=lengths)
    assert 1 < exact[0] < 1.7
    lacking = z[z[:, 0] < -0.05, 0]
    assert (lacking - lacking * exact[0] > 0).all()
