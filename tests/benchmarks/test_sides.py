"""Test the check of sides against rendered videos and against recordings with known sides."""

import numpy as np
import pandas
import pytest

from auvmae.data.folds import k_fold_subjects
from auvmae.data.portraits.writing import COLUMNS
from auvmae.video.writing import VideoWriter

from ..support.predictions import forge_prediction, one_person
from ..support.tiny import save_checkpoint

pytest.importorskip("cv2", reason="the extra `faces` is missing")
stats = pytest.importorskip("scipy.stats", reason="the extra `ranking` is missing")


@pytest.fixture
def sides(script):
    return script("sides")


def test_rendered_portraits_are_compared_with_their_labels(sides, tmp_path):
    rng = np.random.default_rng(0)
    for subject in ("female_00", "male_01"):
        for folder in ("labels", "videos"):
            (tmp_path / folder / subject).mkdir(parents=True)
        with VideoWriter(tmp_path / "videos" / subject / "000.mp4", 25, 20, 20) as writer:
            for frame in rng.integers(0, 256, (40, 20, 20, 3), np.uint8):
                writer.write(frame)
        labels = rng.uniform(0, 5, (40, len(COLUMNS))).round(2)
        lines = [",".join(["frame", *COLUMNS]), *(",".join(map(str, [n, *row])) for n, row in enumerate(labels))]
        (tmp_path / "labels" / subject / "000.csv").write_text("\n".join(lines) + "\n")
    detector = sides.load_detector(str(save_checkpoint(tmp_path / "run", grade_intensities=True)), cropped=True)
    found = sides.check_portraits(detector, tmp_path, 2, 1)
    (subject,) = {path.parent.name for path in tmp_path.glob("labels/*/*")} - {
        *k_fold_subjects({"female_00", "male_01"}, 1, "train", 2, 0)
    }
    rows = detector(tmp_path / "videos" / subject / "000.mp4").rows
    coded = sides.read_sides(tmp_path / "labels" / subject / "000.csv")[:, sides.NUMBERS.index(12)]
    errors = [abs(rows["right"][:, 2] - coded[:, 0]), abs(rows["left"][:, 2] - coded[:, 1])]
    row = found["portraits"][2]
    assert (row["au"], row["videos"]) == ("AU12", 1)
    assert row["mae"] == pytest.approx(np.mean(errors))
    assert row["spearman"] == pytest.approx(
        stats.spearmanr(rows["left"][:, 2] - rows["right"][:, 2], coded[:, 1] - coded[:, 0]).statistic
    )


def test_recordings_are_compared_with_channels_for_a_given_yaw(sides, capsys):
    found = {"a": forge_prediction(one_person(), sides=True), "b": forge_prediction(one_person(), seed=3, sides=True)}
    rng = np.random.default_rng(0)
    scores = sides.by_clip({clip: sides.difference(one) for clip, one in found.items()})
    channels = (scores + rng.normal(0, 0.3, scores.shape)).astype(float)
    (row,) = [row for row in sides.check_recordings(found, channels)["channels"] if row["au"] == "AU12"]
    assert row["videos"] == 2
    assert "given the yaw" in capsys.readouterr().out
    expected = []
    for clip, one in found.items():
        seen = ~np.isnan(one.rows["left"][:, 0])
        columns = scores["AU12"].loc[clip], channels["AU12"].loc[clip], pandas.Series(one.rows["pose"][:, 4])
        score, channel, yaw = (stats.rankdata(np.asarray(values)[seen]) for values in columns)
        # the correlation of what a line on the ranks of the yaw leaves of both
        rests = [values - np.polyval(np.polyfit(yaw, values, 1), yaw) for values in (score, channel)]
        expected.append(np.corrcoef(*rests)[0, 1])
    assert row["partial"] == pytest.approx(np.mean(expected), abs=1e-6)
