"""Clocks that restart, repeat, begin elsewhere or have holes: frames keep their numbers, and times never go back."""

import importlib.util
from fractions import Fraction

import numpy as np
import pytest

from auvmae.video.damage.faults import Faults
from auvmae.video.random_access import BACKENDS, read_frames
from auvmae.video.reading import iter_frames, num_frames

from ..support.stamped import number_of, write_stamped

INSTALLED = [name for name in BACKENDS if importlib.util.find_spec("av" if name == "pyav" else name)]
MILLISECONDS = Fraction(1, 1000)


def read(path, faults=None):
    """Return the stamps and the times of a file, after checking that random access gives the same frames."""
    found = list(iter_frames(path, faults))
    stamps = [number_of(frame) for *_, frame in found]
    assert [index for index, *_ in found] == list(range(len(found)))
    assert num_frames(path) == len(found)
    for backend in INSTALLED:
        for clip in ([1], [0, 1, 2, 3], [5, 9, 13], list(range(1, len(found), 4)), [len(found) - 1]):
            assert [number_of(frame) for frame in read_frames(path, clip, backend)] == [stamps[one] for one in clip]
    return stamps, np.array([time for _, time, _ in found])


def retime(times):
    """Build a change that gives packets these times in milliseconds."""

    def change(number, packet):
        packet.pts = packet.dts = times(number)
        packet.time_base = MILLISECONDS

    return change


@pytest.mark.parametrize(("suffix", "codec"), [("mpg", "mpeg2video"), ("mpg", "mpeg1video"), ("ts", "libx264")])
def test_parts_joined_byte_by_byte_go_on(tmp_path, suffix, codec):
    part = write_stamped(tmp_path / f"part.{suffix}", codec, {"g": "12", "bf": "0"}, count=30)
    joined = tmp_path / f"joined.{suffix}"
    joined.write_bytes(part.read_bytes() * 2)
    faults = Faults()
    stamps, times = read(joined, faults)
    assert stamps == [*range(30)] * 2
    np.testing.assert_allclose(np.diff(times), 0.04, atol=2e-3)
    assert faults.restarts == [30]


@pytest.mark.parametrize(("codec", "pixels"), [("mjpeg", "yuvj420p"), ("libx264", "yuv420p"), ("mpeg4", "yuv420p")])
@pytest.mark.parametrize("repeat", [2, 3])
def test_frames_of_equal_times_are_told_apart(tmp_path, codec, pixels, repeat):
    change = retime(lambda number: (number - number % repeat) * 40)
    options = {"bf": "0"} if codec != "mjpeg" else {}
    path = write_stamped(tmp_path / "a.mkv", codec, options, pixels=pixels, change=change)
    stamps, times = read(path)
    assert stamps == list(range(40))
    np.testing.assert_allclose(times, [(number - number % repeat) * 0.04 for number in range(40)])


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
@pytest.mark.parametrize("start", [500, 90_000, 26 * 3_600_000])
def test_a_clock_that_begins_late_keeps_its_times(tmp_path, suffix, start):
    path = write_stamped(
        tmp_path / f"a.{suffix}", "libx264", {"bf": "0"}, change=retime(lambda number: start + 40 * number)
    )
    stamps, times = read(path)
    assert stamps == list(range(40))
    np.testing.assert_allclose(np.diff(times), 0.04, atol=1e-6)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
@pytest.mark.parametrize("hole", [400, 100_000])
def test_a_hole_stays_where_it_is(tmp_path, suffix, hole):
    change = retime(lambda number: 40 * number + hole * (number >= 25))
    path = write_stamped(tmp_path / f"a.{suffix}", "libx264", {"bf": "0"}, change=change)
    stamps, times = read(path)
    assert stamps == list(range(40))
    np.testing.assert_allclose(np.diff(times), [0.04 + hole / 1000 * (number == 24) for number in range(39)], atol=1e-6)
