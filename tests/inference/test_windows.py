"""Test windows against a loop over each run, for all batch sizes, and their bounded delay."""

import numpy as np
import pytest

from auvmae.faces.crop import CroppedFrame
from auvmae.faces.smoothing import TrackedFace
from auvmae.inference.windows import blend_windows, window_weights

LENGTH = 6
# track of each frame's faces: a short run, frames without a face, a long one, two at a time, a single frame, a jump
TRACKS = [[0]] * 4 + [[]] * 3 + [[1]] * 17 + [[1, 2]] * 5 + [[2]] * 2 + [[]] + [[3]] + [[4]] * 13 + [[5]] * 8


def stream(tracks):
    """Crops of 2 x 2 pixels that encode their frame and track."""
    for index, present in enumerate(tracks):
        if not present:
            yield CroppedFrame(index, index / 25, None, None)
        for track in present:
            face = TrackedFace(np.zeros(4), np.zeros((5, 2)), 0.9, track)
            yield CroppedFrame(index, index / 25, face, np.full((2, 2, 3), (index, track, 0), np.uint8))


def predict(windows):
    """Two values that depend on the crop, on its place in the window, and on the rest of the window."""
    crops = np.array([window.crops for window in windows])[:, :, 0, 0].astype(float)  # (windows, LENGTH, 3)
    place = np.arange(LENGTH)
    first = np.sin(crops[..., 0] + crops[..., 1]) + place
    return np.stack([first, first * crops[..., 0].sum(1, keepdims=True)], axis=2)


def blend_run(numbers, track, stride):
    """The values of one run, window by window, in the plainest way."""
    count = len(numbers)
    starts = [start for start in range(0, count, stride) if start + LENGTH <= count]
    if not starts or starts[-1] + LENGTH < count:
        starts.append(max(count - LENGTH, 0))
    total, mass = np.zeros((count, 2)), np.zeros((count, 1))
    for start in starts:
        window = [[number, track, 0] for number in numbers[start : start + LENGTH]]
        window += [window[-1]] * (LENGTH - len(window))
        values = predict([type("W", (), {"crops": np.array(window)[:, None, None]})])[0]
        for place in range(min(LENGTH, count - start)):
            weight = min(place + 1, LENGTH - place)
            total[start + place] += weight * values[place]
            mass[start + place] += weight
    return total / mass


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6])
def test_it_is_the_loop_over_runs(stride, batch_size):
    found = list(blend_windows(stream(TRACKS), predict, LENGTH, stride, batch_size))
    assert [(row.index, row.face and row.face.track) for row, _ in found] == [
        (index, track) for index, present in enumerate(TRACKS) for track in present or [None]
    ]
    assert all((values is None) == (row.face is None) for row, values in found)
    for track in range(6):
        numbers = [index for index, present in enumerate(TRACKS) if track in present]
        values = [values for row, values in found if row.face and row.face.track == track]
        np.testing.assert_allclose(values, blend_run(numbers, track, stride), rtol=1e-12)


def test_batches_change_no_bit():
    single, *others = (
        [values for _, values in blend_windows(stream(TRACKS), predict, LENGTH, 3, size)] for size in (1, 2, 5, 64)
    )
    for other in others:
        for expected, values in zip(single, other, strict=True):
            assert (expected is None and values is None) or np.array_equal(expected, values)


def test_no_window_sees_two_runs_or_a_frame_without_a_face():
    seen = []

    def spy(windows):
        seen.extend(windows)
        return predict(windows)

    list(blend_windows(stream(TRACKS), spy, LENGTH, 3, 4))
    for window in seen:
        numbers, tracks = np.array(window.crops)[:, 0, 0, :2].T.astype(int)
        assert len(window.crops) == LENGTH
        assert set(tracks) == {window.track}
        assert set(np.diff(numbers)) <= {0, 1}
        assert window.start == numbers[0] - min(n for n, present in enumerate(TRACKS) if window.track in present)
    filled = [window.track for window in seen if len({crop.tobytes() for crop in window.crops}) < LENGTH]
    assert filled == [0, 3]  # only runs that are shorter than a window are filled up


@pytest.mark.parametrize(("stride", "batch_size"), [(3, 4), (6, 1), (1, 8)])
def test_it_never_runs_further_behind_than_it_says(stride, batch_size):
    pushed, behind = 0, []

    def counted():
        nonlocal pushed
        # a face for ten frames, then none for a long time: rows must not wait for another face
        for cropped in stream([[0]] * 10 + [[]] * 150 + [[1]] * 90):
            pushed += 1
            yield cropped

    for done, _ in enumerate(blend_windows(counted(), predict, LENGTH, stride, batch_size)):
        behind.append(pushed - done - 1)
    assert max(behind) <= LENGTH + (batch_size - 1) * stride + 1


def test_weights_trust_the_middle_and_add_up():
    weights = window_weights(16)
    assert weights.argmax() in (7, 8)
    assert weights.min() > 0
    assert len(set(weights[:8] + weights[8:])) == 1


def test_nothing_gives_nothing():
    assert list(blend_windows([], predict, LENGTH, 3, 4)) == []
