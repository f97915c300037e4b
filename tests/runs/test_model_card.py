"""Test the model card: valid metadata, measured scores, and the necessary warnings."""

import json

import pytest
import yaml
from huggingface_hub import ModelCard, metadata_eval_result

from auvmae.runs.description import co2_grams
from auvmae.runs.model_card import card_digest, render_card, render_pretraining_card

from ..support.paths import ROOT
from ..support.tiny_run import RUN, write_run


def test_metadata(tmp_path):
    run_folder = write_run(tmp_path / "run")
    text = (run_folder / "README.md").read_text()
    card, run = ModelCard(text), json.loads((run_folder / "metrics.json").read_text())
    fields = yaml.safe_load(text.split("---\n")[1])
    expected = metadata_eval_result(
        model_pretty_name="AU-vMAE disfa fold 2 frame",
        task_pretty_name="Facial action unit detection",
        task_id="video-classification",
        metrics_pretty_name="F1 (macro over AUs)",
        metrics_id="f1",
        metrics_value=round(run["metrics"]["f1"], 4),
        dataset_pretty_name="disfa (fold 2, test subjects)",
        dataset_id="disfa",
        dataset_split="test",
    )
    (result,), (entry,) = expected["model-index"][0]["results"], fields["model-index"][0]["results"]
    assert entry["metrics"][1]["value"] == round(run["metrics"]["accuracy"], 4)
    assert entry["metrics"][0] | {"verified": False} == result["metrics"][0]
    assert [entry[name] for name in ("task", "dataset")] == [result[name] for name in ("task", "dataset")]
    assert (fields["pipeline_tag"], fields["library_name"]) == ("video-classification", "transformers")
    assert (fields["base_model"], fields["license"]) == ("MCG-NJU/videomae-base", "other")
    assert fields["co2_eq_emissions"] == {"emissions": 12.346, "source": "codecarbon"}
    for words in (
        "consent",
        "does not reveal emotion",
        "Demographic coverage: unknown",
        "about 12.3 g",
        "licences of the",
    ):
        assert words in card.text


def test_without_weights_it_says_so():
    run = json.loads((ROOT / "results" / "synthetic_tiny.json").read_text())
    card = render_card(run, "outputs/synthetic_tiny")
    assert card_digest(card) is None
    assert card.data.license == "apache-2.0"
    assert str(card) == (ROOT / "model_cards" / "synthetic_tiny.md").read_text()
    assert "only scored these weights" in render_card(run | {"steps": 0}, "outputs/scored").text
    pretrained = render_pretraining_card(RUN | {"train_loss": 0.5}, "encoder")
    assert pretrained.data.eval_results is None


def test_co2_is_what_codecarbon_estimated_last(tmp_path):
    assert co2_grams(tmp_path) is None
    (tmp_path / "emissions.csv").write_text("timestamp,duration,emissions\na,9,0.5\nb,1,0.0123456\n")
    assert co2_grams(tmp_path) == pytest.approx(12.3456)


def test_folds_of_another_deal_other_training_data_thresholds_and_what_was_tuned_are_said():
    run = json.loads((ROOT / "results" / "synthetic_tiny.json").read_text())
    found = render_card(run | {"dataset": "disfa", "train_datasets": ["bp4d", "synthetic"], "repetition": 2}, "here")
    deal = "fold 1 of repetition 2 (resplit, not the published folds)"
    assert f"# AU-vMAE: bp4d and synthetic, {deal}, frame level" in found.text
    assert f"- Data: bp4d and synthetic, training subjects of {deal} (" in found.text
    assert f"evaluated on the test subjects of {deal} of disfa (8640 coded frames). No subject" in found.text
    assert "and the threshold is 0.5." in found.text
    assert "demonstration only" in found.text
    assert (found.data.license, found.data.eval_results[0].dataset_type) == ("other", "disfa")
    assert "TUNED" not in str(found)

    thresholds = {"thresholds": [0.25] * 8, "metrics_at_half": run["all_ones"]}
    tuned = render_card(run | thresholds | {"tuned_on_test": ["weights"], "folds_file": "mine.json"}, "here")
    assert "the thresholds, given to the run, are AU1 0.250, AU2 0.250" in tuned.text
    assert "training subjects of fold 1 of mine.json (" in tuned.text
    assert "| F1 at 0.5 |" in tuned.text
    assert "**TUNED ON TEST DATA: weights.** These scores do not estimate" in tuned.text
    name = "synthetic (fold 1 of mine.json, test subjects; TUNED ON TEST DATA: weights)"
    assert [result.dataset_name for result in tuned.data.eval_results] == [name, name]
    held_out = render_card(run | thresholds | {"options": {"tune_thresholds": True}}, "here")
    assert "the thresholds, tuned on held-out training subjects, are AU1" in held_out.text
