"""Test a user's own recordings with wide and long tables as people write them."""

import os
import shutil
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest

from auvmae.data import au_names, load_au_dataset
from auvmae.data.au_video_folder import AUVideoFolder
from auvmae.data.clips import RARE_AUS, fit_clip, rare_au_clips, segment_clips
from auvmae.data.files import LabelError
from auvmae.data.folds import k_fold_subjects
from auvmae.evaluation.saved_predictions import FoldPredictions
from auvmae.faces.crop_files import INDEX_COLUMNS, index_path
from auvmae.knowledge.facs import BP4D_AUS, DISFA_AUS
from auvmae.knowledge.losses import label_weights

from ..support.forge_disfa import forge_disfa, intensities, numbered_frame, write_video
from ..support.forge_folder import CLIP, LENGTHS, check, codes, labels_of, load, wide, write_table


def test_wide_tables(forged: Path) -> None:
    data = load(forged)
    assert list(data) == ["train", "test"]
    check(data, forged)
    subjects = ["anna/monday", "anna/tuesday", "bert", "carla/images"]
    for split, rows in data.items():
        assert set(rows["subject"]) == k_fold_subjects(subjects, 1, split)
        for video in set(rows["video"]):
            clips = [(row["start_frame"], row["num_frames"]) for row in rows if row["video"] == video]
            length = LENGTHS[Path(video).relative_to(forged).as_posix()]
            assert clips == [(start, stop - start) for start, stop in segment_clips(length, CLIP)]
        assert not any(rows["augmented"])


@pytest.mark.parametrize("fold", [1, 2, 3, 4])
def test_a_video_has_one_name_whatever_the_split(forged: Path, fold: int) -> None:
    data = load(forged, fold=fold, num_folds=4)
    assert {name for rows in data.values() for name in rows["name"]} == set(LENGTHS)
    for rows in data.values():
        assert all(str(forged / row["name"]) == row["video"] for row in rows)
    assert len(set(data["test"]["video"])) == 1
    test, names = data["test"], au_names(data)
    labels = np.array(test.with_format("numpy")["labels"])
    for sides in (data, datasets.DatasetDict(test=test)):  # in-domain, and after training on another dataset
        predictions = FoldPredictions.from_clips(np.zeros(labels.shape), labels, sides, names)
        assert set(predictions.videos) == set(test["name"])


def test_long_tables(tree: Path) -> None:
    _, *rows = wide()
    cells = [(*row[:2], au, value) for row in rows for au, value in zip(("AU1", 12, "au04"), row[2:], strict=True)]
    write_table(tree, [["Video", "Frame", "AU", "Value"], *cells])
    check(load(tree), tree)
    coded = [cell for cell in cells if cell[-1] != ""]
    order = np.random.default_rng(0).permutation(len(coded))
    write_table(tree, [["value", "au", "frame", "video"], *(coded[index][::-1] for index in order)])
    check(load(tree), tree)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_as_people_write_them(
    tree: Path, delimiter: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows in any order, spaces, empty lines, extra columns, and integers with a decimal point."""
    _, *rows = wide()
    rows = [[name, f"{frame}.0", f" {a} ", b and float(b), c, "note"] for name, frame, a, b, c in rows[::-1]]
    write_table(tree, [["VIDEO", " frame", "AU01", "au12", "4", "remark"], [""] * 6, *rows, [""] * 6], delimiter)
    monkeypatch.chdir(tree.parent)
    check(load(Path("mine")), tree)
    assert "the columns remark are ignored" in caplog.text


@pytest.mark.parametrize(
    "names",
    [
        {"anna/monday.mp4": "monday.mp4", "anna/tuesday.avi": "anna\\tuesday.avi", "bert.mkv": "./bert.mkv"},
        {"anna/monday.mp4": "monday", "anna/tuesday.avi": "anna/tuesday", "carla/images": "images"},
        {"anna/monday.mp4": "monday.avi", "anna/tuesday.avi": "tuesday.mp4", "bert.mkv": "bert.MOV"},
    ],
)
def test_videos_by_any_unambiguous_name(tree: Path, names: dict[str, str]) -> None:
    header, *rows = wide()
    write_table(tree, [header, *([names.get(row[0], row[0]), *row[1:]] for row in rows)])
    check(load(tree), tree)


def test_ambiguous_names(tree: Path) -> None:
    (tree / "dora").mkdir()
    shutil.copy(tree / "anna/monday.mp4", tree / "dora/monday.mp4")
    header, *rows = wide()
    write_table(tree, [header, *([row[0].replace("anna/monday", "monday"), *row[1:]] for row in rows)])
    message = r"line 2: found the video 'monday\.mp4', which matches anna/monday\.mp4 and dora/monday\.mp4\. Use its"
    with pytest.raises(LabelError, match=message):
        load(tree)
    shutil.copy(tree / "anna/monday.mp4", tree / "monday.mp4")
    assert str(tree / "monday.mp4") in {video for rows in load(tree).values() for video in rows["video"]}


def test_gaps_and_ends_are_not_coded(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    header, *rows = wide()
    rows = [row for row in rows if row[0] != "anna/monday.mp4" or row[1] in (*range(5, 12), 20, 21)]
    write_table(tree, [header, *rows, ["bert.mkv", 25, 1, 1, 1], ["bert.mkv", 90, 0, 0, 0]])
    data = load(tree)
    found = labels_of(data, tree)
    expected = codes("anna/monday.mp4")[5:22, [0, 2, 1]]
    expected[7:15] = -100
    assert found["anna/monday.mp4"].tolist() == expected.tolist()
    starts = [row["start_frame"] for rows in data.values() for row in rows if "monday" in row["video"]]
    assert starts == [5, 5 + CLIP]
    assert found["bert.mkv"].tolist() == codes("bert.mkv")[:, [0, 2, 1]].tolist()
    assert "codes 2 frames past the end of" in caplog.text
    assert "whose last frame is 24" in caplog.text
    assert "frame_offset=-1" in caplog.text


def test_frames_may_count_from_one(tree: Path) -> None:
    header, *rows = wide()
    write_table(tree, [header, *([row[0], row[1] + 1, *row[2:]] for row in rows)])
    check(load(tree, frame_offset=-1), tree)
    with pytest.raises(LabelError, match=r"line 2: found the frame '1'\. Frames must be whole .* frame_offset=-2"):
        load(tree, frame_offset=-2)


def test_intensities(tree: Path) -> None:
    header, *rows = wide()
    high, low = (3, "2.5", 2, 5), (0, 1, "1.9", 1.5)
    rows = [
        [*row[:2], *(value if value == "" else (high if value else low)[row[1] % 4] for value in row[2:])]
        for row in rows
    ]
    write_table(tree, [header, *rows])
    check(load(tree, intensity_threshold=2), tree)
    with pytest.raises(LabelError, match=r"Values must be 0 or 1, .* Set intensity_threshold to read intensities"):
        load(tree)
    write_table(tree, [header, *rows, ["bert", 25, 9, 0, 0]])
    with pytest.raises(LabelError, match=r"line 117: found the value '9'\. Intensities must be 0 to 5"):
        load(tree, intensity_threshold=2)


def test_subjects_and_folds(tree: Path) -> None:
    header, *rows = wide()
    write_table(tree, [[*header, "subject"], *([*row, row[0].split("/")[0].split(".")[0]] for row in rows)])
    tested = []
    for fold in (1, 2, 3):
        data = load(tree, fold=fold)
        check(data, tree)
        people = {split: set(rows["subject"]) for split, rows in data.items()}
        assert not people["train"] & people["test"]
        tested += people["test"]
    assert sorted(tested) == ["anna", "bert", "carla"]
    assert set(load(tree, fold=2, num_folds=2)["test"]["subject"]) == {"anna", "carla"}
    write_table(tree, wide())
    assert set(load(tree, fold=4, num_folds=4)["test"]["subject"]) == {"anna/monday"}
    with pytest.raises(ValueError, match="4 subjects cannot be split into 5"):
        load(tree, num_folds=5)
    with pytest.raises(ValueError, match="there is no fold 4"):
        load(tree, fold=4)
    with pytest.raises(ValueError, match="au_video_folder has no option num_fold"):
        load(tree, num_fold=3)


def test_rare_au_clips(tree: Path) -> None:
    table = {name: np.zeros((length, 3), int) for name, length in LENGTHS.items()}
    for values in table.values():
        values[::2, 0] = values[1::2, 1] = 1
        values[5, 2] = 1
    rows = [[name, frame, *line] for name, values in table.items() for frame, line in enumerate(values.tolist())]
    write_table(tree, [wide()[0], *rows])
    assert not any(load(tree)["train"]["augmented"])
    data = load(tree, rare_au_clips=True)
    assert not any(data["test"]["augmented"])
    added = [row for row in data["train"] if row["augmented"]]
    for name in {row["video"] for row in data["train"]}:
        labels = table[Path(name).relative_to(tree).as_posix()][:, [0, 2, 1]]
        (clip,) = rare_au_clips(labels, [1])
        expected = fit_clip(*clip, len(labels), CLIP)
        assert [(row["start_frame"], row["num_frames"]) for row in added if row["video"] == name] == [
            (start, stop - start) for start, stop in expected
        ]
    chosen = load(tree, rare_au_clips=True, rare_aus=[1, 12])["train"]
    assert sum(chosen["augmented"]) > len(added)


@pytest.mark.parametrize(
    ("dataset", "aus", "weights"),
    [
        ("bp4d", BP4D_AUS, "1.3430 1.6897 1.2481 .5614 .4330 .4359 .4573 .5410 1.4081 .7228 1.4931 1.6667"),
        ("disfa", DISFA_AUS, "1.4223 2.3478 .3997 .7950 1.8782 .4401 .1956 .5213"),
    ],
)
def test_the_rule_for_rare_aus_gives_the_published_ones(dataset: str, aus: tuple[int, ...], weights: str) -> None:
    """Weights of the real first folds, from data-formats.md. The builder calls an AU rare if its weight is above 1."""
    assert tuple(au for au, weight in zip(aus, weights.split(), strict=True) if float(weight) > 1) == RARE_AUS[dataset]


def test_rare_means_a_weight_above_one(tree: Path) -> None:
    builder = AUVideoFolder(data_dir=str(tree))
    training = [
        builder.codes[recording.video][1]
        for recording in builder.recordings
        if recording.subject in builder.fold_subjects("train")
    ]
    weights = label_weights(training)
    assert builder.rare_aus == tuple(au for au, weight in zip((1, 4, 12), weights, strict=True) if weight > 1)
    assert 0 < len(builder.rare_aus) < 3


def test_crops_in_place_of_the_videos(forged: Path, tmp_path: Path) -> None:
    """Crops are MP4s, those of image folders keep the images' numbers, and frames without a face are marked."""
    for name, length in LENGTHS.items():
        video = tmp_path / Path(name).with_suffix(".mp4")
        write_video(video, map(numbered_frame, range(length)), "libx264")
        lines = [",".join(INDEX_COLUMNS)]
        lines += [f"{frame}{',' * (len(INDEX_COLUMNS) - 1)}{int(frame != 3)}" for frame in range(length)]
        index_path(video).write_text("\n".join(lines) + "\n")
    options = {"video_dir": str(tmp_path)}
    kept, cut = load(forged, **options), load(forged, drop_lost_faces=True, **options)
    assert {row["subject"] for rows in kept.values() for row in rows} == {
        *("anna/monday", "anna/tuesday", "bert", "carla/images")
    }
    before, after = labels_of(kept, tmp_path), labels_of(cut, tmp_path)
    for name in LENGTHS:
        expected = codes(name)[:, [0, 2, 1]]
        crop = Path(name).with_suffix(".mp4").as_posix()
        assert before[crop].tolist() == expected.tolist()
        expected[3] = -100
        assert after[crop].tolist() == expected.tolist()


def test_two_processes_and_streaming_give_the_same_rows(forged: Path, tmp_path: Path) -> None:
    options = {"fold": 2, "rare_au_clips": True}
    one, two = (load(forged, cache_dir=tmp_path / str(count), num_proc=count, **options) for count in (1, 2))
    streamed = AUVideoFolder(
        config_name="fold2", data_dir=str(forged), clip_length=CLIP, rare_au_clips=True
    ).as_streaming_dataset()
    for split, rows in one.items():
        assert rows.features == two[split].features
        assert rows.to_list() == two[split].to_list()
        for row, other in zip(rows, streamed[split], strict=True):
            assert np.array_equal(row.pop("labels"), other.pop("labels"))
            assert row == other


def test_cache_follows_the_files(tree: Path, tmp_path: Path) -> None:
    def files(**options: Any) -> tuple[str, ...]:
        data = load(tree, cache_dir=tmp_path / "cache", **options)
        return tuple(file["filename"] for rows in data.values() for file in rows.cache_files)

    seen = [files()]
    assert files() == seen[0]
    rows = wide()
    rows[1][2] = 0
    write_table(tree, rows)
    seen.append(files())
    os.utime(tree / "bert.mkv", ns=(0, 0))
    seen.append(files())
    seen.append(files(fold=2))
    seen.append(files(rare_aus=[4]))
    assert len(set(seen)) == len(seen)


def test_the_same_labels_as_another_builder(tmp_path: Path) -> None:
    """The label files of DISFA, merged into one table."""
    lengths = {f"SN00{number}": 40 for number in (1, 3, 5)}
    forge_disfa(tmp_path, lengths)
    rows: list[list[Any]] = [["video", "frame", *(f"AU{au}" for au in DISFA_AUS)]]
    every = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
    for subject, length in lengths.items():
        values = intensities(subject, length)[:, [every.index(au) for au in DISFA_AUS]]
        rows += [[f"LeftVideo{subject}_comp", frame, *line] for frame, line in enumerate(values.tolist(), 1)]
    write_table(tmp_path, rows)
    mine = load(tmp_path, intensity_threshold=2, frame_offset=-1)
    theirs = load_au_dataset("disfa", tmp_path, clip_length=CLIP)
    assert au_names(mine) == au_names(theirs)
    every_video = {row["video"]: row["labels"] for rows in mine.values() for row in rows if not row["start_frame"]}
    for side in theirs.values():
        for row in side:
            if not row["start_frame"]:
                assert every_video[row["video"]] == row["labels"]
