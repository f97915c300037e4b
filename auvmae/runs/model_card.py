"""Render the model card of a run from its `metrics.json`."""

import re
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..evaluation.experiments import resplit_label, tuned_label
from ..system.files import whole_file
from .arguments import RUN
from .report import format_table

CARD_FILE = "README.md"

TEMPLATE = """---
{card_data}
---

# {title}

{summary}

## How to use

```python
from transformers import AutoImageProcessor, {auto_class}

repository = "{repository}"  # the folder of the run, or its repository on the Hub
model = {auto_class}.from_pretrained(repository, trust_remote_code=True)
processor = AutoImageProcessor.from_pretrained(repository, trust_remote_code=True)
# frames: uint8 array ({num_frames}, height, width, 3) of one cropped face, {sampling}
{call}
```

The example requires `torch` and `transformers>=5.18`. {outputs}

{weights}

## Training

{training}

## Evaluation

{evaluation}

## Limitations and responsible use

{limits}
"""

SUMMARY = """This model detects facial action units (AUs) in every frame of a face video. It was trained with
[AU-vMAE](https://arxiv.org/abs/2407.11468), which fine-tunes a video masked autoencoder with AU-pair state machines as
prior knowledge."""

PRETRAINING_SUMMARY = """This model is a video encoder for faces, to be fine-tuned on facial action units (AUs). It was
pre-trained as the masked autoencoder of [AU-vMAE](https://arxiv.org/abs/2407.11468), without labels."""

LIMITS = """- The model was {uses} on cropped, near-frontal faces of the dataset named above. Its
  performance with other cameras, poses, ages or skin tones is unknown. Demographic coverage: unknown.
- An action unit is a muscle movement. It does not reveal emotion, intention or truthfulness, and must not be
  interpreted as if it did.
- Analyse people only with their consent and within the licence of the recordings."""

UNCALIBRATED = "- The probabilities are not calibrated."

LICENSED = """- Licence: the code is Apache-2.0. Use of the weights also depends on the licences of the
  recordings and of the weights that training started from."""

SYNTHETIC = """- **For demonstration only.** The model was trained on drawn faces. It does not work on photographs or
  recordings of people."""

SYNTHETIC_SCORES = """- The published recipe (`recipes/synthetic_tiny.yaml`) was chosen by its scores on its own test
  subjects. Those scores do not estimate performance on other faces."""


RESULTS = {
    "f1": "F1 (macro over AUs)",
    "accuracy": "Accuracy (mean over AUs)",
    "icc": "ICC(3,1) of intensities (mean over AUs)",
    "mae": "Mean absolute error of intensities (mean over AUs)",
}
"""Scores in the metadata of a card."""


def render_card(run: dict[str, Any], repository: str) -> ModelCard:
    """Render the card of a fine-tuned model.

    Args:
        run: Content of `metrics.json`, from `FoldReport.to_dict()`.
        repository: Hub name or folder that the example loads.

    Returns:
        A `huggingface_hub.ModelCard` with `model-index` metadata.
    """
    dataset, fold, level = run["dataset"], run["fold"], run["level"]
    folds = f"fold {fold}{resplit_label(run)}"
    trained = " and ".join(run.get("train_datasets") or [dataset])
    synthetic = [SYNTHETIC_SCORES] if dataset == "synthetic" else []
    if not run["steps"]:
        chosen = "those given to the run"
    elif run.get("load_best_model_at_end"):
        chosen = "those of the best checkpoint on held-out training subjects"
    else:
        chosen = "those of the last step"
    return _render(
        run,
        repository,
        card_data=_card_data(
            run,
            pipeline_tag="video-classification",
            model_name=f"AU-vMAE {trained} {folds} {level}",
            eval_results=metric_results(run),
        ),
        title=f"AU-vMAE: {trained}, {folds}, {level} level",
        summary=SUMMARY,
        auto_class="AutoModelForVideoClassification",
        call=_calls(run),
        outputs=f"The action units, in order, are {', '.join(run['au_names'])}.",
        training=f"- Data: {trained}, training subjects of {folds} ({run['train_clips']} clips of "
        f"{run['clip_length']} frames)\n"
        f"{_loss(run)}\n" + _options(run),
        evaluation=f"{_warning(run)}The model was evaluated on the test subjects of {folds} of {dataset} "
        f"({run['coded_test_frames']} coded frames). No subject is in both the training and the test split. The "
        f"weights are {chosen}{_explain(run)}\n\n"
        f"{format_table(run['au_names'], run['metrics'], run['all_ones'], run.get('metrics_at_half'))}",
        limits=[*synthetic, LIMITS.format(uses="trained and evaluated"), UNCALIBRATED],
    )


def render_pretraining_card(run: dict[str, Any], repository: str) -> ModelCard:
    """Render the card of a pre-trained encoder.

    The arguments are those of `render_card`.
    """
    return _render(
        run,
        repository,
        card_data=_card_data(run),
        title=f"AU-vMAE: masked autoencoder, {run['dataset']}",
        summary=PRETRAINING_SUMMARY,
        auto_class="AutoModel",
        call="features = model(**processor(frames)).last_hidden_state  # (1, tokens in time order, width)",
        outputs="To fine-tune the encoder, run `python run_finetune.py RECIPE --model_name_or_path REPOSITORY`. "
        "`AutoModelForPreTraining` loads both encoder and decoder.",
        training=f"- Data: {run['dataset']}, {run['train_clips'] or 'a stream of'} clips of {run['clip_length']} "
        "frames\n"
        f"- Tube mask: {run['mask_ratio']:.0%} of the patches are hidden\n"
        f"- Loss: mean squared error over the hidden patches, {run['train_loss']:.4g} on average over the training\n",
        evaluation="The encoder was not evaluated. Fine-tune it, and score the fine-tuned model.",
        limits=[LIMITS.format(uses="trained")],
    )


def metric_results(run: dict[str, Any]) -> list[EvalResult]:
    """List the scores of a run for the `model-index` of its card.

    Scores of occurrences are fractions. All are rounded to four places. A pre-training run has none.
    """
    if "metrics" not in run:
        return []
    side = f"fold {run['fold']}{resplit_label(run)}, test subjects"
    if tuned := tuned_label(run):
        side += f"; {tuned}"
    return [
        EvalResult(
            task_type="video-classification",
            task_name="Facial action unit detection",
            dataset_type=run["dataset"],
            dataset_name=f"{run['dataset']} ({side})",
            dataset_split="test",
            metric_type=name,
            metric_name=label,
            metric_value=round(run["metrics"][name], 4),
        )
        for name, label in RESULTS.items()
        if name in run["metrics"]
    ]


def card_digest(card: ModelCard) -> str | None:
    """Return the SHA-256 of the weights that the card names, or None."""
    found = re.search(r"sha256 `([0-9a-f]{64})`", card.text)
    return found and found[1]


def name_repository(text: str, repository: str) -> str:
    """Make the example in the text of a card load `repository`."""
    return re.sub(r'(?m)^repository = ".*$', lambda _: f'repository = "{repository}"', text, count=1)


def save_card(card: ModelCard, folder: str | Path) -> Path:
    """Write the card as `README.md`, atomically."""
    path = Path(folder) / CARD_FILE
    with whole_file(path) as temporary:
        card.save(temporary)
    return path


def _card_data(run: dict[str, Any], **fields: Any) -> ModelCardData:
    base, co2 = run["base_model"] or "", run.get("co2_grams")
    if co2 is not None:
        fields["co2_eq_emissions"] = {"emissions": round(co2, 3), "source": "codecarbon"}
    return ModelCardData(
        license="apache-2.0" if _is_synthetic(run) else "other",
        library_name="transformers",
        base_model=base if "/" in base and RUN not in base else None,
        tags=["facial-action-units", "facs", "videomae", "auvmae"],
        **fields,
    )


def _warning(run: dict[str, Any]) -> str:
    label = tuned_label(run)
    return f"**{label}.** These scores do not estimate performance on other people.\n\n" if label else ""


def _loss(run: dict[str, Any]) -> str:
    """Describe the loss of the heads that were trained."""
    terms = ", ".join(
        f"{name} {value if isinstance(value, str) else format(value, 'g')}" for name, value in run["loss"].items()
    )
    if run.get("target") == "intensity":
        return f"- Loss: that of intensities only, without Eq. 9 ({terms})"
    return (
        f"- Loss (Eq. 9): {terms}; the weights per AU and the priors, computed from the labels of these subjects, are "
        "saved with the model in `criterion.safetensors`"
    )


def _calls(run: dict[str, Any]) -> str:
    """Show how to read the heads that were trained."""
    shape = f"(1, {run['clip_length']}, {len(run['au_names'])}): one row per frame"
    target = run.get("target", "occurrence")
    if target == "occurrence":
        return f"probs = model(**processor(frames)).logits.sigmoid()  # {shape}"
    lines = ["outputs = model(**processor(frames))"]
    lines += [f"probs = outputs.logits.sigmoid()  # {shape}"] * (target == "both")
    return "\n".join([*lines, f"intensities = 5 * outputs.intensity_logits.sigmoid()  # {shape}"])


def _explain(run: dict[str, Any]) -> str:
    """Explain the columns of the table of scores."""
    target, text = run.get("target", "occurrence"), "."
    if target != "intensity":
        scores = "Scores" if target == "occurrence" else "F1 and accuracy"
        text = f", and {_thresholds(run)}. {scores} are in percent. "
        text += "F1 (always positive) is the F1 of a trivial baseline that predicts every AU in every frame."
    if target != "occurrence":
        text += " Intensities, 0 to 5, are scored over the frames in which they are coded, by ICC(3,1), Pearson's "
        text += "correlation, and the mean absolute and squared error; their mean is over the AUs with a defined score."
    if target == "intensity":
        text += " **Occurrences were not trained, so `logits` mean nothing.**"
    return text


def _thresholds(run: dict[str, Any]) -> str:
    if not (thresholds := run.get("thresholds")):
        return "the threshold is 0.5"
    pairs = zip(run["au_names"], thresholds, strict=True)
    is_tuned = run.get("options", {}).get("tune_thresholds")
    origin = "tuned on held-out training subjects" if is_tuned else "given to the run"
    return f"the thresholds, {origin}, are {', '.join(f'{name} {value:.3f}' for name, value in pairs)}"


def _options(run: dict[str, Any]) -> str:
    """List the training options that are neither the paper's nor a default, if any."""
    options = [f"{name} {value}" for name, value in run.get("options", {}).items()]
    if len(levels := run.get("train_levels", [])) > 1:
        options.insert(0, f"levels {', '.join(levels)}, one drawn per batch")
    return f"- Options: {'; '.join(options)}\n" if options else ""


def _is_synthetic(run: dict[str, Any]) -> bool:
    """Tell whether the model was trained on drawn faces only."""
    trained = set(run.get("train_datasets") or [run["dataset"]])
    return trained == {"synthetic"} and run["base_model"] in (None, "tiny_encoder")


def _render(
    run: dict[str, Any], repository: str, card_data: ModelCardData, training: str, limits: list[str], **fields: str
) -> ModelCard:
    rate = run["sampling_rate"]
    training += f"- Initial weights: {run['base_model'] or 'random'}\n"
    if run["steps"]:
        training += (
            f"- Schedule: {run['steps']} steps of {run['batch_size']} clips, learning rate {run['learning_rate']:g}, "
            f"seed {run['seed']}\n"
            f"- Training time: {run['train_runtime']:.0f} s on {run['hardware']}\n"
        )
    else:
        training += "- Schedule: none. This run only scored these weights; see the card of the run that trained them\n"
    training += f"- Versions: {', '.join(f'{name} {number}' for name, number in run['versions'].items())}"
    if (co2 := run.get("co2_grams")) is not None:
        training += f"\n- CO2 emissions: about {co2:.3g} g, estimated by codecarbon"
    digest = run.get("weights_sha256")
    demonstration = [SYNTHETIC] if "synthetic" in (run.get("train_datasets") or [run["dataset"]]) else []
    licence = [] if _is_synthetic(run) else [LICENSED]
    return ModelCard(
        TEMPLATE.format(
            card_data=card_data.to_yaml(),
            repository=repository,
            num_frames=run["clip_length"] // rate,
            sampling="consecutive frames" if rate == 1 else f"one frame in {rate}",
            weights=f"This card describes the `model.safetensors` with sha256 `{digest}`."
            if digest
            else "The weights of this run were not kept.",
            training=training,
            limits="\n".join(demonstration + limits + licence),
            **fields,
        ),
        ignore_metadata_errors=False,
    )
