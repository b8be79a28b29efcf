"""Who will read a file: what its Quant nodes mean depends on that."""

from __future__ import annotations

import json
from enum import StrEnum

import onnx

from brevitas_quantizers.fixed_point.errors import ModelFileError, OptionError

from .wire import MAX_METADATA


class Reader(StrEnum):
    """Whom a file is written for: the `target` of `export_qonnx`."""

    QONNX = "qonnx"
    """Any reader of standard QONNX."""
    HLS4ML = "hls4ml"
    """hls4ml: as QONNX, without per-channel activations."""
    STOCK_FINN = "finn"
    """FINN as it comes, which executes every activation as `AP_RND`; its builds with our plugin
    take the files of any reader."""
    QCDQ = "qcdq"
    """onnxruntime: QuantizeLinear, Clip, DequantizeLinear and standard operators."""

    @classmethod
    def parse(cls, target: Reader | str) -> Reader:
        """Return the member called `target`.

        Raises:
            OptionError: no such reader.
        """
        try:
            return cls(target)
        except ValueError:
            names = ", ".join(member.value for member in cls)
            raise OptionError(f"export target must be one of {names}, not {target!r}") from None


_OF_QUANTS = (Reader.QONNX, Reader.HLS4ML, Reader.STOCK_FINN)
"""Files of which have Quant nodes."""


def reader_of(model: onnx.ModelProto) -> Reader:
    """Whom the file was written for, by its `qfx` metadata: any, unless it says otherwise.

    Raises:
        ModelFileError: the metadata are no JSON object of a bounded size.
    """
    text = next((entry.value for entry in model.metadata_props if entry.key == "qfx"), "{}")
    try:
        if len(text) > MAX_METADATA:
            raise ValueError
        target = json.loads(text).get("target", "qonnx")
    except (ValueError, AttributeError, RecursionError):
        raise ModelFileError(
            f"metadata 'qfx' must be a JSON object of at most {MAX_METADATA} characters"
        ) from None
    if target not in list(_OF_QUANTS):
        names = ", ".join(_OF_QUANTS)
        raise ModelFileError(
            f"metadata 'qfx': target must be one of {names}, not {str(target)[:40]!r}"
        )
    return Reader(target)
