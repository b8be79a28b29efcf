"""What only the deployment side knows: exact LUTs and boards, asked of it when they are needed.

Training imports nothing of `qfx_plugin`; the functions that answer are named here, and found
where the plugin is installed.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import Any

from brevitas_quantizers.fixed_point import OptionError

_COUNT_LUTS = "qfx_plugin.rtl.cost:count_luts"
_FOLDED_COSTS = "qfx_plugin.rtl.cost:folded_costs"
_FOLDED_STAGES = "qfx_plugin.rtl.cost:folded_stages"
_UNIT_CHOICES = "qfx_plugin.rtl.cost:unit_choices"
_CAST_LUTS = "qfx_plugin.rtl.cost:cast_luts"
_LOAD_BOARD = "qfx_plugin.boards:load_board"


def count_luts(onnx_model: Any, style: str) -> float:
    """LUTs of an exported network's adder graphs, counted by alkaid.

    Raises:
        OptionError: `qfx_plugin` is not installed.
    """
    return float(_resolve(_COUNT_LUTS, "HardwareCost.exact")(onnx_model, style))


def folded_costs(
    onnx_model: Any, cycles: int | None, fold: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Units of a network whose layers share their hardware over time; one row a layer.

    Raises:
        OptionError: `qfx_plugin` is not installed.
    """
    found = _resolve(_FOLDED_COSTS, "HardwareCost.folded")(onnx_model, cycles, fold)
    return list(found)


def folded_stages(onnx_model: Any, cycles: int | None) -> list[dict[str, Any]]:
    """How layers are folded to keep a pace; one row a layer.

    Raises:
        OptionError: `qfx_plugin` is not installed.
    """
    return list(_resolve(_FOLDED_STAGES, "HardwareBudget")(onnx_model, cycles))


def unit_choices(*shape: int, **formats: Any) -> list[dict[str, Any]]:
    """The units that compute a layer of this shape, folding and formats; one row a unit."""
    return list(_resolve(_UNIT_CHOICES, "HardwareBudget")(*shape, **formats))


def cast_luts(bits: int, width: int) -> float:
    """LUTs of a cast of a sum behind a unit."""
    return float(_resolve(_CAST_LUTS, "HardwareBudget")(bits, width))


def resources_of_board(name: str) -> Any:
    """What a board has: `lut`, `dsp`, `bram36`, ...

    Raises:
        OptionError: no such board, or `qfx_plugin` is not installed.
    """
    return _resolve(_LOAD_BOARD, "board")(name).resources


def _resolve(name: str, who: str) -> Any:
    try:
        return pkgutil.resolve_name(name)
    except ModuleNotFoundError as error:
        raise OptionError(f"{who} needs the package qfx_plugin, which is not installed") from error
