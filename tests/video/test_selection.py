"""Test the selection of frames against a list comprehension."""

from itertools import count

import pytest

from auvmae.video.selection import FrameSelection

FRAMES = [(number, 0.04 * number) for number in range(100)]


def time_of(frame):
    return frame[1]


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize(("start", "stop"), [(0, None), (1.0, None), (0, 2.0), (0.5, 0.9), (3.9, 100)])
def test_frames_are_selected_by_time_and_number(start, stop, every):
    found = [*FrameSelection(start, stop, every).select(FRAMES, time_of)]
    expected = [frame for frame in FRAMES if start <= frame[1] < (stop or 1e9) and frame[0] % every == 0]
    assert found == expected
    assert abs(FrameSelection(start, stop, every).count(100, 25) - len(found)) <= 1


def test_nothing_is_read_beyond_the_end():
    endless = ((number, number / 10) for number in count())
    assert len([*FrameSelection(0, 5.0).select(endless, time_of)]) == 50
    assert next(endless)[0] == 51


def test_what_cannot_be_selected_is_an_error():
    with pytest.raises(ValueError, match=r"no frame lies between 5 and 6 s; the last one is at 3\.96 s"):
        [*FrameSelection(5, 6).select(FRAMES, time_of)]
    clockless = [(0, float("nan"))]
    with pytest.raises(ValueError, match="no timestamps"):
        [*FrameSelection(0, 6).select(clockless, time_of)]
    assert [*FrameSelection(every=2).select(clockless, time_of)] == clockless
    for wrong in ((-1, None), (2, 2), (3, 2), (float("nan"), None), (0, float("nan")), (0, float("inf"))):
        with pytest.raises(ValueError, match="start and stop must be 0 <= START < STOP in seconds"):
            FrameSelection(*wrong)
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="every must be a whole number of at least 1"):
            FrameSelection(every=wrong)
