"""Which libraries decode JPEG files to the pixels that Pillow gives, and how long each takes.

    python benchmarks/decoders.py FOLDER [FOLDER …] [--repeats 3]

decodes every JPEG below the folders by each library that is installed, all taking turns, and compares the pixels: a
set's images must be those that were published, so another decoder is worth its time only if none of them differs. Rare
kinds of file, which photographs of the data sets hardly show, are drawn beside them: grey, CMYK, progressive, with
other subsampling, turned by EXIF, cut off. What a library refuses is counted, since messages must stay too.
"""

from __future__ import annotations

import argparse
import importlib
import io
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, features

from fssbench.base.errors import SourceError
from fssbench.pipelines.formats import images

Pixels = npt.NDArray[np.uint8]
SIDE = 161
"""Of drawn images: odd, so that subsampled planes have a half at their edge."""


@dataclass
class Found:
    """What a decoder made of the files."""

    seconds: float = 0.0
    files: int = 0
    differing: int = 0
    greatest: int = 0
    refused: list[str] = field(default_factory=list)


def pillow(data: bytes) -> Pixels:
    """As fssbench decodes them."""
    return images.decode(data, where="it")


def by_torchvision(module: Any) -> Callable[[bytes], Pixels]:
    """By torchvision, which has (3, H, W)."""
    torch = importlib.import_module("torch")

    def decode(data: bytes) -> Pixels:
        encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        found: Pixels = module.decode_jpeg(encoded, mode=module.ImageReadMode.RGB).permute(1, 2, 0).contiguous().numpy()
        return found

    return decode


def by_turbojpeg(module: Any) -> Callable[[bytes], Pixels]:
    """By PyTurboJPEG, which needs libjpeg-turbo on the machine."""
    turbo = module.TurboJPEG()
    return lambda data: turbo.decode(data, pixel_format=module.TJPF_RGB)


def by_cv2(module: Any) -> Callable[[bytes], Pixels]:
    """By OpenCV, which has BGR."""

    def decode(data: bytes) -> Pixels:
        flags = module.IMREAD_COLOR | module.IMREAD_IGNORE_ORIENTATION
        found: Pixels = module.imdecode(np.frombuffer(data, np.uint8), flags)
        if found is None:
            raise ValueError("it is not an image")
        rgb: Pixels = module.cvtColor(found, module.COLOR_BGR2RGB)
        return rgb

    return decode


def decoders() -> Iterator[tuple[str, Callable[[bytes], Pixels]]]:
    """Those that are installed, by name and version."""
    yield f"Pillow {PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}", pillow
    makers: dict[str, Callable[[Any], Callable[[bytes], Pixels]]] = {
        "torchvision.io": by_torchvision,
        "simplejpeg": lambda module: lambda data: module.decode_jpeg(data, colorspace="RGB"),
        "turbojpeg": by_turbojpeg,
        "cv2": by_cv2,
    }
    for name, make in makers.items():
        try:
            module = importlib.import_module(name)
            made = make(module)
        except Exception as error:  # a module that is there may lack its library
            print(f"{name} is left out: {type(error).__name__}: {error}")
            continue
        version = getattr(
            module, "__version__", getattr(importlib.import_module(name.partition(".")[0]), "__version__", "")
        )
        yield f"{name} {version}".strip(), made


def photographs(folders: list[Path]) -> list[bytes]:
    """All JPEG files below the folders."""
    paths = sorted({path for folder in folders for path in folder.rglob("*.jpg")})
    return [path.read_bytes() for path in paths]


def drawn() -> dict[str, bytes]:
    """Files of rare kinds, by what is rare about them."""
    chance = np.random.default_rng(0)
    coarse = Image.fromarray(chance.integers(0, 256, (20, 20, 3), dtype=np.uint8))
    colour = coarse.resize((SIDE, SIDE - 20), Image.Resampling.BICUBIC)
    turned = Image.Exif()
    turned[0x0112] = 6
    kinds = {
        "4:4:4": encoded(colour, subsampling=0),
        "4:2:2": encoded(colour, subsampling=1),
        "4:2:0": encoded(colour, subsampling=2),
        "progressive": encoded(colour, progressive=True),
        "grey": encoded(colour.convert("L")),
        "CMYK": encoded(colour.convert("CMYK")),
        "low quality": encoded(colour, quality=5),
        "turned by EXIF": encoded(colour, exif=turned.tobytes()),
        "stored as RGB": encoded(colour, keep_rgb=True),
    }
    whole = kinds["4:2:0"]
    return kinds | {"cut off": whole[: len(whole) * 2 // 3], "no image": b"\xff\xd8\xff\xe0" + bytes(64)}


def encoded(image: Image.Image, **options: Any) -> bytes:
    """A JPEG file."""
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def look(found: Found, decode: Callable[[bytes], Pixels], data: bytes, name: str, expected: Pixels | None) -> None:
    """Decode a file, and compare what comes out with what was expected, or with nothing."""
    found.files += 1
    start = time.thread_time()
    try:
        pixels = decode(data)
    except (SourceError, ValueError, RuntimeError, OSError) as error:
        if expected is not None:
            found.refused.append(f"{name} ({str(error).splitlines()[0][:60]})")
        return
    found.seconds += time.thread_time() - start
    if expected is None:
        found.refused.append(f"{name}, which Pillow refuses, is accepted")
    elif pixels.shape != expected.shape:
        found.refused.append(f"{name} ({pixels.shape} for {expected.shape})")
    elif apart := int(np.abs(pixels.astype(np.int16) - expected).max()):
        found.differing, found.greatest = found.differing + 1, max(found.greatest, apart)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="Searched for *.jpg.")
    parser.add_argument("--repeats", type=int, default=3, help="Turns; the quickest counts.")
    arguments = parser.parse_args()
    known, files, rare = dict(decoders()), photographs(arguments.folders), drawn()
    print(f"{len(files)} photographs, {sum(map(len, files)) / len(files) / 1e3:.0f} kB each, one thread")
    quickest: dict[str, float] = {}
    seen: dict[str, Found] = {}
    for _ in range(arguments.repeats):
        for name in known:
            seen[name] = Found()
        for data in files:
            expected: Pixels | None = pillow(data)
            for name, decode in known.items():
                look(seen[name], decode, data, "a photograph", expected)
        for name, found in seen.items():
            quickest[name] = min(quickest.get(name, np.inf), found.seconds / found.files)
    print(f"{'':>40} {'ms an image':>11} {'differ':>7} {'at most':>8}")
    for name, found in seen.items():
        print(f"{name:>40} {1e3 * quickest[name]:11.2f} {found.differing:7} {found.greatest:8}")
        for refused in found.refused:
            print(f"{'':>40}   {refused}")
    print("drawn files, one of each kind")
    for name, decode in known.items():
        found = Found()
        for kind, data in rare.items():
            before = found.differing
            expected = None
            with suppress(SourceError):
                expected = pillow(data)
            look(found, decode, data, kind, expected)
            if found.differing > before:
                found.refused.append(f"{kind} differs by {found.greatest} at most")
        print(f"{name:>40}   {'; '.join(found.refused) or 'as Pillow'}")


if __name__ == "__main__":
    main()
