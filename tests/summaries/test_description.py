"""Describe a folder of predictions with the command, as a user does."""

import json

import numpy as np
import pandas
import pytest
from PIL import Image

from auvmae.cli.main import main
from auvmae.summaries.description import describe_folder
from auvmae.summaries.measures import measures_of, sums_of
from auvmae.summaries.people import match_recordings, read_people

from ..support.predictions import forge_prediction, one_person

TABLE = "file,person,condition,group\n" + "".join(
    f"day{day}/{name}.mp4,{name},{condition},g\n"
    for name in ("anna", "ben", "cleo")
    for day, condition in ((1, "rest"), (2, "talk"))
)


@pytest.fixture
def folder(tmp_path):
    """Predictions of three people in two conditions."""
    for seed, name in enumerate(("anna", "ben", "cleo")):
        for day in (1, 2):
            prediction = forge_prediction(one_person(150 + 40 * seed), f"{name}.mp4", seed=10 * day + seed)
            prediction.save(tmp_path / "in" / f"day{day}" / f"{name}.{'csv' if day == 1 else 'parquet'}")
    (tmp_path / "people.csv").write_text(TABLE)
    return tmp_path


def describe(folder, *flags):
    return main(["describe", str(folder / "in"), "-o", str(folder / "out"), *map(str, flags)])


def test_a_folder_without_a_table_of_people(folder, capsys):
    assert describe(folder, "--pair", "AU6", "AU25", "--pair", "AU12", "AU06") == 0
    names = sorted(path.name for path in (folder / "out").iterdir())
    assert names == [
        *("cooccurrence.csv", "cooccurrence.png", "describe_report.json", "recordings.csv", "transitions.csv"),
        *("transitions_AU06_AU25.png", "transitions_AU12_AU06.png"),
    ]
    table = pandas.read_csv(folder / "out" / "recordings.csv")
    assert table["recording"].unique().tolist() == [
        f"day{day}/{name}" for day in (1, 2) for name in ("anna", "ben", "cleo")
    ]
    expected = measures_of(sums_of(forge_prediction(one_person(190), seed=11)), ["face"])
    own = table[table["recording"] == "day1/ben"].drop(columns="recording").reset_index(drop=True)
    # what is read back has two decimals of an intensity
    pandas.testing.assert_frame_equal(own, expected, check_dtype=False, atol=0.05)
    assert "6 recordings: 0.7 minutes with a face, 0.0 without" in capsys.readouterr().out
    with Image.open(folder / "out" / "cooccurrence.png") as figure:
        assert figure.width == 1050
    assert set(pandas.read_csv(folder / "out" / "transitions.csv")["condition"]) == {"all"}


def test_people_and_conditions(folder, capsys):
    assert describe(folder, "--people", folder / "people.csv") == 0
    out = folder / "out"
    people, comparison = (pandas.read_csv(out / f"{name}.csv") for name in ("people", "comparison"))
    assert len(people) == 3 * 2 * 3
    shares = people.pivot(index=["person", "au"], columns="condition", values="share_of_time").reset_index()
    rows = comparison[comparison["measure"] == "share_of_time"].set_index("au")
    for au, own in shares.groupby("au"):
        assert rows.loc[au, "difference"] == pytest.approx((own["rest"] - own["talk"]).mean(), abs=1e-5)
    assert comparison["measure"].nunique() == 3
    assert "rest - talk, 3 people in both: 0 of 9 comparisons are significant" in capsys.readouterr().out
    assert (out / "comparison.png").is_file()
    assert set(pandas.read_csv(out / "cooccurrence.csv")["condition"]) == {"all", "rest", "talk"}
    report = json.loads((out / "describe_report.json").read_text())
    assert (report["conditions"], report["left_out"], len(report["recordings"])) == (["rest", "talk"], {}, 6)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert describe(folder, "--pair", "AU6", "AU25") == 0
    assert not (out / "people.csv").exists()  # files of the earlier run are removed
    assert describe(folder, "--people", folder / "people.csv", "--compare", "rest", "talk") == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_person_in_two_groups_counts_once(folder):
    table = TABLE.replace("rest,g", "rest,h") + "day1/extra.mp4,anna,rest,g\n"
    forge_prediction(one_person(80), "extra.mp4", seed=7).save(folder / "in" / "day1" / "extra.csv")
    (folder / "people.csv").write_text(table)
    found = describe_folder(folder / "in", folder / "people.csv")
    assert found.comparison.people == ["anna", "ben", "cleo"]
    assert len(found.people) == 3 * (2 * 3 + 1)


def test_what_does_not_fit_is_named_left_out_and_counted(folder, capsys):
    table = TABLE.replace("day2/cleo.mp4", "day3/dora.mp4") + "day1/eve.mp4,eve,rest,g\n"
    (folder / "people.csv").write_text(table)
    assert describe(folder, "--people", folder / "people.csv") == 3
    printed = capsys.readouterr().out
    for name, reason in {
        "day3/dora.mp4": "no prediction has this name (named in the table of people)",
        "day1/eve.mp4": "no prediction has this name (named in the table of people)",
        "day2/cleo": "not in the table of people",
        "cleo": "appears only in the condition 'rest'",
    }.items():
        assert f"left out: {name}: {reason}\n" in printed
    assert "2 people in both" in printed


def test_faces_of_one_recording_are_people_of_their_own(folder):
    frames = [(frame, track) for frame in range(100) for track in (0, 1)]
    forge_prediction(frames, "both.mp4", every_face=True).save(folder / "two" / "both.csv")
    forge_prediction([(0, None), (1, None)], "none.mp4", every_face=True).save(folder / "two" / "none.csv")
    found = describe_folder(folder / "two")
    assert found.recordings["face"].tolist() == [0, 0, 0, 1, 1, 1]
    assert found.left_out == {"none": "no frame shows a face"}
    (folder / "people.csv").write_text("file, face, person\nboth,1,ben\nboth,0,anna\nnone,,eve\n")
    found = describe_folder(folder / "two", folder / "people.csv")
    assert found.people["person"].tolist() == ["ben"] * 3 + ["anna"] * 3
    (folder / "people.csv").write_text("file,person\nboth,ben\n")
    with pytest.raises(ValueError, match="both: shows 2 faces; the table of people needs their face_id"):
        describe_folder(folder / "two", folder / "people.csv")
    (folder / "people.csv").write_text("file,person,face\nboth,ben,2\n")
    with pytest.raises(ValueError, match="both: has no face 2; its faces are 0, 1"):
        describe_folder(folder / "two", folder / "people.csv")


def test_a_recording_without_a_clock_is_left_out(folder):
    prediction = forge_prediction(one_person(20), "images")
    prediction.rows["timestamp"] = np.nan
    prediction.save(folder / "in" / "images.csv")
    found = describe_folder(folder / "in")
    assert "no timestamps" in found.left_out["images"]
    assert found.recordings["recording"].nunique() == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("rm -r in", "in is no folder. Write predictions with `auvmae predict VIDEOS -o"),
        ("echo 'file,who' > people.csv", "people.csv needs the columns file and person, and may have face, condition"),
        (
            "echo 'file,person,face\na,b,x' > people.csv",
            "row 2 of .*: face must be a face_id such as 0, found 'x'",
        ),
        ("echo 'file,person\na,' > people.csv", "row 2 of .*people.csv lacks a person"),
        ("echo 'file,person\na,b\na,c' > people.csv", "row 3 of .*people.csv repeats a"),
        (
            "echo 'file,person\na,b' > people.csv",
            "no prediction in .*in can be described\na: no prediction has",
        ),
        (
            "sed -i s/0.4/0.3/ in/day1/ben.provenance.json",
            r"anna.csv and .*ben.csv differ in thresholds \(\[0.5, ",
        ),
        (
            "echo '{}' > in/day1/ben.provenance.json",
            "ben.provenance.json is damaged or unfinished: run",
        ),
        ("sed -i s/AU12_p/AU12_q/ in/day1/ben.csv", "ben.csv is no table of `auvmae predict`: .*AU12_p"),
        ("sed -i s/0.2,/zero,/ in/day1/ben.csv", "ben.csv cannot be read: "),
        ("head -c 100 in/day2/ben.parquet > x; mv x in/day2/ben.parquet", "ben.parquet cannot be read: "),
    ],
)
def test_bad_input_is_named(folder, change, message, capsys, monkeypatch):
    import re
    import subprocess

    monkeypatch.chdir(folder)
    subprocess.run(change, shell=True, check=True)
    assert describe(folder, "--people", folder / "people.csv") == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--pair", "AU6", "AU4"], "a pair needs two of AU06, AU12, AU25; found AU06 and AU04"),
        (["--compare", "rest", "talk"], "a comparison of conditions needs a table of people"),
        (["--people", "people.csv", "--compare", "rest", "sleep"], "no condition 'sleep'; it has rest, talk"),
        (["--people", "nobody.csv"], "nobody.csv"),
    ],
)
def test_bad_flags_are_named(folder, flags, message, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert describe(folder, *flags) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_files_are_matched_as_long_as_one_prediction_fits(tmp_path):
    (tmp_path / "people.csv").write_text(
        "file,person\nday1/a,p\nC:\\videos\\day2\\a.mp4,q\nb.mov,r\n/data/c,s\na.mp4,t\nb.mp4,u\nday3/a,v\ne.mp4,w\n"
    )
    recordings = {
        "day1/a": "a.mp4",
        "day2/a": "a.mp4",
        "b": "b.mov",
        "c": "c.avi",
        "d": "",
        "x/e": "e.mp4",
        "e": "e.mp4",
    }
    matched, left_out = match_recordings(read_people(tmp_path / "people.csv"), recordings)
    assert {key: [one.person for one in own] for key, own in matched.items()} == {
        **{"day1/a": ["p"], "day2/a": ["q"], "b": ["r"], "c": ["s"], "e": ["w"]}
    }
    assert left_out == {
        "a.mp4": "fits day1/a and day2/a (named in the table of people)",
        "b.mp4": "no prediction has this name (named in the table of people)",
        "day3/a": "no prediction has this name (named in the table of people)",
        "d": "not in the table of people",
        "x/e": "not in the table of people",
    }
