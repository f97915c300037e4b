"""Test that all options are off by default, and that nothing is selected on the test fold."""

import pytest
from transformers import EarlyStoppingCallback

from auvmae.runs.arguments_finetune import FinetuneArguments

from ..support.tiny_training import finetuner


def arguments(tmp_path, **fields):
    return FinetuneArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none", **fields)


def test_everything_is_off_by_default(tmp_path):
    args = arguments(tmp_path)
    found = (args.layer_decay, args.drop_path, args.ema_decay, args.lora_rank, args.inner_val)
    assert found == (1.0, 0.0, 0.0, 0, 0.0)
    assert not args.balanced_sampling
    assert args.early_stopping_patience is None
    assert args.eval_strategy == "no"
    assert args.chosen_options == {}
    assert arguments(tmp_path, lora_rank=4, seed=1).chosen_options == {"lora_rank": 4}


@pytest.mark.parametrize(
    "fields",
    [
        {"early_stopping_patience": 2},
        {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "epoch"},
        {"save_strategy": "best", "eval_strategy": "epoch", "metric_for_best_model": "f1"},
        {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "epoch"},
        {"tune_thresholds": True},
    ],
)
def test_choosing_anything_on_the_test_fold_is_an_error(tmp_path, fields):
    with pytest.raises(ValueError, match=r"test fold would select .* Hold out training subjects with --inner_val"):
        arguments(tmp_path, **fields)
    assert arguments(tmp_path, inner_val=0.2, **fields).inner_val == 0.2


def test_early_stopping_scores_every_checkpoint(tmp_path):
    args = arguments(tmp_path, inner_val=0.2, early_stopping_patience=2, save_strategy="steps", save_steps=50)
    assert (args.eval_strategy, args.eval_steps, args.metric_for_best_model) == ("steps", 50, "f1")
    assert args.greater_is_better
    assert args.load_best_model_at_end


@pytest.mark.parametrize(
    "fields",
    [
        {"save_strategy": "steps", "save_steps": 500, "eval_steps": 50},
        {"save_strategy": "steps", "save_steps": 500, "eval_strategy": "steps", "eval_steps": 50},
        {"save_strategy": "steps", "eval_strategy": "epoch"},
        {"save_strategy": "epoch", "eval_strategy": "steps", "eval_steps": 50},
    ],
)
def test_early_stopping_does_not_score_at_other_times_than_it_saves(tmp_path, fields):
    with pytest.raises(ValueError, match=r"--eval_\w+ \w+ evaluates at other times\. Omit it.*\(now 500\)"):
        arguments(tmp_path, inner_val=0.2, early_stopping_patience=2, **fields)


def test_early_stopping_scores_as_asked_where_only_the_best_is_saved(tmp_path):
    fields = {"save_strategy": "best", "eval_strategy": "steps", "eval_steps": 50}
    args = arguments(tmp_path, inner_val=0.2, early_stopping_patience=2, **fields)
    assert (args.save_strategy, args.eval_strategy, args.eval_steps) == ("best", "steps", 50)
    same = {"save_strategy": "epoch", "eval_strategy": "epoch", "eval_steps": 50}  # eval_steps is not used
    assert arguments(tmp_path, inner_val=0.2, early_stopping_patience=2, **same).eval_strategy == "epoch"


@pytest.mark.medium
def test_early_stopping_counts_on_after_an_interruption(tmp_path):
    def stopping(folder):
        trainer = finetuner(
            folder,
            kind=FinetuneArguments,
            learning_rate=0.0,  # no score ever exceeds the first
            inner_val=0.2,
            early_stopping_patience=3,
            save_strategy="steps",
            save_steps=1,
            max_steps=9,
        )
        trainer.add_callback(EarlyStoppingCallback(trainer.args.early_stopping_patience))
        return trainer

    whole, resumed = stopping(tmp_path / "whole"), stopping(tmp_path / "resumed")
    whole.train()
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert (whole.state.global_step, resumed.state.global_step) == (4, 4)
