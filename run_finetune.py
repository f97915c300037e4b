"""Fine-tune AU-vMAE on labelled face video and print the per-AU table of the unseen subjects.

    python run_finetune.py                       # the embedded synthetic faces, in minutes on two cores
    python run_finetune.py recipes/disfa_video.yaml --data_dir crops/DISFA --model_name_or_path MCG-NJU/videomae-base
    accelerate launch --config_file recipes/accelerate_8gpu.yaml run_finetune.py recipes/bp4d_frame.yaml --data_dir ...

A recipe comes first; every flag of `transformers.TrainingArguments` may follow and wins over it.
"""

from pathlib import Path

from transformers import set_seed

from auvmae.arguments import DataArguments, LevelArguments, LossArguments, ModelArguments, RunArguments, parse_arguments
from auvmae.crop_files import shared_recipe
from auvmae.data import au_names, load_au_dataset
from auvmae.data.clips import video_labels
from auvmae.data.loader import ClipCollator, ClipDataset
from auvmae.losses import KnowledgeGuidedLoss
from auvmae.model_card import render_card, save_card
from auvmae.modeling_auvmae import AUVMAEForFrameAUClassification
from auvmae.processors import AUVMAEImageProcessor
from auvmae.report import FoldReport, describe_run, draw_figures
from auvmae.trainer import AUVMAETrainer, FrameAUMetrics, frame_probs, train

DEFAULT_RECIPE = Path(__file__).parent / "recipes" / "synthetic_tiny.yaml"
ARGUMENTS = (ModelArguments, DataArguments, LevelArguments, LossArguments, RunArguments)


def main(argv: list[str] | None = None) -> FoldReport:
    """Parse, load, train, score, save; returns the report of the test fold."""
    model_args, data_args, level_args, loss_args, args = parse_arguments(ARGUMENTS, argv, DEFAULT_RECIPE)
    set_seed(args.seed)

    with args.main_process_first(desc="reading the data set"):
        rows = load_au_dataset(
            **data_args.load_options(), rare_au_clips=data_args.rare_au_clips, clip_stride=data_args.clip_stride
        )
    names = au_names(rows)

    model = model_args.build(
        AUVMAEForFrameAUClassification,
        clip_length=data_args.clip_length,
        sampling_rate=level_args.sampling_rate,
        mask_ratio=level_args.mask_ratio,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
        thresholds=None,  # those of a checkpoint are of its own action units
    )
    config = model.config
    recipe = shared_recipe(sorted({video for split in rows.values() for video in split["video"]}))
    processor = AUVMAEImageProcessor(
        config.image_size, config.image_mean, config.image_std, crop=recipe and recipe.to_dict()
    )
    train_set, test_set = (
        ClipDataset(rows[split], processor, config.sampling_rate, augment, args.seed, data_args.video_backend)
        for split, augment in (("train", True), ("test", False))
    )
    trainer = AUVMAETrainer(
        model=model,
        args=args,
        train_dataset=train_set,
        eval_dataset=test_set,
        data_collator=ClipCollator.from_config(config),
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
    )
    train(trainer)

    prediction = trainer.predict(test_set)
    run = describe_run(trainer, model_args, data_args, level_args, loss_args)
    report = FoldReport(frame_probs(prediction.predictions), prediction.label_ids, names, run)
    if trainer.is_world_process_zero():
        report.save(args.output_dir)
        draw_figures(report, rows["test"], trainer.criterion, args.output_dir)
        save_card(render_card(report, args.output_dir), args.output_dir)
        print(
            f"\n{report.table()}\n\nWritten to {args.output_dir}: checkpoint, metrics.json, README.md (card), figures/"
        )
    return report


if __name__ == "__main__":
    main()
