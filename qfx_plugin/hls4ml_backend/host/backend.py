"""hls4ml backend `QFX`: the Vitis backend under its own name, with exact QONNX.

It converts what the Vitis backend converts. A model with QONNX `Quant` nodes takes our lowering
(`host_parser.py`): types that hold every bit, layers that hls4ml lacks, a check at the end.
"""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

from hls4ml.backends import VitisBackend, VivadoBackend
from hls4ml.model.flow import get_flow, register_flow
from hls4ml.model.optimizer import register_pass
from hls4ml.writer.vitis_writer import VitisWriter
from numpy.typing import NDArray

from ...config import unknown
from ...errors import OptionError
from ..options import project_settings
from ..simulation import csim
from ..simulation.types import speed_up
from . import layers as host_layers
from .passes import CheckExact, LowerParsed
from .view import own_flows


class QFXWriter(VitisWriter):
    """Writes the project as the Vitis backend does, with types that simulate faster."""

    def write_nnet_utils(self, model: Any) -> None:
        """Copy hls4ml's headers into the project."""
        super().write_nnet_utils(model)
        speed_up(Path(model.config.get_output_dir()) / "firmware" / "ap_types")


class QFXBackend(VitisBackend):
    """The Vitis backend, registered as `QFX`."""

    NAME = "QFX"

    def __init__(self) -> None:
        # VitisBackend's own __init__ would register the name Vitis again.
        super(VivadoBackend, self).__init__(name=self.NAME)
        self._register_layer_attributes()
        host_layers.register(self)
        self._register_flows()

    def _register_flows(self) -> None:
        prefix = self.name.lower()
        register_pass("lower_parsed", LowerParsed, backend=self.name)
        register_pass("check_exact", CheckExact, backend=self.name)
        lower = register_flow("lower", [f"{prefix}:lower_parsed"], backend=self.name)
        check = register_flow("check", [f"{prefix}:check_exact"], backend=self.name)
        extra = register_flow("strategies", _strategies(self), backend=self.name)
        templates = register_flow("apply_templates", self._get_layer_templates, backend=self.name)
        steps = [lower, *get_flow("vitis:ip").requires, templates]
        position = steps.index("vivado:specific_types")
        steps[position:position] = [check, extra]
        steps = own_flows(steps, self.name)
        self._default_flow = register_flow("ip", None, requires=steps, backend=self.name)
        writing = ["make_stamp", f"{prefix}:write_hls"]
        self._writer_flow = register_flow(
            "write", writing, requires=[self._default_flow], backend=self.name
        )
        register_flow(
            "fifo_depth_optimization",
            ["vitis:fifo_depth_optimization", *writing],
            requires=[self._default_flow],
            backend=self.name,
        )

    def create_initial_config(
        self,
        part: str | None = None,
        clock_period: float | None = None,
        clock_uncertainty: str | None = None,
        io_type: str | None = None,
        board: str | None = None,
        max_accumulator_bits: int | None = None,
        accept_inexact: bool = False,
        **options: Any,
    ) -> dict[str, Any]:
        """Settings of a project; hls4ml calls this with the keywords of its `convert_from_...`.

        Args:
            part: FPGA part; by default the board's.
            clock_period: in nanoseconds; by default what the configuration was made for, or the
                board's.
            clock_uncertainty: as Vitis HLS takes it.
            io_type: "io_parallel" or "io_stream".
            board: name of a board, see `qfx_plugin.boards`.
            max_accumulator_bits: refuse a network that needs a wider accumulator.
            accept_inexact: convert although numbers change; what changes is a warning, and the
                list `qfx_inexact` of the model.
            options: those of the Vitis backend.

        Raises:
            OptionError: an option that neither this backend nor the Vitis backend has.
        """
        _check_known(super().create_initial_config, type(self).create_initial_config, options)
        # hls4ml imports its backends before the parts that this module extends.
        from . import parser as host_parser

        host_parser.install()
        given = {
            "Part": part,
            "ClockPeriod": clock_period,
            "ClockUncertainty": clock_uncertainty,
            "IOType": io_type,
        }
        given = {key: value for key, value in given.items() if value is not None}
        config: dict[str, Any] = super().create_initial_config(**options)
        config |= project_settings(board) | given
        config["QFX"] = {
            "given": sorted([*given, *(["Part"] if board else [])]),
            "max_accumulator_bits": max_accumulator_bits,
            "accept_inexact": bool(accept_inexact),
        }
        return config

    def compile(self, model: Any) -> str:
        """Compile the C simulation; an unchanged project is not compiled again."""
        folder, project = model.config.get_output_dir(), model.config.get_project_name()
        return str(csim.build_library(folder, project))

    def predict(self, model: Any, x: NDArray[Any] | list[NDArray[Any]]) -> Any:
        """As hls4ml's `predict`, on all processors.

        Args:
            model: hls4ml's graph.
            x: (samples, *input shape), channels last, or as in the model file.
        """
        from . import parser as host_parser

        return host_parser.predict(model, x)


def _strategies(backend: QFXBackend) -> list[str]:
    """Passes that put other multipliers into layers, such as K-hot shifters."""
    from .. import strategies

    return strategies.register(backend)


def _check_known(theirs: Any, ours: Any, options: dict[str, Any]) -> None:
    """hls4ml drops a keyword that it does not know, and so would convert without it."""
    known = [*signature(ours).parameters, *signature(theirs).parameters]
    known = [name for name in dict.fromkeys(known) if name not in ("self", "options", "_")]
    for name in options:
        if name not in known:
            raise OptionError(unknown(name, known, "option"))
