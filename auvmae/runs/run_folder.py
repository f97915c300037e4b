"""The folder of a fine-tuning run: what is written once the test fold is scored, the card last."""

from pathlib import Path

import datasets

from ..evaluation.experiments import tuned_label
from ..evaluation.saved_predictions import FoldPredictions
from ..knowledge.losses import KnowledgeGuidedLoss
from .model_card import CARD_FILE, render_card, save_card
from .report import FoldReport, draw_figures, save_metrics


def save_run(
    report: FoldReport, rows: datasets.DatasetDict, criterion: KnowledgeGuidedLoss, output_dir: str | Path
) -> str:
    """Write scores, predictions, figures and card of a run.

    Args:
        report: Of the test side.
        rows: Of the fold, see `FoldPredictions.from_clips`.
        criterion: With the priors of the training fold.
        output_dir: The run's folder.

    Returns:
        What to print: the table, and what is where.
    """
    metrics = report.to_dict()
    # what an earlier run left here is of other weights; and the card says that a run is finished
    (Path(output_dir) / CARD_FILE).unlink(missing_ok=True)
    save_metrics(metrics, output_dir)
    FoldPredictions.from_clips(report.probs, report.labels, rows, report.au_names, report.run).save(output_dir)
    draw_figures(report, rows["test"], criterion, output_dir)
    save_card(render_card(metrics, Path(output_dir).resolve().name), output_dir)
    written = f"Written to {output_dir}: checkpoint, metrics.json, predictions.parquet, README.md (card), figures/"
    return "\n" + "\n\n".join(filter(None, [report.table(), tuned_label(report.run), written]))


def is_finished(output_dir: str | Path) -> bool:
    """Whether a run has written all that it writes."""
    return (Path(output_dir) / CARD_FILE).is_file()
