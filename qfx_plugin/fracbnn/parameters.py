"""Trained parameters of FracBNN: read from a file of plain arrays, and checked name by name.

The file is a NumPy `.npz` without objects. Names and shapes are those of the public release of
FracBNN (Zhang et al., FPGA 2021, arXiv 2012.12206), every batch norm folded to a scale and an
offset: `conv1_weight`, `bn1_weight`, `layer2_0_conv1_threshold`, ..., `linear_bias`.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qfx_plugin.errors import ModelFileError, OptionError

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Architecture:
    """Sizes of a FracBNN network.

    Attributes:
        channels: of each stage; a stage doubles those of the one before, on half the resolution.
        blocks: in each stage.
        levels: bipolar channels that the thermometer makes of a colour; a power of two.
        colours: channels of the image.
        classes: outputs.
    """

    channels: tuple[int, ...] = (16, 32, 64)
    blocks: int = 3
    levels: int = 32
    colours: int = 3
    classes: int = 10

    def __post_init__(self) -> None:
        if not self.channels or any(b != 2 * a for a, b in pairwise(self.channels)):
            raise OptionError(f"channels must double from stage to stage, not be {self.channels}")
        if self.levels < 2 or self.levels & (self.levels - 1):
            raise OptionError(f"levels must be a power of two from 2 on, not {self.levels}")
        if min(self.blocks, self.colours, self.classes) < 1:
            raise OptionError(
                "blocks, colours and classes must be at least 1, not "
                f"{self.blocks}, {self.colours}, {self.classes}"
            )

    def block_names(self) -> list[tuple[str, int, int]]:
        """(prefix of the names, input channels, output channels) of each block, in order."""
        found, inputs = [], self.channels[0]
        for stage, outputs in enumerate(self.channels, start=1):
            for block in range(self.blocks):
                found.append((f"layer{stage}_{block}", inputs, outputs))
                inputs = outputs
        return found

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every array, by name."""
        first = self.channels[0]
        shapes: dict[str, tuple[int, ...]] = {
            "conv1_weight": (first, self.colours * self.levels, 3, 3),
            "bn1_weight": (first,),
            "bn1_bias": (first,),
        }
        for prefix, inputs, outputs in self.block_names():
            for half, fan_in in ((1, inputs), (2, outputs)):
                shapes[f"{prefix}_conv{half}_weight"] = (outputs, fan_in, 3, 3)
                vectors = [f"conv{half}_threshold", *_vectors(half)]
                shapes |= {f"{prefix}_{name}": (outputs,) for name in vectors}
        shapes["linear_weight"] = (self.classes, self.channels[-1])
        shapes["linear_bias"] = (self.classes,)
        return shapes


CIFAR10 = Architecture()
"""The CIFAR-10 network of the paper: 21 layers, 32 x 32 pixels."""


@dataclass(frozen=True, eq=False)
class Parameters:
    """The arrays of one trained network.

    Attributes:
        architecture: the sizes that they fit.
        arrays: float32, by name; see `Architecture.shapes`.
    """

    architecture: Architecture
    arrays: Mapping[str, Array]

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    @classmethod
    def random(cls, architecture: Architecture, seed: int = 0) -> Parameters:
        """Untrained parameters, in the ranges that training reaches; for tests and examples."""
        rng = np.random.default_rng(seed)
        arrays = {
            name: _random(name, shape, rng).astype(np.float32)
            for name, shape in architecture.shapes().items()
        }
        return cls(architecture, arrays)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the arrays to `path`, as `load_parameters` reads them."""
        with Path(path).open("wb") as file:
            np.savez(file, **dict[str, Any](self.arrays))


def load_parameters(
    path: str | os.PathLike[str], architecture: Architecture = CIFAR10
) -> Parameters:
    """Read the parameters of a trained network.

    Args:
        path: an `.npz` file; nothing in it is ever unpickled.
        architecture: the sizes that it must have.

    Raises:
        ModelFileError: the file is none, an array is missing, unknown, of the wrong shape, no
            number or not finite; names the array.
    """
    path = Path(path)
    arrays = _read(path)
    shapes = architecture.shapes()
    for name in sorted(shapes.keys() | arrays.keys()):
        _check(path, name, arrays.get(name), shapes.get(name))
    return Parameters(architecture, {name: arrays[name].astype(np.float32) for name in shapes})


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                raise ValueError("it holds a single array")
            return {name: found[name] for name in found.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        reason = "it holds objects" if "allow_pickle" in str(error) else error
        raise ModelFileError(f"{path}: cannot be read as .npz arrays: {reason}") from error


def _check(path: Path, name: str, array: Array | None, shape: tuple[int, ...] | None) -> None:
    if array is None:
        raise ModelFileError(f"{path}: array {name!r} is missing")
    if shape is None:
        raise ModelFileError(f"{path}: array {name!r} belongs to no layer of the network")
    if array.dtype.kind != "f" or array.shape != shape:
        raise ModelFileError(
            f"{path}: array {name!r} must be float of shape {shape}, not {array.dtype} of shape "
            f"{array.shape}"
        )
    if not np.isfinite(array).all():
        raise ModelFileError(f"{path}: array {name!r} must be finite")


def _vectors(half: int) -> list[str]:
    """Names of the constants per channel of a half block."""
    norms = [f"bn{number}_{slot}" for number in (half, half + 2) for slot in ("weight", "bias")]
    shifts = [f"rprelu{half}_shift_{axis}_bias" for axis in "xy"]
    return [*norms, *shifts, f"rprelu{half}_prelu_weight"]


def _random(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    if "conv" in name and name.endswith("weight"):
        return rng.choice([-1.0, 1.0], shape)
    if name.endswith("threshold"):
        return rng.uniform(1.1, 3.0, shape)
    if "bn3_weight" in name or "bn4_weight" in name:
        return rng.uniform(0.5, 1.5, shape)
    if name == "linear_weight":
        return rng.normal(0.0, 0.5, shape)
    if "bn" in name and name.endswith("weight"):
        return rng.uniform(0.02, 0.15, shape)
    return rng.uniform(-0.5, 0.5, shape)
