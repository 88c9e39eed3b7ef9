"""Tuning on faces so simple that the best direction is known: flat pictures, z being the colour."""

import torch
from torch import Tensor

from vaegan import images, tuning

SIDE = 16


def flat(z: Tensor) -> Tensor:
    return z.view(-1, 3, 1, 1).expand(-1, -1, SIDE, SIDE)


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
    found = tuning.tune(
        torch.tensor([[0.3, 0.3, 0.0]]),
        flat,
        lambda x: x.mean(dim=(2, 3)) / z.std(dim=0),
        faces,
        torch.tensor([0]),
        others,
        goal=0.9,
        steps=300,
    )[0]
    red = z[z[:, 0] < 0, 0]
    assert ((red + found[0]) > 0).float().mean() > 0.75
    assert abs(found[1]) < 0.1 * found[0]
    again = tuning.tune(
        torch.tensor([[0.3, 0.3, 0.0]]), flat, lambda x: x.mean(dim=(2, 3)) / z.std(dim=0),
        faces, torch.tensor([0]), others, goal=0.9, steps=300,
    )[0]  # fmt: skip
    assert torch.equal(found, again)
