"""The inputs that a build simulates: random ones that reach every code, or a user's own."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, one_line
from ..ir import Graph
from ..ir.inputs import as_float32, check_inputs
from ..ir.inputs import random_inputs as draw

Inputs: TypeAlias = NDArray[np.float32] | dict[str, NDArray[np.float32]]
"""(samples, *shape) of the only input, or of each by name."""

ONE, SEVERAL = "inputs.npy", "inputs.npz"


def random_inputs(graph: Graph, samples: int, seed: int) -> Inputs:
    """Inputs drawn at random, of all inputs; see `qfx_plugin.ir.inputs.random_inputs`."""
    drawn = draw(graph, samples, seed)
    return next(iter(drawn.values())) if len(drawn) == 1 else drawn


def read_inputs(text: str, graph: Graph, samples: int | None = None) -> Inputs:
    """Inputs from files.

    Args:
        text: a `.npy` file for a network with one input; a `.npz` file with an array for each
            input, by name; or `NAME=FILE.npy,NAME=FILE.npy`.
        graph: the network.
        samples: only the first of them.

    Raises:
        DataError: a file cannot be read, or does not hold what the network takes.
    """
    arrays = check_inputs(graph, _given(text))
    exact = as_float32({name: array[:samples] for name, array in arrays.items()})
    return next(iter(exact.values())) if len(exact) == 1 else exact


def save_inputs(folder: Path, inputs: Inputs) -> None:
    """Write `inputs.npy`, or `inputs.npz` for several; always as the same bytes."""
    if isinstance(inputs, dict):
        np.savez(folder / SEVERAL, allow_pickle=False, **inputs)
    else:
        np.save(folder / ONE, inputs)


def load_inputs(folder: Path, samples: int | None = None) -> Inputs:
    """What `save_inputs` wrote, or the first of it."""
    if (folder / ONE).exists():
        return np.asarray(np.load(folder / ONE)[:samples])
    with np.load(folder / SEVERAL) as archive:
        return {name: archive[name][:samples] for name in archive.files}


def part_of(inputs: Inputs, part: slice) -> Inputs:
    """Some of the samples."""
    if isinstance(inputs, dict):
        return {name: array[part] for name, array in inputs.items()}
    return inputs[part]


def count_of(inputs: Inputs) -> int:
    """How many samples there are."""
    return len(next(iter(inputs.values())) if isinstance(inputs, dict) else inputs)


def _given(text: str) -> NDArray[Any] | Mapping[str, NDArray[Any]]:
    if "=" not in text or Path(text).exists():
        return _read(Path(text))
    found: dict[str, NDArray[Any]] = {}
    for entry in text.split(","):
        name, equals, path = entry.strip().partition("=")
        array = _read(Path(path))
        if not equals or not name or name in found or isinstance(array, Mapping):
            raise DataError(f"inputs must be FILE or NAME=FILE.npy,NAME=FILE.npy, not {text!r}")
        found[name] = array
    return found


def _read(path: Path) -> NDArray[Any] | Mapping[str, NDArray[Any]]:
    kind = ".npz" if path.suffix == ".npz" else ".npy"
    try:
        with path.open("rb") as file:
            loaded: Any = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.lib.npyio.NpzFile):
                loaded = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, KeyError, MemoryError, NotImplementedError,
            RuntimeError, zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
        reason = one_line(error, whole=True)
        if "allow_pickle" in reason:  # NumPy's words are how to run the code in it
            reason = "it holds no array of numbers; write one with numpy.save"
        raise DataError(f"{path}: not a readable {kind} file: {reason}") from error
    if isinstance(loaded, dict) and list(loaded) == ["arr_0"]:  # without a name
        loaded = loaded["arr_0"]
    for name, array in loaded.items() if isinstance(loaded, dict) else [("", loaded)]:
        if array.ndim == 0 or array.dtype.kind not in "fiub":
            where = f"{path}: {name}" if name else f"{path}"
            raise DataError(f"{where}: must hold one array of numbers, (samples, ...)")
    checked: Inputs = loaded
    return checked
