"""Compare every frame and its time with those of ffmpeg and ffprobe.

    python benchmarks/frames_vs_ffmpeg.py ../shared/videos [--made]

ffmpeg decodes the same track of every video below the folder, turned by the display matrix, with square pixels and, for
HDR, with the same tone mapping by its own filters; the fields of interlaced frames are scaled apart. "Times" is the
greatest difference from ffprobe's best timestamps in milliseconds; it does not count parts of a recording whose clock
starts again. "Mean" is the greatest mean difference of a frame, "value" the greatest difference of one value, both
of 255. With --made, clips are made from the first video, too: mirrored, turned, with pixels that are not square, in HLG
and PQ, in full range and in BT.601. The programs ffmpeg and ffprobe must be installed.
"""

import argparse
import json
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from hardware import describe_machine

from auvmae.video.container import open_container, video_stream
from auvmae.video.finding import find_videos
from auvmae.video.pixels import pixel_aspect
from auvmae.video.reading import iter_frames

LINEAR = "zscale=tin={curve}:pin=2020:min=2020_ncl:t=linear:npl={white}"
HDR = LINEAR + ",format=gbrpf32le,zscale=p=709,tonemap=clip,zscale=t=709:m=709:r=full,format=rgb24"
WHITE = 203
MADE = {
    "mirrored.mp4": ["-vf", "scale=320:180,setsar=1,hflip"],
    "turned.mp4": ["-vf", "scale=320:180,setsar=1", "-metadata:s:v", "rotate=90"],
    "upside_down.mov": ["-vf", "scale=320:180,setsar=1", "-metadata:s:v", "rotate=180"],
    "wide_pixels.mp4": ["-vf", "scale=226:180,setsar=64/45"],
    "high_pixels.mkv": ["-vf", "scale=320:120,setsar=2/3"],
    "full_range.mp4": ["-vf", "scale=320:180:out_range=full,setsar=1", "-color_range", "pc", "-pix_fmt", "yuvj420p"],
    "bt601.mkv": ["-vf", "scale=320:180:out_color_matrix=bt601,setsar=1", "-colorspace", "smpte170m"],
    "bt709.mkv": ["-vf", "scale=320:180:out_color_matrix=bt709,setsar=1", "-colorspace", "bt709"],
    "hlg.mp4": ["hdr", "arib-std-b67"],
    "pq.mp4": ["hdr", "smpte2084"],
    "interlaced.mpg": ["-vf", "scale=320:180,setsar=1", "-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-b:v", "3M"],
    "vfr.mkv": ["-vf", "scale=320:180,setsar=1,select='mod(n,3)'", "-vsync", "vfr"],
    "trimmed.mp4": ["-c", "copy"],
    "open.ts": ["-vf", "scale=320:180,setsar=1", "-x264-params", "keyint=12:open-gop=1:bframes=3"],
}


def make(source: Path, folder: Path) -> None:
    """Write the clips of `MADE`."""
    for name, options in MADE.items():
        arguments = options
        if options[0] == "hdr":
            curve = f"zscale=tin=709:pin=709:min=709:t={options[1]}:p=2020:m=2020_ncl:npl={WHITE}"
            tags = ["-color_primaries", "bt2020", "-colorspace", "bt2020nc", "-color_trc", options[1]]
            arguments = ["-vf", f"scale=320:180,setsar=1,{curve},format=yuv420p10le", "-c:v", "libx265", *tags]
        start = 0.7 if "copy" in arguments else 0
        call("ffmpeg", "-y", "-ss", start, "-i", source, "-t", "2", "-an", *arguments, folder / name)
    data = bytearray((folder / "mirrored.mp4").read_bytes())
    place = data.find((1 << 16).to_bytes(4, "big") + bytes(12) + (1 << 16).to_bytes(4, "big"), data.find(b"tkhd"))
    data[place : place + 4] = (-(1 << 16)).to_bytes(4, "big", signed=True)
    data[place + 24 : place + 28] = (320 << 16).to_bytes(4, "big")
    (folder / "mirrored.mp4").write_bytes(data)


def call(program: str, *arguments: object) -> bytes:
    """Run ffmpeg or ffprobe silently, and return its output."""
    return subprocess.run(
        [program, "-v", "error", *map(str, arguments)], check=True, capture_output=True, stdin=subprocess.DEVNULL
    ).stdout


def frame_filter(path: Path) -> tuple[int, str]:
    """Return the index of the track, and the filters for what a player shows."""
    with open_container(path) as container:
        stream = video_stream(container)
        aspect = pixel_aspect(stream)
        index = container.streams.video.index(stream)
        curve = {16: "smpte2084", 18: "arib-std-b67"}.get(stream.codec_context.color_trc)
        width = max(int(stream.codec_context.width * aspect), 1)
    steps = ["scale=interl=-1" if aspect == 1 else f"scale={width}:ih:flags=bicubic:interl=-1"]  # fields apart
    if curve:
        steps = [HDR.format(curve=curve, white=WHITE)]
    return index, ",".join(steps)


def images_of_ffmpeg(path: Path, index: int, filters: str) -> Iterator[np.ndarray]:
    """Decode all frames with ffmpeg, each with its own size."""
    command = ["ffmpeg", "-v", "fatal", "-i", path, "-map", f"0:v:{index}", "-vf", filters, "-vsync", "passthrough"]
    command += ["-pix_fmt", "rgb24", "-c:v", "ppm", "-f", "image2pipe", "-sws_flags", "bilinear", "-"]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        while process.stdout.readline():  # P6
            width, height = map(int, process.stdout.readline().split())
            process.stdout.readline()  # 255
            yield np.frombuffer(process.stdout.read(3 * width * height), np.uint8).reshape(height, width, 3)
    if process.returncode:
        raise SystemExit(f"ffmpeg failed on {path} with {process.returncode}")


def times_of_ffprobe(path: Path, index: int) -> list[float]:
    """Return the best timestamp of every frame in seconds."""
    shown = "frame=best_effort_timestamp_time"
    text = call("ffprobe", "-select_streams", f"v:{index}", "-show_entries", shown, "-of", "json", path)
    frames: list[dict[str, Any]] = json.loads(text)["frames"]
    return [float(frame.get("best_effort_timestamp_time", "nan")) for frame in frames]


def compare(path: Path) -> str:
    """Format the row of a video."""
    index, filters = frame_filter(path)
    times = times_of_ffprobe(path, index)
    ours, mean, most, late = iter_frames(path), 0.0, 0, 0.0
    images = images_of_ffmpeg(path, index, filters)
    count = theirs = 0
    for found, image in zip_longest(ours, images):
        count, theirs = count + (found is not None), theirs + (image is not None)
        if found is None or image is None:
            continue
        _, time, frame = found
        if frame.shape != image.shape:
            return f"| {path.name} | our frame is {frame.shape}, that of ffmpeg is {image.shape} | | | | | |"
        apart = np.abs(frame.astype(np.int16) - image)
        mean, most = max(mean, float(apart.mean())), max(most, int(apart.max()))
        if count <= len(times):
            late = max(late, abs(time - times[count - 1]))
    return f"| {path.name} | {count} | {theirs} | {len(times)} | {1000 * late:.3f} | {mean:.2f} | {most} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--made", action="store_true")
    arguments = parser.parse_args()
    print(
        describe_machine("av"), platform.machine(), call("ffmpeg", "-version").split(b"\n")[0].decode()[:40], sep=", "
    )
    print("\n| video | frames | ffmpeg's | ffprobe's | times ms | mean | value |\n|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as made:
        videos = [video for video, _ in find_videos(arguments.folder, Path("nowhere"))]
        if arguments.made:
            make(videos[0], Path(made))
            videos += [video for video, _ in find_videos(Path(made), Path("nowhere"))]
        for video in videos:
            print(compare(video), flush=True)


if __name__ == "__main__":
    main()
