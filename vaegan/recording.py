"""A training step as one CUDA graph.

A step is some thousand small kernels, and Python takes longer to start them than a GPU to be done.
Recorded once, they are started all at once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

REHEARSALS = 3  # in which cuDNN, optimizers and torch.compile make up their minds


class Recording:
    """`work`, done as it stands the first times, then recorded, then replayed.

    It must do the same each time: read what changes from tensors that stay where they are, and
    never ask the GPU for a number.

    Args:
        work: returns what it wants to show, in tensors that the next call overwrites.
        generator: of the GPU, the only one that `work` draws from; it may be seeded before a call.
    """

    def __init__(self, work: Callable[[], dict[str, Tensor]], generator: torch.Generator) -> None:
        self.work = work
        self.generator = generator
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.shown: dict[str, Tensor] = {}

    def __call__(self) -> dict[str, Tensor]:
        self.calls += 1
        with torch.cuda.device(self.generator.device):  # where streams and graphs are made
            if self.calls <= REHEARSALS:
                return self._rehearse()
            if self.graph is None:
                self._record()
            self.graph.replay()
        return self.shown

    def _rehearse(self) -> dict[str, Tensor]:
        """On another stream, as recording asks for."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            shown = self.work()
        torch.cuda.current_stream().wait_stream(aside)
        return shown

    def _record(self) -> None:
        self.graph = torch.cuda.CUDAGraph()
        self.graph.register_generator_state(self.generator)
        with torch.cuda.graph(self.graph):
            self.shown = self.work()
