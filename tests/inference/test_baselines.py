"""Test that the baseline of a person is that of all pooled rows, by loops over them, and that wrong tables are told."""

import numpy as np
import pytest

from auvmae.inference.calibration import AUTO_QUANTILE, REST, Calibration, parse_neutral
from auvmae.inference.people.baselines import People
from auvmae.inference.people.table import ANY_FACE, read_neutral_table

from ..support.predictions import forge_prediction, one_person

TABLE = """\
file,person,from,to
day1/anna.mp4,anna,0:00.4,1
anna2,anna,2,0:02.5
day1/anna.mp4,anna,3,3.2
day2/anna3.mp4,anna,,
ben.mp4,ben,,
ben2.mp4,ben,,
"""

RECORDINGS = {
    "day1/anna": forge_prediction(one_person(), "anna.mp4", seed=1),
    "day1/anna2": forge_prediction(one_person(180), "anna2.mp4", seed=2),
    "day2/anna3": forge_prediction(one_person(90), "anna3.mp4", seed=3),
    "ben": forge_prediction(one_person(70), "ben.mp4", seed=4),
    "ben2": forge_prediction(one_person(120, absent=range(120)), "ben2.mp4", seed=5),
    "ben3": forge_prediction(one_person(60), "ben3.mp4", seed=6),
}


def assign(tmp_path, text=TABLE, recordings=RECORDINGS, several=False):
    (tmp_path / "people.csv").write_text(text)
    names = {key: prediction.provenance["source"]["name"] for key, prediction in recordings.items()}
    return People.assign(read_neutral_table(tmp_path / "people.csv"), names, several)


def pool(recordings, chosen):
    """Collect the logits of each AU in the rows with a face for which `chosen(key, row)` holds, by a loop."""
    logits = [[], [], []]
    for key, prediction in recordings.items():
        for row in prediction.rows:
            if row["face_id"] >= 0 and chosen(key, row):
                for column, prob in enumerate(np.clip(row["probs"], 5e-7, 1 - 5e-7)):
                    logits[column].append(np.log(prob / (1 - prob)))
    return logits


def lowered(baselines):
    thresholds = [0.5, 0.4, 0.6]
    return [max(0, one - (np.log(t / (1 - t)) - REST)) for one, t in zip(baselines, thresholds, strict=True)]


def test_neutral_intervals_of_all_files_are_pooled(tmp_path):
    people = assign(tmp_path)
    assert people.faces == {
        **{key: {ANY_FACE: "anna"} for key in ("day1/anna", "day1/anna2", "day2/anna3")},
        **{key: {ANY_FACE: "ben"} for key in ("ben", "ben2")},
    }
    found = people.estimate("anna", RECORDINGS.get, 0.1)
    spans = {"day1/anna": [(0.4, 1), (3, 3.2)], "day1/anna2": [(2, 2.5)]}
    logits = pool(RECORDINGS, lambda key, row: any(a <= row["timestamp"] < b for a, b in spans.get(key, [])))
    np.testing.assert_allclose(found.shift, lowered([sum(one) / len(one) for one in logits]), atol=1e-9)
    assert found.shift.max() > 0
    assert found.to_dict() == {
        "person": "anna",
        "quantile": None,
        "sources": [
            {"recording": "day1/anna", "from": 0.4, "to": 1.0, "frames": 15},
            # frames 50 to 59 show no face
            {"recording": "day1/anna2", "from": 2.0, "to": 2.5, "frames": 3},
            {"recording": "day1/anna", "from": 3.0, "to": 3.2, "frames": 5},
        ],
    }


def test_without_an_interval_it_is_a_quantile_over_all_files_of_the_person(tmp_path):
    found = assign(tmp_path).estimate("ben", RECORDINGS.get, 0.3)
    logits = pool(RECORDINGS, lambda key, row: key in ("ben", "ben2"))
    np.testing.assert_allclose(found.shift, lowered([np.quantile(one, 0.3) for one in logits]), atol=1e-9)
    assert found.quantile == 0.3
    assert found.sources == [{"recording": "ben", "frames": 60}, {"recording": "ben2", "frames": 0}]


def test_a_person_who_is_never_seen_has_nothing_to_subtract(tmp_path):
    nobody = {"ben2": RECORDINGS["ben2"]}
    found = assign(tmp_path, "file,person\nben2,ben\n", nobody).estimate("ben", nobody.get, 0.3)
    assert found.shift.tolist() == [0, 0, 0]


def test_faces_of_one_recording_belong_to_people(tmp_path):
    frames = [(frame, face) for frame in range(100) for face in (0, 1, 2)]
    both = {"both": forge_prediction(frames, "both.mp4", every_face=True), "ben": RECORDINGS["ben"]}
    text = "file,person,face,from,to\nboth.mp4,anna,1,1,2\nboth.mp4,ben,0,,\nben,ben,,,\n"
    people = assign(tmp_path, text, both, several=True)
    logits = pool(both, lambda key, row: key == "both" and row["face_id"] == 1 and 1 <= row["timestamp"] < 2)
    found = people.estimate("anna", both.get, 0.3)
    np.testing.assert_allclose(found.shift, lowered([np.mean(one) for one in logits]), atol=1e-9)
    assert found.sources == [{"recording": "both", "face_id": 1, "from": 1.0, "to": 2.0, "frames": 25}]
    logits = pool(both, lambda key, row: key == "ben" or row["face_id"] == 0)
    found = people.estimate("ben", both.get, 0.3)
    np.testing.assert_allclose(found.shift, lowered([np.quantile(one, 0.3) for one in logits]), atol=1e-9)
    with pytest.raises(ValueError, match=r"both\.mp4 shows 3 faces: give the face_id of each person in a column face"):
        assign(tmp_path, "file,person\nboth,anna\n", both, several=True).estimate("anna", both.get, 0.3)
    for text, message in (
        ("file,person,face\nboth,anna,7\n", r"both\.mp4 has no face 7; its faces are 0, 1, 2"),
        ("file,person,face,from,to\nboth,anna,7,1,2\n", r"row 2 of .*: both\.mp4 has no face 7"),
    ):
        with pytest.raises(ValueError, match=message):
            assign(tmp_path, text, both, several=True).estimate("anna", both.get, 0.3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("person,from,to\nanna,1,2\n", "needs the columns file and person, and may have from, to, face"),
        ("file,person,form,to\na,anna,1,2\n", r"found \['file', 'person', 'form', 'to'\]"),
        ("file,person,from\na,anna,1\n", "only one of the columns from and to: add the other one"),
        ("file,person\n", "lists no recording"),
        ("file,person\nben\n", "row 2 of .* does not have 2 cells"),
        ("file,person\n\n ,anna\n", "row 3 of .* lacks a file"),
        ("file,person\nben,\n", "row 2 of .* lacks a person"),
        ("file,person,face\nben,ben,x\n", "row 2 of .*: face must be a face_id such as 0, found 'x'"),
        ("file,person,face\nben,ben,0\n", "row 2 of .* names face 0: add --every-face, or leave the cell empty"),
        ("file,person,from,to\nben,ben,1,\n", r"row 2 of .* has only one of from and to \(1\)"),
        ("file,person,from,to\nben,ben,1,0:99\n", "row 2 of .*: expected seconds, mm:ss or hh:mm:ss, found '0:99'"),
        ("file,person,from,to\nben,ben,2,2\n", "row 2 of .*: from must be before to, and none below 0, found 2 and 2"),
        ("file,person,from,to\nben,ben,nan,2\n", "from must be before to"),
        ("file,person,from,to\nben,ben,1,inf\n", "from must be before to"),
        (
            "file,person\nday1/anna,anna\nanna.mp4,ben\n",
            r"row 3 of .* gives anna\.mp4 to ben, but row 2 of .* to anna: correct one",
        ),
    ],
)
def test_a_wrong_table_is_refused_with_its_row(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        assign(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "file,person\nben,ben\nbem,ben\n",
            "row 3 of .*: bem is no recording of this run: correct the name, or",
        ),
        ("file,person\nx/anna2,anna\n", "row 2 of .*: x/anna2 is no recording of this run"),
        (
            "file,person,from,to\nben,ben,2.8,2.9\n",
            r"row 2 of .*: ben shows no face from 2.8 to 2.9 s .*choose",
        ),
        ("file,person,from,to\nben2,ben,0,1\n", "row 2 of .*: ben2 shows no face from 0 to 1 s"),
        ("file,person,from,to\nben3,ben,0,1\n", r"row 2 of .*: ben3 could not be predicted; remove the row, or repair"),
    ],
)
def test_a_row_that_cannot_be_followed_costs_the_person_alone(tmp_path, text, message):
    people = assign(tmp_path, text + ("day2/anna3,carla,,\n" if "from" in text else "day2/anna3,carla\n"))
    load = {key: one for key, one in RECORDINGS.items() if key != "ben3"}.get
    with pytest.raises(ValueError, match=message):
        people.estimate("ben" if ",ben" in text else "anna", load, 0.1)
    assert people.estimate("carla", load, 0.1).person == "carla"


def test_a_name_that_fits_two_recordings_needs_its_folder(tmp_path):
    two = {"a/x": RECORDINGS["ben"], "b/x": RECORDINGS["ben"]}
    people = assign(tmp_path, "file,person\nx,ben\n", two)
    assert [reason.split(": ", 1)[1] for _, reason in people.missing] == [
        "x fits a/x and b/x: give its folder, or remove the row"
    ]
    assert assign(tmp_path, "file,person\na/x,ben\n", two).faces == {"a/x": {ANY_FACE: "ben"}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2:4.5", Calibration((2.0, 4.5))),
        ("auto", Calibration(quantile=AUTO_QUANTILE)),
        ("auto:0.05", Calibration(quantile=0.05)),
    ],
)
def test_how_the_neutral_face_is_known(text, expected):
    assert parse_neutral(text) == expected


@pytest.mark.parametrize("text", ["", "1", "a:b", "1:2:3", "auto:", "auto:x", "auto:0", "auto:1", "auto:nan", "4:2"])
def test_other_ways_are_refused(text):
    with pytest.raises(ValueError, match=r"expected START:STOP|quantile must lie|START < STOP"):
        parse_neutral(text)
