"""MNIST at 28 x 28 to a budget of LUTs: accuracy, the whole design by Yosys, cycles an image.

    QFX_DATA=<folder> python benchmarks/cost_mnist.py --validation      # for choosing settings
    QFX_DATA=<folder> python benchmarks/cost_mnist.py --network cnn --luts 2000 2800 --seeds 0 1 2
    python benchmarks/cost_mnist.py --map       # Yosys for the networks that have not been mapped

The network begins as a float one of `--float-epochs`, which is the teacher too. A design reads the
two upper bits of each pixel, which no logic makes. An `mlp` takes a whole image in every cycle; a
`cnn` streams, one pixel a cycle, with one adder graph for each layer. LUTs are those of the whole
design, mapped to UltraScale+ (`xcup`) with its sliding windows and streams, not placed or routed.
Every file is run by the integer interpreter on all test images and compared with PyTorch:
`different` counts the outputs that are not the same. Rows are kept as they come; those that the
results have already are not run again.
"""

from __future__ import annotations

import copy
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, environment, parser, print_table, write_results
from cost_data import Batches, Split, load_split
from cost_front import mlp
from torch import Tensor, nn

from brevitas_quantizers import (
    HardwareBudget,
    QFXDigits,
    export_qonnx,
    quantize,
    train_to_budget,
)
from qfx_plugin import compile_rtl, interpret, load_qonnx
from qfx_plugin.synthesis.estimate import estimate

INPUT_BITS = 2
UNFOLDED = 10**9
STYLES = {"mlp": "unrolled", "cnn": "streaming"}
KEY = ("network", "sizes", "budget", "float epochs", "epochs", "batch", "validation", "seed")
FLOAT_RATE = 2e-3


def main() -> None:
    """Train, print the table, write `benchmarks/results/cost_mnist.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--network", choices=STYLES, default="cnn")
    arguments.add_argument("--sizes", type=int, nargs="+", default=[8, 16])
    arguments.add_argument("--luts", type=int, nargs="+", default=[1200, 2000])
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments.add_argument("--float-epochs", type=int, default=2)
    arguments.add_argument("--epochs", type=int, default=8)
    arguments.add_argument("--batch", type=int, default=128)
    arguments.add_argument("--validation", action="store_true")
    arguments.add_argument("--map", action="store_true", help="train nothing")
    arguments.add_argument("--files", type=Path, default=Path("build/mnist"))
    options = arguments.parse_args()
    torch.set_num_threads(1)
    path = RESULTS / "cost_mnist.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    if options.map:
        for row in rows:
            is_new = "yosys" not in row and not row["validation"]
            if is_new and (options.files / _file(row)).exists():
                row |= _yosys(options.files / _file(row), STYLES[row["network"]])
                write_results("cost_mnist", {"rows": rows} | environment())
        _print(rows)
        return
    split = two_bits(load_split("mnist", options.validation), options.network)
    done = {tuple(row[key] for key in KEY) for row in rows}
    sizes = "-".join(map(str, options.sizes))
    for lut in options.luts:
        for seed in options.seeds:
            values = (options.network, sizes, lut, options.float_epochs, options.epochs)
            values += (options.batch, options.validation, seed)
            if values not in done:
                row = dict(zip(KEY, values, strict=True))
                rows.append(row | _run(split, row, options))
                print(rows[-1], flush=True)
                write_results("cost_mnist", {"rows": rows} | environment())
    _print(rows)


def _print(rows: list[dict[str, Any]]) -> None:
    shown = (*KEY, "accuracy", "alkaid", "yosys", "cycles")
    print_table([{key: row.get(key, "") for key in shown} for row in rows])


def two_bits(split: Split, network: str) -> Split:
    """The upper bits of each pixel, as images for a `cnn`."""

    def cut(x: Tensor) -> Tensor:
        upper = torch.floor(x * 2**INPUT_BITS) / 2**INPUT_BITS
        return upper.reshape(-1, 1, 28, 28) if network == "cnn" else upper

    return Split(split.name, cut(split.x), split.y, cut(split.x_test), split.y_test)


def cnn(first: int, second: int, third: int = 0) -> nn.Sequential:
    """Two convolutions with strides, perhaps one without, a pool, a linear layer."""
    layers = [
        nn.Conv2d(1, first, 5, stride=2, padding=2), nn.ReLU(),
        nn.Conv2d(first, second, 3, stride=2, padding=1), nn.ReLU(),
    ]  # fmt: skip
    if third:
        layers += [nn.Conv2d(second, third, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3)]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * third, 10))
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(9 * second, 10))


def _file(row: dict[str, Any]) -> str:
    return "_".join(str(row[key]) for key in KEY).replace(" ", "") + ".onnx"


def _run(split: Split, row: dict[str, Any], options: Any) -> dict[str, Any]:
    torch.manual_seed(row["seed"])
    sizes = tuple(options.sizes)
    network = cnn(*sizes) if row["network"] == "cnn" else mlp((784, *sizes, 10))
    start = time.process_time()
    batches = Batches(split.x, split.y, row["seed"], row["batch"])
    _train_float(network, batches, row["float epochs"])
    with torch.no_grad():
        parts = zip(split.x_test.split(500), split.y_test.split(500), strict=True)
        right = sum(int((network(x).argmax(1) == y).sum()) for x, y in parts)
    teacher = copy.deepcopy(network) if row["float epochs"] else None
    model = quantize(network, weight_quant=QFXDigits)
    budget = HardwareBudget(model, lut=row["budget"], style=STYLES[row["network"]])
    history = train_to_budget(model, batches, budget, epochs=row["epochs"], teacher=teacher)
    found: dict[str, Any] = {"seconds": round(time.process_time() - start)}
    options.files.mkdir(parents=True, exist_ok=True)
    path = options.files / _file(row)
    export_qonnx(model, split.x_test[:1], path)
    found["float"] = round(100 * right / len(split.y_test), 2)
    reached, found["different"] = _interpreted(model, path, split)
    return found | {"accuracy": round(100 * reached, 2), "alkaid": round(history.lut)}


def _train_float(network: nn.Module, batches: Batches, epochs: int) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=FLOAT_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, epochs * len(batches)))
    for _ in range(epochs):
        for x, y in batches:
            loss = nn.functional.cross_entropy(network(x), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()


def _interpreted(model: nn.Module, path: Path, split: Split) -> tuple[float, int]:
    """Share of test images that the file has right, and outputs that PyTorch has otherwise."""
    graph, right, different = load_qonnx(path), 0, 0
    for x, y in zip(split.x_test.split(500), split.y_test.split(500), strict=True):
        (found,) = interpret(graph, x.numpy()).values()
        with torch.no_grad():
            different += int((found.values != model(x).numpy()).sum())
        right += int((found.values.argmax(1) == y.numpy()).sum())
    return right / len(split.y_test), different


def _yosys(path: Path, style: str) -> dict[str, Any]:
    """The whole design, and how many cycles an image takes."""
    options: dict[str, Any] = {"fold_above": UNFOLDED} if style == "streaming" else {}
    with tempfile.TemporaryDirectory() as folder:
        network = compile_rtl(path, Path(folder) / "rtl", style=style, **options)
        sources = network.write(Path(folder) / "sources")
        total = estimate(sources, network.name, timeout_s=3600).total
    return {"yosys": total.all_luts, "ff": total.ff, "cycles": network.interval}


if __name__ == "__main__":
    main()
