"""What only the deployment side knows: exact LUTs and boards, asked of it when they are needed.

Training imports nothing of `qfx_plugin`; the two functions that answer are named here, and found
where the plugin is installed.
"""

from __future__ import annotations

import pkgutil
from typing import Any

from brevitas_quantizers.fixed_point import OptionError

_COUNT_LUTS = "qfx_plugin.rtl.cost:count_luts"
_LOAD_BOARD = "qfx_plugin.boards:load_board"


def count_luts(onnx_model: Any) -> float:
    """LUTs of an exported network as one adder graph, counted by alkaid.

    Raises:
        OptionError: `qfx_plugin` is not installed.
    """
    return float(_resolve(_COUNT_LUTS, "HardwareCost.exact")(onnx_model))


def luts_of_board(name: str) -> int:
    """LUTs of a board.

    Raises:
        OptionError: no such board, or `qfx_plugin` is not installed.
    """
    return int(_resolve(_LOAD_BOARD, "HardwareBudget: board")(name).resources.lut)


def _resolve(name: str, who: str) -> Any:
    try:
        return pkgutil.resolve_name(name)
    except ModuleNotFoundError as error:
        raise OptionError(f"{who} needs the package qfx_plugin, which is not installed") from error
