"""LSTM, GRU and RNN on a sequence: handwritten digits, read row by row in 8 steps of 8 pixels.

    python benchmarks/recurrence.py --seeds 3      # some minutes on one core

One layer of 24 units and a linear layer. *float* is torch's layer, *calibrated* the network that
`quantize` makes of it, with all binary points from data, and *trained* the same after a few more
epochs. `float, more epochs` trains the float network as long. Every test image then goes through
the file in onnxruntime and the integer interpreter: codes that differ from torch are counted.

Data: Optical Recognition of Handwritten Digits, UCI repository, CC BY 4.0, as in scikit-learn.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from common import environment, parser, print_table, write_results
from torch import Tensor, nn

from brevitas_quantizers import calibrate, export_qonnx, quantize
from qfx_plugin import verify_agreement
from qfx_plugin.demo.data import load_dataset
from qfx_plugin.demo.train import accuracy, predict, train

KINDS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}


class Reader(nn.Module):
    """The class of an image from what is known behind its last row."""

    def __init__(self, kind: type[nn.Module], hidden: int) -> None:
        super().__init__()
        self.rnn = kind(8, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 8, 8) to (batch, 10)."""
        out, _ = self.rnn(x)
        logits: Tensor = self.fc(out[:, -1])
        return logits


def main() -> None:
    """Train, compare, print the table, write `benchmarks/results/recurrence.json`."""
    options = _options()
    torch.set_num_threads(1)
    data = load_dataset("digits")
    images = [np.ascontiguousarray(x.reshape(-1, 8, 8)) for x in (data.x_train, data.x_test)]
    rows = []
    for kind in options.kinds:
        for bits in options.bits:
            runs = [_run(kind, bits, seed, data, images, options) for seed in range(options.seeds)]
            rows.append({"network": kind, "bits": bits} | dict(_means(runs)))
    print_table(rows)
    write_results("recurrence", {"options": vars(options), "rows": rows} | environment())


def _run(
    kind: str, bits: int, seed: int, data: Any, images: list[np.ndarray], options: Any
) -> dict[str, float]:
    torch.manual_seed(seed)
    x, x_test = images
    network = Reader(KINDS[kind], options.hidden)
    train(network, x, data.y_train, options.epochs, seed)
    found = {"float": accuracy(predict(network, x_test), data.y_test)}
    model = quantize(network, bit_width=bits, example=torch.from_numpy(x[:1]))
    calibrate(model, [torch.from_numpy(x)])
    found["calibrated"] = accuracy(predict(model, x_test), data.y_test)
    train(model, x, data.y_train, options.more, seed)
    found["trained"] = accuracy(predict(model, x_test), data.y_test)
    longer = copy.deepcopy(network)
    train(longer, x, data.y_train, options.more, seed)
    found["float, more epochs"] = accuracy(predict(longer, x_test), data.y_test)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = export_qonnx(model, torch.from_numpy(x_test[:1]))
    agreement = verify_agreement(
        exported, x_test, torch_model=model, executors=["torch", "onnxruntime"]
    )
    agreement.raise_if_different(required=["torch", "onnxruntime"])
    found["images without a different code"] = len(x_test)
    return found


def _means(runs: list[dict[str, float]]) -> Iterator[tuple[str, float]]:
    for name in runs[0]:
        yield name, round(statistics.mean(run[name] for run in runs), 2)


def _options() -> argparse.Namespace:
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--epochs", type=int, default=30, help="of the float network")
    arguments.add_argument("--more", type=int, default=6, help="of the quantized one")
    arguments.add_argument("--hidden", type=int, default=24)
    arguments.add_argument("--bits", type=int, nargs="+", default=[8])
    arguments.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    return arguments.parse_args()


if __name__ == "__main__":
    main()
