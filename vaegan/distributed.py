"""Several processes, one run: `torchrun` starts them, this file keeps them in step.

Without `torchrun` every function here is that of a world of one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Joins the group that torchrun describes in the environment, and leaves it at the end.

    On a machine with several GPUs, "cuda" then means this process's own.
    """
    if "WORLD_SIZE" not in os.environ:
        yield
        return
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def mean(value: Tensor) -> Tensor:
    """The mean of a detached scalar over the processes."""
    if world_size() == 1:
        return value
    value = value.detach().clone()
    dist.all_reduce(value)
    return value / world_size()


def gather(rows: Tensor) -> Tensor:
    """The rows of all processes, one process's after another's: (N, …) → (N · processes, …)."""
    if world_size() == 1:
        return rows
    everyone = [torch.empty_like(rows) for _ in range(world_size())]
    dist.all_gather(everyone, rows.contiguous())
    return torch.cat(everyone)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces each gradient by its mean over the processes, in one flat message."""
    if world_size() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world_size()
    for gradient, piece in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(piece.view_as(gradient))


def broadcast(module: nn.Module) -> None:
    """Gives every process the parameters and buffers of the first."""
    if world_size() == 1:
        return
    for tensor in module.state_dict().values():
        dist.broadcast(tensor, src=0)


def seed_of(seed: int, number: int) -> int:
    """The seed of a run's step or epoch of this number."""
    return seed * 1_000_003 + number


class Draws:
    """The random numbers of one training step, a function of (seed, step) and nothing else.

    Every process draws for the whole global batch and keeps its own rows, so the number of
    processes does not change what is drawn; and a resumed run needs no generator state. Where a
    process takes its rows in several parts (gradient accumulation), the same holds for the parts.

    Args:
        part, parts: which of how many parts of this process's rows.
        generator: to draw from instead of a new one; it has `seed_of(seed, step)` already.
    """

    def __init__(
        self,
        seed: int,
        step: int,
        device: torch.device,
        part: int = 0,
        parts: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        if generator is None:
            generator = torch.Generator(device).manual_seed(seed_of(seed, step))
        self.generator = generator
        self.share, self.shares = rank() * parts + part, world_size() * parts

    def normal(self, n: int, width: int) -> Tensor:
        """(n, width) from N(0, 1): this part's rows of a global (n · shares, width)."""
        return self._rows(torch.randn, n, width)

    def uniform(self, n: int, width: int) -> Tensor:
        """(n, width) from U[0, 1)."""
        return self._rows(torch.rand, n, width)

    def _rows(self, draw: Callable[..., Tensor], n: int, width: int) -> Tensor:
        device = self.generator.device
        everyone = draw(n * self.shares, width, generator=self.generator, device=device)
        return everyone[self.share * n : (self.share + 1) * n]
