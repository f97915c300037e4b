import json
import sys

import pytest
import torch
from scipy.special import expit, logit

from auvmae import AUVMAEForFrameAUClassification

from ..support.tiny import save_checkpoint

CODES = [
    {"au": "AU1", "present": 5, "best_threshold": 0.2},
    {"au": "AU2", "present": 4, "best_threshold": 0.2},
    {"au": "AU12", "present": 40, "best_threshold": 0.1},
]


@pytest.fixture
def adapt(script, tmp_path, monkeypatch):
    def run(source, split="develop", score="probability"):
        (tmp_path / "scores.json").write_text(json.dumps({"split": split, "score": score, "codes": CODES}))
        flags = [str(source), str(tmp_path / "scores.json"), "-o", str(tmp_path / "out"), "--relative", "AU12"]
        monkeypatch.setattr(sys, "argv", ["real_thresholds.py", *flags])
        script("real_thresholds").main()
        return tmp_path / "out"

    return run


def test_thresholds_move_half_way_where_enough_frames_say_so(adapt, tmp_path, capsys):
    run = save_checkpoint(tmp_path / "run")
    before, after = (AUVMAEForFrameAUClassification.from_pretrained(path) for path in (run, adapt(run)))
    assert after.config.thresholds == pytest.approx([expit((logit(0.4) + logit(0.2)) / 2), 0.5, 0.6])
    assert after.config.thresholds[1:] == [0.5, 0.6]  # too few frames, and relative
    assert after.config.relative_aus == ["AU12"]
    for name, weight in before.state_dict().items():
        assert torch.equal(weight, after.state_dict()[name])
    assert "AU1: 0.400 -> 0.290\nAU2: 0.500 -> 0.500\nAU12: 0.600 -> 0.600 (relative)\n" in capsys.readouterr().out


def test_a_model_is_adapted_once_and_not_by_the_clips_to_report_on(adapt, tmp_path, capsys):
    run = save_checkpoint(tmp_path / "run")
    with pytest.raises(SystemExit):
        adapt(adapt(run))
    assert "was adapted before" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        adapt(run, split="report")
    assert "run real_faces.py with --split develop" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        adapt(run, score="intensity")
    assert "scores intensities" in capsys.readouterr().err
