"""Decoders of JPEGs side by side: speed on one core, and what they make of pictures that are not plain."""

import argparse
import io
import time
import warnings
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import cv2
import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg

from hrdet_cli.engine.data.decoding import decode_rgb
from hrdet_cli.engine.data.synthetic_scene import draw_scene
from hrdet_cli.engine.geometry import Size

from .reporting import show_table

HEIGHT, WIDTH = 480, 640
Decoder = Callable[[bytes], NDArray[np.uint8]]


def by_hrdet(data: bytes) -> NDArray[np.uint8]:
    return decode_rgb(data, expected=Size(HEIGHT, WIDTH), name="picture").permute(1, 2, 0).numpy()


def by_pillow(data: bytes) -> NDArray[np.uint8]:
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


def by_simplejpeg(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(simplejpeg.decode_jpeg(data, "RGB"), dtype=np.uint8)


def by_opencv(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB), dtype=np.uint8)


def by_torchvision(data: bytes) -> NDArray[np.uint8]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated
        pixels: torch.Tensor = decode_jpeg(
            torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB
        )
    return pixels.permute(1, 2, 0).numpy()


DECODERS: dict[str, Decoder] = {
    "hrdet": by_hrdet,
    "Pillow": by_pillow,
    "simplejpeg": by_simplejpeg,
    "OpenCV": by_opencv,
    "torchvision": by_torchvision,
}
KINDS = ("4:4:4", "4:2:0", "progressive", "grey", "CMYK", "cut", "damaged", "bytes between segments")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    plain = [encode(seed, "4:4:4") for seed in range(32)]
    seconds = measure(plain, num_rounds=arguments.rounds)
    show_table(
        f"JPEGs of {WIDTH}x{HEIGHT}, {sum(map(len, plain)) / 32000:.0f} kB; verdicts against Pillow's",
        ["", "a second", *KINDS],
        [
            [name, f"{1 / median(seconds[name]):.0f}", *(verdict(decoder, kind) for kind in KINDS)]
            for name, decoder in DECODERS.items()
        ],
    )


def encode(seed: int, kind: str) -> bytes:
    """A picture of a kind."""
    scene = draw_scene(
        np.random.default_rng(seed), height=HEIGHT, width=WIDTH, num_objects=8, has_crowd=False
    )
    image = Image.fromarray(scene.pixels).convert({"grey": "L", "CMYK": "CMYK"}.get(kind, "RGB"))
    how: dict[str, Any] = {"quality": 93, "progressive": kind == "progressive"}
    if kind not in ("grey", "CMYK"):
        how["subsampling"] = "4:2:0" if kind == "4:2:0" else "4:4:4"
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **how)
    data = buffer.getvalue()
    middle = len(data) // 2
    if kind == "cut":
        return data[:middle]
    if kind == "damaged":
        return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]
    return data[:-2] + b"\0\0\0" + data[-2:] if kind == "bytes between segments" else data


def measure(pictures: Sequence[bytes], *, num_rounds: int) -> dict[str, list[float]]:
    """CPU seconds of a picture, decoder after decoder."""
    seconds: dict[str, list[float]] = {name: [] for name in DECODERS}
    for data in list(pictures) * num_rounds:
        for name, decoder in DECODERS.items():
            started = time.process_time()
            decoder(data)
            seconds[name].append(time.process_time() - started)
    return seconds


def verdict(decoder: Decoder, kind: str) -> str:
    """Whether a decoder gives Pillow's pixels and refuses what Pillow refuses, over a few pictures."""
    outcomes = [
        (outcome(decoder, data), outcome(by_pillow, data)) for data in (encode(n, kind) for n in range(4))
    ]
    if all(
        theirs is not None and ours is not None and np.array_equal(ours, theirs) for ours, theirs in outcomes
    ):
        return "same"
    if all(ours is None for ours, _ in outcomes):
        return "refused" if all(theirs is None for _, theirs in outcomes) else "refuses"
    return "takes it" if all(theirs is None for _, theirs in outcomes) else "differs"


def outcome(decoder: Decoder, data: bytes) -> NDArray[np.uint8] | None:
    """Pixels; None for an error."""
    try:
        pixels = decoder(data)
    except Exception:  # decoders have no error in common
        return None
    return pixels if pixels.ndim == 3 else None


if __name__ == "__main__":
    main()
