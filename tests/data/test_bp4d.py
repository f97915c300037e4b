from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest

from auvmae.data import au_names, load_au_dataset
from auvmae.data.bp4d import Bp4d
from auvmae.data.clips import segment_clips, video_labels
from auvmae.data.files import DatasetLayoutError, LabelError
from auvmae.data.folds import fold_subjects
from auvmae.knowledge.facs import BP4D_AUS
from auvmae.video.random_access import read_frames

from ..support.forge_bp4d import AUS, TASKS, codes, forge_bp4d
from ..support.forge_disfa import frame_numbers


def check_rows(data: datasets.DatasetDict, clip_length: int = 32, fold: int = 1) -> None:
    """Check labels and images of every clip: the image of coded frame f shows the number f."""
    seen = set()
    for split, rows in data.items():
        for row in rows:
            key = row["subject"], row["task"]
            seen.add(key)
            assert row["subject"] in fold_subjects("bp4d", fold, split)
            first, last, _ = TASKS[key]
            indices = row["start_frame"] + np.arange(row["num_frames"])
            coded = frame_numbers(read_frames(row["video"], indices))
            assert coded == list(range(coded[0], coded[0] + row["num_frames"]))
            values = codes(*key, last - first + 1)[:, [AUS.index(au) for au in BP4D_AUS]]
            expected = np.where(values == 9, -100, values)[coded[0] - first :][: row["num_frames"]]
            assert np.array_equal(np.array(row["labels"])[: row["num_frames"]], expected)
            assert (coded[0] - first, coded[-1] - first + 1) in segment_clips(len(values), clip_length)
    assert seen == TASKS.keys()
    lengths = [len(labels) for rows in data.values() for labels in video_labels(rows)]
    assert sorted(lengths) == sorted(last - first + 1 for first, last, _ in TASKS.values())


@pytest.mark.parametrize("sequences", ["Sequences(2D+3D)/", "Sequences/", "sequences(2d)/", "BP4D-training/", ""])
@pytest.mark.parametrize("labels_folder", ["AUCoding/AU_OCC", "AUCoding"])
def test_folder_names_vary(tmp_path: Path, sequences: str, labels_folder: str) -> None:
    forge_bp4d(tmp_path, sequences=sequences, labels_folder=labels_folder)
    data = load_au_dataset("bp4d", tmp_path, clip_length=32)
    check_rows(data)
    assert au_names(data) == [f"AU{au}" for au in BP4D_AUS]


@pytest.mark.parametrize("padding", [lambda number: 1, lambda number: 4, lambda number: 2 + number % 3])
@pytest.mark.parametrize("first_image", [0, 1])
def test_offsets_and_zero_padding(tmp_path: Path, first_image: int, padding: Callable[[int], int]) -> None:
    forge_bp4d(tmp_path, first_image=first_image, padding=padding)
    data = load_au_dataset("bp4d", tmp_path, clip_length=32, fold=2)
    check_rows(data, fold=2)
    starts = {(row["subject"], row["task"]): row["start_frame"] for row in data["train"] if row["subject"] == "F007"}
    assert starts == {("F007", "T1"): 7 + first_image}
    assert load_au_dataset("bp4d", tmp_path, clip_length=32, fold=2, frame_offset=first_image - 1)[
        "test"
    ].to_list() == (data["test"].to_list())


def test_the_offset_can_be_set(tmp_path: Path) -> None:
    """Image 0 exists although the images are numbered like the coded frames, which only the user can know."""
    forge_bp4d(tmp_path)
    for folder in tmp_path.glob("Sequences*/*/*"):
        (folder / "0.jpg").write_bytes(next(folder.iterdir()).read_bytes())
    detected, told = (load_au_dataset("bp4d", tmp_path, frame_offset=offset)["test"][0] for offset in (None, 0))
    assert (detected["start_frame"], told["start_frame"]) == (7, 8)
    with pytest.raises(LabelError, match=r"F001_T1\.csv: found codes for frames 3 to 140\. .*holds frames 0 to 150"):
        load_au_dataset("bp4d", tmp_path, frame_offset=100)


@pytest.mark.parametrize("video", ["{subject}_{task}.mp4", "{subject}/{task}.avi", "{subject}_{task}.avi"])
def test_videos_in_place_of_images(tmp_path: Path, video: str) -> None:
    forge_bp4d(tmp_path, video=video)
    data = load_au_dataset("bp4d", tmp_path, clip_length=32)
    check_rows(data)
    assert data["test"][0]["start_frame"] == 7


def test_crops_in_place_of_images(tmp_path: Path) -> None:
    """The frames of a crop keep the numbers in its index, whatever the first number."""
    forge_bp4d(tmp_path / "raw")
    forge_bp4d(tmp_path / "crops", video="{subject}/{task}.mp4", labels_folder="unused")
    for video in (tmp_path / "crops").glob("Sequences*/*/*.mp4"):
        _write_index(video, images=TASKS[video.parent.name, video.stem][2], lost=10)
    options = {"video_dir": str(tmp_path / "crops"), "clip_length": 32}
    check_rows(load_au_dataset("bp4d", tmp_path / "raw", **options))
    kept = load_au_dataset("bp4d", tmp_path / "raw", **options)["test"][0]
    lost = load_au_dataset("bp4d", tmp_path / "raw", drop_lost_faces=True, **options)["test"][0]
    differs = (np.array(lost["labels"]) != kept["labels"]).any(axis=1)
    assert np.flatnonzero(differs).tolist() == [10 - kept["start_frame"]]
    assert set(lost["labels"][10 - kept["start_frame"]]) == {-100}


def _write_index(video: Path, images: int, lost: int) -> None:
    from auvmae.faces.crop_files import INDEX_COLUMNS, index_path

    lines = [",".join(INDEX_COLUMNS)]
    for position in range(images):
        lines.append(",".join([str(position + 1), *[""] * (len(INDEX_COLUMNS) - 2), str(int(position != lost))]))
    index_path(video).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("corner", ["0", "frame", ""])
def test_columns_go_by_the_header(tmp_path: Path, corner: str) -> None:
    forge_bp4d(tmp_path, columns=tuple(reversed(AUS)), corner=corner)
    check_rows(load_au_dataset("bp4d", tmp_path, clip_length=32))


def test_rare_aus(tmp_path: Path) -> None:
    forge_bp4d(tmp_path)
    assert [Bp4d.aus[index] for index in map(Bp4d.aus.index, Bp4d.rare_aus)] == [1, 2, 4, 15, 23, 24]
    data = load_au_dataset("bp4d", tmp_path, rare_au_clips=True)
    check_rows(data.filter(lambda row: not row["augmented"]), clip_length=128)
    assert sum(data["train"]["augmented"]) > 2
    assert not any(data["test"]["augmented"])


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (1, "0," + ",".join(str(au) for au in AUS if au != 24), r"line 2: found 24 cells\. There must be 23"),
        (1, "0," + ",".join(str(au + 50 if au in (2, 24) else au) for au in AUS), r"line 1: found no column 2, 24\."),
        (4, "10," + ",".join(["5"] * len(AUS)), r"line 4: found the value 5\. Values must be 0, 1, 9"),
        (4, "9," + ",".join(["0"] * len(AUS)), r"line 4: found frame 9\. Frame 9 must be followed by 10"),
        (4, "10,happy" + ",0" * (len(AUS) - 1), r"line 4: found '10,happy,0.*Every cell must be an integer"),
    ],
)
def test_faulty_label_files(tmp_path: Path, line: int, text: str, message: str) -> None:
    forge_bp4d(tmp_path)
    path = tmp_path / "AUCoding/AU_OCC/F007_T1.csv"
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines))
    with pytest.raises(LabelError, match=r"F007_T1\.csv, " + message):
        load_au_dataset("bp4d", tmp_path)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    forge_bp4d(tmp_path)
    (path,) = tmp_path.glob("Sequences*/F007/T1/*10.jpg")
    image = path.read_bytes()
    path.unlink()
    with pytest.raises(LabelError, match=r"F007_T1\.csv: found codes for frames 8 to 20\. .*T1 holds frames 1 to 24"):
        load_au_dataset("bp4d", tmp_path)
    path.write_bytes(image)
    labels = tmp_path / "AUCoding/AU_OCC/F001_T2.csv"
    labels.rename(tmp_path / "aside.csv")
    with pytest.raises(DatasetLayoutError, match=r"(?s)F001 T2 has no labels.*AUCoding/AU_OCC/F001_T1\.csv"):
        load_au_dataset("bp4d", tmp_path)
    (tmp_path / "aside.csv").rename(labels.with_name("F001_T7.csv"))
    with pytest.raises(DatasetLayoutError, match=r"F001 T2 has no labels|F001 T7 has no images"):
        load_au_dataset("bp4d", tmp_path)


def test_new_images_invalidate_the_cache(tmp_path: Path) -> None:
    forge_bp4d(tmp_path)
    assert load_au_dataset("bp4d", tmp_path)["test"][0]["start_frame"] == 8
    (tmp_path / "Sequences(2D+3D)/F007/T1/000.jpg").touch()
    assert load_au_dataset("bp4d", tmp_path)["test"][0]["start_frame"] == 7
