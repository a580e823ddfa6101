"""The device: what it is, how fast it multiplies and moves, and whether its float32 is in full."""

from __future__ import annotations

import platform

import torch
import torch.nn.functional as F
from torch import Tensor

from fssbench.engine.inference import InferenceSettings, Precision
from fssbench.results.environment import device_name
from on_gpu.bench import Bench

__all__ = ["measure", "precisions", "product_speed"]

CORRELATION = (2500, 1024, 2500)
"""HSNet's finest correlation at 400 pixels: query positions, channels, support positions."""

LARGE = (8192, 8192, 8192)


def precisions(bench: Bench) -> tuple[Precision, ...]:
    """Those that the device has."""
    return ("float32", "tf32", "bf16", "fp16") if bench.gpu else ("float32", "bf16")


def product_speed(
    bench: Bench, shape: tuple[int, int, int], precision: Precision, *, batch: int, seconds: float
) -> float:
    """Floating-point operations a second of products (batch, M, K) × (batch, K, N) of random numbers."""
    m, k, n = shape
    settings = InferenceSettings(precision=precision)
    a, b = (torch.randn(batch, *one, device=bench.device).to(settings.dtype) for one in ((m, k), (k, n)))
    with settings.arithmetic():
        taken = bench.each(lambda: torch.bmm(a, b), seconds=seconds)
    return 2.0 * batch * m * k * n / taken


def measure(bench: Bench) -> None:
    """Tell."""
    bench.tell("device", device_name(bench.device))
    bench.tell("python, torch", f"{platform.python_version()}, {torch.__version__}")
    if bench.gpu:
        about = torch.cuda.get_device_properties(bench.device)
        bench.tell("memory", about.total_memory / 1e9, "GB")
        bench.tell("multiprocessors", float(about.multi_processor_count))
        bench.tell("compute capability", f"{about.major}.{about.minor}")
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        bench.tell("CUDA, cuDNN", f"{torch.version.cuda}, {cudnn}")
    shrink = 32 if bench.small else 1
    shapes = {"large": (LARGE, 1), "correlation of HSNet": (CORRELATION, 8)}
    for name, (shape, batch) in shapes.items():
        smaller = (shape[0] // shrink, shape[1] // shrink, shape[2] // shrink)
        for precision in precisions(bench):
            with bench.attempt(f"matrix product, {name}", precision):
                found = product_speed(bench, smaller, precision, batch=batch, seconds=0.05 if bench.small else 1.0)
                bench.tell(f"matrix product, {name}", found / 1e12, "TFLOP/s", case=precision)
    copies(bench)
    full_float32(bench)


def copies(bench: Bench) -> None:
    """A batch of pixels to the device, from ordinary and from pinned memory; and memory to memory on the device."""
    pixels = torch.randint(0, 256, (8 if bench.small else 256, 3, 400, 400), dtype=torch.uint8)
    kinds = {"ordinary": pixels}
    if bench.gpu:
        kinds["pinned"] = pixels.pin_memory()
    for name, one in kinds.items():
        taken = bench.each(lambda one=one: one.to(bench.device, copy=True), seconds=0.3)  # type: ignore[misc]
        bench.tell("copy to the device", one.nbytes / taken / 1e9, "GB/s", case=name)
    there = torch.empty((1 << 20) if bench.small else (1 << 32), dtype=torch.uint8, device=bench.device).random_(0, 256)
    other = torch.empty_like(there)
    taken = bench.each(lambda: other.copy_(there), seconds=0.3)
    bench.tell("copy on the device, read and written", 2 * there.nbytes / taken / 1e9, "GB/s")


def full_float32(bench: Bench) -> None:
    """The error of a product and a convolution against float64: 1e-6 or less in full, around 3e-4 in tf32."""
    a, b = torch.randn(256, 512, dtype=torch.float64), torch.randn(512, 256, dtype=torch.float64)
    x, kernel = torch.randn(2, 64, 32, 32, dtype=torch.float64), torch.randn(64, 64, 3, 3, dtype=torch.float64)
    exact = {"product": a @ b, "convolution": F.conv2d(x, kernel, padding=1)}
    for precision in precisions(bench)[: 2 if bench.gpu else 1]:
        with InferenceSettings(precision=precision).arithmetic():

            def here(one: Tensor) -> Tensor:
                return one.float().to(bench.device)

            found = {"product": here(a) @ here(b), "convolution": F.conv2d(here(x), here(kernel), padding=1)}
        for name, one in found.items():
            off = float((one.double().cpu() - exact[name]).norm() / exact[name].norm())
            bench.tell(f"error of a {name}", off, "of its length", case=precision)
