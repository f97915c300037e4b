"""Open a dataset by its name."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import datasets
from filelock import FileLock

from ..system.settings import check_range, check_type
from .au_video_folder import AUVideoFolder
from .bp4d import Bp4d
from .builder import ClipBuilder
from .disfa import Disfa
from .face_videos import FaceVideos
from .portraits.dataset import Portraits
from .portraits.script import UNEVEN
from .portraits.writing import RENDERER_VERSION as PORTRAITS_VERSION
from .portraits.writing import read_card, write_portraits
from .synthetic.dataset import RENDERER_VERSION, write_synthetic_disfa, write_synthetic_faces


def load_au_dataset(
    name: str, data_dir: str | Path | None = None, fold: int = 1, **options: Any
) -> datasets.DatasetDict:
    """Open a video dataset as rows of clips.

    `ClipBuilder` describes the columns of a row.

    Args:
        name: Name of the dataset. Coded video: "disfa", "bp4d", "au_video_folder" (your own recordings), "portraits"
            (rendered on first use; options `portraits_dir`, `rig_dir` and those of `write_portraits`), or "synthetic"
            (faces in DISFA's layout, rendered on first use; options `num_subjects`, `frames_per_subject`, `image_size`,
            `seed`, `rates`, see `write_synthetic_disfa`). Uncoded video: "face_videos" (any tree), or "synthetic_faces"
            (options `num_videos`, `frames_per_video`, `image_size`, `seed`).
        data_dir: Folder of the dataset. Optional for the synthetic datasets.
        fold: Subject-exclusive fold, from 1. Uncoded video has no folds.
        options: Fields of the dataset's config, and `num_proc` and `cache_dir`. All datasets have `clip_length=128`,
            `tail="pad"` and `drop_lost_faces`; coded video has `rare_au_clips=False` and `video_dir`. A dataset may
            have its own, e.g. DISFA's `camera`.

    Returns:
        "train" and "test" rows; uncoded video has "train" only. The rows are cached, and rebuilt when a file or an
        option changes.

    Raises:
        ValueError: The name, the fold or an option is unknown.
        DatasetLayoutError: The folder is missing or its layout is wrong. The message shows the expected and the actual
            tree.
        LabelError: A label file cannot be read. The message names the line and the value.
        VideoDecodeError: A video cannot be opened.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown dataset {name!r}; choose from {', '.join(DATASETS)}.")
    check_type("fold", fold, int)
    check_range("fold", fold, "[1, inf)")
    return DATASETS[name](data_dir, fold, **options)


def _load(
    builder_class: type[ClipBuilder],
    data_dir: str | Path | None,
    fold: int | None,
    num_proc: int | None = None,
    cache_dir: str | Path | None = None,
    **options: Any,
) -> datasets.DatasetDict:
    builder = builder_class(
        cache_dir=None if cache_dir is None else str(cache_dir),
        config_name=None if fold is None else f"fold{fold}",
        data_dir=None if data_dir is None else str(data_dir),
        **options,
    )
    try:
        builder.download_and_prepare(num_proc=num_proc)
    except datasets.exceptions.DatasetGenerationError as error:
        if num_proc is not None and num_proc > 1:
            # an error from a worker process loses its cause, so raise it again in this process
            return _load(builder_class, data_dir, fold, None, cache_dir, **options)
        raise error.__cause__ or error from None
    return builder.as_dataset()


def _load_rendered(
    write: Callable[..., Path],
    load: Callable[..., datasets.DatasetDict],
    sizes: dict[str, Any],
    data_dir: str | Path | None,
    fold: int,
    **options: Any,
) -> datasets.DatasetDict:
    """Open the tree that `write` renders, in the cache if `data_dir` is None.

    `sizes` maps the parameters of `write` to their defaults.
    """
    parameters = {name: options.pop(name, default) for name, default in sizes.items()}
    for name, value in parameters.items():
        check_type(name, value, type(sizes[name]))
        if name != "rates":
            check_range(name, value, "[0, 4294967295]" if name == "seed" else "[1, inf)")
    count, frames, image_size, seed, *more = parameters.values()
    if data_dir is None:
        cache = Path(options.get("cache_dir") or datasets.config.HF_DATASETS_CACHE) / "auvmae"
        layout = write.__name__.removeprefix("write_")
        rates = "".join(f"-{rates}" for rates in more if rates != "balanced")
        data_dir = cache / f"{layout}-v{RENDERER_VERSION}-{count}x{frames}-{image_size}px-seed{seed}{rates}"
    Path(data_dir).parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{data_dir}.lock"):  # all processes of a run call this function
        write(data_dir, **parameters, num_proc=options.get("num_proc"))
    return load(data_dir, fold, **options)


def _load_portraits(
    data_dir: str | Path | None,
    fold: int,
    portraits_dir: str | None = None,
    rig_dir: str | None = None,
    leave_out: list[str] | None = None,
    uneven: float | None = None,
    **options: Any,
) -> datasets.DatasetDict:
    """Open animated portraits, after rendering them if they do not exist."""
    sizes = {"videos_per_portrait": 24, "frames_per_video": 32, "image_size": 128, "seed": 0}
    given = {name: options.pop(name) for name in sizes if name in options}
    parameters = sizes | given
    for name, value in {"portraits_dir": portraits_dir, "rig_dir": rig_dir}.items():
        check_type(name, value, str | None)
    for name, value in parameters.items():
        check_type(name, value, int)
        check_range(name, value, "[0, 4294967295]" if name == "seed" else "[1, inf)")
    check_type("leave_out", leave_out, list[str] | None)
    check_type("uneven", uneven, float | None)
    without = sorted(leave_out or [])
    named: dict[str, Any] = given if leave_out is None else given | {"leave_out": without}
    named |= {} if uneven is None else {"uneven": uneven}
    cache = Path(options.get("cache_dir") or datasets.config.HF_DATASETS_CACHE) / "auvmae"
    if data_dir is None:
        videos, frames, image_size, seed = parameters.values()
        leaning = "" if uneven in (None, UNEVEN) else f"-uneven{uneven:g}"
        name = f"portraits-v{PORTRAITS_VERSION}-{videos}x{frames}-{image_size}px-seed{seed}{leaning}"
        data_dir = cache / "-no_".join([name, *without])
    card = read_card(Path(data_dir))
    if card and not named.items() <= card.items():
        raise ValueError(f"portraits: {data_dir} was rendered with {card}, not {named}. Name another data_dir.")
    if not Path(data_dir).exists():
        if portraits_dir is None or rig_dir is None:
            raise ValueError(
                f"portraits: there is no {data_dir}, and to render it, portraits_dir and rig_dir must name the folders "
                "of assets-person-portrait and of ICT-FaceKit. See docs/datasets.md."
            )
        Path(data_dir).parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{data_dir}.lock"):  # all processes of a run call this function
            more: dict[str, Any] = {
                "leave_out": without,
                "uneven": UNEVEN if uneven is None else uneven,
                "cache_dir": cache,
                "num_proc": options.get("num_proc"),
            }
            write_portraits(data_dir, portraits_dir, rig_dir, **parameters, **more)
    return _load(Portraits, data_dir, fold, **options)


def _load_unlabelled(data_dir: str | Path | None, fold: int, **options: Any) -> datasets.DatasetDict:
    if fold != 1:
        raise ValueError(f"unlabelled video has no folds, found fold {fold}. All of it is for training.")
    return _load(FaceVideos, data_dir, None, **options)


DATASETS: dict[str, Callable[..., datasets.DatasetDict]] = {
    "bp4d": partial(_load, Bp4d),
    "disfa": partial(_load, Disfa),
    "portraits": _load_portraits,
    "synthetic": partial(
        _load_rendered,
        write_synthetic_disfa,
        partial(_load, Disfa),
        {"num_subjects": 27, "frames_per_subject": 320, "image_size": 80, "seed": 0, "rates": "balanced"},
    ),
    "synthetic_faces": partial(
        _load_rendered,
        write_synthetic_faces,
        _load_unlabelled,
        {"num_videos": 200, "frames_per_video": 320, "image_size": 80, "seed": 0},
    ),
    "au_video_folder": partial(_load, AUVideoFolder),
    "face_videos": _load_unlabelled,
}
