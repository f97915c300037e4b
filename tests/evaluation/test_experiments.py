"""Test which saved runs form one experiment, and which cannot be combined."""

import json
from dataclasses import replace

import numpy as np
import pytest

from auvmae.evaluation.experiments import Experiment, experiment_names, group_folds, load_runs
from auvmae.evaluation.metrics import au_counts
from auvmae.runs.arguments import RUN, DataArguments, ModelArguments
from auvmae.runs.arguments_protocol import ProtocolArguments
from auvmae.runs.description import describe_training
from auvmae.runs.model_card import render_card

from ..support import tiny_run
from ..support.random_predictions import NAMES, random_predictions
from ..support.tiny_training import finetuner


def fold(number, **run):
    return random_predictions(number, (f"S{number}", f"T{number}"), fold=number, **run)


def described(number, run):
    one = fold(number)
    return replace(one, run=one.run | run)


def test_folds_of_the_same_settings_come_together():
    runs = [
        fold(2, loss={"cls": 1, "intra": 0.01}, steps=5, train_runtime=3.0),
        fold(1, loss={"cls": 1, "intra": 0}),
        fold(1, loss={"cls": 1, "intra": 0.01}, steps=7, train_runtime=4.0, thresholds=[0.4] * 4),
    ]
    pair, single = group_folds(runs)
    assert [one.run["steps"] for one in pair.folds] == [7, 5]
    assert experiment_names([pair, single]) == [
        "auvmae, video level, folds 1+2, loss.intra=0.01",
        "auvmae, video level, fold 1, loss.intra=0",
    ]
    assert experiment_names([pair]) == ["auvmae, video level, folds 1+2"]


def test_a_setting_that_only_one_has_is_named():
    assert experiment_names(group_folds([fold(1), fold(1, peft="lora")])) == [
        "auvmae, video level, fold 1, peft=null",
        "auvmae, video level, fold 1, peft=lora",
    ]


def test_what_was_tuned_on_test_data_cannot_be_left_out():
    experiment = Experiment([fold(1), fold(2, tuned_on_test=["thresholds", "epoch"])])
    assert experiment.description == "auvmae, video level, folds 1+2, TUNED ON TEST DATA: epoch, thresholds"


def test_other_folds_and_other_training_data_are_said_and_never_mixed():
    experiments = group_folds(
        [
            fold(1, repetition=0),
            fold(2, repetition=0),
            fold(1, repetition=2),
            fold(1, repetition=0, folds_file="mine.json (sha256 12345678)"),
            fold(1, repetition=0, train_datasets=["bp4d", "disfa"]),
        ]
    )
    assert experiment_names(experiments) == [
        "auvmae, video level, folds 1+2",
        "auvmae, video level, fold 1 of repetition 2 (resplit, not the published folds)",
        "auvmae, video level, fold 1 of mine.json (sha256 12345678)",
        "auvmae, video level, fold 1, trained on bp4d and disfa",
    ]


def test_counts_are_by_subject_and_at_the_thresholds_of_the_run():
    experiment = Experiment([fold(1, thresholds=[0.5, 0.2, 0.5, 0.5]), fold(2)])
    first, second = experiment.subject_counts()
    predictions = experiment.folds[0]
    expected = au_counts(predictions.probs, predictions.labels, np.array([0.5, 0.2, 0.5, 0.5]))
    np.testing.assert_array_equal(first.sum(axis=0), expected)
    assert first.shape == second.shape == (2, 4, 4)


def test_a_subject_in_two_folds_is_refused():
    with pytest.raises(ValueError, match=r"scored on S1, T1 by two runs with the same settings; give one run per fold"):
        group_folds([fold(1), fold(1)])


def test_folds_over_different_aus_are_refused():
    other = replace(fold(2), au_names=[*NAMES[:3], "AU12"])
    with pytest.raises(ValueError, match="have different AUs"):
        Experiment([fold(1), other])


def test_a_run_or_a_folder_of_runs_is_read(tmp_path):
    paths = [fold(number).save(tmp_path / "experiment" / f"fold{number}") for number in (1, 2)]
    for path in (paths[0], paths[0].parent):
        assert [run.run["fold"] for run in load_runs(path)] == [1]
    assert [run.run["fold"] for run in load_runs(tmp_path / "experiment")] == [1, 2]
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="There is no"):
            load_runs(path)


def test_options_of_the_data_sets_make_other_experiments():
    def run(number, **options):
        flags = {f"{name}_options": json.dumps(value) for name, value in options.items()}
        return described(number, ProtocolArguments(fold=str(number), **flags).describe())

    experiments = group_folds(
        [
            run(1, dataset={"camera": "left", "video_dir": "/mnt/one/crops"}),
            run(2, dataset={"camera": "right", "drop_bad_frames": True}),
            run(2, dataset={"camera": "left", "video_dir": "/mnt/two/crops"}),
            run(3, dataset={"camera": "left", "video_dir": "crops"}, test_dataset={"camera": "right"}),
        ]
    )
    assert [len(one.folds) for one in experiments] == [2, 1, 1]
    assert "dataset_options.camera=right, " in experiment_names(experiments)[1]
    assert "dataset_options.drop_bad_frames=true" in experiment_names(experiments)[1]
    assert "test_dataset_options.camera=right" in experiment_names(experiments)[2]
    assert "/" not in experiments[0].settings["dataset_options.video_dir"]


def test_other_data_sets_beside_the_first_make_other_experiments():
    def run(number, more):
        args = ProtocolArguments(
            fold=str(number), test_dataset="disfa", more_datasets=json.dumps([{"name": "bp4d"} | more])
        )
        return described(number, args.describe())

    assert len(group_folds([run(1, {}), run(2, {"frame_offset": 1}), run(3, {})])) == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"weight_decay": 0.5},
        {"lr_scheduler_type": "constant"},
        {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-6}},
        {"warmup_steps": 5},
        {"max_grad_norm": 0.01},
        {"adam_beta2": 0.95},
        {"optim": "sgd"},
        {"model_config": '{"hidden_dropout_prob": 0.1}'},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_how_a_run_was_trained_makes_another_experiment(tmp_path, fields):
    def run(number, model_config="{}", **given):
        trainer = finetuner(tmp_path, **given)
        return described(number, describe_training(trainer, ModelArguments(model_config=model_config), DataArguments()))

    experiments = group_folds([run(1), run(2), run(3, **fields), run(3, per_device_eval_batch_size=1)])
    assert [len(one.folds) for one in experiments] == [3, 1]
    assert all(f".{name}=" in experiment_names(experiments)[1] for name in fields if name != "model_config")
    assert json.loads(json.dumps(experiments[1].folds[0].run)) == experiments[1].folds[0].run


def test_one_start_per_fold_is_one_experiment_by_the_name_that_was_given(tmp_path):
    def run(number, given):
        args = ModelArguments(given)
        args.name_run(f"fold{number}")
        assert RUN not in str(args.model_name_or_path)
        return described(number, describe_training(trainer, args, DataArguments()))

    for name in ("fold1", "fold2", "fold3"):
        (tmp_path / "out" / name / "checkpoint-4").mkdir(parents=True)
    trainer = finetuner(tmp_path / "run")
    for given, expected in (
        (f"{tmp_path}/out/{{run}}", "out/{run}"),
        (f"{tmp_path}/out/{{run}}/checkpoint-4", "out/{run}/checkpoint-4"),
        (f"{tmp_path}/out/fold1", "fold1"),
        ("me/faces-{run}", "me/faces-{run}"),
        ("tiny", "tiny_encoder"),
        (None, None),
    ):
        (experiment,) = group_folds([run(number, given) for number in (1, 2, 3)])
        assert [one.run["base_model"] for one in experiment.folds] == [expected] * 3
    run = tiny_run.RUN | {
        "metrics": {"f1": 0.5, "accuracy": 0.5},
        "au_names": [],
        "all_ones": {"f1": 0.5},
        "coded_test_frames": 1,
    }
    card = render_card(run | {"base_model": "out/{run}"}, "here")
    assert card.data.base_model is None  # not a name on the Hub
    assert "- Initial weights: out/{run}" in card.text
