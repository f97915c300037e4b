"""Test the check of sides, and the packaging of their head."""

import json
import sys

import numpy as np
import pytest
import torch

from auvmae import AUVMAEForFrameAUClassification, AUVMAEImageProcessor
from auvmae.data.portraits.writing import COLUMNS
from auvmae.video.writing import VideoWriter

from ..support.tiny import randomise, save_checkpoint, tiny_config

pytest.importorskip("cv2", reason="the extra `faces` is missing")
pytest.importorskip("scipy", reason="the extra `ranking` is missing")


def run_script(script, monkeypatch, name, *arguments):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
    script(name).main()


@pytest.fixture
def sided(tmp_path):
    """A packaged model, and a run that gave it a head of sides."""
    packaged = save_checkpoint(tmp_path / "packaged")
    model = AUVMAEForFrameAUClassification.from_pretrained(packaged).half()
    model.save_pretrained(packaged)
    run = AUVMAEForFrameAUClassification(tiny_config(grade_sides=True))
    run.load_state_dict(model.float().state_dict(), strict=False)
    randomise(run.side_head)
    run.save_pretrained(tmp_path / "run")
    AUVMAEImageProcessor(20).save_pretrained(tmp_path / "run")
    return packaged, tmp_path / "run"


SCORES = {
    "channels": [{"au": "AU1", "videos": 2, "spearman": 0.4}, {"au": "AU2", "videos": 3, "spearman": 0.39}],
    "portraits": [{"au": au, "spearman": 0.8, "mae": 0.5} for au in ("AU1", "AU2", "AU12")],
    "mirrored": [{"au": au, "median": 0.01} for au in ("AU1", "AU2", "AU12")],
}


def test_the_package_gets_the_head_and_keeps_the_rest(script, monkeypatch, tmp_path, sided, capsys):
    packaged, run = sided
    before = AUVMAEForFrameAUClassification.from_pretrained(packaged).state_dict()
    (tmp_path / "sides.json").write_text(json.dumps(SCORES))
    run_script(script, monkeypatch, "package_sides", run, tmp_path / "sides.json", "-o", packaged)
    model = AUVMAEForFrameAUClassification.from_pretrained(packaged)
    assert model.config.side_checks == {"AU1": "passed", "AU2": "failed", "AU12": "none"}
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    assert model.dtype == torch.float16
    assert "| 2 | 3 | 0.39 | 0.80 | 0.50 | 0.01 | **failed** |" in " ".join(capsys.readouterr().out.split())

    other = AUVMAEForFrameAUClassification.from_pretrained(run)
    randomise(other.head)
    other.save_pretrained(run)
    with pytest.raises(SystemExit):
        run_script(script, monkeypatch, "package_sides", run, tmp_path / "sides.json", "-o", packaged)
    assert "has other weights than" in capsys.readouterr().err


def test_rendered_portraits_are_compared_with_their_labels(script, tmp_path, sided):
    _, run = sided
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
        *sides.k_fold_subjects({"female_00", "male_01"}, 1, "train", 2, 0)
    }
    rows = detector(tmp_path / "videos" / subject / "000.mp4").rows
    coded = sides.read_sides(tmp_path / "labels" / subject / "000.csv")[:, sides.NUMBERS.index(12)]
    errors = [abs(rows["right"][:, 2] - coded[:, 0]), abs(rows["left"][:, 2] - coded[:, 1])]
    assert found["portraits"][2]["au"] == "AU12"
    assert found["portraits"][2]["mae"] == pytest.approx(np.mean(errors))
    assert found["portraits"][2]["spearman"] == pytest.approx(
        sides.correlate(rows["left"][:, 2] - rows["right"][:, 2], coded[:, 1] - coded[:, 0])
    )
