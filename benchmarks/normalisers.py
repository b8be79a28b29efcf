"""Softmax, norms and what they are made of: how exact they are, and what they cost as Verilog.

    python benchmarks/normalisers.py proof --resume     # a million rows each
    python benchmarks/normalisers.py cost --resume      # Yosys estimates of the units

*proof* compares the interpreter, torch and onnxruntime with integers written after the definition
(`tests/oracles/normalisers.py`), code by code, and these with float64. *cost* writes each function
between a cast and nothing else as Verilog and counts its cells. Results are stored row by row.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import torch
from common import RESULTS, environment, parser, print_table, write_results

sys.path.insert(0, str(Path(__file__).parents[1]))

from brevitas_quantizers import QFXFixedPoint, calibrate, export_qonnx
from brevitas_quantizers.nn import (
    QuantFunction,
    QuantGRU,
    QuantLayerNorm,
    QuantLSTM,
    QuantMatMul,
    QuantRMSNorm,
    QuantSoftmax,
    RecurrentStep,
)
from qfx_plugin import RtlOptions, load_qonnx
from qfx_plugin.rtl.project import build_network
from qfx_plugin.rtl.recurrent import build_recurrent
from qfx_plugin.synthesis.estimate import estimate
from tests.oracles.normalisers import PROOFS

CHUNK = 16_384
EIGHT = {"bit_width": 8}
"""Bits of every cast and constant that is counted."""


def prove(rows: int, folder: Path, stored: dict[str, Any]) -> None:
    """Every function on so many rows, or all that there are."""
    for name, proof in PROOFS.items():
        if _is_there(stored, "proof", name):
            continue
        found = proof.prove(rows, folder, CHUNK)
        every = proof.exhaustive and found["codes"] == 1 << proof.entry[0]
        stored["proof"].append({"function": name, "exhaustive": every} | found)
        write_results("normalisers", stored | environment())


class Product(torch.nn.Module):
    """Two tensors multiplied, each behind a cast."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = (qnn.QuantIdentity(QFXFixedPoint, **EIGHT) for _ in range(2))
        self.product = QuantMatMul(QFXFixedPoint)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """(batch, ..., n, k) and (batch, ..., k, m) to (batch, ..., n, m)."""
        return self.product(self.left(a), self.right(b))


LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "softmax of 8": (lambda: QuantSoftmax(-1), (8,)),
    "softmax of 49": (lambda: QuantSoftmax(-1), (49,)),
    "layer norm of 16": (lambda: QuantLayerNorm(16), (16,)),
    "layer norm of 32": (lambda: QuantLayerNorm(32), (32,)),
    "RMS norm of 32": (lambda: QuantRMSNorm(32), (32,)),
    "GELU of one element": (lambda: QuantFunction("gelu"), (1,)),
}
"""By name: a layer, and the shape of a row."""
CELLS = {"LSTM": (QuantLSTM, ("h", "c")), "GRU": (QuantGRU, ("h",))}
INPUTS, HIDDEN = 4, 8
"""Of the steps that are counted."""


def _network(name: str, style: str, folder: Path) -> Any:
    """A function as Verilog; streaming takes a row element after element."""
    path = folder / "unit.onnx"
    if name in CELLS:
        return _step(name, path)
    if name in LAYERS:
        make, shape = LAYERS[name]
        shape = (1, *shape) if style == "streaming" else shape
        model: Any = torch.nn.Sequential(qnn.QuantIdentity(QFXFixedPoint, **EIGHT), make())
        given: tuple[torch.Tensor, ...] = (2 * torch.randn(64, *shape),)
    else:
        model, given = Product(), (torch.randn(64, 1, 8, 8), torch.randn(64, 1, 8, 8))
    for _ in range(2):  # casts behind tables see what these give
        model.train()(*given)
    calibrate(model, [given])
    export_qonnx(model.eval(), tuple(one[:1] for one in given), path)
    return build_network(load_qonnx(path), RtlOptions(style=style))


def _step(name: str, path: Path) -> Any:
    """A step of a recurrent layer, its state in registers."""
    kind, state = CELLS[name]

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.entry = qnn.QuantIdentity(QFXFixedPoint, **EIGHT)
            self.rnn = kind(INPUTS, HIDDEN, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.rnn(self.entry(x))[0]

    model, x = Network(), torch.randn(32, 4, INPUTS)
    calibrate(model, [x])
    ends = [f"{part}_next" for part in state]
    given = (x[:1, 0], *(torch.zeros(1, HIDDEN) for _ in state))
    export_qonnx(
        RecurrentStep(model.eval().rnn, model.entry), given, path,
        input_names=["x", *state], output_names=ends,
    )  # fmt: skip
    return build_recurrent(load_qonnx(path), dict(zip(state, ends, strict=True)))


PRODUCT = "MatMul, 8 x 8 by 8 x 8"


def count(folder: Path, stored: dict[str, Any]) -> None:
    """Cells of every function, streaming and unrolled; a step of a sequence has one form."""
    wanted = [(name, style) for style in ("streaming", "unrolled") for name in (*LAYERS, PRODUCT)]
    for name, style in [*((name, "step") for name in CELLS), *wanted]:
        row = f"{name}, {style}"
        if _is_there(stored, "cost", row):
            continue
        torch.manual_seed(0)
        network = _network(name, style, folder)
        home = folder / "sources"
        home.mkdir(exist_ok=True)
        paths = [home / file for file in network.files]
        for path in paths:
            path.write_text(network.files[path.name], encoding="utf-8")
        sources = [path for path in paths if path.suffix in (".v", ".sv")]
        memories = [path for path in paths if path.suffix == ".mem"]
        cells = estimate(sources, network.name, memories=memories, timeout_s=7200).total
        stored["cost"].append(
            {
                "function": row,
                "lut": cells.all_luts,
                "ff": cells.ff,
                "dsp": cells.dsp,
                "bram18": cells.bram18,
                "cycles": network.interval,
            }
        )
        write_results("normalisers", stored | environment())


def _is_there(stored: dict[str, Any], kind: str, name: str) -> bool:
    return any(row["function"] == name for row in stored.setdefault(kind, []))


def main() -> None:
    """Measure, print, write `benchmarks/results/normalisers.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("what", choices=("proof", "cost"))
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--resume", action="store_true", help="keep the rows that are there")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    path = RESULTS / "normalisers.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not options.resume:
        stored[options.what] = []
    with tempfile.TemporaryDirectory(prefix="qfx-normalisers-") as folder:
        if options.what == "proof":
            prove(options.rows, Path(folder), stored)
        else:
            count(Path(folder), stored)
    print_table(stored[options.what])


if __name__ == "__main__":
    main()
