"""Test the statistics of a fold against loops over frames, and the command on a synthetic tree."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from auvmae.cli.main import main
from auvmae.data.clips import rare_au_clips
from auvmae.data.statistics import SELF_LOOPS, fold_statistics
from auvmae.knowledge.losses import label_weights
from auvmae.plotting.knowledge import plot_occurrence, plot_state_machine

from ..support.forge_disfa import numbered_frame, write_video
from ..support.literal_fsm import literal_cooccurrence, literal_transitions

NAMES = ["AU1", "AU2", "AU12"]


@pytest.fixture
def videos():
    generator = np.random.default_rng(0)
    videos = [(generator.random((length, 3)) < [0.1, 0.3, 0.5]).astype(np.int64) for length in (40, 64, 25)]
    videos[0][5:9] = -100
    videos[1][:, 2][::7] = -100
    return videos


def test_statistics_equal_loops(videos):
    found = fold_statistics(videos, NAMES, rare=[0], clip_length=32, subjects=["a", "a", "b"])
    assert (found.num_videos, found.num_subjects, found.num_frames) == (3, 2, 129)
    assert found.num_coded_frames == sum(1 for video in videos for frame in video if (frame != -100).any())
    assert (found.num_clips, found.num_whole_clips) == (5, 3)
    cuts = [video[start:stop] for video in videos for start, stop in rare_au_clips(video, [0])]
    assert (found.num_rare_clips, found.num_rare_frames) == (len(cuts), sum(map(len, cuts)))
    for name, parts in (("occurrence_rates", videos), ("occurrence_rates_added", [*videos, *cuts])):
        frames = np.concatenate(parts)
        expected = [(frames[:, au] == 1).sum() / (frames[:, au] != -100).sum() for au in range(3)]
        np.testing.assert_allclose(getattr(found, name), expected)
    np.testing.assert_allclose(found.label_weights, label_weights(videos), rtol=1e-6)


@pytest.mark.medium
def test_pairs_equal_literal_loops(videos):
    padded = np.full((3, 64, 3), -100)
    for row, video in zip(padded, videos, strict=True):
        row[: len(video)] = video
    labels = torch.tensor(padded)
    arguments = labels.clamp(min=0).double(), labels != -100
    found = fold_statistics(videos, NAMES)
    np.testing.assert_allclose(found.cooccurrence, literal_cooccurrence(*arguments))
    transitions = literal_transitions(*arguments).numpy()
    np.testing.assert_allclose(found.transitions, transitions)
    off_diagonal = ~np.eye(3, dtype=bool)
    assert found.self_loop_mass == pytest.approx(transitions[off_diagonal][:, SELF_LOOPS].sum(-1).mean())


def test_saved_statistics_are_read_back(videos, tmp_path):
    found = fold_statistics(videos, NAMES, rare=[0])
    json_path, tensors = found.save(tmp_path)
    saved = json.loads(json_path.read_text())
    assert saved["occurrence_rates"]["AU12"] == pytest.approx(found.occurrence_rates[2])
    np.testing.assert_array_equal(load_file(tensors)["transitions"], found.transitions)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["statistics.json", "statistics.safetensors"]


def test_pictures_hold_what_they_were_given(videos):
    found = fold_statistics(videos, NAMES, rare=[0])
    rates = {"before": found.occurrence_rates, "after": found.occurrence_rates_added}
    (axis,) = plot_occurrence(rates, NAMES).axes
    heights = sorted(round(bar.get_height(), 6) for bar in axis.patches)
    assert heights == sorted(round(100 * float(rate), 6) for rate in np.concatenate(list(rates.values())))
    assert [label.get_text() for label in axis.get_xticklabels()] == NAMES
    graph = plot_state_machine(found.transitions[0, 1], ("AU1", "AU2")).axes[0]
    assert graph.texts


def test_wrong_labels_are_named(videos):
    with pytest.raises(ValueError, match=r"labels must be \(T, 2\)"):
        fold_statistics(videos, NAMES[:2])


@pytest.mark.medium
def test_the_command_prints_saves_and_draws(tmp_path, capsys):
    options = json.dumps({"frames_per_subject": 360, "image_size": 32})
    code = main(["stats", "--clip_length", "120", "--dataset_options", options, "-o", str(tmp_path)])
    assert code == 0
    printed = capsys.readouterr().out
    assert "18 subjects, 18 videos, 6480 frames" in printed
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors", ".png"}


def table_of_own_recordings(folder):
    """Two subjects; AU2 is active on 2 of 40 frames, AU1 on 20 and AU12 on 30."""
    lines = ["video,frame,subject,AU1,AU2,AU12"]
    for name in "ab":
        write_video(folder / f"{name}.mp4", [numbered_frame(index) for index in range(40)], codec="libx264")
        lines += [f"{name},{i},{name},{int(i < 20)},{int(i < 2)},{int(i < 30)}" for i in range(40)]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(("options", "expected"), [({}, ["AU2"]), ({"rare_aus": [1]}, ["AU1"])])
def test_the_command_takes_the_builders_options(tmp_path, options, expected):
    table_of_own_recordings(tmp_path)
    options = json.dumps({"num_folds": 2, "cache_dir": str(tmp_path / "cache"), **options})
    data = ["--dataset", "au_video_folder", "--data_dir", str(tmp_path), "--dataset_options", options]
    assert main(["stats", *data, "--clip_length", "20", "-o", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "statistics.json").read_text())
    assert found["rare_aus"] == expected
    assert found["clip_length"] == 20
    for repeated in ({"fold": 2}, {"clip_length": 16}):
        assert main(["stats", *data[:4], "--dataset_options", json.dumps(repeated)]) == 2


def test_the_command_names_what_is_wrong(capsys):
    assert main(["stats", "--dataset", "disfa", "--data_dir", "nowhere"]) == 2
    assert "nowhere is not a folder" in capsys.readouterr().err
