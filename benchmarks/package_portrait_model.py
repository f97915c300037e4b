r"""Store a fine-tuned model in the package, with the outcome of its checks.

    python benchmarks/package_portrait_model.py outputs/portraits scores.json sides.json -o auvmae/portrait_model

`scores.json` is the file that `benchmarks/real_faces.py --split report --json` writes. An action unit passes

* with an AUC of at least 0.90 on frames coded by eye, if at least 15 of them show it and the coders agree,
* else with a mean Spearman correlation of at least 0.50 with MediaPipe's channel inside at least two videos.

It fails if one of these checks can be made and is not passed, and is not verified if none can be made.

`sides.json` is the file that `benchmarks/sides.py --json` writes. Left minus right passes with a mean Spearman
correlation of at least 0.40 inside at least two videos, fails below, and is not verified with fewer videos.

The weights are stored in half precision, with the range of head poses in their training videos, and with the card of
`model_cards/portraits.md`. The command prints the table for this card.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from auvmae import AUVMAEForFrameAUClassification, AUVMAEImageProcessor
from auvmae.data.portraits.filming import head_range
from auvmae.data.portraits.fitting import load_fits

CARD = Path(__file__).parents[1] / "model_cards" / "portraits.md"

OUTCOMES = {"passed": "passed", "failed": "**failed**", "none": "*not verified on real faces*"}

MIN_PRESENT, MIN_KAPPA, MIN_AUC = 15, 0.6, 0.90
MIN_VIDEOS, MIN_SPEARMAN, MIN_SIDES_SPEARMAN = 2, 0.50, 0.40

MIDDLE = {"AU17", "AU23", "AU24", "AU25", "AU26"}
"""Action units in the middle of the face, which have no sides."""


def judge(name: str, scores: dict[str, Any]) -> str:
    """Judge an action unit by the scores, as the module says."""
    codes, channels = (
        next((row for row in scores.get(table, []) if row["au"] == name), None) for table in ("codes", "channels")
    )
    if codes and codes["present"] >= MIN_PRESENT and (codes["kappa"] or 0) > MIN_KAPPA:
        return "passed" if codes["auc"] >= MIN_AUC else "failed"
    return judge_channels(channels, MIN_SPEARMAN)


def judge_channels(channels: dict[str, Any] | None, least: float) -> str:
    """Judge by the row of an action unit in a table of channels, if it has one."""
    if not channels or channels["videos"] < MIN_VIDEOS:
        return "none"
    return "passed" if channels["spearman"] >= least else "failed"


def table(scores: dict[str, Any], checks: dict[str, str], relative: list[str]) -> str:
    """Tabulate the checks and their outcomes, as in the card.

    A photograph says nothing of action units that are relative to the face.
    """
    heads = ["AU", "frames: present, absent", "kappa", "AUC", "AUC, MediaPipe", "F1", "videos", "Spearman", "neutral"]
    lines = [[*heads, "outcome"]]
    found = {name: {row["au"]: row for row in scores.get(name, [])} for name in ("codes", "channels", "neutral")}
    for au, outcome in checks.items():
        codes, channels, neutral = (found[name].get(au, {}) for name in ("codes", "channels", "neutral"))
        values = [codes.get(key) for key in ("kappa", "auc", "auc_channel", "f1")]
        if not codes.get("present"):
            values = [None] * len(values)
        cells = [au.removeprefix("AU"), f"{codes['present']}, {codes['absent']}" if codes else "-", *map(_cell, values)]
        detected = None if au in relative else neutral.get("detected")
        cells += [str(channels.get("videos") or "-"), _cell(channels.get("spearman")), _cell(detected)]
        lines.append([*cells, OUTCOMES[outcome]])
    first, *rows = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([first, f"|---{'|---:' * (len(heads) - 1)}|---|", *rows])


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def main() -> None:
    """Parse the arguments, write the folder, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a run of run_finetune.py")
    parser.add_argument("scores", type=Path, help="scores of real_faces.py")
    parser.add_argument("sides", type=Path, help="scores of sides.py")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write")
    options = parser.parse_args()
    scores = json.loads(options.scores.read_text())
    if scores["split"] != "report":
        parser.error(f"{options.scores} scores the split {scores['split']!r}; run real_faces.py with --split report")
    model = AUVMAEForFrameAUClassification.from_pretrained(options.run, dtype=torch.float32)
    model.config.au_checks = {name: judge(name, scores) for name in model.config.au_names}
    differences = {row["au"]: row for row in json.loads(options.sides.read_text())["channels"]}
    model.config.side_checks = {
        name: judge_channels(differences.get(name), MIN_SIDES_SPEARMAN)
        for name in model.config.au_names
        if name not in MIDDLE
    }
    model.config.pose_range = head_range(load_fits()[0].values(), np.random.default_rng(0))
    model.half().save_pretrained(options.output)
    AUVMAEImageProcessor.from_pretrained(options.run).save_pretrained(options.output)
    for code in options.output.glob("*.py"):  # the installed package is their code
        code.unlink()
    shutil.copy(CARD, options.output / "README.md")
    print(table(scores, model.config.au_checks, model.config.relative_aus or []))


if __name__ == "__main__":
    main()
