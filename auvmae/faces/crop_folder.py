"""Face crops of a folder of videos: in parallel, resumable, and one report at the end."""

import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from queue import SimpleQueue

from tqdm.auto import tqdm

from ..system.files import replacing
from ..system.folder_report import VideoResult, summarise
from ..video.reading import VIDEO_SUFFIXES, find_videos
from .crop import CropRecipe
from .crop_files import crop_video, finished_counts, remove_crop
from .detection import FaceDetector, load_detector

RECIPE_FILE = "crop_recipe.json"
REPORT_FILE = "crop_report.json"


def crop_folder(
    source: str | Path,
    output: str | Path,
    recipe: CropRecipe,
    num_proc: int | None = None,
    make_detector: Callable[[], FaceDetector] | None = None,
) -> list[VideoResult]:
    """Crop every video under a folder into a tree of the same shape; see `crop_files` for what is written.

    `A/B.avi` gives `A/B.mp4`, and the folder of images `F001/T1/` gives `F001/T1.mp4`. Crops that are finished, by the
    same recipe, of inputs that have not changed since, are skipped. A video that fails is reported and stops no other.
    Beside the crops stand `crop_recipe.json`, the recipe, and `crop_report.json`, the results of the latest run.

    Args:
        source: a folder, searched to its depths (hidden files and `output` left out), or a single video.
        output: a folder, made if need be, beyond which nothing is written.
        recipe: what the crops look like.
        num_proc: number of processes; one per processor by default.
        make_detector: used in place of the recipe's detector; called in each process, so it must pickle.

    Returns:
        One result per video, sorted by source.

    Raises:
        FileNotFoundError: there is no video under `source`.
        ValueError: `source` and `output` are the same folder, or the recipe names no known detector.
        ImportError: what the detector needs is not installed.
    """
    source, output = Path(source), Path(output)
    if source.resolve() == output.resolve():
        raise ValueError(f"crops of {source} cannot be written into itself: name another folder")
    make_detector = make_detector or partial(load_detector, recipe.detector, recipe.min_face)
    make_detector()  # what cannot work fails now, and once
    videos = find_videos(source, output)
    if not videos:
        kinds = ", ".join(VIDEO_SUFFIXES)
        raise FileNotFoundError(f"no video under {source}: neither files ({kinds}) nor folders of numbered images")
    output.mkdir(parents=True, exist_ok=True)
    with replacing(output / RECIPE_FILE) as file:
        json.dump(recipe.to_dict(), file, indent=1)
    results, waiting = _sort_out(videos, output, recipe)
    crop_one = partial(_crop_one, recipe=recipe, make_detector=make_detector)
    if len(videos) == len(waiting) == 1:  # a process of its own would protect no other
        results.append(crop_one(*waiting[0], progress=True))
    elif waiting:
        num_proc = min(num_proc or os.cpu_count() or 1, len(waiting))
        results.extend(tqdm(_in_processes(crop_one, waiting, num_proc), "crop", len(waiting), unit="video"))
    results.sort(key=lambda result: result.source)
    with replacing(output / REPORT_FILE) as file:
        report = {"recipe": recipe.to_dict(), **summarise(results), "videos": [asdict(result) for result in results]}
        json.dump(report, file, indent=1)
    return results


def _sort_out(
    videos: list[tuple[Path, Path]], output: Path, recipe: CropRecipe
) -> tuple[list[VideoResult], list[tuple[Path, Path]]]:
    """Tell the videos that need no work, or get none, from those that are to be cropped."""
    results: list[VideoResult] = []
    waiting: list[tuple[Path, Path]] = []
    owners: dict[Path, Path] = {}
    for video, crop in videos:
        if owners.setdefault(crop, video) != video:
            results.append(_failed(video, crop, f"{owners[crop]} is to be written to the same file"))
        elif not crop.parent.resolve().is_relative_to(output.resolve()):
            results.append(_failed(video, crop, "a link leads out of the output folder"))
        elif counts := finished_counts(video, crop, recipe):
            results.append(VideoResult(str(video), str(crop), "skipped", "", *counts))
        else:
            waiting.append((video, crop))
    return results, waiting


def _crop_one(
    video: Path, crop: Path, recipe: CropRecipe, make_detector: Callable[[], FaceDetector], progress: bool = False
) -> VideoResult:
    try:
        counts = crop_video(video, crop, recipe, make_detector(), progress)
    except Exception as error:  # whatever is wrong with one video must not stop the others
        return _failed(video, crop, f"{type(error).__name__}: {error}")
    return VideoResult(str(video), str(crop), "done", "", *counts)


def _failed(video: Path, crop: Path, reason: str) -> VideoResult:
    return VideoResult(str(video), str(crop), "failed", reason)


def _in_processes(
    crop_one: Callable[[Path, Path], VideoResult], videos: list[tuple[Path, Path]], num_proc: int
) -> Iterator[VideoResult]:
    """Yield the results of `crop_one` as they come. A process that dies takes only the video with it that it was at."""
    # decoders and OpenCV hang or die in forks of a process that has used them; a fork server has not
    context = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    if sys.platform != "win32":
        context.set_forkserver_preload([__name__])
    pools: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()

    def run(video: Path, crop: Path) -> VideoResult:
        pool = pools.get()
        try:
            return pool.submit(crop_one, video, crop).result()
        except BrokenProcessPool:
            pool = ProcessPoolExecutor(1, context, _start_process)
            remove_crop(crop)
            return _failed(video, crop, "its process died (out of memory, or a crash inside the decoder)")
        finally:
            pools.put(pool)

    with ThreadPoolExecutor(num_proc) as threads:
        for _ in range(num_proc):
            pools.put(ProcessPoolExecutor(1, context, _start_process))
        try:
            for future in as_completed([threads.submit(run, *video) for video in videos]):
                yield future.result()
        finally:
            threads.shutdown(cancel_futures=True)
            while not pools.empty():
                pools.get().shutdown()


def _start_process() -> None:
    import cv2

    cv2.setNumThreads(1)  # the processes share the processors out already
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # a killed parent would leave its children at work on files that the next run writes, too
    if parent := multiprocessing.parent_process():
        wait([parent.sentinel])
        os._exit(1)
