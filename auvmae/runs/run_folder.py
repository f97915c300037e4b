"""Save the results of a fine-tuning run in its folder.

They are written once the test fold is scored, the model card last.
"""

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
    """Save the scores, predictions, figures and card of a run.

    Args:
        report: Report of the test split.
        rows: Splits of the fold; see `FoldPredictions.from_clips`.
        criterion: Criterion with the priors of the training split.
        output_dir: Folder of the run.

    Returns:
        The text to print: the table, and the names of the files.
    """
    metrics = report.to_dict()
    # The card of an earlier run describes other weights, and a card marks a run as finished.
    (Path(output_dir) / CARD_FILE).unlink(missing_ok=True)
    save_metrics(metrics, output_dir)
    graded = report.intensities, report.coded_intensities
    predictions = FoldPredictions.from_clips(report.probs, report.labels, rows, report.au_names, report.run, *graded)
    predictions.save(output_dir)
    figures = draw_figures(report, rows["test"], criterion, output_dir)
    save_card(render_card(metrics, Path(output_dir).resolve().name), output_dir)
    written = f"Saved to {output_dir}: checkpoint, metrics.json, predictions.parquet, README.md (card)"
    written += ", figures/" if figures else ""
    return "\n" + "\n\n".join(filter(None, [report.table(), tuned_label(report.run), written]))


def is_finished(output_dir: str | Path) -> bool:
    """Tell whether a run has saved all of its results."""
    return (Path(output_dir) / CARD_FILE).is_file()
