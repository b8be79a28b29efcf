"""A cast to logarithmic levels, of which each code is exact in a file: a table in, a table out.

After AdaLog (arXiv 2407.12951): of `b` bits, code 0 is zero, and the others, from the largest on,
are `2**-(top / 16) * base**-n` with `base = 2**(step / 16)`, to 8 significant bits and on the grid
of 2**-12. The operand is cast to that grid; a table gives the code of the nearest level, another
the level of the code. `top` and `step` are those of the least squared error over all values seen.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import brevitas.nn as qnn
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from brevitas_quantizers.fixed_point import CalibrationError, OptionError
from brevitas_quantizers.injectors import QFXFixedPoint
from brevitas_quantizers.injectors.proxies import QFXActProxy
from brevitas_quantizers.injectors.ranks import all_sum

from .base import plain
from .look_up import look_up

RESOLUTION = 16
"""Steps of the exponent to a factor of two."""
GRID_BITS = 12
MANTISSA_BITS = 7
MAX_BITS = 8
_STEPS, _TOPS = range(1, 3 * RESOLUTION + 1), range(4 * RESOLUTION)


def _mantissa(part: int) -> int:
    """`2**(7 - part / 16)` to the nearest integer, by integers alone."""
    code = 1 << MANTISSA_BITS
    power = 1 << (RESOLUTION * (MANTISSA_BITS + 1) - part)
    while (2 * code - 1) ** RESOLUTION > power:
        code -= 1
    return code


_MANTISSAS = tuple(map(_mantissa, range(RESOLUTION)))


def _rounded_shift(code: int, places: int) -> int:
    """Half up."""
    return code << -places if places <= 0 else (code + (1 << (places - 1))) >> places


@lru_cache(maxsize=4096)
def log_levels(bits: int, step: int, top: int) -> NDArray[np.int64]:
    """(2**bits,) levels by code, in units of 2**-12; 4095 for what is 1 or more, never falling."""
    levels = [0]
    for number in range((1 << bits) - 1):
        whole, part = divmod(top + number * step, RESOLUTION)
        level = _rounded_shift(_MANTISSAS[part], MANTISSA_BITS - GRID_BITS + whole)
        levels.append(min(level, (1 << GRID_BITS) - 1))
    return np.array(sorted(levels), np.int64)


def log_codes(levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(4096,) code of the nearest level, of two the larger, for each number of the grid."""
    return np.searchsorted(levels[:-1] + levels[1:], 2 * np.arange(1 << GRID_BITS), side="right")


def search_levels(counts: NDArray[np.int64], bits: int) -> tuple[int, int]:
    """`step` and `top` of the least squared error.

    Args:
        counts: (4096,) of the numbers of the grid.
        bits: of a code.
    """
    seen = np.flatnonzero(counts)
    best, found = np.inf, (RESOLUTION, 0)
    for step in _STEPS:
        for top in _TOPS:
            levels = log_levels(bits, step, top)
            near = levels[np.searchsorted(levels[:-1] + levels[1:], 2 * seen, side="right")]
            error = float(counts[seen] @ (near - seen) ** 2)
            if error < best:
                best, found = error, (step, top)
    return found


class LogCast(nn.Module):
    """The cast that `QFXLog` stands for; its levels are buffers, `step` and `top`.

    Args:
        bit_width: of a code, 2 to 8.
        signed: must be False.
        others: options that it has not.

    Raises:
        OptionError: another option, or an impossible value.
    """

    step: Tensor
    top: Tensor
    initialized: Tensor

    def __init__(self, bit_width: int = 4, signed: bool = False, **others: Any) -> None:
        super().__init__()
        if type(bit_width) is not int or not 2 <= bit_width <= MAX_BITS:
            raise OptionError(f"QFXLog: bit_width must be from 2 to {MAX_BITS}, not {bit_width!r}")
        if signed or others:
            name = min(others, default="signed")
            raise OptionError(f"QFXLog: option {name!r} must not be given: only bit_width is one")
        self.bit_width = bit_width
        self.entry = qnn.QuantIdentity(
            QFXFixedPoint, bit_width=GRID_BITS, frac_bits=GRID_BITS, signed=False,
            overflow="AP_SAT", learn_binary_point=False,
        )  # fmt: skip
        for name, start in (("step", RESOLUTION), ("top", 0), ("initialized", 0)):
            self.register_buffer(name, torch.tensor(start))
        self._counts: Tensor | None = None

    @property
    def act_quant(self) -> QFXActProxy:
        """The cast to the grid, which the results are on, too."""
        found: Any = self.entry.act_quant
        return found

    def levels(self) -> NDArray[np.int64]:
        """(2**bit_width,) values of the codes, in units of 2**-12.

        Raises:
            CalibrationError: no values have been seen.
        """
        if not bool(self.initialized):
            raise CalibrationError("QFXLog: has not seen data: calibrate(model, loader) first")
        return log_levels(self.bit_width, int(self.step), int(self.top))

    def forward(self, input: Tensor) -> Tensor:
        """(...) float to the same shape; the gradient goes straight through."""
        x = plain(self.entry(input))
        if torch.onnx.is_in_onnx_export():
            return self._look_up(x)
        if "forward" in vars(self.act_quant.quantizer):  # `calibrate` lets values through
            self._count(x)
            return x
        if self.training and not bool(self.initialized):
            self._count(x)
            self.end_calibration()
        return x + (self._look_up(x.detach()) - x).detach()

    @torch.compiler.disable
    def _look_up(self, x: Tensor) -> Tensor:
        levels = self.levels()
        codes = look_up(x, log_codes(levels).astype(np.float64), GRID_BITS, 0)
        return look_up(codes, np.ldexp(levels.astype(np.float64), -GRID_BITS), 0, 0)

    def _count(self, x: Tensor) -> None:
        codes = (x.detach() * 2.0**GRID_BITS).flatten().long()
        counts = torch.bincount(codes, minlength=1 << GRID_BITS)
        self._counts = counts if self._counts is None else self._counts + counts

    def end_calibration(self) -> None:
        """Choose the levels for all values since the last time, of all ranks."""
        counts, self._counts = self._counts, None
        if counts is None:
            counts = torch.zeros(1 << GRID_BITS, dtype=torch.int64, device=self.step.device)
        counts = all_sum(counts)
        if bool(counts.any()):
            step, top = search_levels(counts.cpu().numpy(), self.bit_width)
            self.step.fill_(step)
            self.top.fill_(top)
            self.initialized.fill_(1)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """A checkpoint of the float network has no levels: they stay as they are."""
        if f"{prefix}initialized" in state_dict:
            super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        """Bits and base."""
        exponents = f"{int(self.top)} + n * {int(self.step)}"
        return f"bit_width={self.bit_width}, levels=2**-(({exponents}) / {RESOLUTION})"
