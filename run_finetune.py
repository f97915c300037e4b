"""Fine-tune AU-vMAE on labelled face video and print the per-AU table of the unseen subjects.

    python run_finetune.py                       # the embedded synthetic faces, in minutes on two cores
    python run_finetune.py recipes/disfa_video.yaml --data_dir crops/DISFA --model_name_or_path MCG-NJU/videomae-base
    accelerate launch --config_file recipes/accelerate_8gpu.yaml run_finetune.py recipes/bp4d_frame.yaml --data_dir ...

A recipe comes first; every flag of `transformers.TrainingArguments` may follow and wins over it.
"""

from functools import partial
from pathlib import Path

from transformers import EarlyStoppingCallback, set_seed

from auvmae.arguments import DataArguments, LevelArguments, LossArguments, ModelArguments, parse_arguments
from auvmae.arguments_finetune import FinetuneArguments
from auvmae.crop_files import shared_recipe
from auvmae.data import au_names, load_au_dataset
from auvmae.data.clips import video_labels
from auvmae.data.folds import inner_split
from auvmae.data.levels import LevelClips, LevelCollator
from auvmae.data.sampling import ClipSampler, rare_au_weights
from auvmae.data.shared_index import index_once
from auvmae.drop_path import add_drop_path
from auvmae.lora import MergeLora, add_lora
from auvmae.losses import KnowledgeGuidedLoss
from auvmae.model_card import render_card, save_card
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.predictions import Predictions
from auvmae.processors import AUVMAEImageProcessor
from auvmae.report import FoldReport, describe_run, draw_figures, save_metrics
from auvmae.trainer import AUVMAETrainer, FrameAUMetrics, frame_probs, train

DEFAULT_RECIPE = Path(__file__).parent / "recipes" / "synthetic_tiny.yaml"
ARGUMENTS = (ModelArguments, DataArguments, LevelArguments, LossArguments, FinetuneArguments)


def main(argv: list[str] | None = None) -> FoldReport:
    """Parse, load, train, score, save; returns the report of the test fold."""
    model_args, data_args, level_args, loss_args, args = parse_arguments(ARGUMENTS, argv, DEFAULT_RECIPE)
    set_seed(args.seed)

    options = data_args.load_options() | {
        "rare_au_clips": data_args.rare_au_clips,
        "clip_stride": data_args.clip_stride,
    }
    rows = index_once(partial(load_au_dataset, **options), args)
    names = au_names(rows)
    if data_args.train_share < 1:
        rows["train"], _ = inner_split(rows["train"], 1 - data_args.train_share, args.seed)
    if args.inner_val:
        rows["train"], rows["inner_val"] = inner_split(rows["train"], args.inner_val, args.seed)

    model = model_args.build(
        AUVMAEForFrameAUClassification,
        clip_length=data_args.clip_length,
        **level_args.evaluation._asdict(),
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
        thresholds=None,  # those of a checkpoint are of its own action units
    )
    config = model.config
    if args.drop_path:
        add_drop_path(model, args.drop_path)
    if args.lora_rank and args.do_train:
        model = add_lora(model, args.lora_rank)

    recipe = shared_recipe(sorted({video for split in rows.values() for video in split["video"]}))
    crop = recipe and recipe.to_dict()
    processor = AUVMAEImageProcessor(config.image_size, config.image_mean, config.image_std, crop=crop)
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
    )
    if args.lora_rank and args.do_train:
        trainer.add_callback(MergeLora(trainer))
    if args.early_stopping_patience is not None:
        trainer.add_callback(EarlyStoppingCallback(args.early_stopping_patience))
    train(trainer)

    prediction = trainer.predict(clips["test"])
    run = describe_run(trainer, model_args, data_args, level_args, loss_args)
    report = FoldReport(frame_probs(prediction.predictions), prediction.label_ids, names, run)
    if trainer.is_world_process_zero():
        save_metrics(report.to_dict(), args.output_dir)
        Predictions.from_clips(report.probs, report.labels, rows, names, run).save(args.output_dir)
        draw_figures(report, rows["test"], trainer.criterion, args.output_dir)
        save_card(render_card(report.to_dict(), Path(args.output_dir).resolve().name), args.output_dir)
        print(
            f"\n{report.table()}\n\nWritten to {args.output_dir}: checkpoint, metrics.json, predictions.parquet, "
            "README.md (card), figures/"
        )
    if args.push_to_hub:
        trainer.push_to_hub()
    return report


if __name__ == "__main__":
    main()
