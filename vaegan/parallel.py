"""How many cores there are, and networks at rest on many pictures, a batch on each of them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

BATCH = 16
CGROUPS = Path("/sys/fs/cgroup")  # where Linux tells a container its share of the machine


def cores(cgroups: Path = CGROUPS) -> int:
    """How many cores' time this process may use, at least 1.

    A container on a large machine sees all its cores, but is stopped again and again when more
    threads work than its quota pays for.
    """
    everyone = hasattr(os, "sched_getaffinity")  # not on macOS and Windows
    seen = len(os.sched_getaffinity(0)) if everyone else os.cpu_count() or 1
    return max(1, int(min(seen, _quota(cgroups))))


def _quota(cgroups: Path) -> float:
    """The cores that a container pays for, by version 2 or 1 of the files; else infinitely many."""
    parted = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")
    for names in (("cpu.max",), parted):
        try:
            words = " ".join((cgroups / name).read_text() for name in names).split()
            quota, period = (float(word) for word in words)
        except (OSError, ValueError):  # not there, or "max"
            continue
        if quota > 0 and period > 0:  # version 1 says -1 for "max"
            return quota / period
    return math.inf


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
        with ThreadPoolExecutor(min(threads, cores())) as pool:
            results = pool.map(function, *parts)
            hidden = None if label else True  # None: shown on a terminal only
            return torch.cat(list(tqdm(results, label, total=len(parts[0]), disable=hidden)))
    finally:
        torch.set_num_threads(threads)
