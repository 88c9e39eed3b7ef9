"""Recorded steps need a GPU to be recorded on."""

import dataclasses

import pytest
import torch

from vaegan.recording import REHEARSALS, Recording
from vaegan.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def test_a_replay_reads_what_has_changed_and_draws_anew():
    given = torch.zeros(1, device="cuda")
    generator = torch.Generator("cuda")

    def work():
        drawn = torch.rand(1000, generator=generator, device="cuda")
        return {"given": given * 1, "drawn": drawn}

    recording = Recording(work, generator)
    for call in range(REHEARSALS + 3):
        given.fill_(call)
        generator.manual_seed(call)
        shown = recording()
        fresh = torch.Generator("cuda").manual_seed(call)
        assert shown["given"].item() == call
        assert torch.equal(shown["drawn"], torch.rand(1000, generator=fresh, device="cuda"))
    assert recording.graph is not None


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop"])
def test_a_recorded_run_is_the_run_itself(
    optimizer, tiny_model, tiny_training, drawn_faces, tmp_path
):
    # Of the steps after the warm-up three are replayed before the adversary joins, and three after.
    training = dataclasses.replace(tiny_training, optimizer=optimizer, adversary_start=10, steps=16)
    runs = [
        Trainer(tiny_model, training, drawn_faces, tmp_path / str(record), "cuda", record=record)
        for record in (True, False)
    ]
    # What an adversary learns grows apart by the last bits in which a GPU's sums differ: under
    # RMSprop, weights that differ by a millionth are beyond these bounds 20 steps later.
    logs = [[{k: float(v) for k, v in run.train_step().items()} for _ in range(16)] for run in runs]
    assert all(runs[0].recordings[alone].graph for alone in (True, False))
    assert not runs[1].recordings
    for recorded, plain in zip(*logs, strict=True):
        alone = "discriminator" not in plain
        assert recorded == pytest.approx(plain, abs=1e-3 if alone else 2e-2, rel=1e-2)
