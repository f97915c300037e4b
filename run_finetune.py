"""Fine-tune AU-vMAE on labelled face video and print the per-AU table of the unseen subjects.

    python run_finetune.py [--fold all]          # the embedded synthetic faces, in minutes on two cores [all folds]
    python run_finetune.py recipes/disfa_video.yaml --data_dir DISFA --dataset_options '{"video_dir": "crops/DISFA"}' \
        --model_name_or_path MCG-NJU/videomae-base
    accelerate launch --config_file recipes/accelerate_8gpu.yaml run_finetune.py recipes/bp4d_frame.yaml --data_dir ...

A recipe comes first; every flag of `transformers.TrainingArguments` may follow and wins over it.
"""

from pathlib import Path

from transformers import EarlyStoppingCallback, set_seed

from auvmae.data import au_names
from auvmae.data.clips import video_labels
from auvmae.data.loading.levels import LevelClips, LevelCollator
from auvmae.data.loading.sampling import ClipSampler, rare_au_weights
from auvmae.data.loading.shared_index import index_once
from auvmae.evaluation.metrics import frame_probs
from auvmae.faces.crop_files import shared_recipe
from auvmae.knowledge.losses import KnowledgeGuidedLoss
from auvmae.processors import AUVMAEImageProcessor
from auvmae.runs.arguments import LevelArguments, LossArguments, ModelArguments
from auvmae.runs.arguments_finetune import FinetuneArguments
from auvmae.runs.arguments_protocol import ProtocolArguments
from auvmae.runs.classifier import build_classifier
from auvmae.runs.description import describe_run
from auvmae.runs.hub import push_run
from auvmae.runs.protocol import run_protocol
from auvmae.runs.report import FoldReport
from auvmae.runs.run_folder import save_run
from auvmae.system.hardware import keep_freed_memory
from auvmae.training.drop_path import add_drop_path
from auvmae.training.finetuning import AUVMAETrainer, FrameAUMetrics
from auvmae.training.lora import MergeLora, add_lora
from auvmae.training.seen_subjects import trained_on
from auvmae.training.thresholds import tune_thresholds
from auvmae.training.trainer import train

DEFAULT_RECIPE = Path(__file__).parent / "recipes" / "synthetic_tiny.yaml"
ARGUMENTS = (ModelArguments, ProtocolArguments, LevelArguments, LossArguments, FinetuneArguments)


def main(argv: list[str] | None = None) -> FoldReport | None:
    """Run the folds that the flags ask for; returns the report of the last one that was run."""
    report, tables = run_protocol(run_fold, ARGUMENTS, argv, DEFAULT_RECIPE)
    print(tables, end="")
    return report


def run_fold(
    model_args: ModelArguments,
    data_args: ProtocolArguments,
    level_args: LevelArguments,
    loss_args: LossArguments,
    args: FinetuneArguments,
) -> FoldReport:
    """Load, train, score, save one fold; returns the report of its test side."""
    set_seed(args.seed)
    rows = data_args.hold_out(index_once(data_args.load, args), args.inner_val, args.seed)
    names = au_names(rows)
    fields = {"clip_length": data_args.clip_length, **level_args.evaluation._asdict()}
    model = build_classifier(model_args, names, args.do_train, **fields)
    config = model.config
    if args.drop_path:
        add_drop_path(model, args.drop_path)
    if args.lora_rank and args.do_train:
        model = add_lora(model, args.lora_rank)

    recipe = shared_recipe(sorted({video for split in rows.values() for video in split["video"]}))
    crop = recipe and recipe.to_dict()
    seen = trained_on(model_args.model_name_or_path, args, data_args.trained_datasets, rows)
    processor = AUVMAEImageProcessor(config.image_size, config.image_mean, config.image_std, crop, seen)
    clips = {
        split: LevelClips(
            part,
            level_args.training if split == "train" else [level_args.evaluation],
            resize=processor.resize_frames,
            augment=split == "train",
            seed=args.seed,
            backend=data_args.video_backend,
        )
        for split, part in rows.items()
    }
    sampler = None
    if args.balanced_sampling or len(level_args.training) > 1:
        weights = rare_au_weights(rows["train"].with_format("numpy")["labels"]) if args.balanced_sampling else None
        sampler = ClipSampler(clips["train"], args.train_batch_size * args.world_size, args.seed, weights)
    trainer = AUVMAETrainer(
        model=model,
        args=args,
        train_dataset=clips["train"],
        eval_dataset=clips.get("inner_val", clips["test"]),
        data_collator=LevelCollator(config, [*level_args.training, level_args.evaluation]),
        processing_class=processor,
        compute_metrics=FrameAUMetrics(names),
        criterion=KnowledgeGuidedLoss.from_labels(
            video_labels(rows["train"]),
            loss_args.cls_weight,
            loss_args.intra_weight,
            loss_args.inter_weight,
            loss_args.statistics_pool,
            names,
        ),
        train_sampler=sampler,
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
        tune_thresholds(trainer, clips["inner_val"])

    prediction = trainer.predict(clips["test"])
    run = describe_run(trainer, model_args, data_args, level_args, loss_args, rows)
    report = FoldReport(frame_probs(prediction.predictions), prediction.label_ids, names, run)
    if trainer.is_world_process_zero():
        print(save_run(report, rows, trainer.criterion, args.output_dir))
    if args.push_to_hub:
        trainer.push_to_hub()
    return report


if __name__ == "__main__":
    keep_freed_memory()
    main()
