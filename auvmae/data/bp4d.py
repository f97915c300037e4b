"""Read BP4D as distributed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..knowledge.facs import BP4D_AUS, NOT_CODED
from .builder import AUClipBuilder, AUClipConfig, Recording
from .clips import RARE_AUS
from .files import VIDEO_FILE, LabelError, find_files, frame_numbers, index_files
from .tables import au_columns, check_values, read_label_file

UNCODABLE = 9
GRADED_AUS = (6, 10, 12, 14, 17)
"""AUs whose intensities are coded."""


@dataclass
class Bp4dConfig(AUClipConfig):
    """Hold the options of BP4D, in addition to `AUClipConfig`.

    Args:
        frame_offset: Number added to a coded frame to get the number of its image. By default it is inferred per video:
            0 if every coded frame has an image of the same number, -1 if every one has an image one lower. Where both
            hold (the coded block lies inside the video), it is -1 if there is an image 0, because the images then count
            from 0 and the codes from 1.
    """

    frame_offset: int | None = None


class Bp4d(AUClipBuilder):
    """Read BP4D-Spontaneous.

    The Binghamton-Pittsburgh 3D Dynamic Spontaneous Facial Expression Database (Zhang et al., 2014):

    * 41 subjects (F001-F023, M001-M018) perform 8 tasks each (T1-T8). The 328 videos, at 25 frames per second, come as
      folders of 1040x1392 JPEGs. The authors distribute them under a licence.
    * One contiguous block of each video is coded, 90 to 768 frames (146,847 in total): 0, 1, or 9 = not codable.
    * The protocol uses 12 AUs (AU1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24) and three subject-exclusive folds.
    * The intensities of 5 AUs (AU6, 10, 12, 14, 17) are coded, 0 to 5 or 9. Those of the others are NaN.

    Video files may replace the folders of images. Their frames count from 0; the frames of face crops keep the numbers
    of their images.
    """

    BUILDER_CONFIG_CLASS = Bp4dConfig

    config: Bp4dConfig
    protocol = "bp4d"
    aus = BP4D_AUS
    rare_aus = RARE_AUS["bp4d"]
    expected_tree = """
    data_dir/
        AUCoding/AU_OCC/F001_T1.csv               (or AUCoding/F001_T1.csv)
        AUCoding/AU_INT/AU06/F001_T1_AU06.csv     (AU06, AU10, AU12, AU14, AU17; only for intensities)
        Sequences(2D+3D)/F001/T1/2440.jpg         (or Sequences, Sequences(2D), BP4D-training, or F001 here;
                                                   or the videos F001/T1.mp4 or F001_T1.mp4)
    """

    def find_recordings(self) -> list[Recording]:
        """List the tasks, each with its labels and its images or video."""
        labels = index_files(
            (_key(path.stem), path)
            for folder in ("AUCoding", "AUCoding/AU_OCC")  # the older release, the newer one
            for path in find_files(self.root, rf"{folder}/[FM]\d{{3}}_T[1-8]\.csv")
        )
        videos = index_files(
            (_key(path.stem if "_" in path.stem else f"{path.parent.name}_{path.stem}"), path)
            for folder in ("", "(Sequences.*|BP4D-training)/")
            for name in (rf"[FM]\d{{3}}_T[1-8]{VIDEO_FILE}", rf"[FM]\d{{3}}/T[1-8]({VIDEO_FILE})?")
            for path in find_files(self.video_root, folder + name)
        )
        for subject, task in sorted(videos.keys() ^ labels.keys()):
            lack, root = ("labels", self.root) if (subject, task) in videos else ("images or video", self.video_root)
            raise self.layout_error(f"{subject} {task} has no {lack}.", root)
        grades = self._find_grades() if self.has_intensities else {}
        recordings = []
        for key in sorted(videos):
            found = grades.get(key, {})
            missing = [f"AU{au:02d}" for au in GRADED_AUS if au not in found]
            if self.has_intensities and missing:
                problem = f"{' '.join(key)} has no intensities of {', '.join(missing)} in AUCoding/AU_INT."
                raise self.layout_error(f"{problem} Add the files, or leave out the option intensities.", self.root)
            recordings.append(Recording(videos[key], (labels[key], *(found[au] for au in sorted(found))), *key))
        return recordings

    def read_labels(self, recording: Recording) -> tuple[int, np.ndarray]:
        """Read the occurrence of the 12 AUs, finding their columns by the header."""
        path = recording.label_files[0]
        header, table, lines = read_label_file(path, header=True)
        columns = {au: place for place, au in au_columns(path, lines[0], ["", *header[1:]]).items()}
        missing = [str(au) for au in self.aus if au not in columns]
        if missing:
            raise LabelError.at(
                path, lines[0], f"no column {', '.join(missing)}", "The header must name the AU of each column."
            )
        values = check_values(path, table[:, [columns[au] for au in self.aus]], (0, 1, UNCODABLE), lines[1:])
        labels = np.where(values == UNCODABLE, NOT_CODED, values).astype(np.int8)
        frames = frame_numbers(recording.video)
        offset = self.config.frame_offset
        offsets = [
            candidate
            for candidate in ((0, -1) if offset is None else (offset,))
            if np.isin(table[:, 0] + candidate, frames).all()
        ]
        if not offsets:
            remedy = (
                f"{recording.video} holds frames {frames[0]} to {frames[-1]}, possibly with gaps. Restore the missing "
                "frames."
            )
            raise LabelError.at(path, None, f"codes for frames {table[0, 0]} to {table[-1, 0]}", remedy)
        first = table[0, 0] + (offsets[-1] if 0 in frames else offsets[0])
        return int(first if recording.video.is_dir() else np.searchsorted(frames, first)), labels

    def read_intensities(self, recording: Recording) -> np.ndarray:
        """Read the intensities of `GRADED_AUS`, float32 (frames, N).

        The other AUs are NaN.
        """
        path, *graded = recording.label_files
        frames = read_label_file(path, header=True)[1][:, 0]
        intensities = np.full((len(frames), len(self.aus)), np.nan, np.float32)
        for au, file in zip(GRADED_AUS, graded, strict=True):
            _, table, lines = read_label_file(file)
            check_values(file, table[:, 1], (*range(6), UNCODABLE), lines)
            used = np.isin(table[:, 0], frames) & (table[:, 1] != UNCODABLE)
            intensities[table[used, 0] - frames[0], self.aus.index(au)] = table[used, 1]
        return intensities

    def _find_grades(self) -> dict[tuple[str, str], dict[int, Path]]:
        """Find the intensity files of each task, by AU."""
        pattern = rf"AUCoding/AU_INT/AU\d+/[FM]\d{{3}}_T[1-8]_AU0*({'|'.join(map(str, GRADED_AUS))})\.csv"
        files = index_files((tuple(path.stem.upper().split("_AU")), path) for path in find_files(self.root, pattern))
        found: dict[tuple[str, str], dict[int, Path]] = {}
        for (task, au), path in files.items():
            found.setdefault(_key(task), {})[int(au)] = path
        return found


def _key(name: str) -> tuple[str, str]:
    subject, task = name.upper().split("_")
    return subject, task
