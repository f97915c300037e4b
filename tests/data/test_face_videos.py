"""Test unlabelled video: any tree, unreadable videos, and batches without labels."""

import csv
import logging
import os
import shutil
from pathlib import Path

import av
import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from auvmae.data import au_names, load_au_dataset
from auvmae.data.clips import segment_clips
from auvmae.data.face_videos import REPORT_FILE, FaceVideos, subject_of
from auvmae.data.files import DatasetLayoutError
from auvmae.data.loading.loader import ClipCollator, ClipDataset
from auvmae.faces.crop_files import INDEX_COLUMNS, index_path
from auvmae.modeling_auvmae import AUVMAEForVideoPretraining
from auvmae.processors import AUVMAEImageProcessor
from auvmae.video.writing import VideoWriter

from ..support.forge_disfa import forge_disfa, frame_numbers, numbered_frame, write_video
from ..support.tiny import tiny_config

LENGTH = 16
LENGTHS = {
    "anna/monday.mp4": 40,
    "anna/tuesday.AVI": 16,
    "bert/frames": 20,
    "id00012/21Uxsk56VDQ/00001.mp4": 5,
    "loose.mkv": 33,
}
SUBJECTS = {
    "anna/monday.mp4": "anna",
    "anna/tuesday.AVI": "anna",
    "bert/frames": "bert",
    "id00012/21Uxsk56VDQ/00001.mp4": "id00012",
    "loose.mkv": "loose",
}


def write_images(folder: Path, numbers: range | list[int]) -> None:
    folder.mkdir(parents=True)
    for number in numbers:
        Image.fromarray(numbered_frame(number)).save(folder / f"{number:05d}.png")


@pytest.fixture(scope="module")
def forged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces") / "faces"
    for name, length in LENGTHS.items():
        if name == "bert/frames":
            write_images(root / name, range(1, length + 1))
        else:
            codec = "mpeg4" if name.endswith("AVI") else "libx264"
            write_video(root / name, map(numbered_frame, range(length)), codec)
    (root / "notes.txt").write_text("no video")
    shutil.copy(root / "loose.mkv", root / ".hidden.mkv")
    return root


@pytest.fixture
def tree(forged: Path, tmp_path: Path) -> Path:
    """Copy the tree, so that a test may damage it."""
    return Path(shutil.copytree(forged, tmp_path / "faces"))


def clips(rows: datasets.Dataset, root: Path) -> dict[str, list[tuple[int, int]]]:
    """Map each video to the (start, stop) of its clips."""
    found: dict[str, list[tuple[int, int]]] = {}
    for row in rows:
        name = Path(row["video"]).relative_to(root).as_posix()
        found.setdefault(name, []).append((row["start_frame"], row["start_frame"] + row["num_frames"]))
    return found


def test_every_frame_of_any_tree(forged: Path) -> None:
    data = load_au_dataset("face_videos", forged, clip_length=LENGTH)
    assert list(data) == ["train"]
    assert au_names(data) == []
    rows = data["train"]
    expected = {name: segment_clips(length, LENGTH) for name, length in LENGTHS.items()}
    expected["bert/frames"] = [(1, 17), (17, 21)]
    assert clips(rows, forged) == expected
    assert {Path(row["video"]).relative_to(forged).as_posix(): row["subject"] for row in rows} == SUBJECTS
    assert rows.with_format("numpy")["labels"][:].shape == (len(rows), LENGTH, 0)
    assert not any(rows["augmented"])
    whole = load_au_dataset("face_videos", forged, clip_length=LENGTH, tail="drop")["train"]
    assert set(whole["num_frames"]) == {LENGTH}
    assert len(whole) == sum(length // LENGTH for length in LENGTHS.values())


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("dev/mp4/id00012/21Uxsk56VDQ/00001.mp4", "id00012"),
        ("M003/video/front/angry/level_1/001.mp4", "M003"),
        ("W009/video/left_30/neutral/level_1/040.mp4", "W009"),
        ("Clip+7HVYYQ2wCyg+P0+C1+F1532-1725.mp4", "7HVYYQ2wCyg+P0"),
        ("train/Clip+-0_NAr8k-QU+P12+C0+F1-99", "-0_NAr8k-QU+P12"),
        ("original_sequences/youtube/c23/videos/183.mp4", "183"),
        ("manipulated_sequences/Deepfakes/raw/images/183_253", "183"),
        ("original_sequences/actors/c23/videos/01__exit_phone_room.mp4", "01"),
        ("35666/M2Ohb0FAaJU_1.mp4", "M2Ohb0FAaJU"),
        ("--_NMpkX-b0_12_3.mp4", "--_NMpkX-b0"),
        ("some/one/else.mp4", "one"),
        ("else.mp4", "else"),
        ("", "data"),
    ],
)
def test_subjects(path: str, subject: str) -> None:
    assert subject_of(Path("/my/data") / path, Path("/my/data")) == subject


def test_one_subject_of_a_tree(forged: Path) -> None:
    """The opened folder may itself be part of a known tree."""
    rows = load_au_dataset("face_videos", forged / "id00012", clip_length=LENGTH)["train"]
    assert rows["subject"][:] == ["id00012"]


def test_frame_folders_are_cut_where_images_are_missing(tmp_path: Path) -> None:
    write_images(tmp_path / "gaps", [*range(3, 25), 30, *range(40, 45)])
    write_images(tmp_path / "stills", [1, 5, 9])
    rows = load_au_dataset("face_videos", tmp_path, clip_length=LENGTH)["train"]
    assert clips(rows, tmp_path) == {"gaps": [(3, 19), (19, 25), (40, 45)]}
    loaded = ClipDataset(rows, AUVMAEImageProcessor(size=16).resize_frames)
    assert [item["frames"].shape for item in loaded] == [(LENGTH, 16, 16, 3)] * 3


def spoil(root: Path) -> dict[str, str]:
    """Add one video per fault, and return the reason that the report must give for each."""
    sound = (root / "loose.mkv").read_bytes()
    (root / "bad").mkdir()
    (root / "bad/empty.mp4").touch()
    (root / "bad/text.mp4").write_text("this is no video")
    video = write_video(root / "bad/cut.mp4", map(numbered_frame, range(30)), "libx264")
    video.write_bytes(video.read_bytes()[:-200])
    (root / "bad/half.mkv").write_bytes(sound[: len(sound) // 2])
    write_video(root / "bad/still.mp4", [numbered_frame(0)], "libx264")
    with av.open(str(root / "bad/sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    write_images(root / "bad/twice", range(5))
    shutil.copy(root / "bad/twice/00003.png", root / "bad/twice/3.png")
    write_images(root / "bad/torn", range(5))
    (root / "bad/torn/00004.png").write_bytes(b"\x89PNG")
    return {
        "bad/cut.mp4": "",
        "bad/empty.mp4": "",
        "bad/half.mkv": "",
        "bad/sound.mp4": "no video stream",
        "bad/still.mp4": "no two consecutive frames",
        "bad/text.mp4": "",
        "bad/torn": "frame 4",
        "bad/twice": "are the same frame",
    }


@pytest.mark.parametrize("num_proc", [None, 2])
def test_unreadable_videos_are_listed(
    tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, num_proc: int | None
) -> None:
    expected = spoil(tree)
    options = {"clip_length": LENGTH, "num_proc": num_proc, "cache_dir": tmp_path / "cache"}
    rows = load_au_dataset("face_videos", tree, **options)["train"]
    assert clips(rows, tree).keys() == LENGTHS.keys()
    report = Path(rows.cache_files[0]["filename"]).with_name(REPORT_FILE)
    (message,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"{len(expected)} of {len(expected) + len(LENGTHS)} videos under {tree} cannot be read" in message
    assert str(report) in message
    with report.open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["video", "reason"]
    assert [Path(video).relative_to(tree).as_posix() for video, _ in lines] == sorted(expected)
    for (video, reason), part in zip(lines, expected.values(), strict=True):
        assert part in reason
        assert Path(video).name in reason

    caplog.clear()
    load_au_dataset("face_videos", tree, **options)
    assert not caplog.records, "what was indexed once is not indexed again"
    assert report.exists()


def test_damage_inside_is_found_on_request(tmp_path: Path) -> None:
    frames = [numbered_frame(number) for number in range(64)]
    with VideoWriter(tmp_path / "sound.mp4", 25, *frames[0].shape[1::-1]) as writer:  # a keyframe every 32 frames
        for frame in frames:
            writer.write(frame)
    data = bytearray((tmp_path / "sound.mp4").read_bytes())
    with av.open(str(tmp_path / "sound.mp4")) as container:
        start, stop = [packet.pos for packet in container.demux(video=0) if packet.size][10:12]
    data[start:stop] = bytes(stop - start)
    (tmp_path / "damaged.mp4").write_bytes(data)
    quick = load_au_dataset("face_videos", tmp_path, clip_length=LENGTH)["train"]
    assert len(clips(quick, tmp_path)) == 2
    careful = load_au_dataset("face_videos", tmp_path, clip_length=LENGTH, decode_all=True)["train"]
    assert clips(careful, tmp_path) == {"sound.mp4": segment_clips(64, LENGTH)}


def test_nothing_to_read(tmp_path: Path, forged: Path) -> None:
    with pytest.raises(DatasetLayoutError, match=r"(?s)data_dir is missing.*0001\.png.*no folder was given"):
        load_au_dataset("face_videos")
    with pytest.raises(DatasetLayoutError, match=r"(?s)is not a folder.*it does not exist"):
        load_au_dataset("face_videos", tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DatasetLayoutError, match=r"(?s)there is no video under .*any/folders/clip\.mp4.*notes\.txt"):
        load_au_dataset("face_videos", tmp_path)
    (tmp_path / "empty.mp4").touch()
    for num_proc in (None, 2):
        with pytest.raises(DatasetLayoutError, match=r"(?s)1 of 1 videos under .* cannot be read.*empty\.mp4: cannot"):
            load_au_dataset("face_videos", tmp_path, num_proc=num_proc)
    with pytest.raises(DatasetLayoutError, match=r"found no clip of 128 frames with tail='drop'\. 0 of 5"):
        load_au_dataset("face_videos", forged, tail="drop")
    with pytest.raises(ValueError, match="camera"):
        load_au_dataset("face_videos", forged, camera="left")


def test_two_processes_and_streaming_give_the_same_rows(
    tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tree / "empty.mp4").touch()
    one, two = (
        load_au_dataset("face_videos", tree, clip_length=LENGTH, cache_dir=tmp_path / str(num_proc), num_proc=num_proc)
        for num_proc in (1, 2)
    )
    assert one["train"].features == two["train"].features
    assert one["train"].to_list() == two["train"].to_list()
    caplog.clear()
    streamed = FaceVideos(data_dir=str(tree), clip_length=LENGTH).as_streaming_dataset()["train"]
    for row, other in zip(one["train"], streamed, strict=True):
        assert np.shape(row.pop("labels")) == np.shape(other.pop("labels")) == (LENGTH, 0)
        assert row == other
    assert "Skipped a video: cannot decode" in caplog.text


def test_cache_follows_the_files(tree: Path, tmp_path: Path) -> None:
    def files(**options: object) -> list[str]:
        data = load_au_dataset("face_videos", tree, cache_dir=tmp_path / "cache", clip_length=LENGTH, **options)
        return [file["filename"] for file in data["train"].cache_files]

    seen = [files()]
    assert files() == seen[0]
    with pytest.raises(ValueError, match="unlabelled video has no folds, found fold 2"):
        files(fold=2)
    os.utime(tree / "loose.mkv", ns=(0, 0))
    seen.append(files())
    (tree / "bert/frames/00001.png").unlink()
    seen.append(files())
    shutil.copy(tree / "loose.mkv", tree / "more.mkv")
    seen.append(files())
    assert len({tuple(names) for names in seen}) == len(seen)


def test_frames_without_a_face_are_cut_out_of_crops(tmp_path: Path) -> None:
    video = write_video(tmp_path / "crop.mp4", map(numbered_frame, range(20)), "libx264")
    lines = [",".join(INDEX_COLUMNS)]
    lines += [f"{frame}{',' * (len(INDEX_COLUMNS) - 1)}{int(frame not in (0, 7, 8, 10))}" for frame in range(20)]
    index_path(video).write_text("\n".join(lines) + "\n")
    kept = load_au_dataset("face_videos", tmp_path, clip_length=8)["train"]
    assert clips(kept, tmp_path) == {"crop.mp4": [(0, 8), (8, 16), (16, 20)]}
    cut = load_au_dataset("face_videos", tmp_path, clip_length=8, drop_lost_faces=True)["train"]
    assert clips(cut, tmp_path) == {"crop.mp4": [(1, 7), (11, 19), (19, 20)]}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_without_labels(forged: Path, num_workers: int) -> None:
    rows = load_au_dataset("face_videos", forged, clip_length=LENGTH)["train"]
    config = tiny_config(clip_length=LENGTH, mask_ratio=0.5)
    processor = AUVMAEImageProcessor(config.image_size)
    loaded = ClipDataset(rows, processor.resize_frames)
    loader = torch.utils.data.DataLoader(
        loaded, 3, num_workers=num_workers, collate_fn=ClipCollator.from_config(config)
    )
    batch = next(iter(loader))
    assert batch.keys() == {"frames", "bool_masked_pos", "clips"}
    pixel_values = processor.normalize_frames(batch["frames"])
    assert AUVMAEForVideoPretraining(config)(pixel_values, batch["bool_masked_pos"]).loss.isfinite()


def test_short_videos_repeat_their_last_frame(forged: Path) -> None:
    rows = load_au_dataset("face_videos", forged, clip_length=LENGTH)["train"]
    (short,) = [index for index, row in enumerate(rows) if row["num_frames"] == 5]
    item = ClipDataset(rows, torch.from_numpy)[short]
    assert frame_numbers(item["frames"].numpy()) == [0, 1, 2, 3] + [4] * 12


def test_labels_are_left_out_on_request(tmp_path: Path) -> None:
    forge_disfa(tmp_path, {"SN001": 20, "SN003": 20})
    rows = load_au_dataset("disfa", tmp_path, clip_length=LENGTH)["train"]
    assert "labels" in ClipDataset(rows, torch.from_numpy)[0]
    plain = ClipDataset(rows, torch.from_numpy, with_labels=False)
    assert ClipCollator()([plain[0]]).keys() == {"frames", "clips"}


def test_synthetic_faces(tmp_path: Path) -> None:
    options = {"num_videos": 2, "frames_per_video": 20, "image_size": 32, "clip_length": LENGTH, "cache_dir": tmp_path}
    data = load_au_dataset("synthetic_faces", **options)
    assert list(data) == ["train"]
    assert data["train"]["subject"][:] == ["face00000", "face00000", "face00001", "face00001"]
    assert all(Path(video).is_relative_to(tmp_path) for video in data["train"]["video"])
    assert load_au_dataset("synthetic_faces", **options)["train"].to_list() == data["train"].to_list()
    with pytest.raises(ValueError, match="num_subjects"):
        load_au_dataset("synthetic_faces", num_subjects=3, **options)
