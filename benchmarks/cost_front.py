"""Accuracy against LUTs: an MLP of two hidden layers trained to budgets, several seeds each.

    python benchmarks/cost_front.py                     # digits, on the test images
    python benchmarks/cost_front.py --validation        # the same on a part of the training
    #   images, held out: for choosing settings
    python benchmarks/cost_front.py --data mnist7 --epochs 20 --no-teacher
    python benchmarks/cost_front.py --files build/files # keep the networks, for cost_verify.py
    #   (every executor, code by code, and simulated Verilog) and cost_yosys.py
    python benchmarks/cost_front.py --split build/digits.npz    # write the data for cost_peer.py

Every network's file is run by the integer interpreter on all test images and compared with PyTorch:
`different` counts the outputs that are not the same.

LUTs are alkaid's own count of the whole network as one adder graph, at solver effort 2; the cast of
the input is the host's. The teacher is a float MLP with 256-256 hidden neurons and dropout, trained
on the same data; see cost_data.py for those. Rows are kept as they come, and those that the results
have already are not run again.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, environment, parser, print_table, write_results
from cost_data import HIDDEN, SOURCES, Batches, Split, load_split, train_teacher
from torch import nn

from brevitas_quantizers import (
    HardwareBudget,
    QFXDigits,
    export_qonnx,
    quantize,
    train_to_budget,
)
from qfx_plugin import interpret, load_qonnx

_POINT = ("data", "budget", "epochs", "teacher", "lr")
"""What makes a point; `teacher` is its share in the loss."""


def main() -> None:
    """Train, print the table, write `benchmarks/results/cost_front[_<name>].json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", default="digits")
    arguments.add_argument("--luts", type=float, nargs="+", default=[1500, 2300, 3000, 4500])
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--epochs", type=int, default=300)
    arguments.add_argument("--hidden", type=int, nargs="+", default=list(HIDDEN))
    arguments.add_argument("--distillation", type=float, default=0.5, help="share of the teacher")
    arguments.add_argument("--lr", type=float, default=5e-3)
    arguments.add_argument("--no-teacher", action="store_true")
    arguments.add_argument("--validation", action="store_true")
    arguments.add_argument("--split", type=Path, help="only write the data for cost_peer.py")
    arguments.add_argument("--files", type=Path, help="keep the networks")
    arguments.add_argument("--name", default="")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    split = load_split(options.data, options.validation)
    if options.split is not None:
        split.save(options.split, train_teacher(split), tuple(options.hidden))
        return
    teacher = None if options.no_teacher else train_teacher(split)
    name = "_".join(filter(None, ["cost_front", options.name]))
    rows = _known(name)
    done = {_key(row) for row in rows}
    for lut in options.luts:
        for seed in options.seeds:
            wanted = {"data": options.data, "budget": lut, "epochs": options.epochs}
            wanted |= {"teacher": 0 if teacher is None else options.distillation}
            wanted |= {"lr": options.lr, "seed": seed}
            if _key(wanted) in done:
                continue
            rows.append(wanted | run(split, lut, seed, teacher, options))
            print(rows[-1], flush=True)
            sources = {data: SOURCES[data] for data in dict.fromkeys(r["data"] for r in rows)}
            found = {"sources": sources, "points": points(rows), "rows": rows}
            write_results(name, found | environment())
    print_table(points(rows))


def _known(name: str) -> list[dict[str, Any]]:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[key] for key in (*_POINT, "seed"))


def mlp(sizes: tuple[int, ...]) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def run(
    split: Split, lut: float, seed: int, teacher: nn.Module | None, options: Any
) -> dict[str, Any]:
    """One network."""
    torch.manual_seed(seed)
    network = mlp(split.sizes(tuple(options.hidden)))
    start = time.process_time()
    model = quantize(network, weight_quant=QFXDigits)
    budget = HardwareBudget(model, lut=lut)
    history = train_to_budget(
        model,
        Batches(split.x, split.y, seed),
        budget,
        epochs=options.epochs,
        teacher=teacher,
        distillation=options.distillation,
        lr=options.lr,
    )
    seconds = time.process_time() - start
    with torch.no_grad():
        accuracy = float((model(split.x_test).argmax(1) == split.y_test).float().mean())
    cost = budget.hardware_cost()
    row: dict[str, Any] = {
        "accuracy": round(100 * accuracy, 2),
        "alkaid": history.lut,
        "off": f"{100 * (history.lut / lut - 1):+.1f} %",
        "digits": cost.digits,
        "bits": " ".join(str(layer.input_bits) for layer in cost.layers),
        "processor seconds": round(seconds, 1),
    }
    x = split.x_test
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        export_qonnx(model, x[:1], path)
        (outputs,) = interpret(load_qonnx(path), x.numpy()).values()
        row["different"] = int((outputs.values != model(x).detach().numpy()).sum())
        if options.files is not None:
            options.files.mkdir(parents=True, exist_ok=True)
            name = f"{split.name}_{lut:.0f}_{options.epochs}_{seed}.onnx"
            (options.files / name).write_bytes(path.read_bytes())
    return row


def points(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds, by data, budget and recipe."""
    found = []
    for point in dict.fromkeys(tuple(row[key] for key in _POINT) for row in rows):
        same = [row for row in rows if tuple(row[key] for key in _POINT) == point]
        found.append(
            {
                **dict(zip(_POINT, point, strict=True)),
                "seeds": len(same),
                "accuracy": round(statistics.mean(row["accuracy"] for row in same), 2),
                "alkaid": round(statistics.mean(row["alkaid"] for row in same)),
                "digits": round(statistics.mean(row["digits"] for row in same)),
            }
        )
    return found


if __name__ == "__main__":
    main()
