"""Collect what is wrong with a recording while it is read."""

from dataclasses import dataclass, field


@dataclass
class Faults:
    """Collect the faults of one recording.

    Args:
        damaged: Indices of the frames that cannot be decoded rightly.
        restarts: Indices of the frames at which the clock starts again.
        headless: Number of frames before the first keyframe, which no player can show.
        cut: Why the recording is known to be cut off; empty if it is not.
        frames: Number of frames read, damaged ones included.
    """

    damaged: list[int] = field(default_factory=list)
    restarts: list[int] = field(default_factory=list)
    headless: int = 0
    cut: str = ""
    frames: int = 0

    @property
    def reason(self) -> str:
        """Describe which frames are missing; empty if there are none."""
        parts = []
        if self.damaged:
            verb = "are" if len(self.damaged) > 1 else "is"
            parts.append(
                f"{len(self.damaged)} of {self.frames} frames {verb} damaged, the first is frame {self.damaged[0]}"
            )
        if self.cut:
            parts.append(f"the file is cut off after {self.frames} frames: {self.cut}")
        return "; ".join(parts)

    @property
    def note(self) -> str:
        """Describe what was corrected or passed over; empty if nothing was."""
        parts = []
        if self.headless:
            parts.append(
                f"it begins between two keyframes; the {self.headless} frames before the first one do not count"
            )
        if self.restarts:
            frames = ", ".join(map(str, self.restarts[:5])) + (", ..." if len(self.restarts) > 5 else "")
            parts.append(f"the clock restarts at frame {frames}; timestamps continue from the frame before")
        return "; ".join(parts)
