r"""Run every combination of a study's settings and seeds, and tabulate the scores.

    python benchmarks/study.py recipes/studies/pretraining_gain.yaml results/pretraining_gain.json [--jobs 2]
    python benchmarks/study.py recipes/studies/ablation_losses.yaml results/ablation_losses_disfa.json \
        -- --dataset disfa --data_dir PATH --model_name_or_path PRETRAINED

A study is a YAML file with these keys:

* `script`, and `recipe` if it is not the script's default;
* `score`: key of the score in metrics.json, with dots between levels; for several scores, title of the table -> key, or
  FILE:KEY for another JSON file in the folder of the run. Runs may lack a score; the table then shows "-";
* `flags`: flags of every run;
* `axes`: name of the axis -> name of the setting -> its flags; {number} in a text is replaced by the repetition number;
* `seeds`: flags of each repetition, such as seeds or folds;
* `parts`: name -> its `axes`, instead of `axes`, for a study with several tables.

Settings that lead to the same flags share one run. Arguments after `--` are passed to every run, and override the
study's own flags.

`--then COMMAND` is run after each run, with {run} replaced by its folder, to write further scores there.

Runs write to outputs/studies/NAME/, where NAME is the name of the JSON file. Finished runs are skipped, so a study can
be stopped and resumed at any time. The JSON file is updated after every run. Each run is one process with one thread.
"""

import argparse
import itertools
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import yaml
from hardware import describe_machine
from tqdm import tqdm

from auvmae.system.files import replacing

ROOT = Path(__file__).parents[1]
COMMAND_FILE, THEN_FILE = "command.txt", "then_done.txt"


@dataclass(frozen=True)
class Run:
    """Describe one training run and the table rows it belongs to.

    Args:
        settings: Part and settings by axis, for every row with this run.
        number: Number of the repetition.
        folder: Output folder.
        command: Command without the interpreter.
        then: Command that scores the finished run, likewise.
    """

    settings: list[tuple[str, tuple[Any, ...]]]
    number: int
    folder: Path
    command: list[str]
    then: list[str] = field(default_factory=list)

    @property
    def shell_command(self) -> str:
        """Quote the command for a shell."""
        return shlex.join(["python", *self.command])

    @property
    def finished(self) -> bool:
        """Tell whether the run has its metrics, and the command after it has run."""
        return (self.folder / "metrics.json").is_file() and (not self.then or (self.folder / THEN_FILE).is_file())

    def score(self, place: str) -> Any:
        """Load a score, or None if there is none.

        `place` is `metrics.f1` or, in another file, `real_faces.json:codes_mean.auc`.
        """
        file, _, key = place.rpartition(":")
        path = self.folder / (file or "metrics.json")
        if not path.is_file():
            return None
        content = json.loads(path.read_text())
        return reduce(lambda level, name: (level or {}).get(name), key.split("."), content)

    def start(self) -> None:
        """Execute the run, unless it has finished.

        Raises:
            RuntimeError: If the run fails, with the path of its log, or its folder belongs to another command.
        """
        command_file = self.folder / COMMAND_FILE
        if command_file.is_file() and command_file.read_text() != self.shell_command:
            raise RuntimeError(
                f"{self.folder} contains a run of another command ({command_file}). Remove the folder, or choose "
                "another JSON file to write."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        command_file.write_text(self.shell_command)
        if not (self.folder / "metrics.json").is_file():
            self._execute(self.command, self.folder / "log.txt")
        if not self.finished:
            self._execute(self.then, self.folder / "then.txt")
            (self.folder / THEN_FILE).touch()

    def _execute(self, command: list[str], log: Path) -> None:
        with log.open("w") as file:
            code = subprocess.run(
                [sys.executable, *command],
                cwd=ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                check=False,
            ).returncode
        if code:
            raise RuntimeError(f"{' '.join(command)} failed with exit code {code}. See {log}.")


def scores_of(study: dict[str, Any]) -> dict[str, str]:
    """Return the places of the scores by the titles of their tables."""
    score = study["score"]
    return score if isinstance(score, dict) else {score: score}


def parts_of(study: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the axes by part; a study without parts is one part without a name."""
    return {name: part["axes"] for name, part in study["parts"].items()} if "parts" in study else {"": study["axes"]}


def runs_of(study: dict[str, Any], name: str, more: Sequence[str] = (), then: str = "") -> list[Run]:
    """List the runs for every combination of settings and seeds.

    Seeds vary slowest, so that a study that is stopped early is still balanced.

    Args:
        study: Content of the YAML file.
        name: Name of the folder in outputs/studies.
        more: Arguments appended to the study's own in every command.
        then: Command after each run, with {run} for its folder.
    """
    runs: dict[str, Run] = {}  # by repetition and flags
    for number, seed in enumerate(study["seeds"]):
        for part, axes in parts_of(study).items():
            for settings in itertools.product(*axes.values()):
                flags: dict[str, Any] = {**study["flags"]}
                for chosen in [*(axis[setting] for axis, setting in zip(axes.values(), settings, strict=True)), seed]:
                    flags |= chosen
                key = json.dumps([number, flags], sort_keys=True)
                if key not in runs:
                    words = [*filter(None, [part]), *map(str, settings), str(number)]
                    folder = Path("outputs", "studies", name, re.sub("[ /]", "_", "-".join(words)))
                    recipe = [study["recipe"]] if "recipe" in study else []
                    arguments = _arguments({**flags, "output_dir": str(folder)}, number)
                    command = [study["script"], *recipe, *arguments, *more]
                    after = shlex.split(then.replace("{run}", str(folder)))
                    runs[key] = Run([], number, ROOT / folder, command, after)
                runs[key].settings.append((part, settings))
    return list(runs.values())


def _arguments(flags: dict[str, Any], number: int) -> list[str]:
    arguments = []
    for flag, value in flags.items():
        arguments += [f"--{flag}", *(_text(one, number) for one in (value if isinstance(value, list) else [value]))]
    return arguments


def _text(value: Any, number: int) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value).replace("{number}", str(number))


def summarise(study: dict[str, Any], runs: list[Run], place: str) -> dict[str, list[dict[str, Any]]]:
    """Summarise one score of every part as a table.

    Each row has the scores of a setting, their mean, their standard deviation, and their difference. The difference is
    from the first setting of the first axis, with equal other axes, and paired by repetition. A finished
    setting without the score has no numbers.
    """
    found: dict[tuple[str, tuple[Any, ...]], dict[int, float]] = defaultdict(dict)
    finished = {setting for run in runs if run.finished for setting in run.settings}
    for run in runs:
        score = run.score(place)
        if score is not None:
            for setting in run.settings:
                found[setting][run.number] = score
    tables: dict[str, list[dict[str, Any]]] = {}
    for part, axes in parts_of(study).items():
        tables[part] = []
        reference = next(iter(next(iter(axes.values()))))
        for settings in itertools.product(*axes.values()):
            scores, others = found[part, settings], found[part, (reference, *settings[1:])]
            if not scores and (part, settings) not in finished:
                continue
            row = {**dict(zip(axes, settings, strict=True)), "scores": [round(score, 4) for score in scores.values()]}
            row |= _mean_and_sd([*scores.values()])
            if settings[0] != reference:
                pairs = [(score, others[number]) for number, score in scores.items() if number in others]
                row["difference"] = _mean_and_sd([score - other for score, other in pairs])
            tables[part].append(row)
    return tables


def _mean_and_sd(values: list[float]) -> dict[str, float | None]:
    return {
        "mean": round(statistics.mean(values), 4) if values else None,
        "sd": round(statistics.stdev(values), 4) if len(values) > 1 else None,
    }


def format_table(axes: dict[str, Any], score: str, rows: list[dict[str, Any]]) -> str:
    """Format one table as Markdown, in percent."""
    first, settings = next(iter(axes.items()))
    difference = f"difference from {first} = {next(iter(settings))}"
    lines = [[*axes, f"{score} of each run", "mean", "sd", difference, "sd of difference"]]
    lines.append(["---"] * len(lines[0]))
    for row in rows:
        scores = ", ".join(f"{100 * value:.1f}" for value in row["scores"]) or "-"
        pairs = row.get("difference", {"mean": None, "sd": None})
        numbers = [row["mean"], row["sd"], pairs["mean"], pairs["sd"]]
        missing = "" if row["scores"] else "-"
        # + 0: no "-0.0"
        cells = [missing if value is None else f"{round(100 * value, 1) + 0:.1f}" for value in numbers]
        lines.append([*(str(row[axis]) for axis in axes), scores, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Run the remaining runs, write the tables after each, and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="YAML file of the study")
    parser.add_argument("output", type=Path, help="JSON file to write")
    parser.add_argument(
        "--then", default="", help="command after each run, without the interpreter; {run} is its folder"
    )
    parser.add_argument("--jobs", type=int, default=1, help="number of parallel runs (default: 1)")
    own, more = sys.argv[1:], []
    if "--" in own:
        own, more = own[: own.index("--")], own[own.index("--") + 1 :]
    arguments = parser.parse_args(own)
    study = yaml.safe_load(arguments.study.read_text())
    runs = runs_of(study, arguments.output.stem, more, arguments.then)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for _ in tqdm(pool.map(Run.start, runs), total=len(runs), unit="run", desc=arguments.study.stem):
            write_result(arguments.study.name, study, runs, arguments.output)
    for title, place in scores_of(study).items():
        tables = summarise(study, runs, place)
        for part, axes in parts_of(study).items():
            print(f"\n{part}\n" if part else "")
            print(format_table(axes, title, tables[part]))


def write_result(name: str, study: dict[str, Any], runs: list[Run], path: Path) -> None:
    """Write the results so far, atomically."""
    parts, scores = "parts" in study, scores_of(study)
    tables: dict[str, Any] = {title: summarise(study, runs, place) for title, place in scores.items()}
    if not parts:
        tables = {title: by_part[""] for title, by_part in tables.items()}
    result = {
        "study": name,
        "machine": describe_machine(),
        "what": f"{', '.join(scores)} of each run; mean and standard deviation over the repetitions; difference: from "
        "the first setting of the first axis, paired by repetition",
        "finished": sum(run.finished for run in runs),
        "commands": [run.shell_command for run in runs],
        **({"then": shlex.join(["python", *runs[0].then])} if runs[0].then else {}),
        "tables" if parts or len(scores) > 1 else "table": tables if len(scores) > 1 else next(iter(tables.values())),
    }
    with replacing(path) as file:
        file.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
