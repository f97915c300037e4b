"""Test the check of sides against the labels of rendered videos."""

import numpy as np
import pytest

from auvmae import AUVMAEForFrameAUClassification
from auvmae.data.folds import k_fold_subjects
from auvmae.data.portraits.writing import COLUMNS
from auvmae.video.writing import VideoWriter

from ..support.tiny import randomise, save_checkpoint

pytest.importorskip("cv2", reason="the extra `faces` is missing")
pytest.importorskip("scipy", reason="the extra `ranking` is missing")


@pytest.fixture
def sided(tmp_path):
    """Save a checkpoint with a head of sides."""
    run = save_checkpoint(tmp_path / "run")
    model = AUVMAEForFrameAUClassification.from_pretrained(run, grade_sides=True)
    randomise(model.side_head)
    model.save_pretrained(run)
    return run


def test_rendered_portraits_are_compared_with_their_labels(script, tmp_path, sided):
    run = sided
    rng = np.random.default_rng(0)
    for subject in ("female_00", "male_01"):
        for folder in ("labels", "videos"):
            (tmp_path / folder / subject).mkdir(parents=True)
        with VideoWriter(tmp_path / "videos" / subject / "000.mp4", 25, 20, 20) as writer:
            for frame in rng.integers(0, 256, (6, 20, 20, 3), np.uint8):
                writer.write(frame)
        labels = rng.uniform(0, 5, (6, len(COLUMNS))).round(2)
        lines = [",".join(["frame", *COLUMNS]), *(",".join(map(str, [n, *row])) for n, row in enumerate(labels))]
        (tmp_path / "labels" / subject / "000.csv").write_text("\n".join(lines) + "\n")
    sides = script("sides")
    detector = sides.AUDetector.from_pretrained(run, sides=True, cropped=True)
    found = sides.check_portraits(detector, tmp_path, 2, 1)
    (subject,) = {path.parent.name for path in tmp_path.glob("labels/*/*")} & {"female_00", "male_01"} - {
        *k_fold_subjects({"female_00", "male_01"}, 1, "train", 2, 0)
    }
    rows = detector(tmp_path / "videos" / subject / "000.mp4").rows
    coded = sides.read_sides(tmp_path / "labels" / subject / "000.csv")[:, sides.NUMBERS.index(12)]
    errors = [abs(rows["right"][:, 2] - coded[:, 0]), abs(rows["left"][:, 2] - coded[:, 1])]
    assert found["portraits"][2]["au"] == "AU12"
    assert found["portraits"][2]["mae"] == pytest.approx(np.mean(errors))
    assert found["portraits"][2]["spearman"] == pytest.approx(
        sides.correlate(rows["left"][:, 2] - rows["right"][:, 2], coded[:, 1] - coded[:, 0])
    )
