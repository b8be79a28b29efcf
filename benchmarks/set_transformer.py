"""Attention over a set: who of nine men speaks, of 25 frames of a vowel in any order.

    QFX_DATA=<folder> python benchmarks/set_transformer.py       # series_data.py says what is in it

No positions: two blocks of torch's `nn.TransformerEncoderLayer`, then the mean over the set. Each
seed trains the network in float; then come `quantize`, `calibrate` and `distill` for as many epochs
as *float, more epochs* trains it further. The last seed's network of each word length goes through
all executors, codes compared with the interpreter's: the test data, or `--simulated` of them in C++
and in streaming Verilog.

A row is stored as soon as it exists, and not computed again with the same options.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
from typing import Any

import torch
from cifar_data import CACHE
from common import RESULTS, codes, environment, parser, print_table, write_results
from cost_data import Batches
from series_data import SOURCES, Series, load_series
from torch import Tensor, nn

from brevitas_quantizers import calibrate, distill, export_qonnx, quantize
from qfx_plugin import load_qonnx
from qfx_plugin.demo.train import accuracy, predict
from qfx_plugin.rtl.options import RtlOptions
from qfx_plugin.rtl.project import build_network

WIDTH, HEADS, BLOCKS, BATCH = 24, 2, 2, 54
TRAINING = {"epochs": 60, "more": 20, "lr": 1e-2}
RECIPES: dict[int, dict[str, Any]] = {
    8: {},
    4: {
        "weight_scaling_per_output_channel": True,
        "input_bit_width": 8,
        "bias_bit_width": 8,
        "first_layer": {"weight_bit_width": 8},
        "last_layer": {"weight_bit_width": 8},
        "overrides": {
            nn.LayerNorm: {"input_bit_width": 8},
            "*softmax": {"input_bit_width": 8},
            "*add*": {"act_bit_width": 8},
            "embed": {"act_bit_width": 8},
            "*out_proj": {"act_bit_width": 8},
            "*linear2": {"act_bit_width": 8},
            "mean": {"act_bit_width": 8},
        },
    },
}
"""What has more than 4 bits, as in `language.py`."""


class SetTransformer(nn.Module):
    """The class of a set."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.embed = nn.Linear(features, WIDTH)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                WIDTH, HEADS, 2 * WIDTH, dropout=0.0, batch_first=True, norm_first=True
            )
            for _ in range(BLOCKS)
        )
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, elements, features) to (batch, classes)."""
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(x.mean(1))
        return logits


def main() -> None:
    """Train, compare, print the table, write `benchmarks/results/set_transformer.json`."""
    options = _options()
    torch.set_num_threads(1)
    data = load_series("vowels", options.validation)
    path = RESULTS / "set_transformer.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    for bits in options.bits:
        key = {"bits": bits, "seeds": options.seeds} | TRAINING
        if any(row.items() >= key.items() for row in rows) and not options.validation:
            continue
        row = key | measure(bits, data, options)
        print_table([row])
        if not options.validation:
            rows = [old for old in rows if old["bits"] != bits] + [row]
            results = {"source": SOURCES["vowels"], "rows": rows}
            write_results("set_transformer", results | environment())


def measure(bits: int, data: Series, options: Any) -> dict[str, Any]:
    """Means over seeds, and what executors give for the last one's network."""
    found = []
    for seed in range(options.seeds):
        scores, model = _run(bits, seed, data)
        print(bits, seed, scores, flush=True)
        found.append(scores)
    means = {name: round(statistics.mean(run[name] for run in found), 2) for name in found[0]}
    if options.validation:
        return means
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / f"set_transformer-{bits}.onnx"
    export_qonnx(model, torch.from_numpy(data.x_test[:1]), path)
    limits = dict.fromkeys(("hls4ml",), options.simulated)
    compared = codes(path, data.x_test, options.executors, limits, torch_model=model)
    if options.streamed:
        x = data.x_test[: options.streamed]
        network = build_network(load_qonnx(path), RtlOptions(style="streaming"))
        compared["rtl"] = {"samples": len(x), "codes": network.check(x), "differing": 0}
    return means | {"codes": compared}


def _run(bits: int, seed: int, data: Series) -> tuple[dict[str, float], nn.Module]:
    torch.manual_seed(seed)
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    epochs, more, lr = TRAINING.values()

    def score(model: nn.Module) -> float:
        return accuracy(predict(model, data.x_test), data.y_test)

    loader = Batches(x, y, seed, BATCH)
    network = SetTransformer(data.features, data.classes)
    distill(network, None, loader, int(epochs), lr=lr)
    found = {"float": score(network)}
    longer = copy.deepcopy(network)
    distill(longer, None, loader, int(more), lr=lr / 2)
    found["float, more epochs"] = score(longer)
    model = quantize(network, bit_width=bits, example=x[:1], **RECIPES[bits])
    calibrate(model, [x])
    found["calibrated"] = score(model)
    distill(model, network, loader, int(more), lr=lr / 2)
    found["trained"] = score(model)
    return found, model


def _options() -> argparse.Namespace:
    arguments = parser(__doc__)
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--bits", type=int, nargs="+", choices=RECIPES, default=list(RECIPES))
    arguments.add_argument("--validation", action="store_true", help="leave the test data alone")
    names = ["torch", "qonnx", "onnxruntime", "hls4ml"]
    arguments.add_argument("--executors", nargs="+", default=names)
    arguments.add_argument("--simulated", type=int, default=200, help="sets in C++")
    arguments.add_argument("--streamed", type=int, default=20, help="sets in Verilog")
    return arguments.parse_args()


if __name__ == "__main__":
    main()
