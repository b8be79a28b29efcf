"""Reuse factors for a sample rate, by an estimate of each layer's cycles.

A layer that uses each multiplier `reuse_factor` times per pixel, and looks at `pixels` pixels, is
busy for `reuse_factor * pixels` cycles. Layers work side by side on consecutive samples (a pipeline
of arrays, or streams), so that the busiest one sets the rate. The estimate leaves out what fills
and drains a pipeline, a few dozen cycles per layer: it is for choosing factors, not for a data
sheet.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod
from typing import TYPE_CHECKING

from ..errors import TargetError
from .lowering.plan import Plan, PlannedLayer

if TYPE_CHECKING:
    from .options import Options

WEIGHTED = ("Dense", "Conv2D", "DepthwiseConv2D")


@dataclass(frozen=True)
class Reuse:
    """How a layer shares its multipliers.

    Attributes:
        pixels: results, or inputs with their padding if those are more, each of all channels.
        reuse_factor: how often one multiplier is used per pixel.
    """

    pixels: int
    reuse_factor: int

    @property
    def cycles(self) -> int:
        """Cycles that the layer is busy with one sample."""
        return self.pixels * self.reuse_factor


def fold(plan: Plan, options: Options) -> dict[str, Reuse]:
    """A folding for each layer with multipliers, by name.

    Raises:
        TargetError: the rate is out of reach even with every multiplier used once; names the layer.
    """
    budget = None
    if options.target_rate is not None:
        budget = int(1e9 / _period(options) / options.target_rate)
        _check_pixels(plan, budget, options)
    foldings = {}
    for layer in plan.layers:
        if layer.kind in WEIGHTED:
            pixels = pixels_of(layer)
            wanted = options.reuse_factor if budget is None else budget // pixels
            factors = valid_reuse_factors(layer, options.io_type)
            if budget is None and options.strategy in ("auto", "latency"):
                factors = [*factors, wanted]
            fitting = [factor for factor in factors if factor <= wanted]
            foldings[layer.name] = Reuse(pixels, max(fitting, default=1))
    return foldings


def pixels_of(layer: PlannedLayer) -> int:
    """Pixels that a layer looks at: of its result, or of its padded input if those are more."""
    results = prod(layer.shape[:-1]) if len(layer.shape) > 1 else 1
    size = layer.attributes
    if "in_height" not in size:
        return results
    height = size["in_height"] + size.get("pad_top", 0) + size.get("pad_bottom", 0)
    width = size["in_width"] + size.get("pad_left", 0) + size.get("pad_right", 0)
    return max(results, int(height * width))


def valid_reuse_factors(layer: PlannedLayer, io_type: str) -> list[int]:
    """The factors that hls4ml's kernels take, ascending: its `get_valid_reuse_factors`, or fewer.

    hls4ml also gives its convolution of arrays factors above the operands of a product. The kernel
    (`conv_2d_resource_cl`) asserts that there are none and otherwise computes other numbers.
    """
    n_in, n_out = multiplications(layer)
    work = n_in * n_out
    divisors = {
        value for d in range(1, int(work**0.5) + 1) if work % d == 0 for value in (d, work // d)
    }
    most = n_in if layer.kind == "Conv2D" and io_type == "io_parallel" else work
    return sorted(
        factor for factor in divisors if factor <= most and _is_valid(n_in, n_out, factor)
    )


def multiplications(layer: PlannedLayer) -> tuple[int, int]:
    """Operands and results of the product that one pixel takes."""
    size = layer.attributes
    if layer.kind == "Dense":
        return size["n_in"], size["n_out"]
    area = size["filt_height"] * size["filt_width"]
    if layer.kind == "DepthwiseConv2D":
        return area * size["n_chan"], 1
    return area * size["n_chan"], size["n_filt"]


def _is_valid(n_in: int, n_out: int, factor: int) -> bool:
    limit = ceil(n_in * n_out / min(n_in, factor))
    return (limit % n_out == 0 or factor >= n_in) and (factor % n_in == 0 or factor < n_in)


def _period(options: Options) -> float:
    """Of the clock, in ns."""
    return float(options.project()["ClockPeriod"])


def _check_pixels(plan: Plan, budget: int, options: Options) -> None:
    slowest = max(plan.layers, key=pixels_of)
    if pixels_of(slowest) > budget:
        period = _period(options)
        possible = 1e9 / period / pixels_of(slowest)
        raise TargetError(
            f"target_rate must be at most {possible:.0f} samples per second at a clock_period of "
            f"{period:g} ns, not {options.target_rate:g}: layer {slowest.name!r} "
            f"looks at {pixels_of(slowest)} pixels, one per cycle"
        )
