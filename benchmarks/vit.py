"""A vision transformer on MNIST: 49 patches of 4 x 4 pixels, three blocks of 32 channels.

    QFX_DATA=<folder> python benchmarks/vit.py --train                 # seed 0; half an hour
    QFX_DATA=<folder> python benchmarks/vit.py --codes "4 bits"        # executors
    QFX_DATA=<folder> python benchmarks/vit.py --verilog "4 bits" --yosys "4 bits"

*float* is trained with Adam and a one-cycle rate on 55,000 images; the last 5,000 of the training
images were held out for the choice of sizes and rates. Every other row begins with its weights:
*calibrated* has binary points from data and nothing else, *trained* some hundred steps more.

*8 bits* has 8 bits everywhere. *4 bits* has 4-bit operands in every product of the blocks: weights,
what they are multiplied with, queries, keys, values and attention weights. The first layer and the
last, sums of the residual stream, norms, and what the tables of exp and GELU are given, have 8.
*2 bits, log* is 8 bits with attention weights of 2 bits by `QFXLog`, *2 bits, uniform* the same on
a uniform grid. Rows are kept as they come; what the results have already is not run again.
"""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, environment, parser, print_table, write_results
from common import codes as compared
from torch import Tensor, nn

from brevitas_quantizers import (
    QFXFixedPoint,
    QFXLog,
    calibrate,
    export_qonnx,
    parameter_groups,
    quantize,
)
from qfx_plugin import RtlOptions, load_qonnx
from qfx_plugin.demo.data import load_dataset
from qfx_plugin.ir import MatMul
from qfx_plugin.rtl.network import RtlNetwork
from qfx_plugin.rtl.project import build_network
from qfx_plugin.synthesis.estimate import estimate

HELD_OUT = 5000
BATCH = 100
MEGAHERTZ = 200
"""The clock that frames a second are stated at; nothing was placed and routed."""

EIGHT = {"bit_width": 8}
RECIPES: dict[str, dict[str, Any]] = {
    "8 bits": {"bit_width": 8},
    "4 bits": {
        "bit_width": 4,
        "first_layer": EIGHT,
        "last_layer": EIGHT,
        "overrides": {
            nn.LayerNorm: EIGHT,
            "x_quant": EIGHT,
            "add*": EIGHT,
            "blocks.*add*": EIGHT,
            "blocks.*.out_quant": EIGHT,
            "blocks.*.down_quant": EIGHT,
            "blocks.*.norm?_quant": {"bit_width": 4},
            "mean_quant": EIGHT,
            nn.GELU: {"input_bit_width": 8},
            nn.Softmax: {"input_bit_width": 8},
        },
    },
    "2 bits, log": {
        "bit_width": 8,
        "overrides": {
            nn.Softmax: {
                "act_quant": QFXLog, "act_bit_width": 2,
                "input_quant": QFXFixedPoint, "input_bit_width": 8,
            }
        },
    },
    "2 bits, uniform": {
        "bit_width": 8,
        "overrides": {nn.Softmax: {"act_bit_width": 2, "input_bit_width": 8}},
    },
}  # fmt: skip


class Attention(nn.Module):
    """All heads at once, as people write it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, width) to the same."""
        batch, tokens, width = x.shape
        size = width // self.heads
        parts = self.qkv(x).reshape(batch, tokens, 3, self.heads, size)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        weights = ((q @ k.transpose(-2, -1)) * size**-0.5).softmax(-1)
        mixed: Tensor = self.out((weights @ v).transpose(1, 2).reshape(batch, tokens, width))
        return mixed


class Block(nn.Module):
    """Attention and two layers, each behind a norm and beside a way around."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, width) to the same."""
        x = x + self.attention(self.norm1(x))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class ViT(nn.Module):
    """Patches with learned positions, blocks, the mean of all tokens, ten classes."""

    def __init__(self, width: int = 32, heads: int = 2, depth: int = 3, hidden: int = 64) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 4, stride=4)
        self.position = nn.Parameter(torch.randn(1, 49, width) * 0.1)
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1, 28, 28) to (batch, 10)."""
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x).mean(1))
        return logits


def main() -> None:
    """Train, compare, estimate; write `benchmarks/results/vit.json`."""
    options = _options()
    torch.set_num_threads(1)
    results = _results()
    for seed in options.seeds if options.train else ():
        for name in options.recipes:
            if not any((row["network"], row["seed"]) == (name, seed) for row in results["rows"]):
                row = train_one(name, seed, options)  # others may have written meanwhile
                _keep("rows", [*_results()["rows"], row])
    if options.codes:
        found = _results()["codes"].get(options.codes, {}) | codes(options)
        _keep("codes", _results()["codes"] | {options.codes: found})
    if options.verilog:
        found = _results()["codes"].get(options.verilog, {}) | verilog(options)
        _keep("codes", _results()["codes"] | {options.verilog: found})
    if options.yosys:
        _keep("hardware", _results()["hardware"] | {options.yosys: hardware(options)})
    if rows := _results()["rows"]:
        shown = ("network", "seed", "steps", "calibrated", "trained", "seconds")
        print_table([{key: row.get(key, "") for key in shown} for row in rows])


def _results() -> dict[str, Any]:
    path = RESULTS / "vit.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {"rows": [], "codes": {}, "hardware": {}} | found


def _keep(key: str, value: Any) -> None:
    write_results("vit", _results() | {key: value} | environment())


# Training


def train_one(name: str, seed: int, options: Namespace) -> dict[str, Any]:
    """A float network or one of the recipes, trained; its file is kept."""
    start = time.process_time()
    x, y, x_test, y_test = images()
    network = ViT()
    row: dict[str, Any] = {"network": name, "seed": seed}
    path = options.files / f"float_{seed}.pt"
    if name == "float":
        torch.manual_seed(seed)
        network = ViT()
        fit(network, x, y, options.float_epochs * len(x) // BATCH, options.float_rate)
        options.files.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), path)
        row |= {"steps": options.float_epochs * len(x) // BATCH}
        row |= {"trained": accuracy(network, x_test, y_test)}
        return row | {"seconds": round(time.process_time() - start)}
    network.load_state_dict(torch.load(path, weights_only=True))
    torch.manual_seed(seed)
    model = quantize(network.eval(), example=x[:1], **RECIPES[name])
    calibrate(model, [x[:1000]])
    row |= {"steps": options.steps, "calibrated": accuracy(model, x_test, y_test)}
    print(row, flush=True)
    fit(model, x, y, options.steps, options.rate, BATCH // 2)
    row |= {"trained": accuracy(model, x_test, y_test)}
    row |= {"seconds": round(time.process_time() - start)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export_qonnx(model, x[:1], _file(name, seed, options))
    torch.save(model.state_dict(), _file(name, seed, options).with_suffix(".pt"))
    print(row, flush=True)
    return row


def images() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images and labels to train with, and those of the test set."""
    data = load_dataset("mnist")
    x, x_test = (
        torch.from_numpy(part).reshape(-1, 1, 28, 28) for part in (data.x_train, data.x_test)
    )
    y, y_test = (torch.from_numpy(part).long() for part in (data.y_train, data.y_test))
    return x[:-HELD_OUT], y[:-HELD_OUT], x_test, y_test


def fit(model: nn.Module, x: Tensor, y: Tensor, steps: int, rate: float, size: int = BATCH) -> None:
    """Adam with a one-cycle rate; `model` is changed in place."""
    optimizer = torch.optim.Adam(parameter_groups(model, rate))
    peaks = [group["lr"] for group in optimizer.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=steps)
    model.train()
    order: list[Tensor] = []
    for _ in range(steps):
        order = order or list(torch.randperm(len(x)).split(size))[::-1]
        batch = order.pop()
        loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Percentage of images whose largest logit is that of the label."""
    model.eval()
    with torch.no_grad():
        parts = zip(x.split(500), y.split(500), strict=True)
        right = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in parts)
    return round(100 * right / len(y), 2)


def _file(name: str, seed: int, options: Namespace) -> Path:
    return Path(options.files) / f"{name.replace(' ', '').replace(',', '_')}_{seed}.onnx"


# Codes and hardware


def codes(options: Namespace) -> dict[str, Any]:
    """Codes that differ from the interpreter's, of the whole test set or of some of it."""
    x, _, x_test, _ = images()
    path = _file(options.codes, options.seeds[0], options)
    model = quantize(ViT().eval(), example=x[:1], **RECIPES[options.codes])
    model.load_state_dict(torch.load(path.with_suffix(".pt"), weights_only=True))
    limits = {"qonnx": options.qonnx, "hls4ml": options.hls4ml}
    samples = max(limits.get(name, len(x_test)) for name in options.executors)
    x_test = x_test[:samples].numpy()
    return compared(path, x_test, options.executors, limits, torch_model=model.eval())


def folded(name: str, options: Namespace) -> RtlNetwork:
    """The network in streaming Verilog, every layer folded; attention in DSP slices at 8 bits."""
    graph = load_qonnx(_file(name, options.seeds[0], options))
    products = [op for op in graph.ops if isinstance(op, MatMul)]
    inner = {op.name: graph.fixed_type(op.inputs[0]).shape[-1] for op in products}
    fold = {node: (1, size, "dsp") for node, size in inner.items()} if name == "8 bits" else {}
    return build_network(graph, RtlOptions(style="streaming", fold=fold, fold_above=0))


def verilog(options: Namespace) -> dict[str, Any]:
    """Codes of simulated Verilog, on some of the test images; a difference stops it."""
    network = folded(options.verilog, options)
    x = images()[2][: options.samples].numpy()
    return {"rtl": {"samples": len(x), "codes": network.check(x), "differing": 0}}


def hardware(options: Namespace) -> dict[str, Any]:
    """The whole design by Yosys, and its pace."""
    network = folded(options.yosys, options)
    with tempfile.TemporaryDirectory() as folder:
        sources = network.write(Path(folder))
        memories = sorted(Path(folder).glob("*.mem"))
        total = estimate(sources, network.name, memories=memories, timeout_s=7200).total
    return {
        "cycles": network.interval, "frames a second": MEGAHERTZ * 1_000_000 // network.interval,
        "lut": total.all_luts, "ff": total.ff, "dsp": total.dsp, "bram18": total.bram18,
    }  # fmt: skip


def _options() -> Namespace:
    arguments = parser(__doc__)
    arguments.add_argument("--train", action="store_true")
    arguments.add_argument("--codes", choices=RECIPES)
    arguments.add_argument("--verilog", choices=RECIPES)
    arguments.add_argument("--yosys", choices=RECIPES)
    arguments.add_argument("--recipes", nargs="+", default=["float", *RECIPES])
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments.add_argument("--float-epochs", type=int, default=5)
    arguments.add_argument("--float-rate", type=float, default=5e-3)
    arguments.add_argument("--steps", type=int, default=200)
    arguments.add_argument("--rate", type=float, default=1e-3)
    arguments.add_argument("--qonnx", type=int, default=10_000, help="test images")
    arguments.add_argument("--hls4ml", type=int, default=1000, help="likewise")
    names = ["torch", "qonnx", "onnxruntime", "hls4ml"]
    arguments.add_argument("--executors", nargs="+", choices=names, default=names)
    arguments.add_argument("--samples", type=int, default=100, help="that Verilog computes")
    arguments.add_argument("--files", type=Path, default=Path("build/vit"))
    return arguments.parse_args()


if __name__ == "__main__":
    main()
