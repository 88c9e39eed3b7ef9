"""Small things that several tests need: tiny models, drawn faces, a real photograph."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from vaegan import attributes, blend, checkpoint, colours, data
from vaegan.config import ModelConfig, TrainConfig, at_resolution
from vaegan.data import FaceSet
from vaegan.models import build
from vaegan.prior import Prior

TINY_MODEL = dataclasses.replace(
    at_resolution(ModelConfig(), 32),
    latent_dim=8,
    eigenface_side=8,
    encoder_widths=(4, 8, 8),
    encoder_hidden=16,
    decoder_widths=(8, 8, 8),
    discriminator_widths=(4, 8, 8),
)
TINY_TRAINING = TrainConfig(
    batch_size=8,
    steps=8,
    precision="float32",
    adversary_start=2,
    kl_warmup=4,
    learning_rate=1e-3,
    ema_decay=0.9,
)


@pytest.fixture
def tiny_model() -> ModelConfig:
    return TINY_MODEL


@pytest.fixture
def tiny_training() -> TrainConfig:
    return TINY_TRAINING


@pytest.fixture(scope="module")
def strong_colours() -> Iterator[None]:
    """Where faces are flat colours, an edit may make them as strong as it likes, and adds up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(colours, "GLOW", 1e6)
        patch.setattr(blend, "BOLD", 1.0)
        yield


@pytest.fixture(scope="session")
def drawn_faces() -> FaceSet:
    """64 smooth ramps of many colours, 32×32, in two classes: bright ("Smiling") and not."""
    generator = torch.Generator().manual_seed(0)
    colours = torch.rand(64, 3, 1, 1, generator=generator)
    ramp = torch.linspace(0.2, 1, 32).view(1, 1, 1, 32)
    bright = torch.arange(64) % 2
    pixels = colours * ramp * (0.4 + 0.6 * bright.view(-1, 1, 1, 1)) * torch.ones(1, 1, 32, 1)
    return FaceSet(
        images=(pixels * 255).to(torch.uint8),
        attributes=(2 * bright - 1).to(torch.int8).unsqueeze(1),
        identity=torch.arange(64, dtype=torch.int32),
        split=torch.tensor([0] * 48 + [1] * 8 + [2] * 8, dtype=torch.uint8),
        attribute_names=("Smiling",),
        fingerprint="drawn",
    )


@pytest.fixture(scope="session")
def astronaut() -> Image.Image:
    data = pytest.importorskip("skimage.data")
    return Image.fromarray(data.astronaut())


@pytest.fixture(scope="session")
def tiny_snapshot(tmp_path_factory: pytest.TempPathFactory, drawn_faces: FaceSet) -> Path:
    """A model folder with random weights, and vectors of its own."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    model = build(TINY_MODEL).eval()
    networks = {name: model.networks[name] for name in model.exported}
    prior = Prior.standard(8)
    checkpoint.save_snapshot(folder, TINY_MODEL, networks, prior, {"steps": 0})
    snapshot = checkpoint.load_snapshot(folder)
    vectors = attributes.compute(snapshot.encoder, drawn_faces, snapshot.sha256)
    attributes.save(vectors, folder / "attributes.safetensors")
    return folder


@pytest.fixture(scope="session")
def prepared_faces(tmp_path_factory: pytest.TempPathFactory, drawn_faces: FaceSet) -> Path:
    """The drawn faces as a prepared set, by way of CelebA's layout, which needs no detector."""
    source = tmp_path_factory.mktemp("prepared") / "celeba"
    (source / "img_align_celeba").mkdir(parents=True)
    names = [f"{index:06d}.jpg" for index in range(len(drawn_faces))]
    for name, pixels in zip(names, drawn_faces.images, strict=True):
        picture = Image.fromarray(pixels.permute(1, 2, 0).numpy()).resize((89, 109))
        picture.save(source / "img_align_celeba" / name)
    lists = {"list_attr_celeba.txt": drawn_faces.attributes[:, 0].tolist(),
             "list_eval_partition.txt": drawn_faces.split.tolist()}  # fmt: skip
    for file, column in lists.items():
        head = f"{len(names)}\nSmiling\n" if "attr" in file else ""
        rows = [f"{name} {value}\n" for name, value in zip(names, column, strict=True)]
        (source / file).write_text(head + "".join(rows))
    data.prepare([source], source.parent / "faces.safetensors", 32, workers=1)
    return source.parent / "faces.safetensors"
