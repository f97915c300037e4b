"""Test the synthetic dataset: exact labels, DISFA's layout, and faces that move where FACS says."""

import json
from itertools import pairwise

import numpy as np
import pytest

from auvmae.data import load_au_dataset
from auvmae.data.folds import fold_subjects
from auvmae.data.synthetic import dataset
from auvmae.data.synthetic.dataset import (
    LABELLED_AUS,
    SUBJECTS,
    render_subject,
    write_synthetic_disfa,
    write_synthetic_faces,
)
from auvmae.data.synthetic.face import FaceIdentity, draw_identity, render_faces
from auvmae.data.synthetic.script import script_intensities
from auvmae.knowledge.facs import DISFA_AUS
from auvmae.knowledge.losses import label_weights
from auvmae.video.random_access import read_frames
from auvmae.video.reading import num_frames

TREE = {"num_subjects": 3, "frames_per_subject": 70, "image_size": 64, "progress": False}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_synthetic_disfa(tmp_path_factory.mktemp("synthetic") / "disfa", **TREE, num_proc=2)


@pytest.fixture(scope="module")
def occurrence():
    """(27, 320, 8) bool."""
    return np.stack([np.rint(script_intensities(i, 320, np.random.default_rng([0, i]))) >= 2 for i in range(27)])


@pytest.fixture
def face() -> FaceIdentity:
    return draw_identity(np.random.default_rng(3))


def draw(face: FaceIdentity, intensity: float, *aus: int, size: int = 64) -> np.ndarray:
    """One frame (size, size, 3), float, of a face that looks straight ahead."""
    intensities = np.array([[intensity if au in aus else 0 for au in DISFA_AUS]])
    return render_faces(face, intensities, np.zeros((1, 6)), size, np.random.default_rng(0))[0].astype(float)


def test_layout_is_disfas(tree):
    files = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    expected = {"synthetic.json"}
    for subject in ("SN001", "SN002", "SN003"):
        expected.add(f"Videos_LeftCamera/LeftVideo{subject}_comp.avi")
        expected |= {f"ActionUnit_Labels/{subject}/{subject}_au{au}.txt" for au in LABELLED_AUS}
    assert files == expected


def test_subjects_are_disfas():
    numbers = [*range(1, 14), 16, 17, 18, 21, *range(23, 33)]
    assert [f"SN{number:03d}" for number in numbers] == list(SUBJECTS)


def test_label_lines_are_the_intensities_counted_from_one(tree):
    _, intensities = render_subject(1, 70, 64, seed=0)
    for column, au in enumerate(LABELLED_AUS):
        lines = (tree / f"ActionUnit_Labels/SN002/SN002_au{au}.txt").read_text()
        assert lines == "".join(f"{i + 1},{intensities[i, column]}\n" for i in range(70))


@pytest.mark.parametrize("backend", ["decord", "pyav"])
def test_video_holds_the_labelled_frames_in_order(tree, backend):
    video = tree / "Videos_LeftCamera/LeftVideoSN003_comp.avi"
    assert num_frames(video) == 70
    picked = [0, 69, 17, 33]
    decoded = read_frames(video, picked, backend=backend).astype(float)
    frames, _ = render_subject(2, 70, 64, seed=0)
    distance = ((decoded[:, None] - frames[None]) ** 2).mean((2, 3, 4))
    assert distance.argmin(1).tolist() == picked
    assert distance.min(1).max() < 60


def test_same_seed_same_bytes_whatever_the_number_of_processes(tree, tmp_path):
    again = write_synthetic_disfa(tmp_path / "again", **TREE, num_proc=1)
    for path in tree.rglob("*.*"):
        assert path.read_bytes() == (again / path.relative_to(tree)).read_bytes(), path


def test_subjects_seeds_and_streams_differ():
    first, _ = render_subject(0, 2, 64)
    for other in (
        render_subject(1, 2, 64),
        render_subject(0, 2, 64, seed=1),
        render_subject(0, 2, 64, unlabelled=True),
    ):
        assert np.abs(first.astype(float) - other[0]).mean() > 8


def test_identity_does_not_depend_on_the_length(monkeypatch):
    seen = []
    monkeypatch.setattr(dataset, "render_faces", lambda face, *rest: seen.append(repr(face)))
    for length in (1, 500):
        render_subject(5, length, 64)
    assert seen[0] == seen[1]


def test_intensities_are_disfas_and_only_protocol_aus_move():
    _, intensities = render_subject(0, 320, 64)
    assert intensities.dtype == np.int8
    assert intensities.min() == 0
    assert intensities.max() in (4, 5)
    others = [i for i, au in enumerate(LABELLED_AUS) if au not in DISFA_AUS]
    assert not intensities[:, others].any()


def test_every_au_occurs_and_holds(occurrence):
    assert (occurrence.any(1).sum(0) >= 20).all()
    rates = occurrence.mean((0, 1))
    assert ((rates > 0.1) & (rates < 0.3)).all()
    flips = occurrence[:, 1:] != occurrence[:, :-1]
    assert (flips.mean((0, 1)) < 0.01).all()
    alone = occurrence & (occurrence.sum(-1, keepdims=True) == 1)
    assert (alone.sum((0, 1)) > 50).all()


@pytest.mark.parametrize(("pair", "low", "high"), [((1, 2), 0.4, 0.6), ((6, 12), 0.35, 0.55), ((4, 9), 0.2, 0.5)])
def test_partners_occur_together_as_on_real_faces(occurrence, pair, low, high):
    a, b = (occurrence[..., DISFA_AUS.index(au)] for au in pair)
    assert low < (a & b).sum() / (a | b).sum() < high


@pytest.fixture(scope="module")
def rare_occurrence():
    """(27, 4845, 8) bool: as many frames as DISFA has."""
    scripts = [script_intensities(i, 4845, np.random.default_rng([0, i]), "disfa") for i in range(27)]
    return np.rint(np.stack(scripts)) >= 2


def test_rare_labels_occur_as_often_as_disfas(rare_occurrence):
    weights = np.array(
        [1.42, 2.35, 0.40, 0.80, 1.88, 0.44, 0.20, 0.52]
    )  # published, of fold 1; rates are as 1 / weight
    train = [SUBJECTS.index(subject) for subject in fold_subjects("disfa", 1, "train")]
    rates = rare_occurrence[train].mean((0, 1))
    np.testing.assert_allclose(rates, 0.07 / weights, rtol=0.15)  # AU25 in 35 %, AU2 in 3 %
    np.testing.assert_allclose(label_weights([*rare_occurrence[train].astype(np.int8)]), weights, rtol=0.15)
    flips = rare_occurrence[:, 1:] != rare_occurrence[:, :-1]
    assert (flips.mean((0, 1)) < 0.01).all()


@pytest.mark.parametrize(("pair", "share"), [((1, 2), 0.48), ((6, 12), 0.37), ((12, 25), 0.34), ((6, 25), 0.23)])
def test_rare_labels_occur_together_as_disfas(rare_occurrence, pair, share):
    a, b = (rare_occurrence[..., DISFA_AUS.index(au)] for au in pair)
    assert (a & b).sum() / (a | b).sum() == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_every_rare_au_occurs_on_both_sides_of_a_short_tree(fold):
    for seed in range(3):
        scripts = np.stack([script_intensities(i, 640, np.random.default_rng([seed, i]), "disfa") for i in range(27)])
        for split in ("train", "test"):
            side = [SUBJECTS.index(subject) for subject in fold_subjects("disfa", fold, split)]
            assert ((scripts[side] >= 1.5).any(1).sum(0) >= 3).all()  # subjects that show it


@pytest.mark.parametrize(
    ("au", "top", "bottom"),
    [(1, 0.0, 0.4), (2, 0.0, 0.4), (4, 0.2, 0.5), (6, 0.35, 0.7), (9, 0.35, 0.75), (12, 0.5, 0.9), (25, 0.6, 0.95)],
)
def test_action_changes_its_part_of_the_face(face, au, top, bottom):
    change = np.abs(draw(face, 3, au) - draw(face, 0)).sum((1, 2))
    inside = change[int(top * 64) : int(bottom * 64)].sum()
    assert inside > 0.9 * change.sum()
    assert change.sum() / (64 * 64 * 3) > 0.4  # out of 255, so visible at a glance


def test_jaw_drop_lengthens_the_face(face):
    change = np.abs(draw(face, 3, 26) - draw(face, 0)).sum((1, 2))
    assert change[32:].sum() > 0.9 * change.sum()
    assert change[54:].sum() > 0.2 * change.sum()


def test_label_edge_is_the_largest_step(face):
    for au in DISFA_AUS:
        shown = [draw(face, intensity, au) for intensity in range(6)]
        steps = [np.abs(b - a).mean() for a, b in pairwise(shown)]
        assert np.argmax(steps) == 1, f"AU{au}"


def test_unlabelled_videos_lie_flat(tmp_path):
    root = write_synthetic_faces(tmp_path / "faces", num_videos=2, frames_per_video=5, image_size=64, progress=False)
    assert sorted(path.name for path in root.iterdir()) == ["face00000.avi", "face00001.avi", "synthetic.json"]
    assert num_frames(root / "face00001.avi") == 5


def test_finished_tree_is_kept(tree, monkeypatch):
    monkeypatch.setattr(dataset, "render_subject", None)
    assert write_synthetic_disfa(tree, **TREE) == tree


def test_other_rates_are_another_tree(tmp_path, monkeypatch):
    still = np.zeros((40, 32, 32, 3), np.uint8)
    monkeypatch.setattr(dataset, "render_faces", lambda *_: still)  # only the labels matter here
    small = {"num_subjects": 4, "frames_per_subject": 40, "image_size": 32}
    found = {}
    for options in ({}, {"rates": "balanced"}, {"rates": "disfa"}):
        rows = load_au_dataset("synthetic", cache_dir=tmp_path, clip_length=40, **small, **options)
        found[options.get("rates")] = rows["train"]["video"][0]
    trees = sorted(path.name for path in (tmp_path / "auvmae").iterdir() if path.is_dir())
    assert trees == ["synthetic_disfa-v3-4x40-32px-seed0", "synthetic_disfa-v3-4x40-32px-seed0-disfa"]
    assert found[None] == found["balanced"] != found["disfa"]
    cards = [json.loads((tmp_path / "auvmae" / tree / "synthetic.json").read_text()) for tree in trees]
    assert [card.get("rates") for card in cards] == [None, "disfa"]


def test_other_directories_are_refused(tree, tmp_path):
    with pytest.raises(FileExistsError, match=r"disfa is not empty and holds .*'seed': 0.*'seed': 1"):
        write_synthetic_disfa(tree, **TREE, seed=1)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="other files"):
        write_synthetic_disfa(tmp_path, **TREE)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("num_proc", [1, 2])
def test_failure_leaves_nothing(tmp_path, monkeypatch, num_proc):
    def fail_on_the_second(index, *args, **kwargs):
        if index == 1:
            raise RuntimeError("power cut")
        return np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 12), np.int8)

    monkeypatch.setattr(dataset, "render_subject", fail_on_the_second)
    with pytest.raises(RuntimeError, match="power cut"):
        write_synthetic_disfa(tmp_path / "disfa", **TREE, num_proc=num_proc)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [{"num_subjects": 28}, {"num_subjects": 0}, {"frames_per_subject": 0}, {"image_size": 65}, {"rates": "bp4d"}],
)
def test_wrong_numbers_are_named(tmp_path, wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))!r}"):
        write_synthetic_disfa(tmp_path / "disfa", **{**TREE, **wrong})
