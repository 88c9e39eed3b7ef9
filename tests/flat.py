"""A model and a judge of flat pictures, so simple that every answer is known beforehand."""

from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor

from vaegan import images
from vaegan.data import FaceSet


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


SIDE = 16


@dataclass(frozen=True)
class FlatJudge:
    """Calls a face's mean red Smiling, its green Male, its blue Young; and red Bald, unjudged."""

    names = ("Smiling", "Male", "Young", "Bald")
    judged = ("Smiling", "Male", "Young")
    extractor = "colours"
    reference = random(64, 3).half()
    # Red and blue go together in life.
    correlation = torch.eye(4) + 0.6 * torch.tensor(
        [[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    )

    def see(self, x: Tensor) -> tuple[Tensor, Tensor]:
        colours = x.mean(dim=(2, 3))
        return colours[:, [0, 1, 2, 0]], colours


class FlatEditor:
    """z is the face's colour. Smiling adds 0.5 to red and spills 0.3 on green and 0.9 on blue."""

    config = SimpleNamespace(latent_dim=3, resolution=SIDE)
    attributes = tuple(
        SimpleNamespace(name=name, group=group)
        for name, group in (("Smiling", "Expression"), ("Bald", "Hair"))
    )

    def encoder(self, x: Tensor) -> tuple[Tensor, None]:
        return x.mean(dim=(2, 3)), None

    def decode(self, z: Tensor) -> Tensor:
        return z.view(-1, 3, 1, 1).expand(-1, -1, SIDE, SIDE)

    def direction(self, z: Tensor, settings: dict[str, float]) -> Tensor:
        return sum(settings.values()) * torch.tensor([0.5, 0.3, 0.9]).expand_as(z)

    def draw(self, n: int, truncation: float, seed: int, echoes: bool) -> Tensor:
        assert truncation == 1
        return random(n, 3, seed=seed + echoes)


def flat_faces() -> FaceSet:
    """40 faces of 20 people: red -0.75 or above 0, green -0.4 or -0.1 in turn, blue -0.5."""
    number = torch.arange(40)
    red = torch.where(number < 30, -0.75, 0.5)
    green = torch.where(number % 2 == 0, -0.4, -0.1)
    x = torch.stack([red, green, torch.full((40,), -0.5)], dim=1)
    pixels = images.to_uint8(x.view(40, 3, 1, 1).expand(-1, -1, SIDE, SIDE)).contiguous()
    attributes = torch.ones(40, 4, dtype=torch.int8)
    attributes[36:] = 0
    return FaceSet(
        images=pixels,
        attributes=attributes,
        identity=(number // 2).int(),
        split=torch.full((40,), 2, dtype=torch.uint8),
        attribute_names=FlatJudge.names,
    )
