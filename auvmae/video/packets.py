"""Read the metadata of packets, and find where decoding may start."""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from .container import VideoDecodeError, open_container, video_stream
from .damage.judge import demux


class Packet(NamedTuple):
    """Hold the metadata of one frame, without its data."""

    pts: int | None
    is_keyframe: bool
    is_discard: bool
    is_corrupt: bool


def list_packets(container: Any, path: Path, partly: bool = False) -> list[Packet]:
    """List one packet per frame, without decoding the frames or keeping their data.

    With `partly`, a container that is damaged later on is listed up to there.
    """
    packets = []
    try:
        for p in _demux(container, path):
            packets.append(Packet(p.pts, p.is_keyframe, p.is_discard, p.is_corrupt))
    except VideoDecodeError:
        if not partly:
            raise
    if not packets:
        raise VideoDecodeError.of(path, "it contains no frames")
    return packets


def _demux(container: Any, path: Path) -> Iterator[Any]:
    count = 0
    try:
        for packet in demux(container, video_stream(container)):
            if packet.size:
                yield packet
                count += 1
    except av.FFmpegError as error:
        raise VideoDecodeError.of(path, error, count) from error


class Key(NamedTuple):
    """Identify a packet from which decoding is exact from its frame on."""

    frame: int
    pts: int
    dts: int | None
    packet: tuple[int | None, int, int | None]


class FrameTable(NamedTuple):
    """Map frame indices to the clock of a stream that can be sought exactly.

    Args:
        times: int64 (T,), presentation time of each frame, ascending. Empty if the stream cannot be sought exactly.
        keys: Packets from which decoding may start, ascending.
    """

    times: np.ndarray
    keys: list[Key]


UNSEEKABLE = FrameTable(np.empty(0, np.int64), [])

# No frame that is shown after a keyframe refers to one before it. H.264 and HEVC tell by the kind of the keyframe. All
# other codecs are decoded in order.
REFRESHING = {"mpeg1video", "mpeg2video", "mpeg4", "h263", "flv1", "vp8", "vp9", "av1", "theora"}
NAL_CODECS = {"h264", "hevc"}


def identify(packet: Any) -> tuple[int | None, int, int | None]:
    """Name a packet by position, size and time.

    A file whose index is damaged gives other times after seeking.
    """
    return packet.pos, packet.size, packet.pts


@lru_cache(maxsize=8192)  # listing the packets costs more than reading a clip, and a video has many clips
def frame_table(path: Path, size: int, changed: int) -> FrameTable:
    """Find whether a stream can be sought exactly, and where its frames are.

    The packets must have times that differ, begin with a keyframe, and give one frame each. Where the codec allows
    packets that give none, the whole stream is decoded once to check this; otherwise, up to the second keyframe.

    Args:
        path: Video file.
        size: Size of the file, part of the cache key.
        changed: Its modification time, part of the cache key.
    """
    times: list[Any] = []
    keys: list[Key] = []
    clock: list[int] = []
    with open_container(path) as container:
        coder = video_stream(container).codec_context
        names = {coder.codec.name, coder.codec.canonical_name}
        if not (coder.codec.intra_only or names & (REFRESHING | NAL_CODECS)):
            return UNSEEKABLE
        for packet in _demux(container, path):
            clock += [packet.dts] if packet.dts is not None else []
            if packet.is_discard:
                continue
            fresh: bool | None = packet.is_keyframe
            if names & NAL_CODECS and (fresh or not times):
                fresh = is_fresh(coder, bytes(packet))
            if packet.pts is None or (not times and fresh is False):
                return UNSEEKABLE
            times.append(packet.pts)
            if fresh:
                keys.append(Key(0, packet.pts, packet.dts, identify(packet)))
    restarts = any(after <= before for before, after in pairwise(clock))
    if not keys or restarts or min(times) < times[0] or len(set(times)) < len(times):
        return UNSEEKABLE
    ordered = np.sort(np.array(times, np.int64))
    keys = sorted(key._replace(frame=int(np.searchsorted(ordered, key.pts))) for key in keys)
    certain = bool(coder.codec.intra_only or names & NAL_CODECS)
    checked = ordered[: keys[1].frame + 1] if certain and len(keys) > 1 else ordered
    return FrameTable(ordered, keys) if _gives(path, checked, certain) else UNSEEKABLE


def is_fresh(coder: Any, data: bytes) -> bool | None:
    """Tell whether later frames never refer to frames before an H.264/HEVC keyframe.

    Recovery points of H.264 (intra refresh, open GOPs) and broken links of HEVC are no such keyframes.

    Returns:
        None if the packet contains no frame.
    """
    header, hevc = coder.extradata or b"", coder.codec.canonical_name == "hevc"
    if header[:1] == b"\x01":  # units follow their length, as in MP4
        units, at, size = [], 0, (header[21 if hevc else 4] & 3) + 1
        while at + size < len(data):
            units.append(data[at + size])
            at += size + int.from_bytes(data[at : at + size], "big")
    else:
        units = [match[1][0] for match in re.finditer(rb"\x00\x00\x01(.)", data, re.DOTALL)]
    kinds = [unit >> 1 & 63 if hevc else unit & 31 for unit in units]
    pictures = [kind for kind in kinds if (kind < 32 if hevc else 1 <= kind <= 5)]
    return pictures[0] in ((19, 20, 21) if hevc else (5,)) if pictures else None


def _gives(path: Path, times: np.ndarray, certain: bool) -> bool:
    """Check that decoding in order begins with frames of these times.

    Behind a damaged frame, nothing is known unless each packet is certain to be a frame.
    """
    decoded = 0
    with open_container(path) as container:
        try:
            for frame in container.decode(video_stream(container)):
                if frame.is_corrupt:
                    return certain
                if decoded == len(times) or frame.pts != times[decoded]:
                    return certain and decoded == len(times)
                decoded += 1
        except av.FFmpegError:
            return certain
    return decoded == len(times)
