"""Read DISFA as distributed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..knowledge.facs import DISFA_AUS, NOT_CODED
from .builder import AUClipBuilder, AUClipConfig, Recording, match_length
from .clips import RARE_AUS
from .files import VIDEO_FILE, DatasetLayoutError, LabelError, find_files, index_files
from .tables import check_values, read_label_file

# 0-based, inclusive frame ranges in which the tracker of the dataset's authors lost the face
BAD_FRAMES: dict[str, tuple[tuple[int, int], ...]] = {
    "SN001": ((397, 419), (3189, 3242)),
    "SN002": ((799, 825),),
    "SN004": ((4540, 4554),),
    "SN006": ((1348, 1404),),
    "SN009": ((1735, 1807), (1850, 1884)),
    "SN011": ((4528, 4532), (4829, 4844)),
    "SN021": (
        *((573, 615), (984, 1163), (1189, 1204), (1304, 1337)),
        *((1664, 1709), (1861, 2476), (2553, 4656), (4709, 4721)),
    ),
    "SN023": ((1020, 1048), (3377, 3556), (3583, 3667), (4546, 4620), (4740, 4771), (4824, 4844)),
    "SN025": ((4595, 4661), (4815, 4834)),
    "SN027": ((3460, 3493), (4737, 4784)),
    "SN028": ((1874, 1884), (4570, 4689)),
    "SN029": ((4089, 4542),),
    "SN030": ((938, 961), (1405, 1421), (2099, 2131), (2892, 2954)),
}


@dataclass
class DisfaConfig(AUClipConfig):
    """Hold the options of DISFA, in addition to `AUClipConfig`.

    Args:
        camera: "left", as in the protocol, or "right".
        drop_bad_frames: Mark the frames in which tracking failed (`BAD_FRAMES`, 3.6 % of all) as not coded.
    """

    camera: str = "left"
    drop_bad_frames: bool = False


class Disfa(AUClipBuilder):
    """Read DISFA.

    The Denver Intensity of Spontaneous Facial Action database (Mavadati et al., 2013):

    * 27 subjects watch a four-minute video. Two cameras record 4,845 frames of each (SN010: 4,844) at 20 frames per
      second, 1024x768, as AVI (Cinepak). The authors distribute the videos under a licence.
    * 12 AUs are coded frame by frame with intensities 0 to 5. Each AU has a file of lines `frame,intensity`, with
      frames counted from 1.
    * The protocol uses 8 AUs (AU1, 2, 4, 6, 9, 12, 25, 26), active from intensity 2 on, and three subject-exclusive
      folds.
    """

    BUILDER_CONFIG_CLASS = DisfaConfig

    config: DisfaConfig
    protocol = "disfa"
    aus = DISFA_AUS
    rare_aus = RARE_AUS["disfa"]
    expected_tree = """
    data_dir/
        ActionUnit_Labels/SN001/SN001_au1.txt ... SN001_au26.txt     (or ActionUnits_Labels, ActionUnits)
        Videos_LeftCamera/LeftVideoSN001_comp.avi                    (or Video_RightCamera/RightVideoSN001_Comp.avi)
    """

    def find_recordings(self) -> list[Recording]:
        """List the subjects, each with its labels and its video of the chosen camera."""
        camera = self.config.camera
        if camera not in ("left", "right"):
            raise ValueError(f"camera must be 'left' or 'right', found {camera!r}.")
        labels = index_files(
            (_subject_and_au(path), path)
            for path in find_files(self.root, r"ActionUnits?(_Labels)?/SN\d{3}/SN\d{3}_au\d+\.txt")
        )
        pattern = rf"Videos?_{camera}Camera/{camera}VideoSN\d{{3}}_comp{VIDEO_FILE}"
        videos = index_files((path.stem.upper()[-10:-5], path) for path in find_files(self.video_root, pattern))
        recordings = []
        for subject in sorted(videos.keys() | {subject for subject, _ in labels}):
            missing = [f"{subject}_au{au}.txt" for au in self.aus if (subject, au) not in labels]
            if missing:
                raise self.layout_error(f"{subject} has no label file {', '.join(missing)}.", self.root)
            if subject not in videos:
                raise self.layout_error(f"{subject} has no {camera} video.", self.video_root)
            recordings.append(Recording(videos[subject], tuple(labels[subject, au] for au in self.aus), subject))
        return recordings

    def read_labels(self, recording: Recording) -> tuple[int, np.ndarray]:
        """Read the occurrence (intensity >= 2) of the 8 AUs.

        Label frame f belongs to video frame f - 1.
        """
        labels = match_length(recording, (self.read_intensities(recording) >= 2).astype(np.int8))
        if self.config.drop_bad_frames:
            for first, last in BAD_FRAMES.get(recording.subject, ()):
                labels[first : last + 1] = NOT_CODED
        return 0, labels

    def read_intensities(self, recording: Recording) -> np.ndarray:
        """Read the intensities of the 8 AUs, 0 to 5, float32 (frames, N)."""
        columns = []
        for path in recording.label_files:
            _, table, lines = read_label_file(path)
            if table[0, 0] != 1:
                raise LabelError.at(path, lines[0], f"frame {table[0, 0]}", "The first frame must be 1.")
            columns.append(check_values(path, table[:, 1], range(6), lines))
            if len(columns[-1]) != len(columns[0]):
                remedy = f"{recording.label_files[0].name} has {len(columns[0])}. Both must code the same frames."
                raise LabelError.at(path, None, f"{len(columns[-1])} frames", remedy)
        return np.stack(columns, axis=1).astype(np.float32)


def _subject_and_au(path: Path) -> tuple[str, int]:
    subject, au = path.stem.upper().split("_AU")
    if path.parent.name.upper() != subject:
        raise DatasetLayoutError(f"{path} lies in the folder of another subject. Move it to {subject}.")
    return subject, int(au)
