"""Test that shared memory is reused, but never while it is in use, and that no more is allocated than needed."""

import os
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader

from auvmae.data.loading import shared_frames
from auvmae.data.loading.loader import ClipCollator
from auvmae.data.loading.shared_frames import FramePool


def clip(number: int, size: int = 16) -> torch.Tensor:
    return torch.full((2, size, size, 3), number % 251, dtype=torch.uint8)


def items(count: int) -> list[dict[str, object]]:
    return [{"frames": clip(number), "clip": str(number), "seed": number} for number in range(count)]


def loader(count: int) -> DataLoader:
    return DataLoader(items(count), 2, num_workers=2, collate_fn=ClipCollator())


def test_batches_that_are_kept_stay_as_they_came():
    batches = [batch["frames"] for batch in loader(41)]
    assert [len(batch) for batch in batches] == [2] * 20 + [1]
    assert torch.equal(torch.cat(batches), torch.stack([clip(number) for number in range(41)]))


@pytest.mark.parametrize(
    "view", [lambda frames: frames[1, 0], lambda frames: frames.numpy()[1, 0], lambda frames: frames.detach()[1, 0]]
)
@torch.inference_mode()  # here a view does not know its base
def test_a_view_holds_its_batch(view):
    views = [view(batch["frames"]) for batch in loader(40)]
    assert [int(one[0, 0, 0]) for one in views] == [number % 251 for number in range(1, 40, 2)]


def test_memory_is_taken_again_once_a_batch_is_gone(own_worker):
    pool = FramePool()
    first, second = (received(pool.stack([clip(number)])) for number in (1, 2))
    assert len(pool.buffers) == 2
    del first
    third = received(pool.stack([clip(3)]))
    assert len(pool.buffers) == 2
    assert (int(second.max()), int(third.max())) == (2, 3)


def test_several_pools_of_a_worker_are_told_apart(own_worker):  # a collator of several levels has one pool per level
    pools = FramePool(), FramePool()
    first, second = (received(pool.stack([clip(number)])) for number, pool in enumerate(pools, start=1))
    del first
    third = received(pools[0].stack([clip(3)]))
    assert (int(second.min()), int(second.max())) == (2, 2)
    assert (int(third.min()), int(third.max())) == (3, 3)


def test_a_smaller_batch_fits_where_a_larger_one_was(own_worker):
    pool = FramePool()
    small = received(pool.stack([clip(1, 8)]))
    del small
    large = received(pool.stack([clip(2), clip(3)]))
    assert len(pool.buffers) == 2
    del large
    again = received(pool.stack([clip(4, 8)])), received(pool.stack([clip(5, 8)]))
    assert torch.equal(torch.cat(again), torch.stack([clip(4, 8), clip(5, 8)]))
    assert len(pool.buffers) == 2


class Counting(ClipCollator):
    """Report how much memory the worker has allocated so far."""

    def __call__(self, items):
        return super().__call__(items) | {"buffers": len(self._pool.buffers)}


def test_an_epoch_takes_no_more_than_is_looked_at():
    batches = DataLoader(
        items(200), 2, num_workers=2, prefetch_factor=2, persistent_workers=True, collate_fn=Counting()
    )
    taken = []
    for _ in range(2):
        for batch in batches:
            taken.append(batch["buffers"])
            del batch
    assert len(taken) == 200
    assert max(taken) <= 2 + 2  # prefetched, in transit and in use


@pytest.fixture
def own_worker(monkeypatch):
    """Let this process act as its own worker."""
    own = SimpleNamespace(pid=os.getpid())
    monkeypatch.setattr(shared_frames.multiprocessing, "active_children", lambda: [own])


def test_memory_of_workers_that_ended_is_given_back(own_worker, monkeypatch):
    received(FramePool().stack([clip(1)]))
    assert [process for process, _ in shared_frames._MAPPED] == [os.getpid()]
    monkeypatch.setattr(shared_frames.multiprocessing, "active_children", lambda: [SimpleNamespace(pid=0)])
    shared_frames._receive((0, 0), torch.zeros(13, dtype=torch.uint8), (1, 1, 2, 2, 3))
    assert list(shared_frames._MAPPED) == [(0, 0)]


def received(frames: object) -> torch.Tensor:
    """Receive a tensor as the training process does, but in this process."""
    function, arguments = frames.__reduce__()
    return function(*arguments)
