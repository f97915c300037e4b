import json
import sys

import pytest

from auvmae import AUVMAEForFrameAUClassification

from ..support.tiny import save_checkpoint

SIDES = [{"au": "AU2", "videos": 9, "spearman": 0.39}, {"au": "AU12", "videos": 2, "spearman": 0.4}]
CODED = {"absent": 90, "kappa": 0.9, "auc_channel": 0.8, "f1": 0.7}


@pytest.fixture
def scores():
    return {
        "split": "report",
        "codes": [
            {"au": "AU1", "present": 15, "auc": 0.9} | CODED,
            {"au": "AU2", "present": 14, "auc": 0.2} | CODED,
            {"au": "AU12", "present": 0, "auc": None} | CODED | {"kappa": None, "f1": None},
        ],
        "channels": [
            {"au": "AU1", "videos": 4, "spearman": 0.1},
            {"au": "AU2", "videos": 2, "spearman": 0.49},
            {"au": "AU12", "videos": 1, "spearman": 0.95},
        ],
        "neutral": [{"au": "AU1", "detected": 0.25}],
    }


def test_codes_come_before_channels(script, scores):
    judge = script("package_portrait_model").judge
    assert [judge(au, scores) for au in ("AU1", "AU2", "AU12", "AU4")] == ["passed", "failed", "none", "none"]
    scores["codes"][0]["auc"] = 0.89
    scores["channels"][1]["spearman"] = 0.5
    assert [judge(au, scores) for au in ("AU1", "AU2")] == ["failed", "passed"]
    scores["codes"][0]["kappa"] = 0.6  # codes that do not agree judge nothing
    scores["channels"][0]["spearman"] = 0.6
    assert judge("AU1", scores) == "passed"


def test_the_package_holds_the_model_and_its_checks(script, scores, tmp_path, monkeypatch, capsys):
    run = save_checkpoint(tmp_path / "run", relative_aus=["AU2"])
    scores["neutral"].append({"au": "AU2", "detected": 0.0})
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    (tmp_path / "sides.json").write_text(json.dumps({"channels": SIDES}))
    arguments = [
        str(run),
        *(str(tmp_path / f"{name}.json") for name in ("scores", "sides")),
        "-o",
        str(tmp_path / "out"),
    ]
    monkeypatch.setattr(sys, "argv", ["package_portrait_model.py", *arguments])
    script("package_portrait_model").main()
    model = AUVMAEForFrameAUClassification.from_pretrained(tmp_path / "out")
    assert model.config.au_checks == {"AU1": "passed", "AU2": "failed", "AU12": "none"}
    assert model.config.side_checks == {"AU1": "none", "AU2": "failed", "AU12": "passed"}
    assert model.config.relative_aus == ["AU2"]
    assert model.dtype.itemsize == 2
    printed = capsys.readouterr().out
    assert "| 1 | 15, 90 | 0.90 | 0.90 | 0.80 | 0.70 | 4 | 0.10 | 0.25 | passed |" in printed
    assert "| 2 | 14, 90 | 0.90 | 0.20 | 0.80 | 0.70 | 2 | 0.49 | - | **failed** |" in printed
    assert "| 12 | 0, 90 | - | - | - | - | 1 | 0.95 | - | *not verified on real faces* |" in printed

    (tmp_path / "scores.json").write_text(json.dumps(scores | {"split": "all"}))
    with pytest.raises(SystemExit):
        script("package_portrait_model").main()
    assert "run real_faces.py with --split report" in capsys.readouterr().err
    assert "| 2 | 14, 90 | 0.90 | 0.20 | 0.80 | 0.70 | 2 | 0.49 | - | failed |" in printed.replace("**", "")
