"""Report the results of a run as a table, `metrics.json` and figures."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from numpy.typing import NDArray

from ..evaluation.intensity_metrics import INTENSITY_METRICS, intensity_scores
from ..evaluation.metrics import au_metrics
from ..evaluation.tables import markdown_table
from ..knowledge.facs import NOT_CODED
from ..knowledge.fsm import cooccurrence_matrix, straight_through, transition_tensor
from ..knowledge.losses import KnowledgeGuidedLoss
from ..plotting.knowledge import plot_cooccurrence, plot_transitions
from ..plotting.style import save_figure
from ..plotting.timeline import plot_timeline
from ..system.files import save_json

METRICS_FILE = "metrics.json"
WEIGHTS_FILE = "model.safetensors"


def format_table(
    au_names: list[str],
    metrics: dict[str, float],
    all_ones: dict[str, float],
    at_half: dict[str, float] | None = None,
) -> str:
    """Format the scores per AU and on average as a Markdown table.

    F1 and accuracy are in percent. The F1 of the always-positive baseline, which predicts every AU in every frame, is
    shown for comparison. The scores of intensities are in their own units. Scores that the run does not have are left
    out, and an undefined one is a dash.

    Args:
        au_names: N names.
        metrics: Fractions from `auvmae.evaluation.metrics.au_metrics`, and scores of `intensity_scores`.
        all_ones: Fractions of the always-positive baseline; only its F1 is shown.
        at_half: Fractions at a threshold of 0.5 if `metrics` use other thresholds; only their F1 is shown.
    """
    columns = [("F1", "f1", metrics), ("accuracy", "accuracy", metrics), ("F1 (always positive)", "f1", all_ones)]
    if at_half is not None:
        columns.insert(1, ("F1 at 0.5", "f1", at_half))
    columns += [(title, metric, metrics) for metric, (title, _) in INTENSITY_METRICS.items()]
    columns = [(title, metric, scores) for title, metric, scores in columns if any(_of(metric, scores))]
    rows = [["AU", *(title for title, _, _ in columns)]]
    for name, suffix in [*((name, f"_{name}") for name in au_names), ("mean", "")]:
        rows.append([name, *(_cell(metric, scores.get(metric + suffix)) for _, metric, scores in columns)])
    return markdown_table(rows)


def _of(metric: str, scores: dict[str, float]) -> list[str]:
    return [name for name in scores if name.split("_")[0] == metric]


def _cell(metric: str, score: float | None) -> str:
    if score is None:
        return "-"
    return f"{score:.3f}" if metric in INTENSITY_METRICS else f"{100 * score:.1f}"


@dataclass
class FoldReport:
    """Score one test fold, next to the trivial always-positive baseline.

    The baseline predicts every AU in every frame.

    Args:
        probs: Probabilities `(clips, T, N)` in [0, 1].
        labels: Labels `(clips, T, N)`: 0, 1, or -100 for not coded.
        au_names: N names.
        run: Description of the run for `metrics.json` and the card: dataset, fold, level, seed, ... If it has
            `thresholds`, the scores use them, and the F1 at 0.5 is also reported. If its `target` is "intensity",
            occurrences were not trained, and `probs` become NaN; if it is "occurrence", intensities are left out.
        intensities, coded_intensities: Intensities `(clips, T, N)` in 0..5, the coded ones NaN where not coded; None
            without intensities.
    """

    probs: NDArray[np.float32]
    labels: NDArray[Any]
    au_names: list[str]
    run: dict[str, Any] = field(default_factory=dict)
    intensities: NDArray[np.float32] | None = None
    coded_intensities: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        probs, labels = (values.reshape(-1, len(self.au_names)) for values in (self.probs, self.labels))
        self.metrics: dict[str, float] = {}
        self.all_ones: dict[str, float] = {}
        self.at_half: dict[str, float] | None = None
        if self.has_occurrences:
            self.metrics = au_metrics(probs, labels, self.au_names)
            if thresholds := self.run.get("thresholds"):
                self.at_half = self.metrics
                self.metrics = au_metrics(probs, labels, self.au_names, np.array(thresholds))
            self.all_ones = au_metrics(np.ones_like(probs), labels, self.au_names)
        else:
            self.probs = np.full_like(self.probs, np.nan)
        if self.run.get("target") == "occurrence":
            self.intensities = self.coded_intensities = None
        if self.intensities is not None and self.coded_intensities is not None:
            graded, coded = (values.reshape(labels.shape) for values in (self.intensities, self.coded_intensities))
            self.metrics = self.metrics | intensity_scores(graded, coded, self.au_names)
        self.coded_frames = int((labels != NOT_CODED).any(axis=1).sum())

    @property
    def has_occurrences(self) -> bool:
        """Tell whether occurrences were trained."""
        return self.run.get("target") != "intensity"

    def table(self) -> str:
        """Return the per-AU table in Markdown, see `format_table`."""
        return format_table(self.au_names, self.metrics, self.all_ones, self.at_half)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `metrics.json`; scores of occurrences are fractions."""
        return {
            **self.run,
            "coded_test_frames": self.coded_frames,
            "metrics": self.metrics,
            **({"metrics_at_half": self.at_half} if self.at_half else {}),
            "all_ones": {key: value for key, value in self.all_ones.items() if key.startswith("f1")},
        }

    def draw_knowledge(self, criterion: KnowledgeGuidedLoss, output_dir: str | Path) -> list[Path]:
        """Draw the priors next to the model's statistics on the test fold (Fig. 6)."""
        probs, coded = torch.as_tensor(self.probs), torch.as_tensor(self.labels) != NOT_CODED
        learned = cooccurrence_matrix(straight_through(probs), coded), transition_tensor(probs, coded)
        prior = "prior (training labels)"
        cooccurrence = {
            prior: criterion.cooccurrence_prior.cpu().numpy(),
            "learned (test predictions)": learned[0].numpy(),
        }
        # on probabilities, as in Eq. 7: an uncertain frame counts as a fraction of a transition
        transitions = {
            prior: criterion.transition_prior.cpu().numpy(),
            "learned (test probabilities)": learned[1].numpy(),
        }
        return [
            save_figure(plot_cooccurrence(cooccurrence, self.au_names), Path(output_dir) / "cooccurrence.png"),
            save_figure(plot_transitions(transitions, self.au_names), Path(output_dir) / "transitions.png"),
        ]

    def draw_timeline(self, rows: datasets.Dataset, output_dir: str | Path) -> Path:
        """Draw the first test video; `rows` are the scored clips, in order."""
        video = rows[0]["video"]
        clips = [index for index, name in enumerate(rows["video"]) if name == video]
        clips.sort(key=lambda index: rows[index]["start_frame"])
        lengths = [rows[index]["num_frames"] for index in clips]
        probs, labels = (
            np.concatenate([values[index][:length] for index, length in zip(clips, lengths, strict=True)])
            for values in (self.probs, self.labels)
        )
        figure = plot_timeline(probs, labels, self.au_names, title=f"{rows[0]['subject']} {rows[0]['task']}".strip())
        return save_figure(figure, Path(output_dir) / "timeline.png")


def draw_figures(
    report: FoldReport, rows: datasets.Dataset, criterion: KnowledgeGuidedLoss, output_dir: str | Path
) -> list[Path]:
    """Draw every figure of a run into `output_dir/figures`.

    There are none if occurrences were not trained.
    """
    if not report.has_occurrences:
        return []
    folder = Path(output_dir) / "figures"
    return [*report.draw_knowledge(criterion, folder), report.draw_timeline(rows, folder)]


def save_metrics(run: dict[str, Any], output_dir: str | Path) -> Path:
    """Write `metrics.json`."""
    return save_json(run, Path(output_dir) / METRICS_FILE)
