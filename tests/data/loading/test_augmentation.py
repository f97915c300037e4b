import numpy as np
import pytest

from auvmae.data.clips import fit_clip, rare_au_clips
from auvmae.data.loading import augmentation
from auvmae.data.loading.augmentation import augment_clip, distort_clip


def stream_clips(labels: np.ndarray, rare: list[int], patience: int) -> list[tuple[int, int]]:
    """Implement the appendix literally, frame by frame with a counter."""
    clips, start, quiet = [], None, 0
    for frame, line in enumerate(labels):
        is_rare = any(line[column] == 1 for column in rare)
        if start is None:
            if is_rare:
                start, quiet = frame, 0
            continue
        quiet = 0 if is_rare else quiet + 1
        if quiet == patience:
            clips.append((start, frame + 1))
            start = None
    return clips if start is None else [*clips, (start, len(labels))]


@pytest.mark.parametrize("seed", range(60))
def test_rare_au_clips_against_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = (rng.random((rng.integers(1, 300), 4)) < rng.choice([0.01, 0.05, 0.3])).astype(int)
    labels[rng.random(labels.shape) < 0.05] = -100
    patience = int(rng.choice([1, 3, 15]))
    assert rare_au_clips(labels, [0, 2], patience) == stream_clips(labels, [0, 2], patience)


def test_rare_au_clips_at_the_edges() -> None:
    labels = np.zeros((50, 1), int)
    assert rare_au_clips(labels, [0]) == []
    labels[[0, 16, 49]] = 1  # 15 frames between the first two end the first clip
    assert rare_au_clips(labels, [0]) == [(0, 16), (16, 32), (49, 50)]
    labels[15] = 1
    assert rare_au_clips(labels, [0]) == [(0, 32), (49, 50)]


@pytest.mark.parametrize("num_frames", [10, 128, 130, 500])
def test_fit_clip(num_frames: int) -> None:
    for start in range(0, num_frames, 7):
        for stop in range(start + 1, num_frames + 1, 11):
            clips = fit_clip(start, stop, num_frames)
            length = min(128, num_frames)
            assert all(left >= 0 and right <= num_frames and right - left == length for left, right in clips)
            assert len(clips) == -(-(stop - start) // 128)
            assert set(range(start, stop)) <= {frame for left, right in clips for frame in range(left, right)}


def test_a_short_clip_grows_to_both_sides() -> None:
    assert fit_clip(200, 220, 1000) == [(146, 274)]
    assert fit_clip(0, 20, 1000) == [(0, 128)]
    assert fit_clip(990, 1000, 1000) == [(872, 1000)]


def test_augmentation_is_one_draw_per_clip() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    clip = np.stack([frame] * 5)
    outcomes = set()
    for seed in range(40):
        out = augment_clip(clip, np.random.default_rng(seed), min_crop=0.8)
        assert (out == out[0]).all()  # a still clip stays still
        assert out.dtype == np.uint8
        assert out.flags.c_contiguous
        height, width = out.shape[1:3]
        assert 32 <= height <= 40
        assert 48 <= width <= 60
        assert abs(height / 40 - width / 60) < 0.02
        assert np.array_equal(out, augment_clip(clip, np.random.default_rng(seed), min_crop=0.8))
        sides = [flip for flip in (False, True) if _occurs(out[0][:, ::-1] if flip else out[0], frame)]
        assert len(sides) == 1
        outcomes.add((sides[0], out.shape))
    assert {flipped for flipped, _ in outcomes} == {False, True}
    assert len(outcomes) > 20


def _occurs(crop: np.ndarray, frame: np.ndarray) -> bool:
    height, width = crop.shape[:2]
    return any(
        np.array_equal(crop, frame[top : top + height, left : left + width])
        for top in range(frame.shape[0] - height + 1)
        for left in range(frame.shape[1] - width + 1)
    )


def test_no_augmentation_is_the_identity() -> None:
    clip = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    assert np.array_equal(augment_clip(clip, np.random.default_rng(0), flip_probability=0, min_crop=1), clip)


def test_distortion_is_one_draw_per_clip() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (20, 24, 3)).astype(np.uint8)
    distorted = []
    for seed in range(40):
        clip = distort_clip(np.stack([frame, frame]), np.random.default_rng(seed))
        assert clip.shape == (2, 20, 24, 3)
        assert clip.dtype == np.uint8
        np.testing.assert_array_equal(clip[0], clip[1])
        distorted.append(clip[0])
    assert len({one.tobytes() for one in distorted}) == 40
    detail = [np.abs(np.diff(one.astype(int), axis=0)).mean() for one in distorted]
    assert 8 < sum(value < 0.6 * max(detail) for value in detail) < 32  # about half are filtered
    again = distort_clip(np.stack([frame, frame]), np.random.default_rng(3))
    np.testing.assert_array_equal(again[0], distorted[3])


def test_distortion_without_a_draw_is_the_identity(monkeypatch) -> None:
    for name in ("GAMMA", "GAIN", "SHIFT", "FILTERED"):
        monkeypatch.setattr(augmentation, name, 0)
    frames = np.random.default_rng(0).integers(0, 256, (2, 20, 24, 3)).astype(np.uint8)
    np.testing.assert_array_equal(distort_clip(frames, np.random.default_rng(0)), frames)


def test_the_resolution_is_that_of_averaged_pixels(monkeypatch) -> None:
    for name, value in {"GAMMA": 0, "GAIN": 0, "SHIFT": 0, "FILTERED": 1, "COARSEST": 0.5, "FINEST": 0.5}.items():
        monkeypatch.setattr(augmentation, name, value)
    frames = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3)).astype(np.uint8)
    found = distort_clip(frames, np.random.default_rng(0))[0].astype(float)
    small = frames[0].reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(found[0, 0], small[0, 0], atol=0.51)  # the corner lies outside of all other means
    between = (9 * small[0, 0] + 3 * small[0, 1] + 3 * small[1, 0] + small[1, 1]) / 16
    np.testing.assert_allclose(found[1, 1], between, atol=0.51)
