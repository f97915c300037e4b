"""BP4D, as it is distributed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..knowledge.facs import BP4D_AUS, NOT_CODED
from .builder import AUClipBuilder, AUClipConfig, Recording
from .clips import RARE_AUS
from .files import VIDEO_FILE, LabelError, check_values, find_files, frame_numbers, read_label_file

UNCODABLE = 9


@dataclass
class Bp4dConfig(AUClipConfig):
    """How BP4D is read, beside the options of every data set.

    Args:
        frame_offset: number of the image of coded frame f, less f. Found per video by default: 0 if every coded frame
            has an image of its number, -1 if every one has the image before; where both hold (the coded block lies
            inside the video), -1 if there is an image 0, since the images then count from 0 and the codes from 1.
    """

    frame_offset: int | None = None


class Bp4d(AUClipBuilder):
    """BP4D-Spontaneous: Binghamton-Pittsburgh 3D Dynamic Spontaneous Facial Expression Database (Zhang et al., 2014).

    * 41 subjects (F001-F023, M001-M018) in 8 tasks each (T1-T8): 328 videos at 25 frames per second, as folders of
      JPEGs of 1040x1392. To be had from the authors, under a licence.
    * One contiguous block of each video is coded, 90 to 768 frames (146,847 in all): 0, 1, or 9 = not codable.
    * The protocol takes 12 AUs (AU1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24) in three subject-exclusive folds.

    Video files are read in place of the image folders; their frames count from 0, those of face crops as their images.
    """

    BUILDER_CONFIG_CLASS = Bp4dConfig

    config: Bp4dConfig
    protocol = "bp4d"
    aus = BP4D_AUS
    rare_aus = RARE_AUS["bp4d"]
    expected_tree = """
    data_dir/
        AUCoding/AU_OCC/F001_T1.csv               (or AUCoding/F001_T1.csv)
        Sequences(2D+3D)/F001/T1/2440.jpg         (or Sequences, Sequences(2D), BP4D-training, or F001 here;
                                                   or, as videos, F001/T1.mp4 or F001_T1.mp4)
    """

    def find_recordings(self) -> list[Recording]:
        """List the tasks that have images, a video or labels; see the base class."""
        labels: dict[tuple[str, str], Path] = {}
        for folder in ("AUCoding", "AUCoding/AU_OCC"):  # the older release, the newer
            for path in find_files(self.root, rf"{folder}/[FM]\d{{3}}_T[1-8]\.csv"):
                labels[path.stem.upper()[:4], path.stem.upper()[5:]] = path
        videos: dict[tuple[str, str], Path] = {}
        for folder in ("", "(Sequences.*|BP4D-training)/"):
            for name in (rf"[FM]\d{{3}}_T[1-8]{VIDEO_FILE}", rf"[FM]\d{{3}}/T[1-8]({VIDEO_FILE})?"):
                for path in find_files(self.video_root, folder + name):
                    stem = path.stem if "_" in path.stem else f"{path.parent.name}_{path.stem}"
                    videos[stem.upper()[:4], stem.upper()[5:]] = path
        for subject, task in sorted(videos.keys() ^ labels.keys()):
            lack, root = ("labels", self.root) if (subject, task) in videos else ("images or video", self.video_root)
            raise self.layout_error(f"{subject} {task} lacks its {lack}.", root)
        return [Recording(videos[key], (labels[key],), *key) for key in sorted(videos)]

    def read_labels(self, recording: Recording) -> tuple[int, np.ndarray]:
        """Occurrence of the 12 AUs, 9 = not coded, columns found by the header. See the base class."""
        (path,) = recording.label_files
        header, table = read_label_file(path, header=True)
        columns = {cell.strip(): column for column, cell in enumerate(header) if column}
        missing = [str(au) for au in self.aus if str(au) not in columns]
        if missing:
            raise LabelError.at(path, 1, f"no column {', '.join(missing)}", "The header names the AU of each column.")
        values = check_values(path, table[:, [columns[str(au)] for au in self.aus]], (0, 1, UNCODABLE), first_line=2)
        labels = np.where(values == UNCODABLE, NOT_CODED, values).astype(np.int8)
        frames = frame_numbers(recording.video)
        offset = self.config.frame_offset
        offsets = [
            candidate
            for candidate in ((0, -1) if offset is None else (offset,))
            if np.isin(table[:, 0] + candidate, frames).all()
        ]
        if not offsets:
            remedy = f"{recording.video} holds {frames[0]} to {frames[-1]}, or not all between: restore the missing."
            raise LabelError.at(path, None, f"codes of the frames {table[0, 0]} to {table[-1, 0]}", remedy)
        first = table[0, 0] + (offsets[-1] if 0 in frames else offsets[0])
        return int(first if recording.video.is_dir() else np.searchsorted(frames, first)), labels
