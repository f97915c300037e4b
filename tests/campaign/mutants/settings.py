"""Give recipes and flags that no run can obey."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
from numpy.random import Generator

from auvmae.runs.arguments_finetune import FoldArguments

from ..judging import DONE, REFUSED, RIGHT, UNUSABLE, Fault, check_leftovers, check_sentence, run_command, run_function
from ..mutations import mutate

PREDICT = ("predict", "{bases}/crops/a.mp4", "-m", "{bases}/checkpoint", "-o", "{work}/out", "--cropped")
CROP = ("crop", "{bases}/recordings/a.mp4", "{work}/out", "--detector", "square")
STATS = (
    "stats",
    "--dataset",
    "au_video_folder",
    "--data_dir",
    "{bases}/own",
    "-o",
    "{work}/out",
    "--clip_length",
    "16",
)
SUMMARIZE = ("summarize", "{bases}/runs", "-o", "{work}/out", "--draws", "10")
COMPARE = ("compare", "{bases}/runs/fold1", "{bases}/runs/fold1", "--draws", "10")
CONVERT = ("convert", "{bases}/checkpoint/model.safetensors", "{work}/out")

WRONG_FLAGS: tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...] = (
    (PREDICT, "--threshold", ("nan", "inf", "0", "1", "-0.1", "1.5", "x")),
    (PREDICT, "--clip_stride", ("0", "-1", "99", "1.5", "x")),
    (PREDICT, "--batch_size", ("0", "-1", "1.5", "x")),
    (PREDICT, "--neutral", ("auto:nan", "auto:-0.1", "auto:1.5", "auto:")),
    (PREDICT, "--neutral", ("5:1", "a:b", "nan:2", "1", "9:9")),
    (PREDICT, "--level", ("x", "")),
    (PREDICT, "--device", ("nope", "cuda:99")),
    (PREDICT, "--dtype", ("int8",)),
    (PREDICT, "--format", ("xls",)),
    (PREDICT, "-m", ("{work}/nothing", "{bases}/videos", "{bases}/crops/a.mp4", "", "{bases}/crops/a.onnx")),
    (PREDICT, "-o", ("{bases}/crops/a.mp4", "/dev/null/out", "/proc/out")),
    (CROP, "--size", ("0", "-2", "3", "x", "nan")),
    (CROP, "--margin", ("nan", "inf", "-1", "x")),
    (CROP, "--detect_every", ("0", "-1", "x")),
    (CROP, "--max_gap", ("-1", "x")),
    (CROP, "--smoothing", ("-1", "nan", "inf")),
    (CROP, "--min_confidence", ("nan", "2", "-1")),
    (CROP, "--min_face", ("nan", "-1", "2")),
    (CROP, "--detector", ("nope", "")),
    (CROP, "--face", ("nope",)),
    (CROP, "--search", ("nope",)),
    (CROP, "--num_proc", ("0", "-1", "x")),
    (STATS, "--fold", ("0", "-1", "4", "1.5", "x")),
    (STATS, "--clip_length", ("0", "-5", "x")),
    (STATS, "--dataset", ("nope", "")),
    (STATS, "--data_dir", ("{work}/nothing", "{bases}/videos", "{bases}/crops/a.mp4", "")),
    (STATS, "--split", ("nope",)),
    (STATS, "--pair", ("AU1 AU99", "AU1", "x y")),
    (STATS, "--rare_aus", ("AU99", "x")),
    (STATS, "--num_proc", ("0", "-1", "x")),
    (
        STATS,
        "--dataset_options",
        (
            *('{"fold": 2}', '{"clip_length": 8}', '{"nope": 1}', "[]", "3", "{", '{"tail": "x"}', '{"tail": 1}'),
            *('{"intensity_threshold": NaN}', '{"intensity_threshold": "x"}', '{"intensity_threshold": -1}'),
            *('{"num_folds": 0}', '{"num_folds": "3"}', '{"frame_offset": 1.5}', '{"label_file": "nothing.csv"}'),
            *('{"label_file": 3}', '{"video_dir": 3}', '{"rare_aus": 5}', '{"rare_aus": [99]}', '{"clip_stride": -1}'),
            *('{"data_dir": "x"}', '{"repetition": -1}', '{"repetition": "x"}', '{"folds_file": "nothing.json"}'),
            *(
                '{"drop_lost_faces": "yes"}',
                '{"rare_au_clips": "no"}',
                '{"clip_length": null}',
                '{"fold": 1, "fold": 2}',
            ),
        ),
    ),
    (SUMMARIZE, "--draws", ("0", "-1", "x", "1.5")),
    (SUMMARIZE, "--metrics", ("nope", "")),
    (SUMMARIZE, "--seed", ("-1", "x")),
    (COMPARE, "--draws", ("0", "-1", "x")),
    (COMPARE, "--seed", ("-1", "x")),
    (
        CONVERT,
        "--config",
        ("{", "[]", "3", '{"nope": 1}', '{"num_attention_heads": 0}', '{"hidden_size": "x"}', '{"num_frames": -1}'),
    ),
)

NUMBERS = ("max_steps", "learning_rate", "clip_length", "seed", "per_device_train_batch_size", "warmup_steps")
TEXTS = (
    *("010", "0o10", "0x10", "1_000", "1:30", "1:30:00", "yes", "on", "~", ".nan", ".inf", "-5", "1e3", "1.5", "true"),
    *(
        "[1, 2]",
        "{a: 1}",
        "2026-01-01",
        "'12",
        "&a 1",
        "!!int '3'",
        "!!python/name:os.system",
        "*a",
        "1 2",
        "1,5",
        "+7",
    ),
    *("|\n  7", "7 # seven", '"7"', "7.0", "NaN", "1e400", "null", "no", "0.1e1"),
)
LINES = ("{key}: {value}\n{key}: 7", "{dashed}: 7", "{short}: 7", "{key}_: 7", "\t{key}: 7", "{key} 7", "- {key}: 7")
LINES += ("<<: {{{key}: 7}}", "? {key}\n: 7", "{upper}: 7", "--{key}: 7", "{key}: 7\n---\n{key}: 8")
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")


def prepare(rng: Generator, bases: Path, work: Path) -> tuple[str, Callable[[], str]]:
    """Choose a flag that is wrong, or a recipe."""
    if rng.random() < 0.6:
        command, flag, values = WRONG_FLAGS[rng.integers(len(WRONG_FLAGS))]
        value = values[rng.integers(len(values))]
        words = [*command, flag, *(value.split(" ") if flag == "--pair" else [value])]
        filled = [word.replace("{bases}", str(bases)).replace("{work}", str(work)) for word in words]
        return f"{command[0]} {flag} {value!r}", lambda: _judge_flag(filled, work)
    recipe = {"model_name_or_path": "tiny", "dataset": "synthetic", "output_dir": str(work / "out")}
    recipe |= {"max_steps": "3", "learning_rate": "1.0e-3", "clip_length": "32", "seed": "0", "warmup_steps": "1"}
    recipe |= {"per_device_train_batch_size": "2"}
    intact = "".join(f"{key}: {value}\n" for key, value in recipe.items())
    key, draw, expected = NUMBERS[rng.integers(len(NUMBERS))], rng.random(), None
    path = work / "recipe.yaml"
    if draw < 0.5:
        value = TEXTS[rng.integers(len(TEXTS))]
        content, what = intact.replace(f"{key}: {recipe[key]}\n", f"{key}: {value}\n").encode(), f"{key}: {value}"
        plain = value.partition(" #")[0].strip('"')
        expected = (
            float(plain)
            if NUMBER.fullmatch(plain)
            else {"null": None, "~": None, "|\n  7": 7.0, "!!int '3'": 3.0, "+7": 7.0}.get(value, math.nan)
        )
    elif draw < 0.8:
        line = LINES[rng.integers(len(LINES))]
        what = line.format(key=key, value=recipe[key], dashed=key.replace("_", "-"), short=key[:-1], upper=key.upper())
        content, expected = intact.replace(f"{key}: {recipe[key]}\n", f"{what}\n").encode(), 7.0
        expected = math.nan if line.count("{key}") > 1 else expected
    else:
        what, content = mutate(intact.encode(), rng, b"seed: 1\n")
        path.write_bytes(content)
        return f"recipe, {what}", lambda: _judge_recipe(path, None, None)
    path.write_bytes(content)
    return f"recipe, {what!r}", lambda: _judge_recipe(path, key, expected)


def _judge_flag(words: list[str], work: Path) -> str:
    datasets.config.HF_DATASETS_CACHE = work / "cache" / "datasets"
    ran = run_command(*words)
    check_leftovers(work / "out")
    if ran.code != UNUSABLE:
        kind = "silent" if ran.code == DONE else "exit code"
        raise Fault(kind, f"a wrong flag, but exit code {ran.code}: {ran.text.strip()[-200:]!r}")
    check_sentence(ran, most_lines=8 if "error: " in ran.text else 4)
    written = [path for path in (work / "out").rglob("*") if path.is_file() and path.name != "crop_recipe.json"]
    if written:
        raise Fault("leftover", ", ".join(path.name for path in written))
    return REFUSED


def _judge_recipe(path: Path, key: str | None, expected: float | None) -> str:
    found: list[Any] = []

    def parse() -> int:
        try:
            found.append(FoldArguments.parse([str(path)]))
        except (ValueError, OSError) as error:  # the script prints these as one sentence
            print(f"run_finetune.py: {error}")
            return UNUSABLE
        return DONE

    ran = run_function(parse)
    if ran.code:
        check_sentence(ran, path.name, *([f"--{key}", key] if key else []), most_lines=8)
        return REFUSED
    if key is None:
        return RIGHT
    (arguments,) = found
    holders = (arguments.training, arguments.data)
    value = next(getattr(holder, key) for holder in holders if hasattr(holder, key))
    default = next(type(holder).__dataclass_fields__[key].default for holder in holders if hasattr(holder, key))
    if expected is None:
        return RIGHT if value == default else _wrong(key, value, "the default")
    if math.isnan(expected) or value != expected or not math.isfinite(value) or (value < 0 and value != -1):
        _wrong(key, value, "a refusal" if math.isnan(expected) or expected < 0 else f"{expected:g}")
    return RIGHT


def _wrong(key: str, value: Any, expected: str) -> str:
    raise Fault("silent", f"{key} is read as {value!r}; expected {expected}")
