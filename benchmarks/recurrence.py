"""LSTM and GRU on series: vowels of nine speakers in 25 frames, handwritten digits in 8 rows.

    QFX_DATA=<folder> python benchmarks/recurrence.py            # series_data.py says what is in it
    python benchmarks/recurrence.py --data digits                # needs no folder

One layer and a linear layer. *float* is torch's layer, *calibrated* the network that `quantize`
makes of it, with all binary points from data, which stay, and *trained* the same after `distill`
for some epochs; *float, more epochs* trains the float network as long, without a teacher. The last
seed's network then goes through all executors, codes compared with the interpreter's: the test
data, or `--simulated` of them in the QONNX executor and in C++. `rtl` is the Verilog of one step
with its state in registers (`build_recurrent`), simulated for whole series; its last state has to
be the unrolled graph's.

A row is stored as soon as it exists, and not computed again with the same options.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import RESULTS, codes, environment, parser, print_table, write_results
from cost_data import Batches
from series_data import SOURCES, Series, load_series
from torch import Tensor, nn

from brevitas_quantizers import calibrate, distill, export_qonnx, freeze_binary_points, quantize
from brevitas_quantizers.nn import RecurrentStep
from qfx_plugin import interpret, load_qonnx
from qfx_plugin.demo.train import accuracy, predict
from qfx_plugin.rtl.recurrent import build_recurrent

KINDS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
TRAINING = {
    "vowels": {"hidden": 16, "batch": 54, "epochs": 100, "more": 10, "lr": 2e-2},
    "digits": {"hidden": 24, "batch": 64, "epochs": 30, "more": 6, "lr": 4e-3},
}
"""Units, samples at a time, epochs in float and after that, and the peak of the learning rate."""


class Reader(nn.Module):
    """The class of a series from what is known behind its last step."""

    def __init__(self, kind: type[nn.Module], features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.rnn = kind(features, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, steps, features) to (batch, classes)."""
        out, _ = self.rnn(x)
        logits: Tensor = self.fc(out[:, -1])
        return logits


class Unrolled(nn.Module):
    """The state behind the last step of a quantized `Reader`, all steps in one graph."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.entry, self.rnn = model.x_quant, model.rnn

    def forward(self, x: Tensor) -> Tensor:
        """(batch, steps, features) to (batch, hidden)."""
        state: Tensor = self.rnn(self.entry(x))[0][:, -1]
        return state


def main() -> None:
    """Train, compare, print the table, write `benchmarks/results/recurrence.json`."""
    options = _options()
    torch.set_num_threads(1)
    path = RESULTS / "recurrence.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["rows"]
    for name in options.data:
        data = load_series(name, options.validation)
        for kind in options.kinds:
            for bits in options.bits:
                key = {"data": name, "network": kind, "bits": bits, "seeds": options.seeds}
                key |= TRAINING[name]
                if any(row.items() >= key.items() for row in rows) and not options.validation:
                    continue
                row = key | measure(kind, bits, data, options, **TRAINING[name])
                print_table([row])
                if options.validation:
                    continue
                rows = [old for old in rows if not _same(old, row)] + [row]
                write_results("recurrence", {"sources": SOURCES, "rows": rows} | environment())


def _same(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return all(old.get(name) == new[name] for name in ("data", "network", "bits"))


def measure(
    kind: str, bits: int, data: Series, options: Any, hidden: int, **training: Any
) -> dict[str, Any]:
    """Means over seeds, and what executors give for the last one's network."""
    found = []
    for seed in range(options.seeds):
        torch.manual_seed(seed)
        network = Reader(KINDS[kind], data.features, hidden, data.classes)
        scores, model = _run(network, bits, seed, data, **training)
        print(kind, bits, seed, scores, flush=True)
        found.append(scores)
    means = {name: round(statistics.mean(run[name] for run in found), 2) for name in found[0]}
    if options.validation:
        return means
    limits = dict.fromkeys(("qonnx", "hls4ml"), options.simulated)
    compared = codes(model, data.x_test, options.executors, limits)
    compared["rtl"] = _repeated(model, data.x_test[: options.simulated], kind == "LSTM")
    return means | {"codes": compared}


def _run(
    network: nn.Module, bits: int, seed: int, data: Series, batch: int, epochs: int, more: int,
    lr: float,
) -> tuple[dict[str, float], nn.Module]:  # fmt: skip
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)

    def score(model: nn.Module) -> float:
        return accuracy(predict(model, data.x_test), data.y_test)

    loader = Batches(x, y, seed, batch)
    distill(network, None, loader, epochs, lr=lr)
    found = {"float": score(network)}
    longer = copy.deepcopy(network)
    distill(longer, None, loader, more, lr=lr / 2)
    found["float, more epochs"] = score(longer)
    model = quantize(network, bit_width=bits, example=x[:1])
    calibrate(model, [x])
    freeze_binary_points(model)  # one that moves late in training is another state at every step
    found["calibrated"] = score(model)
    distill(model, network, loader, more, lr=lr / 2)
    found["trained"] = score(model)
    return found, model


def _repeated(model: Any, x: np.ndarray, has_cell: bool) -> dict[str, int]:
    """Codes of all steps of the Verilog of one; refuses a last state that is not the graph's."""
    names = ["h", "c"] if has_cell else ["h"]
    zero = torch.zeros(1, model.rnn.hidden_size)
    step = load_qonnx(
        export_qonnx(
            RecurrentStep(model.rnn, model.x_quant),
            (torch.from_numpy(x[:1, 0]), *(zero for _ in names)),
            input_names=["x", *names],
            output_names=[f"{name}_next" for name in names],
        )
    )
    unit = build_recurrent(step, {name: f"{name}_next" for name in names})
    compared = unit.check(x)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "unrolled.onnx"
        export_qonnx(Unrolled(model).eval(), torch.from_numpy(x[:1]), path)
        (expected,) = interpret(load_qonnx(path), x).values()
    last = unit.run(x)["h_next"].values[:, -1]
    differing = int(np.count_nonzero(last != expected.values))
    if differing:
        raise SystemExit(f"{differing} states differ from the unrolled graph's")
    return {"samples": len(x), "codes": compared + last.size, "differing": 0}


def _options() -> argparse.Namespace:
    arguments = parser(__doc__)
    arguments.add_argument("--data", nargs="+", choices=TRAINING, default=list(TRAINING))
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--bits", type=int, nargs="+", default=[8])
    arguments.add_argument("--kinds", nargs="+", choices=KINDS, default=["LSTM", "GRU"])
    arguments.add_argument("--validation", action="store_true", help="leave the test data alone")
    names = ["torch", "qonnx", "onnxruntime", "hls4ml"]
    arguments.add_argument("--executors", nargs="+", default=names)
    arguments.add_argument("--simulated", type=int, default=100, help="series where that is slow")
    return arguments.parse_args()


if __name__ == "__main__":
    main()
