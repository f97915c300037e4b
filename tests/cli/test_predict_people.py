"""Test `auvmae predict --neutral-from`: one baseline per person, resumption, changed tables, failures."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas
import pytest

from auvmae.cli.main import main
from auvmae.inference.calibration import AUTO_QUANTILE, REST
from auvmae.inference.detector import AUDetector
from auvmae.inference.people.predict_people import PersonJob
from auvmae.inference.prediction import AUPrediction

from ..support.drawn_faces import write_video
from ..support.output_files import contents, names
from ..support.paths import ROOT

pytest.importorskip("cv2", reason="the extra `faces` is missing")

pytestmark = pytest.mark.usefixtures("square")

TABLE = """\
file,person,from,to
a1.mp4,anna,0,0.4
b/a2.mp4,anna,0:00.2,0.6
ben.mp4,ben,,
"""


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("a1", "b/a2", "ben", "other")):
        write_video(tmp_path / "in" / f"{name}.mp4", 20 + number, absent=range(5, 11))
    (tmp_path / "people.csv").write_text(TABLE)
    return tmp_path


@pytest.fixture
def predict(checkpoint, folder):
    def run(*words, output="out", table="people.csv"):
        options = ("-m", checkpoint, "-o", folder / output, "--device", "cpu", "--dtype", "float32", "--events")
        options += ("--neutral-from", folder / table) if table else ()
        return main(["predict", *map(str, (folder / "in", *options, *words))])

    return run


@pytest.fixture
def no_model(monkeypatch):
    """Fail if the model runs."""

    def stream(*_, **__):
        raise AssertionError("the model runs")

    return lambda: monkeypatch.setattr(AUDetector, "stream", stream)


def logit(probs):
    return np.log(probs / (1 - probs))


def test_one_baseline_for_all_files_of_a_person(predict, folder, capsys):
    assert predict() == 3
    printed = capsys.readouterr().out
    assert "4 written, 0 skipped (already finished), 0 failed" in printed
    assert f"other.mp4: it is not in {folder / 'people.csv'}, so it is not calibrated: add a row for it" in printed
    assert f"neutral baselines: 1 from intervals, 1 from the quantile {AUTO_QUANTILE}" in printed
    tables = {name: pandas.read_csv(folder / "out" / f"{name}.csv") for name in ("a1", "b/a2", "ben", "other")}
    assert not [name for name in names(folder / "out") if "uncalibrated" in name]
    assert predict(table=None, output="raw") == 0
    model = json.loads((folder / "out/a1.provenance.json").read_text())
    threshold = model["thresholds"][model["au_names"].index("AU12")]
    pooled = []
    for name, start, stop in (("a1", 0, 0.4), ("b/a2", 0.2, 0.6)):
        for row in pandas.read_csv(folder / "raw" / f"{name}.csv").itertuples():
            if row.success and start <= row.timestamp < stop:
                pooled.append(logit(row.AU12_p))
    ben = logit(pandas.read_csv(folder / "raw/ben.csv").AU12_p.dropna())
    baselines = {"anna": np.mean(pooled), "ben": np.quantile(ben, AUTO_QUANTILE)}
    for name, person in (("a1", "anna"), ("b/a2", "anna"), ("ben", "ben")):
        table, provenance = tables[name], json.loads((folder / "out" / f"{name}.provenance.json").read_text())
        raw = pandas.read_csv(folder / "raw" / f"{name}.csv")
        shift = max(0, baselines[person] - logit(threshold) + REST)
        assert shift > 0
        np.testing.assert_array_equal(table.AU12_raw, raw.AU12_p)
        expected = 1 / (1 + np.exp(shift - logit(raw.AU12_p)))
        np.testing.assert_allclose(table.AU12_p, expected, atol=1e-6)
        assert (table.AU12_c.dropna() == (table.AU12_p.dropna() >= threshold)).all()
        (who,) = provenance["calibration"]["people"]
        assert (who["person"], who["quantile"]) == (person, None if person == "anna" else AUTO_QUANTILE)
        column = provenance["au_names"].index("AU12")
        assert [one[column] for one in provenance["logits_taken_off"].values()] == pytest.approx(2 * [shift], abs=1e-5)
    (who,) = json.loads((folder / "out/a1.provenance.json").read_text())["calibration"]["people"]
    assert who["sources"] == [
        {"recording": "a1", "from": 0.0, "to": 0.4, "frames": 5},
        {"recording": "b/a2", "from": 0.2, "to": 0.6, "frames": 4},
    ]
    assert "AU12_raw" not in tables["other"]
    # events come from calibrated probabilities
    prediction = AUPrediction.load(folder / "out/a1.csv")
    events = prediction.to_events().round(6).to_csv(index=False, lineterminator="\n")
    assert events == (folder / "out/a1.events.csv").read_text()


def test_files_that_are_not_listed_have_baselines_of_their_own_with_auto(predict, folder, capsys):
    assert predict("--neutral", "auto:0.3") == 0
    assert "1 from the quantile 0.3" in capsys.readouterr().out
    own = json.loads((folder / "out/other.provenance.json").read_text())
    assert own["calibration"]["quantile"] == 0.3
    assert "AU12_raw" in pandas.read_csv(folder / "out/other.csv")
    assert predict("--neutral", "0:1") == 2
    assert "tells when faces are neutral, so give no other interval" in capsys.readouterr().err


def test_finished_files_are_skipped_and_a_changed_table_needs_no_model(predict, folder, capsys, no_model):
    predict(output="new")
    assert predict(table=None) == 0  # an uncalibrated run before
    no_model()
    capsys.readouterr()
    assert predict() == 3
    assert "3 written, 1 skipped (already finished), 0 failed" in capsys.readouterr().out
    assert contents(folder / "out") == contents(folder / "new")
    assert predict() == 3
    assert "0 written, 4 skipped (already finished), 0 failed" in capsys.readouterr().out
    (folder / "other.csv").write_text(TABLE.replace("0.4", "0.5"))
    assert predict(table="other.csv") == 3
    assert "2 written, 2 skipped (already finished), 0 failed" in capsys.readouterr().out
    assert predict() == 3
    assert contents(folder / "out") == contents(folder / "new")
    (folder / "out/ben.events.csv").write_text("damaged")
    assert predict() == 3
    assert "1 written, 3 skipped" in capsys.readouterr().out
    assert contents(folder / "out") == contents(folder / "new")


def test_a_changed_recording_changes_the_baseline_of_its_person(predict, folder, capsys):
    predict()
    before = contents(folder / "out")
    write_video(folder / "in/b/a2.mp4", 30)
    capsys.readouterr()
    assert predict() == 3
    assert "2 written, 2 skipped (already finished), 0 failed" in capsys.readouterr().out
    after = contents(folder / "out")
    assert {name for name in before if before[name] != after[name] and name.endswith("json")} == {
        "a1.provenance.json",
        "b/a2.provenance.json",
    }
    predict(output="new")
    assert after == contents(folder / "new")


def test_a_row_that_cannot_be_followed_fails_with_its_person(predict, folder, capsys, no_model):
    (folder / "wrong.csv").write_text(TABLE.replace("0:00.2,0.6", "0.28,0.4") + "carl.mp4,carl,0,1\n")
    assert predict(table="wrong.csv") == 1
    printed = capsys.readouterr().out
    reason = f"row 3 of {folder / 'wrong.csv'}: b/a2.mp4 shows no face from 0.28 to 0.4 s"
    for name in ("a1", "b/a2"):
        assert f"failed: {folder / 'in' / name}.mp4: ValueError: anna has no neutral baseline: {reason}" in printed
        assert {f"{name}.csv", f"{name}.events.csv"}.isdisjoint(names(folder / "out"))
        waiting = folder / "out" / f"{name}.uncalibrated.csv"
        assert "AU12_raw" not in pandas.read_csv(waiting)
        with pytest.raises(FileNotFoundError):
            AUPrediction.load(folder / "out" / f"{name}.csv")
    assert f"failed: carl.mp4: row 5 of {folder / 'wrong.csv'}: carl.mp4 is no recording of this run" in printed
    assert "2 written, 0 skipped (already finished), 3 failed" in printed
    assert "AU12_raw" in pandas.read_csv(folder / "out/ben.csv")
    report = json.loads((folder / "out/predict_report.json").read_text())
    assert report["failed"] == 3
    assert [one["person"] for one in report["people"]] == ["ben"]
    predict(output="new")
    no_model()
    capsys.readouterr()
    assert predict() == 3
    assert "2 written, 2 skipped" in capsys.readouterr().out
    assert contents(folder / "out") == contents(folder / "new")


def test_a_broken_recording_fails_alone_unless_its_neutral_face_is_needed(predict, folder, capsys):
    write_video(folder / "in/ben2.mp4")
    (folder / "people.csv").write_text(TABLE + "ben2.mp4,ben,,\n")
    (folder / "in/ben2.mp4").write_bytes(b"broken")
    (folder / "in/b/a2.mp4").write_bytes(b"broken")
    assert predict() == 1
    printed = capsys.readouterr().out
    assert "2 written, 0 skipped (already finished), 3 failed" in printed
    assert "anna has no neutral baseline: row 3 of" in printed
    assert "b/a2.mp4 could not be predicted; remove the row, or repair it" in printed
    (who,) = json.loads((folder / "out/ben.provenance.json").read_text())["calibration"]["people"]
    assert [one["recording"] for one in who["sources"]] == ["ben"]


def test_a_wrong_table_stops_before_the_model(predict, folder, capsys, no_model):
    no_model()
    (folder / "people.csv").write_text(TABLE + "a1.mp4,ben,,\n")
    assert predict() == 2
    assert f"row 5 of {folder / 'people.csv'} gives a1.mp4 to ben, but row 2" in capsys.readouterr().err
    assert not (folder / "out").exists()
    assert predict(table="nowhere.csv") == 2
    assert "nowhere.csv" in capsys.readouterr().err
    assert main(["predict", "--webcam", "--neutral-from", "people.csv"]) == 2
    assert "calibration needs a whole recording" in capsys.readouterr().err


def test_with_every_face_people_are_told_apart_by_their_face_id(predict, folder, capsys):
    assert predict("--every-face") == 1
    assert "a1.mp4 shows 2 faces: give the face_id of each person in a column face" in capsys.readouterr().out
    (folder / "people.csv").write_text("file,person,face\na1,anna,0\na1,ben,1\nben,ben,0\nb/a2,carl,0\n")
    assert predict("--every-face") == 3
    provenance = json.loads((folder / "out/a1.provenance.json").read_text())
    assert [(one["person"], one["face_id"]) for one in provenance["calibration"]["people"]] == [("anna", 0), ("ben", 1)]
    ben = json.loads((folder / "out/ben.provenance.json").read_text())["logits_taken_off"]
    assert provenance["logits_taken_off"]["1"] == ben["0"] != provenance["logits_taken_off"]["0"]
    table = pandas.read_csv(folder / "out/ben.csv")
    assert list(ben) == ["0"]  # face 1 is nobody's
    other = table[table.face_id == 1]
    assert len(other)
    assert (other.AU12_p == other.AU12_raw).all()


def test_an_interrupted_calibration_continues_to_the_same_bytes(predict, folder, monkeypatch, no_model):
    predict(output="whole")
    calibrate, calls = PersonJob.calibrate, []

    def interrupt(job, *arguments):
        calls.append(job)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return calibrate(job, *arguments)

    monkeypatch.setattr(PersonJob, "calibrate", interrupt)
    assert predict() == 130
    found = names(folder / "out")
    assert "a1.csv" in found
    assert {"b/a2.uncalibrated.csv", "ben.uncalibrated.csv"} < {*found}
    assert {"b/a2.csv", "b/a2.events.csv", "ben.csv"}.isdisjoint(found)
    monkeypatch.setattr(PersonJob, "calibrate", calibrate)
    no_model()
    assert predict("--neutral", "auto:0.3") == 1  # the file that is not listed needs the model
    assert predict() == 3
    assert contents(folder / "out") == contents(folder / "whole")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("moment", ["Job.write", "PersonJob.calibrate", "Job._publish"])
def test_a_killed_run_continues_to_the_same_bytes(predict, folder, checkpoint, moment, capsys):
    """Kill the process while it calibrates the second of three recordings, after four were predicted."""
    predict(output="whole")
    owner, method = moment.split(".")
    words = ["predict", str(folder / "in"), "-m", str(checkpoint), "-o", str(folder / "out"), "--device", "cpu"]
    words += ["--dtype", "float32", "--events", "--neutral-from", str(folder / "people.csv")]
    script = f"""
import os, signal
from auvmae.cli.main import main
from auvmae.faces.detection import DETECTORS
from auvmae.inference.people import predict_people as people
from tests.support.drawn_faces import SquareDetector
DETECTORS["square"] = SquareDetector
calls, original = [], people.{owner}.{method}
def killed(*arguments):
    calls.append(0)
    if len(calls) == {2 if method == "calibrate" else 6}:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments)
people.{owner}.{method} = killed
main({words!r})
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False
    )
    assert done.returncode == -9, done.stderr.decode()
    for name in ("b/a2", "ben"):  # a table without the ending "uncalibrated" is calibrated
        assert not (folder / "out" / f"{name}.csv").exists()
        assert (folder / "out" / f"{name}.uncalibrated.csv").exists()
    capsys.readouterr()
    assert predict() == 3
    assert contents(folder / "out") == contents(folder / "whole")


def test_a_baseline_needs_tables_that_can_be_read_again(predict, folder, capsys):
    assert predict("--format", "openface") == 2
    assert "they must be csv or parquet, not openface" in capsys.readouterr().err
    assert not (folder / "out").exists()
