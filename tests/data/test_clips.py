import datasets
import numpy as np
import pytest

from auvmae.data.clips import pose_range, segment_clips, video_labels
from auvmae.faces.crop_files import INDEX_COLUMNS, index_path
from auvmae.faces.pose import usual_range


@pytest.mark.parametrize("num_frames", [0, 1, 5, 127, 128, 129, 256, 300])
@pytest.mark.parametrize("clip_length", [1, 16, 128])
def test_tiling_against_brute_force(num_frames: int, clip_length: int) -> None:
    padded = segment_clips(num_frames, clip_length, "pad")
    assert [frame for start, stop in padded for frame in range(start, stop)] == list(range(num_frames))
    assert all(stop - start == clip_length for start, stop in padded[:-1])
    whole = segment_clips(num_frames, clip_length, "drop")
    assert whole == [clip for clip in padded if clip[1] - clip[0] == clip_length]


def test_counts_of_disfa() -> None:
    """27 videos of 4,845 frames, SN010 of 4,844: 999 whole clips of 128, 1,026 with the tails."""
    lengths = [4845] * 26 + [4844]
    assert sum(len(segment_clips(length, tail="drop")) for length in lengths) == 999
    assert sum(len(segment_clips(length)) for length in lengths) == 1026


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="tail must be"):
        segment_clips(10, tail="keep")
    with pytest.raises(ValueError, match="clip_length positive"):
        segment_clips(10, clip_length=0)


def test_video_labels_undo_the_tiling() -> None:
    rng = np.random.default_rng(0)
    videos = {"a": rng.integers(0, 2, (37, 3)), "b": rng.integers(0, 2, (16, 3)), "c": rng.integers(-100, 2, (5, 3))}
    rows = []
    for name, labels in videos.items():
        for start, stop in segment_clips(len(labels), 16):
            padded = np.full((16, 3), -100)
            padded[: stop - start] = labels[start:stop]
            row = {"video": name, "start_frame": start + 7, "num_frames": stop - start, "labels": padded.tolist()}
            rows += [row | {"augmented": False}, row | {"augmented": True}]
    rng.shuffle(rows)
    whole = video_labels(rows)
    order = list(dict.fromkeys(row["video"] for row in rows if not row["augmented"]))
    assert len(whole) == 3
    for name, labels in zip(order, whole, strict=True):
        assert labels.dtype == np.int64
        assert np.array_equal(labels, videos[name])


def test_the_pose_range_is_that_of_the_faces_in_the_crops(tmp_path):
    rng = np.random.default_rng(0)
    shape = np.array([[20, 20], [40, 20], [30, 31], [22, 42], [38, 42]])
    marks = shape + rng.normal(0, 2, (2, 30, 5, 2))
    box = [12, 8, 36, 44]
    videos = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for video, landmarks in zip(videos, marks, strict=True):
        lines = [[frame, 0, *box, *row.ravel(), 1, 1] for frame, row in enumerate(landmarks)]
        index_path(video).write_text("\n".join(",".join(map(str, line)) for line in [INDEX_COLUMNS, *lines]))
    rows = {"train": datasets.Dataset.from_dict({"video": [*map(str, videos), str(videos[0])]})}
    assert pose_range(rows) == usual_range(marks.reshape(-1, 5, 2), np.tile(box, (60, 1)))
    index_path(videos[1]).unlink()
    assert pose_range(rows) is None
    assert pose_range({"test": rows["train"]}) is None
