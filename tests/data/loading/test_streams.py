"""Test the opening of shards and of datasets that are streamed."""

import gzip
import tarfile

import datasets
import pytest

from auvmae.data.loading.streams import VIDEO, find_shards, name_of, open_stream, video_file
from auvmae.video.container import VideoDecodeError
from auvmae.video.random_access import read_frames

from ...support.forge_disfa import frame_numbers
from ...support.forge_shards import forge_shards


def names(source):
    return sorted(name_of(row) for row in open_stream(str(source)))


def test_a_folder_and_a_pattern_of_shards(tmp_path):
    forge_shards(tmp_path, [2, 3])
    expected = [f"id{number % 2}/video{number}" for number in range(5)]
    assert names(tmp_path) == sorted(expected)
    assert names(tmp_path / "faces-*.tar") == sorted(expected)
    assert names(tmp_path / "faces-1.tar") == sorted(expected[2:])
    rows = open_stream(str(tmp_path))
    assert rows.num_shards == 2
    for row in rows:
        with video_file(row) as path:
            number = int(name_of(row)[-1])
            assert frame_numbers(read_frames(path, [0, 5])) == [10 * number, 10 * number + 5]
        assert not path.exists()


def test_a_dataset_with_a_column_of_videos(tmp_path):
    """A local folder takes the place of a dataset on the Hub, which the same function opens."""
    videos = forge_shards(tmp_path / "shards", [2, 1])
    features = datasets.Features(id=datasets.Value("int32"), face=datasets.Video(decode=False))
    encoded = [{"bytes": video.read_bytes(), "path": video.name} for video in videos]
    for number in range(2):
        table = datasets.Dataset.from_dict({"id": [0], "face": [encoded[number]]}, features)
        (tmp_path / "data").mkdir(exist_ok=True)
        table.to_parquet(tmp_path / "data" / f"train-{number}.parquet")
    assert names(tmp_path / "data") == [video.name for video in videos[:2]]
    rows = list(open_stream(str(tmp_path / "data")))
    assert list(rows[0]) == [VIDEO]
    with video_file(rows[1]) as path:
        assert frame_numbers(read_frames(path, [3])) == [13]


def test_a_folder_of_videos(tmp_path):
    videos = forge_shards(tmp_path / "shards", [2])
    (tmp_path / "videos").mkdir()
    for video in videos:
        video.rename(tmp_path / "videos" / video.name)
    for row in open_stream(str(tmp_path / "videos")):
        with video_file(row) as path:
            assert frame_numbers(read_frames(path, [3])) == [10 * int(name_of(row)[-5]) + 3]


@pytest.mark.parametrize("end", ["member", "block", "odd", "empty"])
def test_a_shard_that_was_cut_short(tmp_path, end):
    forge_shards(tmp_path, [2, 3])
    shard = tmp_path / "faces-1.tar"
    data = shard.read_bytes()
    # readers of tar files take a cut between two members for the end
    cut = {"member": data.rindex(b"id0/video4.mp4"), "block": len(data) // 1024 * 512, "odd": 1000, "empty": 0}[end]
    shard.write_bytes(data[:cut])
    with pytest.raises(ValueError, match=r"faces-1\.tar was cut short: after \d+ bytes.*Copy it again"):
        open_stream(str(tmp_path))


def test_nothing_to_stream(tmp_path):
    for missing in (tmp_path / "none-*.tar", tmp_path / "none", "shards", "none/faces-*.tar"):
        with pytest.raises(ValueError, match=r"there are no shards .*(none|shards)"):
            open_stream(str(missing))
    forge_shards(tmp_path, [2], suffix=".bin")
    with pytest.raises(ValueError, match=r"has no column of videos, found bin, .*NAME\.mp4"):
        open_stream(str(tmp_path))
    assert find_shards("user/name") == []


def test_other_files_among_the_videos(tmp_path):
    forge_shards(tmp_path, [2])
    (tmp_path / "crop_report.json").write_text("{}")
    with tarfile.open(tmp_path / "faces-0.tar", "a") as tar:
        tar.add(tmp_path / "crop_report.json", "crop_report.json")
    with pytest.raises(
        ValueError, match=r"cannot be streamed: .*faces-0\.tar must begin with videos alone, with one ending"
    ):
        open_stream(str(tmp_path))


def test_names_with_several_dots_and_a_second_column(tmp_path):
    """WebDataset takes what follows the first dot for a kind of file, and would lose videos."""
    (video,) = forge_shards(tmp_path, [1])
    with tarfile.open(tmp_path / "faces-0.tar", "w") as tar:
        for suffix in (".0.mp4", ".1.mp4"):
            tar.add(video, f"id0/video{suffix}")
    with pytest.raises(ValueError, match=r"several columns of videos, 0\.mp4, 1\.mp4, .*no dot but the one"):
        open_stream(str(tmp_path))


def test_brackets_in_a_path(tmp_path):
    forge_shards(tmp_path / "a[1]", [2])
    forge_shards(tmp_path / "a1", [5])
    assert len(names(tmp_path / "a[1]")) == 2


@pytest.mark.parametrize("compressed", [False, True])
def test_a_first_shard_whose_damage_hides(tmp_path, compressed):
    """A file that was reserved before it was copied ends with zeros."""
    forge_shards(tmp_path / "shards", [3])
    shard = tmp_path / "shards" / "faces-0.tar"
    data = shard.read_bytes()
    if compressed:
        shard.unlink()
        shard = shard.with_suffix(".tar.gz")
        data = gzip.compress(data)
        shard.write_bytes(data[: len(data) // 3])
    else:
        video = tmp_path / "large.mp4"
        video.write_bytes(bytes(range(256)) * 16)
        with tarfile.open(shard, "w") as tar:
            tar.add(video, "large.mp4")
        shard.write_bytes(shard.read_bytes()[:1024] + bytes(1024))
    with pytest.raises(OSError, match=r"was cut short or is damaged: .*Copy the shards again"):
        open_stream(str(tmp_path / "shards"))


def test_rows_without_a_video():
    for row in ({VIDEO: None, "name": "a"}, {VIDEO: {"bytes": b"", "path": "a"}}):
        with (
            pytest.raises(VideoDecodeError, match=r"cannot decode a: the sample has no video with the ending"),
            video_file(row),
        ):
            pass
    row = {VIDEO: {"bytes": None, "path": "missing.mp4"}}
    with pytest.raises(VideoDecodeError, match=r"missing\.mp4"), video_file(row):
        pass


def test_errors_name_the_video_and_not_the_temporary_file():
    row = {VIDEO: {"bytes": b"gone", "path": "a.mp4"}, "name": "id0/a"}
    with pytest.raises(VideoDecodeError, match=r"cannot decode id0/a: ") as caught, video_file(row) as path:
        read_frames(path, [0])
    assert str(path) not in str(caught.value)
