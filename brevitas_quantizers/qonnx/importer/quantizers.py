"""Options and latents of the quantizers that an import builds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from brevitas_quantizers.fixed_point import ModelImportError
from brevitas_quantizers.injectors import QFXFixedPoint, QFXKHot
from brevitas_quantizers.injectors.blocks import block_shape
from brevitas_quantizers.injectors.quantizers import FixedPointQuantizer
from brevitas_quantizers.onnx_files import QuantizedConstant, QuantSpec

from .metadata import Metadata
from .values import ActivationCast

_NOT_FOR_PARAMETERS = ("per_channel_broadcastable_shape",)
_ONLY_FOR_WEIGHTS = (
    "accumulator_bit_width",
    "accumulator_input_bit_width",
    "accumulator_input_signed",
)


class Quantizers:
    """Keywords of layers, and what their quantizers have to hold in the end."""

    def __init__(self, metadata: Metadata) -> None:
        self.metadata = metadata
        self._proxies: dict[str, tuple[nn.Module, QuantSpec | None]] = {}
        self._latents: list[tuple[FixedPointQuantizer, str, np.ndarray, bool]] = []

    def constant(self, slot: str, constant: QuantizedConstant) -> dict[str, Any]:
        """Keywords for `slot` (`"weight"` or `"bias"`) of the layer that holds `constant`."""
        spec, quantizer = constant.spec, constant.spec.name
        shared = self._shared(quantizer, spec)
        if shared is not None:
            return {f"{slot}_quant": shared}
        options = self._options(spec, quantizer)
        if options.get("block_size") is not None and not self._has_blocks(constant):
            self.metadata.notes.append(
                f"{quantizer}: its blocks do not belong to the scales in the file, which are used"
            )
            options |= {"block_size": None, "bit_width": spec.width}
        if options.get("block_size") is None and spec.frac_bits.size > 1:
            options["scaling_per_output_channel"] = True
        dropped = _NOT_FOR_PARAMETERS + (_ONLY_FOR_WEIGHTS if slot == "bias" else ())
        if spec.k is None or slot == "bias":
            dropped += ("k", "digits")
        return self._keywords(slot, spec, options, dropped)

    def cast(self, cast: ActivationCast, shape: tuple[int, ...] | None) -> dict[str, Any]:
        """Keywords for the activation slot of `cast`.

        Args:
            cast: the Quant node.
            shape: of its binary points where they differ, or None.
        """
        role = cast.role
        shared = self._shared(cast.quantizer, cast.spec)
        if shared is not None:
            return {f"{role}_quant": shared}
        options = self._options(cast.spec, cast.quantizer)
        options["scaling_per_output_channel"] = shape is not None
        options["per_channel_broadcastable_shape"] = shape
        dropped: tuple[str, ...] = ("k", "digits", *_ONLY_FOR_WEIGHTS)
        if shape is None:
            dropped += ("per_channel_broadcastable_shape",)
        return self._keywords(role, cast.spec, options, dropped)

    def attach(self, layer: nn.Module, slot: str, spec: QuantSpec, points: np.ndarray) -> None:
        """Remember what the quantizer in `slot` of the finished `layer` has to hold."""
        proxy, quantizer = getattr(layer, f"{slot}_quant"), spec.name
        if self._proxies.setdefault(quantizer, (proxy, spec))[0] is proxy and any(
            proxy.quantizer is known for known, *_ in self._latents
        ):
            return
        self._latents.append((proxy.quantizer, quantizer, points, True))

    def attach_absent(self, layer: nn.Module, slot: str, quantizer: str) -> None:
        """The same for a quantizer that has no node in the file."""
        proxy: Any = getattr(layer, f"{slot}_quant", None)
        known = self.metadata.quantizer(quantizer)
        if known and getattr(proxy, "quantizer", None) is not None:
            shape = tuple(proxy.quantizer.points.shape)
            self._proxies[quantizer] = (proxy, None)
            self._latents.append((proxy.quantizer, quantizer, np.zeros(shape, np.int64), False))

    def absent(self, slot: str, quantizer: str) -> dict[str, Any]:
        """Keywords for a constant that the file does not hold, from the metadata alone."""
        known = self.metadata.quantizer(quantizer)
        if not known:
            return {}
        options = self.metadata.options(quantizer)
        kind = QFXKHot if options.get("k") is not None else QFXFixedPoint
        dropped = _NOT_FOR_PARAMETERS
        return {f"{slot}_quant": kind} | {
            f"{slot}_{name}": value for name, value in options.items() if name not in dropped
        }

    @torch.no_grad()
    def finish(self) -> None:
        """Set every latent; after the parameters, whose quantizers start from their values."""
        for quantizer, name, points, in_file in self._latents:
            self._set(quantizer, name, points, in_file)

    def check(self) -> None:
        """Nothing has moved a binary point since it was set.

        Raises:
            ModelImportError: a quantizer does not cast as its node says.
        """
        for quantizer, name, points, in_file in self._latents:
            found = quantizer.points.double().numpy()
            if in_file and not np.array_equal(found.reshape(-1), points.reshape(-1)):
                raise ModelImportError(
                    f"{name}: its binary point must be {points.reshape(-1).tolist()[:4]} as in the "
                    f"file, not {found.reshape(-1).tolist()[:4]}"
                )

    def _set(
        self, quantizer: FixedPointQuantizer, name: str, points: np.ndarray, in_file: bool
    ) -> None:
        known = self.metadata.quantizer(name)
        target = quantizer.binary_point
        latent = _numbers(known.get("binary_point"), tuple(target.shape))
        travelling = tuple(quantizer.points.shape)
        file = torch.from_numpy(np.ascontiguousarray(points, np.float64).reshape(travelling))
        blocks = quantizer.options.block_size is not None  # `_has_blocks` has seen its latent
        if not blocks and latent is not None and in_file and not torch.equal(latent.round(), file):
            self.metadata.notes.append(
                f"{name}: its latent binary point does not belong to the scale in the file, "
                "which is used"
            )
            latent = None
        target.copy_(file if latent is None else latent)
        quantizer.initialized.fill_(True)
        quantizer._is_initialized = True
        quantizer.settle()
        if (learned := quantizer.bit_width_latent) is not None:
            bits = _numbers(known.get("bit_width_latent"), tuple(learned.shape))
            if bits is None:
                bits = _numbers(known.get("bit_width"), ())
            if bits is not None:
                learned.copy_(bits)

    def _has_blocks(self, constant: QuantizedConstant) -> bool:
        """Whether the blocks that the metadata tell of have the binary points of the file."""
        name, shape = constant.spec.name, constant.shape
        size = self.metadata.options(name)["block_size"]
        latent = self.metadata.quantizer(name).get("binary_point")
        for axis in (1, 0) if isinstance(size, int) and size > 0 else ():
            channels = tuple(n if a == 1 - axis else 1 for a, n in enumerate(shape))
            points = _numbers(latent, block_shape(channels, axis, shape[axis], size))
            if points is not None:
                finest = points.round().amax(axis).reshape(-1).numpy()
                return np.array_equal(finest, constant.spec.frac_bits.reshape(-1))
        return False

    def _shared(self, quantizer: str, spec: QuantSpec) -> nn.Module | None:
        """The proxy of a quantizer that the file says is one with an earlier one, and that is."""
        proxy, other = self._proxies.get(quantizer, (None, None))
        if proxy is None or other is None or not self.metadata.shared(quantizer):
            return None
        return proxy if spec.key == other.key else None

    def _options(self, spec: QuantSpec, quantizer: str) -> dict[str, Any]:
        """Of the metadata, but what the node says wins."""
        options = self.metadata.options(quantizer)
        if not options.get("learn_bit_width") and options.get("block_size") is None:
            options["bit_width"] = spec.width
        if options.get("frac_bits") is not None or options.get("integer_bits") is not None:
            options.setdefault("learn_binary_point", None)
        options |= {"signed": spec.signed, "rounding": spec.rounding, "overflow": spec.overflow}
        if spec.k is not None:
            options |= {"k": spec.k, "digits": spec.digits}
        return options

    def _keywords(
        self, slot: str, spec: QuantSpec, options: dict[str, Any], dropped: tuple[str, ...]
    ) -> dict[str, Any]:
        khot = spec.k is not None and slot == "weight"
        prefix = "" if slot == "act" else f"{slot}_"
        keywords = {f"{prefix}{n}": v for n, v in options.items() if n not in dropped}
        return {f"{slot}_quant": QFXKHot if khot else QFXFixedPoint} | keywords


def _numbers(value: object, shape: tuple[int, ...]) -> torch.Tensor | None:
    """Nested lists of numbers as float64 of `shape`, or None."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return None
    if array.shape != shape or not np.all(np.isfinite(array)):
        return None
    return torch.from_numpy(array)
