"""Kill commands at random moments, run them again, and compare the outputs with those of undisturbed runs.

    python -m tests.campaign.kills --moments 60 --seed 0

Kills (SIGKILL) leave what a dead process leaves; the next run must clear it and give the same bytes. After SIGTERM,
SIGINT and on a full disk, one sentence is printed and nothing is left.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import VideoMAEForPreTraining
from transformers.utils import logging

import run_finetune
from auvmae.cli.main import main as auvmae
from auvmae.faces import crop_folder
from auvmae.faces.detection import DETECTORS
from auvmae.system.endings import run_command

from ..support.drawn_faces import SquareDetector
from ..support.forged_checkpoints import PRETRAINING, their_pretraining
from ..support.tiny import randomise, stock_config
from .bases import crop_flags, write_bases
from .interrupted import Ended, Moment, SmallDisk, run_forked
from .judging import digests

VARYING = {"predict_report.json", "crop_report.json"}
"""These say "done" or "skipped"."""
TIMED = {"metrics.json", "trainer_state.json", "README.md"}
"""These hold how long a run took."""
CROP_FOLDER = crop_folder.crop_folder
OF_ONNX = ".ses"
"""Number of a session that onnxruntime keeps in the folder for temporary files."""
SENT = {"kill": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}
CODES = {signal.SIGTERM: (143, -15), signal.SIGINT: (130, -2)}


def commands(bases: Path, out: Path) -> dict[str, Callable[[], Any]]:
    """Return the commands by name. Each writes to `out` only."""
    checkpoint, recordings = str(bases / "checkpoint"), str(bases / "recordings")
    flags = ["--output_dir", str(out), "--max_steps", "4", "--save_steps", "2", "--save_total_limit", "1"]
    flags += ["--dataset_options", '{"frames_per_subject": 32}', "--use_cpu", "true", "--report_to", "none"]
    flags += ["--dataloader_num_workers", "0", "--dataloader_persistent_workers", "false", "--disable_tqdm", "true"]
    flags += ["--per_device_train_batch_size", "2", "--resume_from_checkpoint", "true"]
    extras = ["--events", "--timeline", "--overlay"]
    stats = ["--dataset", "au_video_folder", "--data_dir", str(bases / "own"), "--clip_length", "16"]
    convert = ["--config", json.dumps(PRETRAINING), "--overwrite"]
    return {
        "predict": lambda: auvmae(["predict", recordings, "-m", checkpoint, "-o", str(out), *extras]),
        "predict in ranks": lambda: _in_ranks(["predict", recordings, "-m", checkpoint, "-o", str(out), *extras]),
        "crop": lambda: auvmae(["crop", f"{recordings}/a.mp4", str(out), *crop_flags()]),
        "crop a folder": lambda: _crop_folder(recordings, out),
        "export": lambda: auvmae(["export", checkpoint, "-o", str(out), "--overwrite"]),
        "convert": lambda: auvmae(["convert", str(bases / "foreign.safetensors"), str(out), *convert]),
        "stats": lambda: auvmae(["stats", *stats, "-o", str(out)]),
        "summarize": lambda: auvmae(["summarize", str(bases / "runs"), "--draws", "50", "-o", str(out)]),
        "training": lambda: run_command(lambda: run_finetune.main(flags), "run_finetune.py", run_finetune.EXPECTED),
    }


def _in_ranks(words: list[str], world: int = 2) -> int:
    """Run one rank after the other, as tasks of an array may run, and return the worst exit code."""
    codes = []
    for rank in range(world):
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world)}
        codes.append(auvmae(words))
        if codes[-1] in (130, 143):  # interrupted
            break
    return max(codes)


def _crop_folder(source: str, out: Path) -> Any:
    vars(sys.modules["__main__"]).update(__spec__=None, __file__=None)  # the workers would import this script again
    # the workers do not know the detector by its name
    crop_folder.crop_folder = partial(CROP_FOLDER, make_detector=SquareDetector)
    return auvmae(["crop", source, str(out), *crop_flags(), "--num_proc", "2"])


def write_inputs(bases: Path) -> None:
    """Write the inputs of all commands."""
    write_bases(bases)
    torch.manual_seed(0)
    foreign = their_pretraining(randomise(VideoMAEForPreTraining(stock_config(use_mean_pooling=False))))
    save_file(foreign, bases / "foreign.safetensors")


def contents(out: Path) -> dict[str, str]:
    """Hash the files of an output; of the timed ones only the names count."""
    found = digests(out) if out.exists() else {}
    return {name: "" if Path(name).name in VARYING | TIMED else digest for name, digest in found.items()}


class Trial:
    """Interrupt one command again and again.

    Args:
        root: Folder with the inputs; outputs and temporary files are written to it, too.
        name: Name of the command.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.disk = root, root / "disk"
        self.out, self.temporary = self.disk / "out", root / "temporary"
        self.function = commands(root / "bases", self.out)[name]
        self.clear()
        self.run()  # fills caches
        self.clear()
        self.whole = self.run()
        if self.whole.code:
            raise RuntimeError(f"{name} fails undisturbed:\n{self.whole.text}")
        self.expected = contents(self.out)
        self.size = sum(path.stat().st_size for path in self.out.rglob("*") if path.is_file())

    def clear(self) -> None:
        for folder in (self.disk, self.temporary):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()

    def run(self, moment: Moment | None = None, most_bytes: int | None = None) -> Ended:
        whole = None if moment is None else self.whole
        return run_forked(self.function, self.root, moment, whole, most_bytes)

    def interrupt(self, moment: Moment) -> str:
        """Send a signal, run again, and return what is wrong, or ""."""
        self.clear()
        ended = self.run(moment)
        wrong = ""
        if moment.signal in CODES and ended.code != 0:  # 0: it had just finished
            if ended.code not in CODES[moment.signal]:
                wrong = f"exit code {ended.code}: {ended.text.strip()[-150:]!r}"
            wrong = wrong or self._check_after_refusal(ended)
        return wrong or self._check_again()

    def fill_disk(self, share: float) -> str:
        """Run on a disk that is too small, then on a larger one; return what is wrong, or ""."""
        self.clear()
        disk, most_bytes = SmallDisk(self.disk), int(share * self.size)
        mounted = disk.mount(most_bytes)
        try:
            ended = self.run(None, None if mounted else most_bytes)
            wrong = ""
            if ended.code:
                wrong = self._check_after_refusal(ended)
            elif contents(self.out) != self.expected:
                wrong = f"exit code 0, but {self._differing()}"
            disk.enlarge()
            return wrong or self._check_again()
        finally:
            disk.unmount()

    def _check_after_refusal(self, ended: Ended) -> str:
        if "Traceback" in ended.text:
            return f"traceback: {ended.text.strip().splitlines()[-1][:150]}"
        left = sorted(path.name for path in self.temporary.rglob("*") if path.is_file() and path.name != OF_ONNX)
        if left:
            return f"left in the folder for temporary files: {', '.join(left[:3])}"
        found = contents(self.out)
        steps = {name for name in found if name.startswith("checkpoint-")}  # training keeps whole checkpoints
        partial = [name for name in found if name not in steps and found[name] != self.expected.get(name)]
        return f"left: {', '.join(partial[:4])}" if partial else ""

    def _check_again(self) -> str:
        again = self.run()
        if again.code:
            return f"the next run fails with {again.code}: {again.text.strip()[-200:]!r}"
        return "" if contents(self.out) == self.expected else f"after the next run, {self._differing()}"

    def _differing(self) -> str:
        found, wrong = contents(self.out), []
        for name in sorted(found.keys() | self.expected.keys()):
            if found.get(name) != self.expected.get(name):
                state = "is missing" if name not in found else "differs" if name in self.expected else "is left"
                wrong.append(f"{name} {state}")
        return ", ".join(wrong[:4])


def run_trials(moments: int, seed: int, only: list[str] | None = None) -> list[dict[str, Any]]:
    """Interrupt every command, and return one record per moment.

    Of the moments of a command, all are repeated for every signal, and a third on a full disk.
    """
    torch.set_num_threads(1)
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    logging.set_verbosity_error()
    DETECTORS["square"] = SquareDetector
    records = []
    with tempfile.TemporaryDirectory(prefix="auvmae-kills-") as name:
        root = Path(name)
        datasets.config.HF_DATASETS_CACHE = root / "cache" / "datasets"
        os.environ["HF_HOME"] = str(root / "cache")
        ended = run_forked(lambda: write_inputs(root / "bases"), root)
        if ended.code:
            raise RuntimeError(ended.text)
        tempfile.tempdir = os.environ["TMPDIR"] = str(root / "temporary")
        names = [*commands(root, root)]
        for index, command in enumerate(names):
            if only and command not in only:
                continue
            rng = np.random.default_rng([seed, index])
            trial = Trial(root, command)
            count = moments // len(names) + (index < moments % len(names))
            for how in (*SENT, "full disk"):
                for number in range(count if how == "kill" else max(1, count // 2)):
                    share = float(rng.random())
                    by_change = bool(number % 2)
                    if how == "full disk":
                        wrong = trial.fill_disk(share)
                    else:
                        wrong = trial.interrupt(Moment(SENT[how], share, by_change))
                    records.append(
                        {"command": command, "how": how, "share": share, "by_change": by_change, "wrong": wrong}
                    )
                    if wrong:
                        print(f"{command}, {how} at {share:.3f}{' of the changes' * by_change}: {wrong}", flush=True)
        tempfile.tempdir = None
        del os.environ["TMPDIR"]
    return records


def format_table(records: list[dict[str, Any]]) -> str:
    """Format the moments and faults by command as a Markdown table."""
    ways = [*SENT, "full disk"]
    lines = ["| command | " + " | ".join(ways) + " |", "|---|" + "---:|" * len(ways)]
    for command in dict.fromkeys(record["command"] for record in records):
        cells = []
        for how in ways:
            mine = [record for record in records if (record["command"], record["how"]) == (command, how)]
            cells.append(f"{sum(not record['wrong'] for record in mine)} of {len(mine)}")
        lines.append(f"| {command} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Interrupt the commands, print the table, and return 1 if anything was wrong."""
    parser = argparse.ArgumentParser("python -m tests.campaign.kills", description=__doc__)
    parser.add_argument("--moments", type=int, default=60, help="kills in all (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the moments (default: 0)")
    parser.add_argument("--only", nargs="+", help="commands to run (default: all)")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/kills.json"), help="report to write")
    arguments = parser.parse_args(argv)
    records = run_trials(arguments.moments, arguments.seed, arguments.only)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(records, indent=1))
    print(format_table(records))
    return int(any(record["wrong"] for record in records))


if __name__ == "__main__":
    sys.exit(main())
