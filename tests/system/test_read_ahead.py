"""Prefetching changes only the timing, and leaves no thread behind."""

import threading
import time

import pytest

from auvmae.system.read_ahead import read_ahead


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "auvmae.read_ahead"]


def until(condition):
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    assert condition()


@pytest.mark.parametrize("size", [1, 2, 100])
def test_the_same_items_in_the_same_order(size):
    assert list(read_ahead((number for number in range(50)), size)) == list(range(50))
    assert list(read_ahead((number for number in ()), size)) == []
    assert not threads()


def test_it_reads_so_far_ahead_and_no_further():
    taken = []

    def source():
        for number in range(20):
            taken.append(number)
            yield number

    stream = read_ahead(source(), 3)
    assert not taken  # nothing is read before the first request
    for done, number in enumerate(stream, start=1):
        assert number == done - 1
        # the buffered items, and one that does not fit
        until(lambda: len(taken) == min(done + 4, 20))  # noqa: B023
    assert not threads()


def test_an_error_comes_after_the_items_before_it():
    def source():
        yield 1
        yield 2
        raise KeyError("frame 3")

    stream = read_ahead(source(), 5)
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(KeyError, match="frame 3") as caught:
        next(stream)
    assert caught.traceback[-1].name == "source"  # the traceback shows where the error was raised
    assert not threads()


def test_an_error_while_it_is_closed_is_one_too():
    def source():
        try:
            yield from range(3)
        finally:
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(read_ahead(source(), 1))
    assert not threads()


def test_who_stops_early_leaves_no_thread():
    closed = []

    def source():
        try:
            yield from range(1000)
        finally:
            closed.append(threading.current_thread().name)

    stream = read_ahead(source(), 2)
    assert next(stream) == 0
    stream.close()
    assert closed == ["auvmae.read_ahead"]
    assert not threads()


def test_what_does_not_wait_loses_its_oldest():
    sent = threading.Event()

    def camera():
        yield from range(10)
        sent.set()

    stream = read_ahead(camera(), 3, drop=True)
    items = [next(stream)]
    assert sent.wait(20)
    items += stream
    # at most one item and then the buffer, which keeps the newest; the end of the stream replaces one item
    assert items[-2:] == [8, 9]
    assert len(items) <= 4
    assert items == sorted(set(items))


def test_it_can_be_stopped_while_nothing_comes():
    stop, never = threading.Event(), threading.Event()

    def silent():
        yield 1
        never.wait()

    stream = read_ahead(silent(), 1, stopped=stop.is_set)
    assert next(stream) == 1
    stop.set()
    assert list(stream) == []
    never.set()
    until(lambda: not threads())
