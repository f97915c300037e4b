"""Run a study: every combination of its settings, with several seeds, and the table of what came out.

    python benchmarks/study.py recipes/studies/pretraining_gain.yaml results/pretraining_gain.json [--jobs 2]

A study is a YAML file: `script`, `score` (where in metrics.json it stands), `flags` of every run, `axes` (name of the
axis -> name of the setting -> its flags; {number} in a text stands for the number of the repetition) and `seeds` (the
flags of each repetition). A run writes to outputs/studies/NAME/; one that has finished is not run
again, so that a study may be stopped and started at will. A run is one process of one thread.
"""

import argparse
import itertools
import json
import os
import shlex
import statistics
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hardware import describe_machine
from tqdm import tqdm

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Run:
    """One training run: its settings by axis, its number among the repetitions, its folder and its command."""

    settings: tuple[str, ...]
    number: int
    folder: Path
    command: list[str]

    @property
    def metrics(self) -> dict[str, Any] | None:
        """What the run wrote, or None if it has not finished."""
        path = self.folder / "metrics.json"
        return json.loads(path.read_text()) if path.is_file() else None

    def start(self) -> None:
        """Run it, unless it has finished.

        Raises:
            RuntimeError: it failed; its log is named.
        """
        if self.metrics is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "log.txt"
        with log.open("w") as file:
            code = subprocess.run(
                [sys.executable, *self.command],
                cwd=ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                check=False,
            ).returncode
        if code:
            raise RuntimeError(f"{' '.join(self.command)} ended with code {code}: see {log}")


def runs_of(study: dict[str, Any], name: str) -> list[Run]:
    """Every combination of settings and seeds, seeds outermost: a study that is stopped early is still balanced."""
    runs = []
    for number, seed in enumerate(study["seeds"]):
        for settings in itertools.product(*study["axes"].values()):
            chosen = [axis[setting] for axis, setting in zip(study["axes"].values(), settings, strict=True)]
            folder = Path("outputs", "studies", name, "-".join([*settings, str(number)]).replace(" ", "_"))
            flags: dict[str, Any] = {**study["flags"], "output_dir": str(folder)}
            for more in [*chosen, seed]:
                flags |= more
            arguments = [
                part
                for flag, value in flags.items()
                for part in (
                    f"--{flag}",
                    *(_text(one, number) for one in (value if isinstance(value, list) else [value])),
                )
            ]
            recipe = [study["recipe"]] if "recipe" in study else []
            runs.append(Run(settings, number, ROOT / folder, [study["script"], *recipe, *arguments]))
    return runs


def _text(value: Any, number: int) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value).replace("{number}", str(number))


def summarise(study: dict[str, Any], runs: list[Run]) -> list[dict[str, Any]]:
    """The score by settings: of each run, their mean and their standard deviation."""
    found: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for run in runs:
        if run.metrics is not None:
            score: Any = run.metrics
            for name in study["score"].split("."):
                score = score[name]
            found[run.settings].append(score)
    return [
        {
            **dict(zip(study["axes"], settings, strict=True)),
            "scores": [round(value, 4) for value in values],
            "mean": round(statistics.mean(values), 4),
            "sd": round(statistics.stdev(values), 4) if len(values) > 1 else None,
        }
        for settings, values in found.items()
    ]


def main() -> None:
    """Run what is left, then write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="the YAML file")
    parser.add_argument("output", type=Path, help="the JSON file to write")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    arguments = parser.parse_args()
    study = yaml.safe_load(arguments.study.read_text())
    runs = runs_of(study, arguments.study.stem)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(tqdm(pool.map(Run.start, runs), total=len(runs), unit="run", desc=arguments.study.stem))
    table = summarise(study, runs)
    result = {
        "study": arguments.study.name,
        "machine": describe_machine(),
        "what": f"{study['score']} of each run; mean and standard deviation over the seeds",
        "commands": [shlex.join(["python", *run.command]) for run in runs],
        "table": table,
    }
    arguments.output.write_text(json.dumps(result, indent=2) + "\n")
    print(f"\n| {' | '.join(study['axes'])} | {study['score']} of each seed | mean | sd |")
    print(f"|{'---|' * (len(study['axes']) + 3)}")
    for row in table:
        values = ", ".join(f"{100 * value:.1f}" for value in row["scores"])
        spread = "" if row["sd"] is None else f"{100 * row['sd']:.1f}"
        print(f"| {' | '.join(row[axis] for axis in study['axes'])} | {values} | {100 * row['mean']:.1f} | {spread} |")


if __name__ == "__main__":
    main()
