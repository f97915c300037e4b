r"""Add the head of sides of a run to a packaged model, with the outcome of its checks.

    python benchmarks/package_sides.py outputs/portrait_sides sides.json -o auvmae/portrait_model

The run is that of recipes/portrait_sides.yaml, which changes no other weight of the packaged model. `sides.json` is the
file that `benchmarks/sides.py --tree` writes. An action unit has sides if the labels of the rendered portraits differ
between them. It passes with a mean Spearman correlation of at least 0.40 with the difference of MediaPipe's channels
inside two recordings or more, and fails with a lower one. With fewer recordings, it is not verified. The command prints
the table for docs/real-faces.md.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from package_portrait_model import MIN_VIDEOS, OUTCOMES

from auvmae import AUVMAEForFrameAUClassification
from auvmae.evaluation.tables import markdown_table

MIN_SPEARMAN = 0.40


def judge(name: str, scores: dict[str, Any]) -> str:
    """Judge the sides of an action unit by the scores, as the module says."""
    found = next((row for row in scores["channels"] if row["au"] == name), None)
    if found is None or found["videos"] < MIN_VIDEOS:
        return "none"
    return "passed" if found["spearman"] >= MIN_SPEARMAN else "failed"


def table(scores: dict[str, Any], checks: dict[str, str]) -> str:
    """Tabulate the checks and their outcomes."""
    heads = ["AU", "recordings", "Spearman, MediaPipe", "Spearman, rendered", "error of a side, rendered"]
    found = {name: {row["au"]: row for row in scores[name]} for name in ("channels", "portraits")}
    rows = [[*heads, "mirrored", "outcome"]]
    mirrored = {row["au"]: row["median"] for row in scores["mirrored"]}
    for au, outcome in checks.items():
        channels, portraits = found["channels"].get(au, {}), found["portraits"][au]
        values = [channels.get("spearman"), portraits["spearman"], portraits["mae"], mirrored[au]]
        cells = ["-" if value is None else f"{value:.2f}" for value in values]
        rows.append([au.removeprefix("AU"), str(channels.get("videos") or "-"), *cells, OUTCOMES[outcome]])
    return markdown_table(rows, 1)


def main() -> None:
    """Parse the arguments, write the model, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="folder of a run of recipes/portrait_sides.yaml")
    parser.add_argument("scores", type=Path, help="scores of sides.py")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the packaged model to extend")
    options = parser.parse_args()
    scores = json.loads(options.scores.read_text())
    run, packaged = (
        AUVMAEForFrameAUClassification.from_pretrained(path, dtype=torch.float32)
        for path in (options.run, options.output)
    )
    own = packaged.state_dict()
    changed = [
        name
        for name, tensor in run.state_dict().items()
        if not name.startswith("side_head.") and not torch.equal(tensor, own[name])
    ]
    if changed:
        parser.error(f"{options.run} has other weights than {options.output}, the first is {changed[0]}")
    config = packaged.config
    config.grade_sides = True
    config.side_checks = {row["au"]: judge(row["au"], scores) for row in scores["portraits"]}
    extended = AUVMAEForFrameAUClassification(config)
    extended.load_state_dict(own | {name: value for name, value in run.state_dict().items() if "side_head." in name})
    extended.half().save_pretrained(options.output)
    for code in options.output.glob("*.py"):  # the installed package is their code
        code.unlink()
    print(table(scores, config.side_checks))


if __name__ == "__main__":
    main()
