"""A torch model and a file of its weights as a QONNX file: what `qfx export` does."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from ..errors import DataError, one_line
from ..files import write_file


def export_state(
    model: Any,
    weights: Path | None,
    input_shape: tuple[int, ...],
    out: Path,
    target: str = "qonnx",
) -> Path:
    """Load `weights` into `model` and write it; returns the path written.

    Args:
        model: a torch module with QFX quantizers.
        weights: a file of `torch.save(model.state_dict(), ...)`; without, the model as it is.
        input_shape: of one sample, channels first.
        out: file to write.
        target: as `export_qonnx` takes it.

    Raises:
        DataError: the weights cannot be read as data, or do not fit the model; or the file cannot
            be written.
        ExportError, CalibrationError: the model cannot be written exactly.
    """
    import torch

    from brevitas_quantizers.qonnx import export_qonnx

    if weights is not None:
        state = _read(torch, weights)
        try:
            model.load_state_dict(state)
        except (RuntimeError, TypeError, AttributeError) as error:
            reason = one_line(error, whole=True)
            raise DataError(f"{weights}: do not fit the model: {reason}") from error
    exported = export_qonnx(model, args=torch.zeros(1, *input_shape), target=target)
    return write_file(out, exported.SerializeToString())


def _read(torch: Any, path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {one_line(error)}") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        # What torch says here is how to run the code that a file may hold.
        raise DataError(
            f"{path}: holds no plain weights: it must be a file of "
            "torch.save(model.state_dict(), path), whole, with tensors and numbers only"
        ) from error
