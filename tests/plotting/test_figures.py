"""The figures show the data they were given."""

import numpy as np
import pytest
from PIL import Image

from auvmae.plotting.knowledge import plot_cooccurrence, plot_occurrence, plot_state_machine, plot_transitions
from auvmae.plotting.pretraining import plot_frame_rows, plot_losses
from auvmae.plotting.style import save_figure
from auvmae.plotting.timeline import plot_timeline

NAMES = ["AU1", "AU2", "AU12"]


def test_cooccurrence_shows_every_defined_pair():
    matrix = np.array([[1, 0.25, np.nan], [0.25, 1, 0.5], [np.nan, 0.5, 1]])
    figure = plot_cooccurrence({"prior": matrix, "learned": matrix / 2}, NAMES)
    prior, learned, bar = figure.axes
    assert [text.get_text() for text in prior.texts] == [".25", ".25", ".50", ".50"]
    assert [label.get_text() for label in learned.get_xticklabels()] == NAMES
    assert prior.get_title() == "prior"
    assert bar.get_ylabel() == "P(both | at least one)"


def test_transitions_show_what_is_no_self_loop():
    tensor = np.zeros((3, 3, 16))
    tensor[..., [0, 5, 10, 15]] = 0.2  # the four self-loops
    tensor[..., 4] = 0.2
    figure = plot_transitions({"prior": tensor}, NAMES)
    values = figure.axes[0].images[0].get_array()
    assert values.mask.diagonal().all()
    np.testing.assert_allclose(values[0, 1], 20)


def test_timeline_marks_coded_and_uncoded_runs():
    labels = np.array([0, 1, 1, 0, -100, -100, 1])[:, None]
    figure = plot_timeline(np.linspace(0, 1, 7)[:, None], labels, ["AU6"])
    (axis,) = figure.axes
    spans = [
        [tuple(path.get_extents().intervalx) for path in collection.get_paths()] for collection in axis.collections
    ]
    assert [(1, 3), (6, 7)] in spans
    assert [(4, 6)] in spans
    assert axis.get_ylabel() == "AU6"


@pytest.mark.parametrize("name", ["a.png", "new/folder/b.png"])
def test_saved_pictures_open(tmp_path, name):
    figure = plot_timeline(np.zeros((5, 1)), np.zeros((5, 1)), ["AU6"], title="SN001")
    with Image.open(save_figure(figure, tmp_path / name)) as image:
        assert image.width == 2100  # two columns of 3.5 inches at 300 dots


@pytest.mark.medium
def test_names_are_drawn_as_they_are(tmp_path):
    names = ["AU1", "$1_$2", "AU12"]
    matrix = np.full((3, 3), 0.5)
    for number, figure in enumerate(
        (
            plot_timeline(np.zeros((5, 3)), np.ones((5, 3)), names, title="take$1_$2.mp4", meaning=("$_$", "")),
            plot_cooccurrence({"$1_$2": matrix}, names),
            plot_occurrence({"$1_$2": matrix[0]}, names),
            plot_state_machine(np.full(16, 1 / 16), ("$1_$2", "AU2")),
            plot_frame_rows({"$1_$2": np.zeros((2, 8, 8, 3), np.uint8)}, [0, 1], "take$1_$2.mp4"),
        )
    ):
        assert save_figure(figure, tmp_path / f"{number}.png").exists()  # such a broken formula would raise an error


def test_losses_are_drawn_beside_their_references():
    names = ("step", "loss", "loss_patch_mean", "loss_nearest_patch", "variance_explained")
    lines = [dict(zip(names, values, strict=True)) for values in ((10, 1.1, 0.9, 1.8, -0.2), (20, 0.5, 0.8, 1.9, 0.4))]
    figure = plot_losses([lines[0], {"step": 10, "eval_loss": 3.0}, lines[1], {"step": 20, "train_loss": 0.8}])
    losses, explained = figure.axes
    drawn = {line.get_label(): [*map(tuple, line.get_xydata())] for line in losses.lines}
    assert drawn == {
        "loss": [(10, 1.1), (20, 0.5)],
        "patch mean": [(10, 0.9), (20, 0.8)],
        "nearest visible patch": [(10, 1.8), (20, 1.9)],
    }
    assert explained.lines[0].get_ydata().tolist() == [-0.2, 0.4]
