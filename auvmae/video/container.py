"""Open video containers, and choose the track that players show."""

import os
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
"""Tracks that are covers, previews or thumbnails."""


def ffmpeg_path(path: Path) -> str:
    """Return a form of the path that FFmpeg does not mistake for a URL.

    In a bare file name, FFmpeg takes the text before a colon for a protocol.
    """
    return os.path.join(".", path)


class VideoDecodeError(OSError):
    """Report a video that cannot be opened, or a frame that cannot be decoded.

    The only argument is the message, so that the error survives pickling from a worker to its parent process.
    """

    @classmethod
    def of(cls, path: str | Path, cause: object, frame: int | None = None) -> "VideoDecodeError":
        """Build the error from the file, the cause and, for a single frame, its index."""
        where = f"{path}" if frame is None else f"frame {frame} of {path}"
        return cls(
            f"cannot decode {where}: {cause}. Copy the file again from its source or re-encode it; if neither helps, "
            "remove the file and its labels from the dataset."
        )


def open_container(path: Path) -> Any:
    """Open a video file with PyAV for single-threaded decoding.

    Raises:
        VideoDecodeError: The file does not open, or contains no video stream that can be decoded.
    """
    if path.exists() and not path.is_file():  # opening a named pipe would wait forever
        raise VideoDecodeError.of(path, "it is not a regular file")
    try:
        # tags of old software are not UTF-8, and say nothing about the frames
        container = av.open(ffmpeg_path(path), metadata_errors="replace")
    except (OSError, av.FFmpegError) as error:
        raise VideoDecodeError.of(path, error) from error
    try:
        stream = video_stream(container)
        if stream is None:
            raise VideoDecodeError.of(path, "it has no video stream")
        if stream.codec_context is None:
            raise VideoDecodeError.of(
                path, f"there is no decoder for its codec {getattr(stream, 'name', '') or 'unknown'!r}"
            )
    except VideoDecodeError:
        container.close()
        raise
    stream.codec_context.thread_count = 1  # clips and files are already processed in parallel
    return container


def video_stream(container: Any) -> Any:
    """Choose the video track that players show, or None if there is none.

    Covers, thumbnails and previews of a single frame do not count. Of the others, FFmpeg's choice is taken: the default
    track, or the one with the most frames.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & STILL]
    moving = [stream for stream in streams if stream.frames != 1] or streams
    best = container.streams.best("video")
    return best if best in moving else next(iter(moving), None)
