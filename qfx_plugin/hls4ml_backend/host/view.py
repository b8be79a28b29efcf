"""hls4ml's code generators that ask for the backend's name, run as they run for Vitis.

Distributed arithmetic, `resource_unrolled` and the masks of per-element quantizers assert that the
backend is called Vivado or Vitis. The model they see here says so; everything else of it is the
model itself.
"""

from __future__ import annotations

from typing import Any

from hls4ml.backends import get_backend
from hls4ml.model.flow import get_flow, register_flow
from hls4ml.model.optimizer import OptimizerPass, get_optimizer, register_pass

from ...errors import ToolMissingError

HOST = "Vitis"

GENERATORS = {
    "vivado:optimize": (
        "vivado:distributed_arithmetic_codegen",
        "vivado:distributed_arithmetic_einsum_codegen",
        "vivado:process_fixed_point_quantizer_layer",
    ),
    "vivado:specific_types": (
        "vivado:generate_unrolled_dense_resource",
        "vivado:d_a_combinational_template",
    ),
}
"""Flows, and the passes in them that ask."""


class AsVitis(OptimizerPass):
    """One of hls4ml's passes, on a model whose backend is called Vitis."""

    def __init__(self, inner: OptimizerPass) -> None:
        self.name = inner.get_name()
        self._inner = inner

    def match(self, node: Any) -> bool:
        """As the pass itself."""
        return bool(self._inner.match(node))

    def transform(self, model: Any, node: Any) -> bool:
        """As the pass itself.

        Raises:
            ToolMissingError: an optional package of hls4ml is not installed.
        """
        view = _View(model, config=_ConfigView(model.config))
        try:
            return bool(self._inner.transform(view, node))
        except ImportError as error:
            raise ToolMissingError(
                f"layer {node.name!r}: this strategy needs {error.name}: pip install hls4ml[da]"
            ) from error


class _View:
    """Another object with some attributes replaced."""

    def __init__(self, target: Any, **replaced: Any) -> None:
        self._target = target
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)


class _ConfigView(_View):
    def __init__(self, config: Any) -> None:
        named = {**config.config, "Backend": HOST}
        super().__init__(config, config=named, backend=get_backend(HOST))

    def get_config_value(self, key: str, default: Any = None) -> Any:
        """hls4ml's getter."""
        return HOST if key == "Backend" else self._target.get_config_value(key, default)


def own_flows(steps: list[str], backend: str) -> list[str]:
    """`steps` with flows of the same passes, in which the generators above work.

    Args:
        steps: names of flows.
        backend: name of the backend that the new flows belong to.
    """
    return [_own_flow(step, backend) if step in GENERATORS else step for step in steps]


def _own_flow(flow: str, backend: str) -> str:
    names = dict.fromkeys(get_flow(flow).optimizers)
    passes = []
    for name in names:
        if name in GENERATORS[flow]:
            own = name.partition(":")[2]
            register_pass(own, AsVitis(get_optimizer(name)), backend=backend)
            name = f"{backend.lower()}:{own}"
        passes.append(name)
    requires = get_flow(flow).requires
    return str(register_flow(flow.partition(":")[2], passes, requires=requires, backend=backend))
