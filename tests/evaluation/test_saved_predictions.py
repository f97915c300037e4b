"""Test that saved predictions hold every real frame once and load unchanged, and that other files are refused."""

import json
import os
from dataclasses import replace

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auvmae.evaluation.metrics import au_metrics
from auvmae.evaluation.saved_predictions import METADATA_KEY, FoldPredictions

from ..support.random_predictions import NAMES, random_predictions


def test_clips_become_frames_without_their_padding(tmp_path):
    """Compare with a loop over clips and frames."""
    generator = np.random.default_rng(0)
    clips = [("F2/T1", 8, 3), ("F1/T1", 100, 8), ("F2/T1", 0, 8), ("F1/T2", 0, 5), ("F1/T1", 108, 1)]
    test = datasets.Dataset.from_list(
        [
            {"name": f"{name}.mp4", "subject": name[:2], "start_frame": start, "num_frames": length}
            for name, start, length in clips
        ]
    )
    rows = datasets.DatasetDict(test=test)
    probs = generator.random((5, 8, 2)).astype(np.float32)
    labels = generator.choice([0, 1, -100], (5, 8, 2))
    expected = sorted(
        (name[:2], f"{name}.mp4", start + offset, *probs[clip, offset], *labels[clip, offset])
        for clip, (name, start, length) in enumerate(clips)
        for offset in range(length)
    )
    run = {"fold": 2, "thresholds": [0.5, 0.3]}
    FoldPredictions.from_clips(probs, labels, rows, ["AU1", "AU2"], run).save(tmp_path)
    found = FoldPredictions.load(tmp_path)
    columns = found.subjects, found.videos, found.frames, *found.probs.T, *found.labels.T
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected
    assert (found.au_names, found.run, found.thresholds.tolist()) == (["AU1", "AU2"], run, [0.5, 0.3])
    assert found.recordings.tolist() == [0] * 9 + [1] * 5 + [2] * 11
    assert (found.probs.dtype, found.labels.dtype, found.frames.dtype) == (np.float32, np.int8, np.int32)
    assert os.listdir(tmp_path) == ["predictions.parquet"]


def test_scores_are_the_same_from_the_file(tmp_path):
    predictions = random_predictions()
    found = FoldPredictions.load(predictions.save(tmp_path / "run"))
    assert au_metrics(found.probs, found.labels, NAMES) == au_metrics(predictions.probs, predictions.labels, NAMES)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("probs", 1.5, r"in \[0, 1\]; found 1\.5 for AU1 in frame 0 of S1 a\.mp4"),
        ("probs", np.nan, r"in \[0, 1\]; found nan for AU1 in frame 0 of S1 a\.mp4"),
        ("labels", 9, r"found \[9\]"),
        ("frames", 1, "frame 1 of S1 a.mp4 occurs twice"),
        ("frames", 7, "frame 1 of S1 a.mp4 is out of order"),
    ],
)
def test_impossible_values_are_named(field, value, message):
    predictions = random_predictions()
    values = getattr(predictions, field).copy()
    values[0] = value
    with pytest.raises(ValueError, match=message):
        replace(predictions, **{field: values})


def test_another_shape_is_named():
    predictions = random_predictions()
    with pytest.raises(ValueError, match=r"thresholds must be one number in \(0, 1\) per AU \(4\), found \[0\.3\]"):
        random_predictions(thresholds=[0.3])
    with pytest.raises(ValueError, match=r"must be \(360, 4\) \(frames, AUs\), found \(360, 3\)"):
        replace(predictions, probs=predictions.probs[:, 1:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: pa.concat_tables([table, table]), "the rows of S1 a.mp4 occur twice"),
        (lambda table: table.set_column(0, "subject", pa.array([None] * len(table), pa.string())), "360 cells of the"),
        (lambda table: table.drop_columns(["prob_AU2"]), "there are 0 columns prob_AU2 instead of one"),
        (lambda table: table.append_column("frame", table["frame"]), "Multiple matches for FieldRef.Name(frame)"),
        (lambda table: table.set_column(2, "frame", table["frame"].cast("double")), "column frame has the type double"),
        (lambda table: table.slice(0, 0), "there are 0 frames and 4 action units"),
        (lambda table: described(table, au_names=["AU1", "AU2", "AU4", "AU4"]), "'AU4' and 'AU4' name one action unit"),
        (lambda table: described(table, run={"thresholds": [0.5, 0.5, float("nan"), 0.5]}), r"found [0.5, 0.5, nan, 0"),
        (lambda table: described(table, run={"thresholds": [0.5, 0.5, 7, 0.5]}), r"found [0.5, 0.5, 7, 0.5]"),
        (lambda table: described(table, run=[]), "there is no description of a run"),
        (lambda table: described(table, run={"tuned_on_test": 1}), "tuned_on_test must be a list, found 1"),
        (lambda table: table.replace_schema_metadata(None), "there is no description of a run"),
    ],
)
def test_a_changed_table_is_refused_by_file_and_value(tmp_path, change, message):
    path = random_predictions().save(tmp_path)
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(ValueError, match="holds no AU-vMAE predictions") as raised:
        FoldPredictions.load(path)
    assert str(path) in str(raised.value)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def described(table, **fields):
    metadata = json.loads(table.schema.metadata[METADATA_KEY]) | fields
    return table.replace_schema_metadata({METADATA_KEY: json.dumps(metadata).encode()})


def test_equal_runs_save_equal_bytes_although_their_times_differ(tmp_path):
    paths = [
        random_predictions(train_runtime=seconds, co2_grams=seconds / 9).save(tmp_path / str(seconds))
        for seconds in (3.0, 4.5)
    ]
    assert len({path.read_bytes() for path in paths}) == 1
    assert "train_runtime" not in FoldPredictions.load(paths[0]).run


def test_another_file_is_refused_and_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no .*predictions\.parquet\. Create it with run_finetune"):
        FoldPredictions.load(tmp_path)
    path = tmp_path / "predictions.parquet"
    path.write_text("video,frame\n")
    with pytest.raises(ValueError, match=r"predictions\.parquet holds no AU-vMAE predictions"):
        FoldPredictions.load(path)
    pq.write_table(pa.table({"frame": [1]}), path)
    with pytest.raises(ValueError, match=r"predictions\.parquet holds no AU-vMAE predictions"):
        FoldPredictions.load(path)
    random_predictions().save(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"predictions\.parquet holds no AU-vMAE predictions"):
        FoldPredictions.load(path)
