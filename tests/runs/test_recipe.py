"""Test that recipes and options mean what they say, or are refused with file and line."""

from pathlib import Path
from unittest.mock import Mock

import pytest
from transformers import TrainerState, TrainingArguments

import run_pretrain
from auvmae.runs.arguments_finetune import FoldArguments
from auvmae.runs.recipe import parse_arguments
from auvmae.system.yaml_file import read_yaml
from auvmae.training.trainer import train

from ..support.paths import ROOT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fold: 1\nseed: 2\nfold: 3\n", r"recipe\.yaml, line 3: the key 'fold' is there twice"),
        ("seed: 1\nmodel_config:\n  num_frames: 8\n  num_frames: 9\n", "line 4: the key 'num_frames' is there twice"),
        ("seed: 010\n", r'line 1: 010 is another number to some readers; write "010" in quotes'),
        ("fold: 1\nrun_name: 1:30\n", "line 2: 1:30 is another"),
        ("seed: 1_000\n", "line 1: 1_000 is another"),
        ("seed: 0x1F\n", "line 1: 0x1F is another"),
        ("fold: 1\n\tseed: 2\n", "line 2: "),
        ("fold: [1\nseed: 2\n", "line 2: "),
        ("fold: 1\n---\nfold: 2\n", "line 2: "),
    ],
)
def test_ambiguous_yaml_is_refused(tmp_path, text, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        parse_arguments(FoldArguments.CLASSES, [str(path)])


def test_scalars_are_those_of_yaml_1_2(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_bytes("a: no\nb: 1e-4\nc: '010'\nd: 2020-01-02\ne: on\nf: true\ng: -3\nh:\ni: é".encode("utf-16"))
    expected = {"a": "no", "b": 1e-4, "c": "010", "d": "2020-01-02", "e": "on", "f": True, "g": -3, "h": None, "i": "é"}
    assert read_yaml(path) == expected
    path.write_bytes("a: é".encode("latin-1"))
    with pytest.raises(ValueError, match=r"recipe\.yaml is not a YAML file in UTF-8"):
        read_yaml(path)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dataset_options", '{"fold": 2}'], r"--dataset_options sets fold to 2\. Set it with --fold only"),
        (["--dataset_options", '{"clip_length": 8}'], "sets clip_length to 8"),
        (["--dataset_options", '{"rare_au_clips": false}'], "Set it with --rare_au_clips only"),
        (["--dataset_options", '{"data_dir": "x"}'], "Set it with --data_dir only"),
        (["--dataset_options", "[1]"], r"--dataset_options must be JSON such as .*, found '\[1\]'"),
        (["--dataset_options", "{camera}"], "--dataset_options must be JSON such as"),
        (["--dataset_options", '{"seed": 1, "seed": 2}'], "the key 'seed' is there twice"),
        (["--dataset_options", '{"seed": NaN}'], "NaN is not a finite number"),
        (["--test_dataset", "disfa", "--test_dataset_options", '{"fold": 2}'], "--test_dataset_options sets fold to 2"),
        (["--test_dataset", "disfa", "--more_datasets", '[{"name": "bp4d", "fold": 2}]'], "--more_datasets sets fold"),
        (["--test_dataset", "disfa", "--more_datasets", '["bp4d"]'], "must list mappings with a name, found 'bp4d'"),
        (["--model_config", "8"], "--model_config must be JSON"),
        (["--max_steps", "-5"], "--max_steps must be at least 1, found -5"),
        (["--max_steps", "0"], "--max_steps must be"),
        (["--learning_rate", "nan"], "--learning_rate must be a finite number at least 0, found nan"),
        (["--train_share", "0"], r"--train_share must be a number in \(0, 1\], found 0\.0"),
        (["--train_share", "nan"], "--train_share must be"),
        (["--intra_weight", "inf"], "--intra_weight must be a finite number at least 0, found inf"),
        (["--inter_weight", "-1"], "--inter_weight must be"),
        (["--eval_mask_ratio", "1"], r"--eval_mask_ratio must be a number in \[0, 1\)"),
        (["--clip_length", "0"], "--clip_length must be"),
        (["--num_train_epochs", "inf"], "--num_train_epochs must be"),
        (["--per_device_train_batch_size", "0"], "--per_device_train_batch_size must be"),
        (["--layer_decay", "1.5"], "--layer_decay must be"),
        (["--inner_val", "1"], "--inner_val must be"),
    ],
)
def test_options_and_ranges_are_checked_before_work(flags, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        FoldArguments.parse([*flags, "--output_dir", str(tmp_path), "--use_cpu"], ROOT / "recipes/synthetic_tiny.yaml")


def test_pretraining_checks_its_ranges(tmp_path):
    for flags in (["--mask_ratio", "1"], ["--mask_ratio", "nan"], ["--masks_per_clip", "0"], ["--max_steps", "-2"]):
        with pytest.raises(ValueError, match=rf"{flags[0]} must be"):
            parse_arguments(run_pretrain.ARGUMENTS, [*flags, "--output_dir", str(tmp_path), "--use_cpu"])
    unset = parse_arguments(run_pretrain.ARGUMENTS, ["--max_steps", "-1", "--output_dir", str(tmp_path), "--use_cpu"])
    assert unset[-1].max_steps == -1


@pytest.mark.parametrize("fold", ["-1", "0", "1.5", "²"])
def test_folds_are_numbers_from_1(fold):
    (data,) = parse_arguments(FoldArguments.CLASSES[1:2], [f"--fold={fold}"])
    with pytest.raises(ValueError, match="--fold must be a number from 1"):
        _ = data.folds


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file/run"):
        with pytest.raises(ValueError, match=r"--output_dir .* must be a folder, but .*file is a file"):
            parse_arguments(run_pretrain.ARGUMENTS, ["--output_dir", str(output), "--use_cpu"])


def test_another_batch_size_on_resume_is_refused(tmp_path):
    folder = tmp_path / "checkpoint-2"
    folder.mkdir()
    TrainerState(train_batch_size=4).save_to_json(str(folder / "trainer_state.json"))
    for size in (4, 8):
        args = TrainingArguments(
            str(tmp_path), per_device_train_batch_size=size, use_cpu=True, do_train=True, resume_from_checkpoint="true"
        )
        trainer = Mock(args=args)
        trainer.save_model.side_effect = lambda path: Path(path).mkdir()
        if size == 4:
            train(trainer)
            trainer.train.assert_called_once_with(resume_from_checkpoint=str(folder))
        else:
            with pytest.raises(ValueError, match=r"with 4 clips per batch and device, but .* 8\. Resume with 4"):
                train(trainer)
            trainer.train.assert_not_called()
