import json
import shutil

import numpy as np
import pytest
from PIL import Image

from auvmae.data import load_au_dataset
from auvmae.data.clips import au_names, video_labels
from auvmae.data.files import DatasetLayoutError, LabelError
from auvmae.data.loading.loader import ClipCollator, ClipDataset
from auvmae.data.portraits import writing
from auvmae.data.portraits.action_units import NUMBERS
from auvmae.data.portraits.dataset import read_sides
from auvmae.data.portraits.fitting import digest
from auvmae.data.portraits.writing import find_portraits, read_card, tree_digest, write_portraits
from auvmae.processors import AUVMAEImageProcessor
from auvmae.video.random_access import read_frames

pytest.importorskip("cv2")

SIZES = {"videos_per_portrait": 2, "frames_per_video": 6, "image_size": 32, "seed": 3}


@pytest.fixture
def portraits(tmp_path, monkeypatch, fit, image):
    """Forge six portraits, with fits that know their content."""
    folder = tmp_path / "portraits"
    names = [f"{sex}/512/{number}.jpg" for sex in ("female", "male") for number in range(3)]
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(image, 20 * number, axis=2)).save(path, quality=95 - number)
    fits = dict.fromkeys(names, fit), {name: digest(folder / name) for name in names}
    monkeypatch.setattr(writing, "load_fits", lambda: fits)
    writing._fits.cache_clear()
    yield folder
    writing._fits.cache_clear()
    writing._renderer.cache_clear()


@pytest.fixture
def tree(tmp_path, portraits, rig_folder):
    return write_portraits(tmp_path / "tree", portraits, rig_folder, **SIZES, num_proc=1, progress=False)


def test_one_and_two_processes_give_the_same_bytes(tmp_path, tree, portraits, rig_folder):
    other = write_portraits(tmp_path / "other", portraits, rig_folder, **SIZES, num_proc=2, progress=False)
    assert tree_digest(tree) == tree_digest(other) == read_card(tree)["sha256"]
    assert len(list(tree.glob("videos/*/*.mp4"))) == 12
    assert not (tmp_path / "tree.unfinished").exists()
    assert {path.name for path in tree.iterdir()} == {"portraits.json", "videos", "labels"}
    third = write_portraits(tmp_path / "third", portraits, rig_folder, **SIZES | {"seed": 4}, progress=False)
    assert tree_digest(third) != tree_digest(tree)


def test_rendering_goes_on_where_it_stopped(tmp_path, tree, portraits, rig_folder):
    unfinished = tmp_path / "again.unfinished"
    shutil.copytree(tree, unfinished)
    (unfinished / "portraits.json").rename(unfinished / "card")
    kept = json.loads((unfinished / "card").read_text())
    (unfinished / "card").unlink()
    (unfinished / "unfinished.json").write_text(json.dumps({name: kept[name] for name in kept if name != "sha256"}))
    (unfinished / "labels/male_01/001.csv").unlink()  # killed before it was written
    (unfinished / "videos/male_01/001.mp4").write_bytes(b"half")
    shutil.rmtree(unfinished / "videos/male_02")
    shutil.rmtree(unfinished / "labels/male_02")
    untouched = (unfinished / "videos/female_00/000.mp4").stat().st_mtime_ns
    again = write_portraits(tmp_path / "again", portraits, rig_folder, **SIZES, progress=False)
    assert tree_digest(again) == tree_digest(tree)
    assert (again / "videos/female_00/000.mp4").stat().st_mtime_ns == untouched
    assert not unfinished.exists()


def test_a_complete_tree_is_kept_and_another_one_refused(tree, portraits, rig_folder):
    before = (tree / "portraits.json").stat().st_mtime_ns
    assert write_portraits(tree, portraits, rig_folder, **SIZES) == tree
    assert (tree / "portraits.json").stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match=r"holds .*'seed': 3.* not .*'seed': 4.*\. Remove it"):
        write_portraits(tree, portraits, rig_folder, **SIZES | {"seed": 4})


def test_an_unfinished_tree_of_other_parameters_is_refused(tmp_path, portraits, rig_folder):
    (tmp_path / "new.unfinished").mkdir()
    (tmp_path / "new.unfinished/unfinished.json").write_text('{"seed": 9}')
    with pytest.raises(FileExistsError, match="holds an unfinished rendering of"):
        write_portraits(tmp_path / "new", portraits, rig_folder, **SIZES)


def test_missing_and_other_portraits_are_named(tmp_path, portraits, rig_folder):
    with pytest.raises(FileNotFoundError, match=r"expected 6 images such as female/512/0.jpg, found no such folder"):
        find_portraits(tmp_path / "nowhere")
    (portraits / "male/512/2.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"found 5 of them\. Get them with `git clone"):
        write_portraits(tmp_path / "new", portraits, rig_folder, **SIZES)
    shutil.copy(portraits / "male/512/1.jpg", portraits / "male/512/2.jpg")
    with pytest.raises(ValueError, match=r"male/512/2.jpg is not the portrait that was fitted"):
        find_portraits(portraits)
    writing.load_fits()[1]["male/512/2.jpg"] = digest(portraits / "male/512/2.jpg")
    with pytest.raises(FileNotFoundError, match="does not hold the face rig"):
        write_portraits(tmp_path / "new", portraits, tmp_path, **SIZES)


@pytest.mark.parametrize(("name", "value"), [("image_size", 33), ("frames_per_video", 0), ("videos_per_portrait", 0)])
def test_sizes_are_checked(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}"):
        write_portraits(tmp_path / "new", tmp_path, tmp_path, **SIZES | {name: value})


def test_trees_without_something_are_trees_of_their_own(tmp_path, tree, portraits, rig_folder):
    with pytest.raises(ValueError, match="leave_out has noses; choose from wrinkles, morphs, speech, expressions"):
        write_portraits(tmp_path / "new", portraits, rig_folder, **SIZES, leave_out=["noses"])
    with pytest.raises(FileExistsError, match=r"not .*'leave_out': \['speech'\]"):
        write_portraits(tree, portraits, rig_folder, **SIZES, leave_out=["speech"])
    folders = {"portraits_dir": str(portraits), "rig_dir": str(rig_folder), "cache_dir": tmp_path / "cache"}
    for leave_out in (["speech", "morphs"], ["morphs", "speech"]):
        load_au_dataset("portraits", num_proc=1, leave_out=leave_out, **folders, **SIZES)
    (card,) = (tmp_path / "cache/auvmae").glob("portraits-*/portraits.json")
    assert card.parent.name.endswith("-no_morphs-no_speech")
    assert json.loads(card.read_text())["leave_out"] == ["morphs", "speech"]
    with pytest.raises(ValueError, match="leave_out must be a list of names, found 'speech'"):
        load_au_dataset("portraits", leave_out="speech", **folders, **SIZES)


def test_rows_have_occurrences_and_intensities(tmp_path, tree):
    rows = load_au_dataset("portraits", tree, fold=1, clip_length=4, num_folds=3, cache_dir=tmp_path / "cache")
    assert au_names(rows) == [f"AU{number}" for number in NUMBERS]
    assert set(rows["train"]["subject"]) | set(rows["test"]["subject"]) == {
        f"{sex}_{number:02d}" for sex in ("female", "male") for number in range(3)
    }
    assert not set(rows["train"]["subject"]) & set(rows["test"]["subject"])
    row = rows["train"].with_format("numpy")[1]  # the last two frames of a video of six
    sides = read_sides(tree / "labels" / row["subject"] / (row["video"][-7:-4] + ".csv"))
    assert row["start_frame"] == 4
    np.testing.assert_allclose(row["intensities"][:2], sides[4:].max(axis=2), atol=1e-6)
    assert np.isnan(row["intensities"][2:]).all()
    np.testing.assert_array_equal(row["labels"][:2], sides[4:].max(axis=2) >= 1)
    assert (row["labels"][2:] == -100).all()
    assert len(video_labels(rows["train"])) == 8


def test_batches_have_intensities(tmp_path, tree):
    rows = load_au_dataset("portraits", tree, clip_length=4, cache_dir=tmp_path / "cache")["train"]
    clips = ClipDataset(rows, AUVMAEImageProcessor(32).resize_frames)
    batch = ClipCollator()([clips[0], clips[1]])
    assert batch["intensities"].shape == batch["labels"].shape == (2, 4, len(NUMBERS))
    assert batch["frames"].shape == (2, 4, 32, 32, 3)
    assert ((batch["intensities"] >= 1) == (batch["labels"] == 1)).all()


def test_videos_show_what_was_filmed(tree):
    frames = read_frames(str(tree / "videos/female_00/000.mp4"), np.arange(6))
    assert frames.shape == (6, 32, 32, 3)
    assert frames.std() > 5


def test_without_a_tree_both_folders_are_needed(tmp_path):
    with pytest.raises(ValueError, match="portraits_dir and rig_dir must name the folders"):
        load_au_dataset("portraits", cache_dir=tmp_path)


def test_the_flags_render_the_tree_first(tmp_path, portraits, rig_folder):
    options = {"portraits_dir": str(portraits), "rig_dir": str(rig_folder), "cache_dir": tmp_path / "cache"}
    rows = load_au_dataset("portraits", tmp_path / "data", clip_length=4, **SIZES, **options)
    assert len(rows["train"]) + len(rows["test"]) == 24
    assert len(load_au_dataset("portraits", tmp_path / "data", clip_length=4, cache_dir=tmp_path / "cache")) == 2
    with pytest.raises(ValueError, match=r"was rendered with .*'seed': 3.*, not \{'seed': 5\}\. Name another data_dir"):
        load_au_dataset("portraits", tmp_path / "data", seed=5, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1" + ",0" * 35, "line 3: found 36 cells from frame '1' on"),
        ("1" + ",0" * 35 + ",5.1", "line 3: found the intensity '5.1'. Expected 0 to 5"),
        ("1" + ",0" * 35 + ",x", "line 3: found the intensity 'x'"),
        ("2" + ",0" * 36, "line 3: found 37 cells from frame '2' on"),
    ],
)
def test_damaged_labels_are_named(tree, line, message):
    path = tree / "labels/female_00/000.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], line, *lines[3:]]) + "\n")
    with pytest.raises(LabelError, match=message):
        read_sides(path)


def test_a_missing_video_is_named(tree, tmp_path):
    (tree / "videos/female_00/000.mp4").unlink()
    with pytest.raises(DatasetLayoutError, match=r"labels/female_00/000.csv has no video videos/female_00/000.mp4"):
        load_au_dataset("portraits", tree, cache_dir=tmp_path / "cache")


def test_missing_opencv_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"rendering needs the extra `faces`: pip install auvmae\[faces\]"):
        write_portraits(tmp_path / "new", tmp_path, tmp_path, **SIZES)
