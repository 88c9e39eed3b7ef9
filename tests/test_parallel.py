import threading

import pytest
import torch

from vaegan.parallel import BATCH, mapped


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
