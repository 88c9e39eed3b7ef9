"""Networks at rest on many pictures, a batch on each core."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from tqdm import tqdm

BATCH = 16


def mapped(function: Callable[..., Tensor], *tensors: Tensor, label: str = "") -> Tensor:
    """`function` of BATCH rows of the tensors at a time, its results in one tensor.

    Each core takes a batch of its own. A network split over cores waits for the slowest of them
    at every layer: five times slower, measured beside another program that used the cores.

    Args:
        label: what a progress bar on a terminal says; "" shows none.
    """
    parts = [tensor.split(BATCH) for tensor in tensors]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            results = pool.map(function, *parts)
            hidden = None if label else True  # None: shown on a terminal only
            return torch.cat(list(tqdm(results, label, total=len(parts[0]), disable=hidden)))
    finally:
        torch.set_num_threads(threads)
