"""Accuracy against LUTs: the digits MLP 64-32-32-10 trained to budgets, several seeds each.

    python benchmarks/cost_front.py                     # the front, on the test images
    python benchmarks/cost_front.py --validation        # the same on a quarter of the training
    #   images, held out: for choosing settings
    python benchmarks/cost_front.py --no-teacher        # without distillation
    python benchmarks/cost_front.py --verify            # each network on every executor, code by
    #   code, and its simulated Verilog; --yosys also maps it to LUTs

Every network's file is run by the integer interpreter on all test images and compared with PyTorch:
`different` counts the outputs that are not the same.

LUTs are alkaid's own count of the whole network as one adder graph, at solver effort 2; the cast of
the input is the host's. The teacher is a float MLP 64-256-256-10 with dropout, trained on the same
images. Rows are kept as they come: a run that is stopped has what it reached.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from common import environment, parser, print_table, write_results
from torch import Tensor, nn

from brevitas_quantizers import (
    HardwareBudget,
    QFXDigits,
    export_qonnx,
    quantize,
    train_to_budget,
)
from qfx_plugin import RtlOptions, compile_rtl, interpret, load_qonnx, verify_agreement
from qfx_plugin.demo.data import load_dataset
from qfx_plugin.synthesis.estimate import estimate

BATCH = 128
TEACHER_EPOCHS = 100


class Batches:
    """Shuffled whole batches; a new order each epoch."""

    def __init__(self, x: Tensor, y: Tensor, seed: int, size: int = BATCH) -> None:
        self.x, self.y, self.size = x, y, size
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self.x) // self.size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.x), generator=self.generator)
        for rows in order[: len(self) * self.size].split(self.size):
            yield self.x[rows], self.y[rows]


def main() -> None:
    """Train, print the table, write `benchmarks/results/cost_front[_<name>].json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--luts", type=float, nargs="+", default=[1500, 2300, 3000, 4500])
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments.add_argument("--epochs", type=int, default=300)
    arguments.add_argument("--distillation", type=float, default=0.5)
    arguments.add_argument("--no-teacher", action="store_true")
    arguments.add_argument("--validation", action="store_true")
    arguments.add_argument("--verify", action="store_true")
    arguments.add_argument("--yosys", action="store_true")
    arguments.add_argument("--name", default="")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    x, y, x_test, y_test = split(options.validation)
    teacher = None if options.no_teacher else train_teacher(x, y)
    rows: list[dict[str, Any]] = []
    for lut in options.luts:
        for seed in options.seeds:
            rows.append(run(x, y, x_test, y_test, lut, seed, teacher, options))
            print(rows[-1], flush=True)
            name = "_".join(filter(None, ["cost_front", options.name]))
            results = {"options": vars(options), "points": points(rows), "rows": rows}
            write_results(name, results | environment())
    print_table(points(rows))


def split(validation: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test data; with `validation`, both are parts of the training data."""
    data = load_dataset("digits")
    x, y = torch.tensor(data.x_train).flatten(1), torch.tensor(data.y_train)
    if not validation:
        return x, y, torch.tensor(data.x_test).flatten(1), torch.tensor(data.y_test)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(7))
    held, kept = order[: len(x) // 4], order[len(x) // 4 :]
    return x[kept], y[kept], x[held], y[held]


def train_teacher(x: Tensor, y: Tensor) -> nn.Module:
    """A float network that is larger than the one for the hardware."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs in (64, 256):
        layers += [nn.Linear(inputs, 256), nn.ReLU(), nn.Dropout(0.3)]
    teacher = nn.Sequential(*layers, nn.Linear(256, 10))
    optimizer = torch.optim.Adam(teacher.parameters(), lr=1e-3, weight_decay=1e-4)
    for _ in range(TEACHER_EPOCHS):
        for images, labels in Batches(x, y, seed=0, size=64):
            loss = nn.functional.cross_entropy(teacher(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return teacher.eval()


def run(
    x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor, lut: float, seed: int,
    teacher: nn.Module | None, options: Any,
) -> dict[str, Any]:  # fmt: skip
    """One network."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
    )
    start = time.process_time()
    model = quantize(network, weight_quant=QFXDigits)
    budget = HardwareBudget(model, lut=lut)
    history = train_to_budget(
        model,
        Batches(x, y, seed),
        budget,
        epochs=options.epochs,
        teacher=teacher,
        distillation=options.distillation,
    )
    seconds = time.process_time() - start
    with torch.no_grad():
        accuracy = float((model(x_test).argmax(1) == y_test).float().mean())
    cost = budget.hardware_cost()
    row: dict[str, Any] = {
        "budget": lut,
        "seed": seed,
        "accuracy": round(100 * accuracy, 2),
        "alkaid": history.lut,
        "off": f"{100 * (history.lut / lut - 1):+.1f} %",
        "digits": cost.digits,
        "bits": " ".join(str(layer.input_bits) for layer in cost.layers),
        "processor seconds": round(seconds, 1),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        export_qonnx(model, x_test[:1], path)
        (outputs,) = interpret(load_qonnx(path), x_test.numpy()).values()
        row["different"] = int((outputs.values != model(x_test).detach().numpy()).sum())
        if options.verify or options.yosys:
            row |= check(model, path, x_test, options)
    return row


def check(model: nn.Module, path: Path, x: Tensor, options: Any) -> dict[str, Any]:
    """Codes that differ on any executor, the simulated Verilog included; LUTs by Yosys."""
    network = compile_rtl(path, path.parent / "rtl", options=RtlOptions(style="unrolled"))
    found: dict[str, Any] = {}
    if options.verify:
        agreement = verify_agreement(path, x.numpy(), torch_model=model)
        found["executors"] = {e.name: e.differing for e in agreement.executors if e.ran}
        found["codes compared in Verilog"] = network.check(x.numpy())
    if options.yosys:
        sources = network.write(path.parent / "sources")
        found["yosys"] = estimate(sources, network.name).total.lut
    return found


def points(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds, by budget."""
    found = []
    for budget in dict.fromkeys(row["budget"] for row in rows):
        same = [row for row in rows if row["budget"] == budget]
        found.append(
            {
                "budget": budget,
                "seeds": len(same),
                "accuracy": round(statistics.mean(row["accuracy"] for row in same), 2),
                "alkaid": round(statistics.mean(row["alkaid"] for row in same)),
                "digits": round(statistics.mean(row["digits"] for row in same)),
            }
        )
    return found


if __name__ == "__main__":
    main()
