import threading

import pytest
import torch

from vaegan.parallel import BATCH, cores, mapped


def test_mapped_keeps_the_order_and_gives_the_threads_back():
    threads = torch.get_num_threads()
    seen = []

    def square(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        seen.append((len(a), torch.get_num_threads(), threading.current_thread()))
        return a * b

    a = torch.arange(3 * BATCH + 1.0)
    assert torch.equal(mapped(square, a, a), a * a)
    assert sorted(count for count, _, _ in seen) == [1] + 3 * [BATCH]
    assert torch.get_num_threads() == threads
    with pytest.raises(ZeroDivisionError):
        mapped(lambda part: 1 / 0, a)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 6),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "max 100000\n"}, 6),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "3200000 100000\n"}, 6),
        ({"cpu/cpu.cfs_quota_us": "350000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 6),
    ],
)
def test_a_container_has_the_cores_of_its_quota(files, expected, tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(6)), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cores(tmp_path) == expected
