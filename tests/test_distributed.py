"""Two processes and one: the same draws, and without batch statistics the same weights."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vaegan import checkpoint
from vaegan.distributed import Draws, process_group

ROOT = Path(__file__).resolve().parent.parent
WORKER = """
import dataclasses, sys
from pathlib import Path
from tests.conftest import TINY_MODEL, TINY_TRAINING
from vaegan import data, distributed
from vaegan.trainer import Trainer

model = dataclasses.replace(TINY_MODEL, batch_norm=False, minibatch_deviation=False)
training = dataclasses.replace(
    TINY_TRAINING, feature_norm="gaussian", feature_weight=0.01, prior="aggregate", steps=6
)
with distributed.process_group("cpu"):
    faces = data.load(sys.argv[1])
    Trainer(model, training, faces, Path(sys.argv[2])).run()
"""


def test_draws_depend_on_seed_and_step_alone():
    cpu = torch.device("cpu")
    first = Draws(3, 7, cpu).normal(4, 5)
    assert torch.equal(first, Draws(3, 7, cpu).normal(4, 5))
    for other in (Draws(3, 8, cpu), Draws(4, 7, cpu)):
        assert not torch.equal(first, other.normal(4, 5))
    uniform = Draws(0, 0, cpu).uniform(1000, 3)
    assert uniform.min() >= 0 and uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.03


@pytest.mark.parametrize(
    ("device", "expected"), [("cuda", [1, "nccl"]), ("cuda:0", ["nccl"]), ("cpu", ["gloo"])]
)
def test_every_process_takes_a_gpu_of_its_own(device, expected, monkeypatch):
    """Before it joins the group, and unless one is named."""
    called = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "set_device", called.append)
    monkeypatch.setattr(torch.distributed, "init_process_group", called.append)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    with process_group(device):
        assert called == expected


def test_two_processes_train_like_one(prepared_faces, tmp_path):
    (tmp_path / "worker.py").write_text(WORKER)

    def train(*launcher: str, out: str) -> dict[str, torch.Tensor]:
        command = [sys.executable, *launcher, str(tmp_path / "worker.py"), str(prepared_faces)]
        environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
        subprocess.run([*command, str(tmp_path / out)], env=environment, check=True, timeout=300)
        path = tmp_path / out / "checkpoint.pt"
        return checkpoint.load_checkpoint(path, torch.device("cpu"))["model"]

    alone = train(out="alone")
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    together = train(*launcher, out="together")
    for name, weight in alone.items():
        torch.testing.assert_close(together[name], weight, rtol=1e-3, atol=2e-5, msg=name)
