"""`QFXGather`: elements in another order, some repeated or left out, a constant between them."""

from __future__ import annotations

from math import gcd, log2, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...units.reorder import MODULE, Reorder
from ...units.terms import block_rams, lut_memory, memory_luts, varying_bits
from .elementwise import ElementwiseOp
from .rtl import Instance, operation
from .unit import Cost, Foldings, divisors


@operation
class QFXGather(ElementwiseOp):
    """Each element of the stream that goes out is one of the stream that comes in, or `pad`."""

    attributes = {
        "places": ("t", True, np.zeros(1, dtype=np.int64)),
        "inVectors": ("ints", True, [1]),
        "InChannels": ("i", True, 0),
        "pad": ("i", False, 0),
    }
    """The element that comes in for each that goes out, -1 for `pad`; shape of what comes in."""

    def get_normal_input_shape(self, ind: int = 0) -> tuple[int, ...]:
        """(batch, [height, width,] channels) of the stream that comes in."""
        return (*self.get_nodeattr("inVectors"), self.get_nodeattr("InChannels"))

    @property
    def places(self) -> NDArray[np.int64]:
        """(elements that go out,) the element that comes in, or -1."""
        return np.asarray(self.get_nodeattr("places")).astype(np.int64).reshape(-1)

    def order(self, lanes: int | None = None) -> Reorder | None:
        """The order of groups of PE, or so many, elements; None if they do not stay together."""
        lanes = lanes or self.get_nodeattr("PE")
        groups = self.places.reshape(-1, lanes)
        first = groups[:, :1]
        whole = np.where(first < 0, -1, first + np.arange(lanes))
        if not np.array_equal(whole, groups) or (first[first >= 0] % lanes).any():
            return None
        source = np.where(first < 0, -1, first // lanes).reshape(-1)
        return Reorder(source, prod(self.get_normal_input_shape()) // lanes)

    def get_exp_cycles(self) -> int:
        """As many as the order takes."""
        return self._order().cycles

    def foldings(self) -> Foldings:
        """PE divides the channels on both sides, where such groups move as one."""
        channels = gcd(self.get_nodeattr("NumChannels"), self.get_nodeattr("InChannels"))
        return [{"PE": lanes} for lanes in divisors(channels) if self.order(lanes) is not None]

    def cost(self) -> Cost:
        """The memory and the table, in LUTs or block RAM; the counters."""
        order, width = self._order(), self.get_outstream_width()
        halves, memory = 0, lut_memory(width, order.depth)
        table = float(memory_luts(order.table, order.word_bits))
        if order.in_block_ram(width):
            halves, memory = block_rams(width, order.depth)[0], [0.0] * 3
        if order.table_in_block_ram:
            halves, table = (
                halves + block_rams(varying_bits(order.table), len(order.source))[0],
                0.0,
            )
        counter = log2(order.words + order.depth)
        return Cost([*memory, table, float(width), counter, 1.0], bram18=halves)

    def execute_node(self, context: dict[str, Any], graph: Any) -> None:
        """On integers, exactly."""
        flat, places = self.codes(context, 0).reshape(-1), self.places
        self.store(context, np.where(places < 0, self.get_nodeattr("pad"), flat[places]))

    def instance(self) -> Instance:
        """`qfx_reorder`."""
        order, file = self._order(), f"{self.get_verilog_top_module_name()}_order.mem"
        bits = self.get_output_datatype().bitwidth()
        code = self.get_nodeattr("pad") & ((1 << bits) - 1)
        pad = sum(code << lane * bits for lane in range(self.get_nodeattr("PE")))
        width = self.get_instream_width()
        return Instance(
            MODULE, order.parameters(width, file, f"{width}'h{pad:x}"), ("s_t",), ("m_t",),
            ".rst(!ap_rst_n)", {file: order.table},
        )  # fmt: skip

    def _order(self) -> Reorder:
        found = self.order()
        if found is None:
            name, lanes = self.onnx_node.name, self.get_nodeattr("PE")
            raise ValueError(f"{name}: groups of {lanes} elements do not stay together")
        return found
