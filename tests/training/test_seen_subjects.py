"""Test that every checkpoint records the subjects it was trained on, without their names."""

import json

import datasets
import pytest

from auvmae.processors import AUVMAEImageProcessor
from auvmae.training.seen_subjects import has_seen, trained_on

from ..support.tiny_training import arguments, finetuner

ANNA, BEN, CARL, DORA = "Anna A.", "Ben B.", "Carl C.", "Dora D."


def rows(**sides):
    return datasets.DatasetDict({side: datasets.Dataset.from_dict({"subject": who}) for side, who in sides.items()})


@pytest.fixture
def run(tmp_path):
    """Train on Anna and Ben, and leave only the first checkpoint."""
    trainer = finetuner(tmp_path / "run", max_steps=1, save_strategy="steps", save_steps=1)
    seen = trained_on(None, trainer.args, ["disfa"], rows(train=[ANNA, BEN, ANNA], test=[CARL]))
    trainer.processing_class = AUVMAEImageProcessor(20, trained_on=seen)
    trainer.train()
    return tmp_path / "run"


def score(start, tmp_path):
    args = arguments(tmp_path / "scored", do_train=False)
    return trained_on(str(start), args, ["disfa"], rows(train=[DORA], test=[CARL]))


def test_a_checkpoint_records_its_subjects(run, tmp_path):
    seen = score(run / "checkpoint-1", tmp_path)
    for subjects, expected in (([ANNA], True), ([CARL, BEN], True), ([CARL], False), ([DORA], False), ([], False)):
        assert has_seen(seen, "disfa", subjects) == expected
    assert not has_seen(seen, "bp4d", [ANNA])  # another person of the same name
    for file in (run / "checkpoint-1").glob("*.json"):
        assert ANNA not in file.read_text()
    assert len(json.loads((run / "checkpoint-1" / "preprocessor_config.json").read_text())["trained_on"]["disfa"]) == 2


@pytest.mark.parametrize("resume", ["true", "path"])
def test_subjects_of_the_start_and_of_the_run_are_recorded(run, tmp_path, resume):
    checkpoint = str(run / "checkpoint-1")
    sides = rows(train=[CARL], inner_val=[DORA], test=[ANNA])
    resumed = arguments(run, resume_from_checkpoint="true" if resume == "true" else checkpoint)
    tuned, fresh = arguments(tmp_path / "new"), arguments(tmp_path / "new", resume_from_checkpoint="true")
    for seen in (trained_on(checkpoint, tuned, ["bp4d"], sides), trained_on(None, resumed, ["bp4d"], sides)):
        assert [has_seen(seen, "disfa", [who]) for who in (ANNA, BEN, CARL, DORA)] == [True, True, False, False]
        assert [has_seen(seen, "bp4d", [who]) for who in (ANNA, BEN, CARL, DORA)] == [False, False, True, True]
    assert not has_seen(trained_on(None, fresh, ["disfa"], sides), "disfa", [ANNA, BEN])


def test_foreign_weights_have_no_record(tmp_path):
    (tmp_path / "bare").mkdir()
    assert score(tmp_path / "bare", tmp_path) == {}
    AUVMAEImageProcessor(20).save_pretrained(tmp_path / "bare")
    assert score(tmp_path / "bare", tmp_path) == {}
