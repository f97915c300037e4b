r"""Tune a model of rendered faces for real ones, by clips for development.

    python benchmarks/real_faces.py FOLDER --checkpoint outputs/portraits --channels channels.npz --split develop \
        --json develop.json
    python benchmarks/real_thresholds.py outputs/portraits develop.json -o outputs/portraits_real [--relative AU4]

Thresholds of rendered faces are too high for most action units of real ones. The threshold of each action unit with at
least 5 present frames moves half-way, in logits, to the one with the highest F1 on the coded frames. Half-way, because
these frames show few people.

The action units of `--relative` become relative to the face's own baseline (`AUVMAEConfig.relative_aus`), and keep
their thresholds. The weights do not change.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from scipy.special import expit, logit

from auvmae import AUVMAEForFrameAUClassification, AUVMAEImageProcessor

MIN_PRESENT = 5


def move_thresholds(
    names: list[str], thresholds: list[float], codes: list[dict[str, Any]], relative: list[str]
) -> list[float]:
    """Move thresholds half-way to the best ones.

    Args:
        names: Action units.
        thresholds: Their thresholds.
        codes: Rows of the table of codes of `real_faces.py`.
        relative: Action units that keep their thresholds.
    """
    moved = dict(zip(names, thresholds, strict=True))
    for row in codes:
        if row["present"] >= MIN_PRESENT and row["au"] not in relative:
            moved[row["au"]] = float(expit(logit([moved[row["au"]], row["best_threshold"]]).mean()))
    return [moved[name] for name in names]


def main() -> None:
    """Parse the arguments, write the folder, and print the thresholds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a run of run_finetune.py")
    parser.add_argument("scores", type=Path, help="scores of real_faces.py on the clips for development")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--relative", nargs="+", default=[], metavar="AU", help="action units relative to the face")
    options = parser.parse_args()
    scores = json.loads(options.scores.read_text())
    if scores["score"] != "probability":
        parser.error(f"{options.scores} scores intensities; run real_faces.py with --score probability")
    if scores["split"] != "develop":
        parser.error(f"{options.scores} scores the split {scores['split']!r}; run real_faces.py with --split develop")
    model = AUVMAEForFrameAUClassification.from_pretrained(options.run, dtype=torch.float32)
    config = model.config
    if config.relative_aus is not None:
        parser.error(f"{options.run} was adapted before: pass the folder of the training")
    before = config.au_thresholds
    config.thresholds = move_thresholds(config.au_names, before, scores["codes"], options.relative)
    config.relative_aus = options.relative
    config.validate_relative_aus()
    model.save_pretrained(options.output)
    AUVMAEImageProcessor.from_pretrained(options.run).save_pretrained(options.output)
    for name, old, new in zip(config.au_names, before, config.thresholds, strict=True):
        print(f"{name}: {old:.3f} -> {new:.3f}{' (relative)' if name in options.relative else ''}")


if __name__ == "__main__":
    main()
