"""Writes the tables of `docs/support.md` by asking the code: `python -m tests.docs.support_matrix`.

Nothing here knows what is supported. For each operation and mode a small network is made and given
to each target; it is taken, or refused, and the refusal's text goes into the page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from brevitas_quantizers.fixed_point import OverflowMode, QfxError, RoundingMode
from qfx_plugin.build.flow import TARGETS
from qfx_plugin.executors import EXECUTORS
from qfx_plugin.ir import (
    Add,
    AveragePool,
    Clip,
    Concat,
    Constant,
    Conv,
    Graph,
    Identity,
    Input,
    Linear,
    Lookup,
    MaxPool,
    Multiply,
    Op,
    PRelu,
    Quantize,
    Relu,
    Reshape,
    SumPool,
    Transpose,
    Upsample,
    Weight,
    Window,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "support.md"
YES, NO = "yes", "–"
_MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

IMAGE = (2, 4, 4)
RISING = np.arange(32) ** 2 // 32
DIP = (np.arange(32) - 16) ** 2 // 16
POOL = Window((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))


def targets() -> dict[str, Callable[[Graph], object]]:
    """What plans or builds a graph, by the name of its column; also other distributions'."""
    order = ("hls4ml", "finn", "rtl")
    known = sorted(TARGETS.values(), key=lambda one: (one.name not in order, one.name != "hls4ml"))
    return {column: takes for target in known for column, takes in target.takes.items()}


@dataclass
class Table:
    """Rows of yes and no, and the texts of the refusals below it."""

    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    refusals: dict[str, list[str]] = field(default_factory=dict)

    def ask(self, label: str, cells: Mapping[str, Callable[[], object]]) -> None:
        """Add a row: call each cell; a `QfxError` is a refusal."""
        row = [label]
        for column, attempt in cells.items():
            try:
                attempt()
                row.append(YES)
            except QfxError as error:
                row.append(NO)
                text = str(error).splitlines()[0]
                self.refusals.setdefault(text, []).append(f"{label}, {column}")
        self.rows.append(row)

    def __str__(self) -> str:
        lines = [f"| {' | '.join(self.columns)} |", "|" + " --- |" * len(self.columns)]
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        if self.refusals:
            lines += ["", "Refused, in these words:", ""]
            lines += [f"- {'; '.join(places)}: `{text}`" for text, places in self.refusals.items()]
        return "\n".join(lines) + "\n"


def tables() -> dict[str, Callable[[], object]]:
    """What makes each table, by its name on the page."""
    return {
        "operations": operations,
        "layers": layers,
        "rounding": rounding,
        "overflow": overflow,
        "export_rounding": export_rounding,
        "export_overflow": export_overflow,
        "executors": executors,
    }


def render(text: str, only: str | None = None) -> str:
    """The page with every table written anew, or one of them."""

    def written(match: re.Match[str]) -> str:
        if only not in (None, match[2]):
            return match[0]
        return f"{match[1]}{tables()[match[2]]()}{match[3]}"

    return _MARKED.sub(written, text)


def operations() -> Table:
    """Each operation of the intermediate model, by target."""
    makers = targets()
    table = Table(("operation", *makers))
    for name, graph in networks().items():
        table.ask(f"`{name}`", _asked(makers, graph))
    return table


def layers() -> Table:
    """Each layer of PyTorch, exported, by target."""
    from tests.docs.layer_networks import LAYERS, exported

    makers = targets()
    table = Table(("layer", "`export_qonnx`", *makers))
    for name in LAYERS:
        try:
            graph = exported(name)
        except QfxError:
            table.ask(f"`{name}`", {"export": lambda name=name: exported(name)})
            table.rows[-1] += [NO] * len(makers)
            continue
        table.ask(f"`{name}`", {"`export_qonnx`": lambda: None, **_asked(makers, graph)})
    return table


def rounding() -> Table:
    """Each rounding mode of an activation, by target."""
    makers = targets()
    table = Table(("rounding", *makers))
    for mode in RoundingMode:
        table.ask(f"`{mode}`", _asked(makers, _cast(rounding=mode)))
    return table


def overflow() -> Table:
    """Each overflow mode of an activation, by target."""
    makers = targets()
    table = Table(("overflow", *makers))
    for mode in OverflowMode:
        table.ask(f"`{mode}`", _asked(makers, _cast(overflow=mode)))
    return table


def export_rounding() -> Table:
    """Each rounding mode of an activation, by target of `export_qonnx`."""
    return _export("rounding", RoundingMode)


def export_overflow() -> Table:
    """Each overflow mode of an activation, by target of `export_qonnx`."""
    return _export("overflow", OverflowMode)


def executors() -> str:
    """What `verify` compares."""
    lines = ["| executor | package | samples | without being named |", "| --- | --- | --- | --- |"]
    for entry in EXECUTORS.values():
        samples = "all" if entry.samples is None else f"the first {entry.samples}"
        default = YES if entry.by_default else "no, it takes long"
        lines.append(f"| `{entry.name}` | {entry.package} | {samples} | {default} |")
    return "\n".join(lines) + "\n"


def _export(option: str, modes: Sequence[RoundingMode] | Sequence[OverflowMode]) -> Table:
    import brevitas.nn as qnn
    import torch

    from brevitas_quantizers import QFXFixedPoint, export_qonnx
    from brevitas_quantizers.qonnx import Reader

    table = Table((option, *(f"`{reader}`" for reader in Reader)))
    x = torch.linspace(-1, 1, 8).reshape(2, 4)
    for mode in modes:
        fixed = {"weight_quant": QFXFixedPoint, "bias_quant": QFXFixedPoint}
        model = torch.nn.Sequential(
            qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=6, rounding="AP_RND"),
            qnn.QuantLinear(4, 4, True, **fixed),
            qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=6, **modes_of(option, mode)),
            qnn.QuantLinear(4, 2, True, **fixed),
        )
        model(x)
        model.eval()
        cells = {
            f"`{reader}`": lambda reader=reader, model=model: export_qonnx(
                model, x[:1], target=reader
            )
            for reader in Reader
        }
        table.ask(f"`{mode}`", cells)
    return table


def modes_of(option: str, mode: RoundingMode | OverflowMode) -> dict[str, str]:
    """A mode and, if it is an overflow mode, a rounding that every target takes."""
    return {"rounding": RoundingMode.AP_RND.value} | {option: mode.value}


def _asked(
    makers: Mapping[str, Callable[[Graph], object]], graph: Graph
) -> dict[str, Callable[[], object]]:
    return {name: lambda maker=maker: maker(graph) for name, maker in makers.items()}


def _cast(**modes: object) -> Graph:
    """A layer behind which an activation has these modes."""
    cast = Quantize("act", ("fc",), "act", 4, 3, True, **modes)
    return _network(_linear("fc", "q", 8), cast, _linear("last", "act", 4, outputs=2), shape=(8,))


def _weight(*shape: int) -> Weight:
    values = np.random.default_rng(sum(shape)).integers(-7, 8, shape)
    return Weight(np.where(values == 0, 1, values), 3, 4)


def _linear(name: str, source: str, inputs: int, outputs: int = 4) -> Linear:
    return Linear(name, (source,), name, _weight(outputs, inputs), None)


def _network(*ops: Op, shape: tuple[int, ...] = IMAGE) -> Graph:
    """Input, its cast `q`, the operations, and a cast behind the last one if it has none."""
    first = [Input("x", (), "x", shape), Quantize("q", ("x",), "q", 6, 4, False)]
    last = [] if isinstance(ops[-1], Quantize | Linear) else [
        Quantize("out", (ops[-1].output,), "out", 6, 3)
    ]  # fmt: skip
    every = (*first, *ops, *last)
    return Graph(every, (every[-1].output,), "one").verify()


def networks() -> dict[str, Graph]:
    """A network around each operation."""
    full = Window((3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    point = Window((1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1))
    conv = Conv("conv", ("q",), "conv", _weight(2, 2, 1, 1), None, point)  # small: it is in most
    wide = Conv("wide", ("q",), "wide", _weight(2, 2, 3, 3), None, full)
    act = Quantize("act", ("conv",), "act", 5, 3)
    depth = Conv("depth", ("q",), "depth", _weight(2, 1, 3, 3), None, full, groups=2)
    whole = Window((4, 4), (4, 4), ((0, 0), (0, 0)), (1, 1))
    constant = Constant("c", (), "c", Weight(np.array([[[3]], [[-2]]]), 3, 4))
    return {
        "Linear": _network(_linear("fc", "q", 8), shape=(8,)),
        "Conv": _network(wide),
        "Conv, depthwise": _network(depth),
        "Quantize, per channel": _network(
            conv, Quantize("act", ("conv",), "act", 5, np.array([3, 2]))
        ),
        "Relu": _network(conv, Relu("relu", ("conv",), "relu")),
        "PRelu": _network(conv, PRelu("prelu", ("conv",), "prelu", Weight(np.array([1, 3]), 2, 4))),
        "Clip": _network(conv, Clip("clip", ("conv",), "clip", 0, 6, 0)),
        "Lookup": _network(conv, act, Lookup("f", ("act",), "f", Weight(RISING, 2, 6), -16, 3)),
        "Lookup, falls": _network(conv, act, Lookup("f", ("act",), "f", Weight(DIP, 2, 6), -16, 3)),
        "Multiply by a constant": _network(conv, constant, Multiply("mul", ("conv", "c"), "mul")),
        "Add of a constant": _network(conv, constant, Add("add", ("conv", "c"), "add")),
        "Add of two tensors": _network(conv, act, Add("add", ("act", "q"), "add")),
        "Multiply of two tensors": _network(conv, act, Multiply("mul", ("act", "q"), "mul")),
        "Concat": _network(conv, act, Concat("cat", ("act", "q"), "cat")),
        "MaxPool": _network(conv, act, MaxPool("pool", ("act",), "pool", POOL)),
        "AveragePool": _network(conv, act, AveragePool("pool", ("act",), "pool", POOL)),
        "SumPool": _network(conv, act, SumPool("pool", ("act",), "pool", POOL)),
        "SumPool, global": _network(conv, act, SumPool("pool", ("act",), "pool", whole)),
        "Reshape to a vector": _network(
            conv, act, Reshape("flat", ("act",), "flat", (32,)), _linear("fc", "flat", 32)
        ),
        "Identity": _network(conv, act, Identity("same", ("act",), "same")),
        "Transpose": _network(conv, act, Transpose("turn", ("act",), "turn", (0, 2, 1))),
        "Upsample": _network(conv, act, Upsample("up", ("act",), "up", (2, 2))),
    }


def main() -> None:
    """Write the page."""
    DOCUMENT.write_text(render(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
