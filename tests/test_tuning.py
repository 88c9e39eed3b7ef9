"""Tuning on faces so simple that the best direction is known: flat pictures, z being the colour."""

import torch
from torch import Tensor

from vaegan import directions, images, tuning

SIDE = 16


def flat(z: Tensor) -> Tensor:
    return z.view(-1, 3, 1, 1).expand(-1, -1, SIDE, SIDE)


def deviations(z: Tensor) -> Tensor:
    """Of faces of as many people."""
    return directions.whitener(z, torch.arange(len(z)))


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


def test_a_direction_loses_what_it_dragged_along_and_reaches_its_goal():
    z = colours(400)
    seen = z / z.std(dim=0)
    pixels = images.to_uint8(flat(z))
    faces = tuning.Faces(pixels, z, pixels, seen, seen)
    # Red is wanted, green must stay; the start moves both. Nobody asks for blue.
    others = torch.tensor([[0.0, 1.0, 0.0]])
    nowhere = torch.zeros(1, tuning.CELLS, tuning.CELLS)
    found = tuning.tune(
        torch.tensor([[0.3, 0.3, 0.0]]),
        flat,
        lambda x: x.mean(dim=(2, 3)) / z.std(dim=0),
        faces,
        deviations(z),
        torch.tensor([0]),
        others,
        nowhere,
        goal=0.9,
        steps=300,
    )[0]
    red = z[z[:, 0] < 0, 0]
    assert ((red + found[0]) > 0).float().mean() > 0.75
    assert abs(found[1]) < 0.1 * found[0]
    again = tuning.tune(
        torch.tensor([[0.3, 0.3, 0.0]]), flat, lambda x: x.mean(dim=(2, 3)) / z.std(dim=0),
        faces, deviations(z), torch.tensor([0]), others, nowhere, goal=0.9, steps=300,
    )[0]  # fmt: skip
    assert torch.equal(found, again)


def halves(z: Tensor) -> Tensor:
    """Grey pictures: z[:, 0] above, z[:, 1] below."""
    return z[:, None, :2].repeat_interleave(SIDE // 2, dim=2)[..., None].expand(-1, 3, -1, SIDE)


def test_where_an_attribute_does_not_show_is_found_in_the_pictures():
    z = colours(400)
    labels = torch.where(z[:, :2] > 0, 1, -1).to(torch.int8)
    found = tuning.elsewhere(images.to_uint8(halves(z)), labels)
    above, below = found[:, : tuning.CELLS // 2], found[:, tuning.CELLS // 2 :]
    assert above[0].max() == 0 and below[1].max() == 0
    assert below[0].min() > 0.7 and above[1].min() > 0.7


def test_a_direction_leaves_alone_what_nobody_judges_but_labels_say_stays():
    z = colours(400)
    pixels = images.to_uint8(halves(z))
    seen = z / z.std(dim=0)
    faces = tuning.Faces(pixels, z, pixels, seen, seen)
    below = torch.zeros(1, tuning.CELLS, tuning.CELLS)
    below[:, tuning.CELLS // 2 :] = 1
    moved = {}
    for name, places in (("free", torch.zeros_like(below)), ("held", below)):
        moved[name] = tuning.tune(
            torch.tensor([[0.3, 0.3, 0.0]]),
            halves,
            lambda x: x[:, :, 0].mean(dim=(1, 2))[:, None] / z.std(dim=0),
            faces,
            deviations(z),
            torch.tensor([0]),
            torch.zeros(1, 3),
            places,
            steps=300,
        )[0]
    red = z[z[:, 0] < 0, 0]
    assert ((red + moved["held"][0]) > 0).float().mean() > 0.75
    assert abs(moved["held"][1]) < 0.5 * abs(moved["free"][1])


def test_of_two_ways_the_one_that_people_themselves_go_is_taken():
    z = colours(400)
    pixels = images.to_uint8(flat(z))
    # Red or green will do, and by deviations that are alike both would come in equal parts. One
    # person's photographs differ more in green.
    brightness = z[:, :2].sum(dim=1, keepdim=True)
    faces = tuning.Faces(pixels, z, pixels, brightness, brightness)
    found = tuning.tune(
        torch.tensor([[0.1, 0.1, 0.0]]),
        flat,
        lambda x: x.mean(dim=(2, 3))[:, :2].sum(dim=1, keepdim=True),
        faces,
        torch.diag(torch.tensor([0.1, 0.3, 0.3])),
        torch.tensor([0]),
        torch.zeros(1, 1),
        torch.zeros(1, tuning.CELLS, tuning.CELLS),
        steps=300,
    )[0]
    dark = z[brightness[:, 0] < 0, :2].sum(dim=1)
    assert ((dark + found[:2].sum()) > 0).float().mean() > 0.75
    assert found[1] > 2 * abs(found[0])
