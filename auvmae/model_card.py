"""The model card of a run, rendered from its `metrics.json`."""

from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from .report import FoldReport

TEMPLATE = """---
{card_data}
---

# {title}

{summary}

## Use

```python
from transformers import AutoImageProcessor, AutoModelForVideoClassification

model = AutoModelForVideoClassification.from_pretrained("{repository}", trust_remote_code=True)
processor = AutoImageProcessor.from_pretrained("{repository}", trust_remote_code=True)
# frames: uint8 array ({num_frames}, height, width, 3), {sampling}, of one cropped face
probs = model(**processor(frames)).logits.sigmoid()  # (1, {clip_length}, {num_labels}): one row per frame
```

Action units, in order: {au_names}.

## Training

{training}

## Evaluation

{evaluation}

## Limits and responsible use

{limits}
"""

LIMITS = """- Trained and scored on cropped, near-frontal faces of the data set named above; nothing is known of other
  cameras, poses, ages or skin tones. Demographic coverage: unknown.
- An action unit is a muscle movement. It is no emotion, intention or truthfulness, and must not be read as one.
- Analyse people only with their consent and within the licence of the recordings.
- Probabilities are not calibrated; a threshold of 0.5 was used for the table."""

SYNTHETIC = (
    """- **For demonstration only**: trained on drawn faces. It does not work on photographs or recordings of people."""
)


def render_card(report: FoldReport, repository: str) -> ModelCard:
    """Render the card of a fine-tuned model.

    Args:
        report: Scores and description of the run.
        repository: Hub name or folder that the example loads.

    Returns:
        A `huggingface_hub.ModelCard` with `model-index` metadata.
    """
    run = report.to_dict()
    synthetic = run["dataset"] == "synthetic"
    metrics = [
        EvalResult(
            task_type="video-classification",
            task_name="Facial action unit detection",
            dataset_type=run["dataset"],
            dataset_name=f"{run['dataset']} (fold {run['fold']}, test subjects)",
            metric_type=name,
            metric_name=label,
            metric_value=round(run["metrics"][name], 4),
        )
        for name, label in (("f1", "F1 (macro over AUs)"), ("accuracy", "Accuracy (mean over AUs)"))
    ]
    card_data = ModelCardData(
        license="apache-2.0",
        library_name="transformers",
        pipeline_tag="video-classification",
        tags=["facial-action-units", "facs", "videomae", "auvmae"],
        model_name=f"AU-vMAE {run['dataset']} fold {run['fold']} {run['level']}",
        eval_results=metrics,
    )
    rate = run["sampling_rate"]
    return ModelCard(
        TEMPLATE.format(
            card_data=card_data.to_yaml(),
            title=f"AU-vMAE: {run['dataset']}, fold {run['fold']}, {run['level']} level",
            summary="Detects facial action units in every frame of a face video. Made with "
            "[AU-vMAE](https://arxiv.org/abs/2407.11468), a video masked autoencoder fine-tuned with AU-pair state "
            "machines as prior knowledge.",
            repository=repository,
            num_frames=run["clip_length"] // rate,
            sampling="consecutive" if rate == 1 else f"every {rate}th frame",
            clip_length=run["clip_length"],
            num_labels=len(run["au_names"]),
            au_names=", ".join(run["au_names"]),
            training=f"- Data: {run['dataset']}, training subjects of fold {run['fold']} ({run['train_clips']} clips "
            f"of {run['clip_length']} frames)\n"
            f"- Start: {run['base_model'] or 'random weights'}\n"
            f"- Loss (Eq. 9): {', '.join(f'{name} {value:g}' for name, value in run['loss'].items())}\n"
            f"- {run['steps']} steps of {run['batch_size']} clips, learning rate {run['learning_rate']:g}, "
            f"seed {run['seed']}, {run['train_runtime']:.0f} s on {run['hardware']}\n"
            f"- Versions: {', '.join(f'{name} {number}' for name, number in run['versions'].items())}",
            evaluation=f"Test subjects of fold {run['fold']} (no subject is in both sides), "
            f"{run['coded_test_frames']} coded frames, threshold 0.5, in percent. Nothing was chosen on the test "
            f'side. "All-ones" calls every AU present in every frame.\n\n{report.table()}',
            limits=f"{SYNTHETIC}\n{LIMITS}" if synthetic else LIMITS,
        ),
        ignore_metadata_errors=False,
    )


def save_card(card: ModelCard, folder: str | Path) -> Path:
    """Write the card as `README.md`."""
    path = Path(folder) / "README.md"
    card.save(path)
    return path
