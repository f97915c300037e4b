"""Fine-tune AU-vMAE on labelled face video and print per-AU scores.

The scores are those of the test subjects, who are not seen in training.

    python run_finetune.py [--fold all]          # embedded synthetic faces, minutes on two cores [all folds]
    python run_finetune.py recipes/disfa_video.yaml --data_dir DISFA --dataset_options '{"video_dir": "crops/DISFA"}' \
        --model_name_or_path MCG-NJU/videomae-base
    accelerate launch --config_file recipes/accelerate_8gpu.yaml run_finetune.py recipes/bp4d_frame.yaml --data_dir ...

Pass a recipe first; any flag of `transformers.TrainingArguments` after it overrides the recipe.
"""

import auvmae  # noqa: F401  before torch, so that threads sleep while they wait, and leave CPUs to loader workers

# isort: split
import sys
from pathlib import Path

from transformers import EarlyStoppingCallback, set_seed

from auvmae.data.clips import au_names, crop_recipe, pose_range
from auvmae.data.loading.levels import LevelCollator, build_clips
from auvmae.data.loading.sampling import build_sampler
from auvmae.data.loading.shared_index import index_once
from auvmae.processors import AUVMAEImageProcessor
from auvmae.runs.arguments_finetune import FoldArguments
from auvmae.runs.classifier import build_classifier, choose_heads, scored_target
from auvmae.runs.description import describe_run
from auvmae.runs.hub import push_run
from auvmae.runs.protocol import run_protocol
from auvmae.runs.report import FoldReport
from auvmae.runs.run_folder import save_run
from auvmae.system.endings import EXPECTED, run_command
from auvmae.training.finetuning import AUVMAETrainer, ClipPrediction, FrameAUMetrics
from auvmae.training.regularisation.partial_training import MergeLora, freeze_all_but
from auvmae.training.seen_subjects import trained_on
from auvmae.training.thresholds import tune_thresholds
from auvmae.training.trainer import train

DEFAULT_RECIPE = Path(__file__).parent / "recipes" / "synthetic_tiny.yaml"


def main(argv: list[str] | None = None) -> FoldReport | None:
    """Run the requested folds and return the report of the last one that was run."""
    report, tables = run_protocol(run_fold, argv, DEFAULT_RECIPE)
    print(tables, end="")
    return report


def run_fold(arguments: FoldArguments) -> FoldReport:
    """Train, score and save one fold, and return the report of its test split."""
    args, data, levels = arguments.training, arguments.data, arguments.levels
    set_seed(args.seed)
    rows = data.hold_out(index_once(data.load, args), args.inner_val, args.seed)
    names = au_names(rows)

    fields = {"clip_length": data.clip_length, **levels.evaluation._asdict()}
    if args.do_train:
        arguments.model.heads = choose_heads(data.target, rows)
        fields["pose_range"] = pose_range(rows)
    model = build_classifier(arguments.model, names, args.do_train, args.drop_path, args.lora_rank, **fields)
    if args.train_only and args.do_train:
        freeze_all_but(model, args.train_only)
    config = model.config
    data.target = scored_target(config, data.target, rows)
    seen = trained_on(arguments.model.model_name_or_path, args, data.trained_datasets, rows)
    processor = AUVMAEImageProcessor(config.image_size, config.image_mean, config.image_std, crop_recipe(rows), seen)
    clips = build_clips(
        rows,
        levels.training,
        levels.evaluation,
        resize=processor.resize_frames,
        seed=args.seed,
        distort=args.distort_clips,
        backend=data.video_backend,
    )
    trainer = AUVMAETrainer(
        model=model,
        args=args,
        train_dataset=clips["train"],
        eval_dataset=clips.get("inner_val", clips["test"]),
        data_collator=LevelCollator(config, [*levels.training, levels.evaluation]),
        processing_class=processor,
        compute_metrics=FrameAUMetrics(names, config.detect_occurrences),
        criterion=arguments.loss.build(rows["train"], config.detect_occurrences),
        intensity_weight=arguments.loss.intensity_weight,
        intensity_loss=arguments.loss.intensity_loss,
        ranking_weight=arguments.loss.ranking_weight,
        train_sampler=build_sampler(
            clips["train"], args.train_batch_size * args.world_size, args.seed, args.balanced_sampling
        ),
        layer_decay=args.layer_decay,
        ema_decay=args.ema_decay,
        push=push_run,
    )
    if args.lora_rank and args.do_train:
        trainer.add_callback(MergeLora(trainer))
    if args.early_stopping_patience is not None:
        trainer.add_callback(EarlyStoppingCallback(args.early_stopping_patience))
    train(trainer)
    if args.tune_thresholds:
        tune_thresholds(trainer, clips["inner_val"], args.false_alarm_rate)

    prediction = ClipPrediction.of(trainer.predict(clips["test"]))
    run = describe_run(trainer, arguments, rows)
    report = FoldReport(prediction.probs, prediction.labels, names, run, *prediction[2:])
    if trainer.is_world_process_zero():
        print(save_run(report, rows, trainer.criterion, args.output_dir))
    if args.push_to_hub:
        trainer.push_to_hub()
    return report


if __name__ == "__main__":
    sys.exit(run_command(main, Path(__file__).name, EXPECTED))
