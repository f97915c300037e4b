"""Test that flags override the recipe, and that mistakes in either are reported."""

import json

import pytest
import yaml

import run_pretrain
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.runs.arguments import LevelArguments, LossArguments, ModelArguments, RunArguments
from auvmae.runs.arguments_finetune import FoldArguments
from auvmae.runs.arguments_protocol import ProtocolArguments
from auvmae.runs.recipe import parse_arguments

from ..support.paths import ROOT
from ..support.tiny import SIZES

CLASSES = (ModelArguments, ProtocolArguments, LevelArguments, LossArguments)
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("fold: 2\nlevels: patch\nrare_au_clips: false\nmodel_config: {num_frames: 8}\n")
    return path


def test_flags_win_over_the_recipe_and_the_recipe_over_defaults(recipe):
    model_args, data_args, level_args, loss_args = parse_arguments(CLASSES, [str(recipe), "--fold", "3"])
    assert (data_args.fold, data_args.rare_au_clips, data_args.clip_length) == ("3", False, 128)
    assert (level_args.training, level_args.evaluation) == ([(1, 0.5)], (1, 0.5))
    assert model_args.model_config == '{"num_frames": 8}'
    assert (loss_args.cls_weight, loss_args.intra_weight, loss_args.inter_weight) == (1.0, 0.01, 0.01)


def test_the_default_recipe_is_taken_where_none_is_named(recipe):
    assert parse_arguments(CLASSES, ["--levels", "frame"], recipe)[1].fold == "2"
    assert parse_arguments(CLASSES, [], None)[1].fold == "1"


def test_options_of_the_recipes_data_set_are_not_those_of_another(recipe):
    recipe.write_text("dataset: synthetic\ndataset_options: {image_size: 32}\n")

    def options(*flags):
        return parse_arguments(CLASSES, [str(recipe), *flags])[1].dataset_options

    assert options() == options("--dataset", "synthetic") == '{"image_size": 32}'
    assert options("--dataset", "disfa") == options("--dataset=disfa") == "{}"
    assert options("--dataset", "disfa", "--dataset_options", '{"camera": "right"}') == '{"camera": "right"}'


def test_a_recipe_has_lists_and_nothing(recipe):
    more = [{"name": "bp4d", "data_dir": "B P4D"}, {"name": "au_video_folder"}]
    for given in (more[:1], more, []):
        fields = {"test_dataset": "disfa", "more_datasets": given, "num_proc": None, "clip_length": None}
        recipe.write_text(yaml.safe_dump(fields | {"levels": ["video", "frame"], "eval_level": None}))
        _, data_args, level_args, _ = parse_arguments(CLASSES, [str(recipe)])
        assert json.loads(data_args.more_datasets) == given
        assert (data_args.num_proc, data_args.clip_length, level_args.eval_level) == (None, 128, "video")
        assert level_args.levels == ["video", "frame"]
    recipe.write_text("report_to: [none]")  # also a list, for a flag that takes one word
    assert parse_arguments([RunArguments], [str(recipe), "--output_dir", "out"])[0].report_to == []


def test_given_folds_are_of_one_data_set(recipe):
    """The other dataset would use the published folds, whatever the file says."""
    with pytest.raises(
        ValueError, match=r"--folds_file .* one dataset.*--test_dataset .* two datasets\. Give only one of them"
    ):
        parse_arguments(CLASSES, [str(recipe), "--folds_file", "folds.json", "--test_dataset", "disfa"])


@pytest.mark.parametrize(
    ("text", "error", "found"),
    [
        ("- fold", ValueError, "mapping of flags to values, found list"),
        ("folds: 1\nlevels: video\n", ValueError, "unknown flags: folds"),
        (None, FileNotFoundError, r"Recipe .*missing\.yaml' not found"),
    ],
)
def test_a_wrong_recipe_is_named(tmp_path, text, error, found):
    path = tmp_path / ("missing.yaml" if text is None else "wrong.yaml")
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=found):
        parse_arguments(CLASSES, [str(path)])


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_published_recipe_parses(path, tmp_path):
    if path.stem.startswith("accelerate"):
        pytest.skip("accelerate's own format")
    classes = run_pretrain.ARGUMENTS if path.stem.startswith("pretrain") else FoldArguments.CLASSES
    parsed = parse_arguments(classes, [str(path), "--output_dir", str(tmp_path), "--use_cpu"])
    assert parsed[-1].do_train
    assert not parsed[-1].remove_unused_columns


@pytest.mark.parametrize(
    "flags",
    [
        ["--prediction_loss_only", "true"],
        ["--batch_eval_metrics", "true"],
        ["--eval_do_concat_batches", "false"],
        ["--include_for_metrics", "inputs"],
        ["--label_names", "AU1"],
        ["--remove_unused_columns", "true"],
        ["--label_smoothing_factor", "0.1"],
    ],
    ids=lambda flags: flags[0],
)
def test_what_a_run_could_not_do_is_refused_before_it(flags, tmp_path):
    with pytest.raises(ValueError, match=rf"^{flags[0]} .* is not supported: .*\. Omit this flag\.$"):
        parse_arguments((RunArguments,), [*flags, "--output_dir", str(tmp_path), "--use_cpu"])


@pytest.mark.parametrize("flag", ["train_share", "rare_au_clips", "clip_stride"])
def test_pretraining_does_not_take_what_it_would_ignore(flag, recipe):
    with pytest.raises(ValueError, match=f"--{flag}"):
        parse_arguments(run_pretrain.ARGUMENTS, [f"--{flag}", "1"])
    recipe.write_text(f"{flag}: 1\n")
    with pytest.raises(ValueError, match=f"unknown flags: {flag}"):
        parse_arguments(run_pretrain.ARGUMENTS, [str(recipe)])


def test_a_model_is_built_from_fields_or_from_a_checkpoint(tmp_path):
    names = {0: "AU1", 1: "AU2"}
    args = parse_arguments(CLASSES, ["--model_config", str(SIZES).replace("'", '"')])[0]
    model = args.build(AUVMAEForFrameAUClassification, clip_length=8, id2label=names)
    assert (model.config.hidden_size, model.config.clip_length, model.config.au_names) == (16, 8, ["AU1", "AU2"])
    model.half().save_pretrained(tmp_path)
    again = ModelArguments(str(tmp_path)).build(AUVMAEForFrameAUClassification, clip_length=16)
    assert again.config.clip_length == 16
    assert str(again.dtype) == "torch.float32"


def test_levels_to_train_and_to_score_at():
    def levels(*flags):
        args = parse_arguments((LevelArguments,), list(flags))[0]
        return args.training, args.evaluation

    assert levels() == ([(1, 0.0)], (1, 0.0))
    assert levels("--levels", "frame", "patch", "frame") == ([(4, 0.0), (1, 0.5), (4, 0.0)], (4, 0.0))
    assert levels("--eval_level", "patch", "--eval_mask_ratio", "0.9") == ([(1, 0.0)], (1, 0.9))
    assert levels("--levels", "patch", "--eval_mask_ratio", "0") == ([(1, 0.5)], (1, 0.0))
    with pytest.raises(ValueError, match="--eval_level must be one of video, frame, patch, found 'clip'"):
        levels("--eval_level", "clip")
