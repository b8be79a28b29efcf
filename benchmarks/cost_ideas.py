"""Ideas beyond the rule of `HardwareBudget`, each measured on held-out digits with three seeds.

    python benchmarks/cost_ideas.py --train     # networks under build/ideas, both curvatures
    python benchmarks/cost_ideas.py             # what is done to trained networks

- `curvature`: with a teacher the loss is a mix; its curvature is measured with labels drawn from
  the outputs and from the outputs at the teacher's temperature, in the loss's shares.
- `effort`: levels that alkaid's solver may add.
- `removal`: digits are taken from a trained network, those of least expected loss for an estimated
  LUT, or for a LUT as alkaid counts it with and without the digit.
- `sharing`: weights take the other neighbouring code of as many digits where alkaid counts fewer
  LUTs.
- `duplicates`: pairs of neurons whose codes are equal or opposite.
- `seeds`: the best of three seeds by one half of the held-out images, on the other half.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, environment, parser, print_table, write_results
from cost_data import Batches, Split, load_split, train_teacher
from cost_front import mlp
from torch import Tensor, nn

from brevitas_quantizers import HardwareBudget, QFXDigits, export_qonnx, quantize, train_to_budget
from qfx_plugin.rtl.cost import count_luts

HIDDEN, SEEDS, TEMPERATURE = (32, 32), (0, 1, 2), 3.0
FOLDER = Path("build/ideas")
LARGE = 1500
"""LUTs of a network from which on all ideas are tried on it; of smaller ones the seeds alone."""


def main() -> None:
    """Measure, print the table, write `benchmarks/results/cost_ideas.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--train", action="store_true")
    arguments.add_argument("--epochs", type=int, default=120)
    arguments.add_argument("--luts", type=int, nargs="+", default=[2300, 900])
    arguments.add_argument("--tries", type=int, default=30)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    split = load_split("digits", validation=True)
    if options.train:
        teacher = train_teacher(split)
        for lut in options.luts:
            for matched in (False, True):
                for seed in SEEDS:
                    train(split, teacher, lut, seed, matched, options.epochs)
        return
    path = RESULTS / "cost_ideas.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    done = {row["network"] for row in rows}
    for network in sorted(FOLDER.glob("*.pt")):
        if network.stem not in done:
            rows.append({"network": network.stem} | measure(network, split, options.tries))
            print(rows[-1], flush=True)
            write_results("cost_ideas", {"options": {"tries": options.tries}, "rows": rows}
                          | environment())  # fmt: skip
    shown = ("network", "alkaid", "accuracy", "duplicates")
    print_table([{key: row[key] for key in shown} for row in rows])


def train(
    split: Split, teacher: nn.Module, lut: int, seed: int, matched: bool, epochs: int
) -> None:
    """One network, kept under `FOLDER`."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{lut}_{'matched' if matched else 'own'}_{seed}.pt"
    if path.exists():
        return
    torch.manual_seed(seed)
    model = quantize(mlp(split.sizes(HIDDEN)), weight_quant=QFXDigits)
    budget = HardwareBudget(model, lut=lut)
    if matched:
        budget.task = budget._measurements.task = replace(budget.task, sampled=mixed)
    history = train_to_budget(
        model, Batches(split.x, split.y, seed), budget, epochs=epochs, teacher=teacher
    )
    state = {"model": model.state_dict(), "budget": budget.state_dict(), "lut": history.lut}
    torch.save(state, path)
    print(path.stem, history.lut, f"{accuracy(model, split.x_test, split.y_test):.2%}", flush=True)


def mixed(output: Tensor, generator: torch.Generator) -> Tensor:
    """Sum whose squared gradients are the curvature of half the labels' and half the soft loss."""
    soft = torch.rand(len(output), 1, generator=generator) < 0.5
    logits = torch.where(soft, output / TEMPERATURE, output)
    drawn = torch.multinomial(torch.softmax(logits.detach(), 1), 1, generator=generator)[:, 0]
    losses = nn.functional.cross_entropy(logits, drawn, reduction="none")
    return (torch.where(soft[:, 0], TEMPERATURE, 1.0) * losses).sum()


def measure(path: Path, split: Split, tries: int) -> dict[str, Any]:
    """All ideas about one trained network."""
    kept = torch.load(path, weights_only=False)
    model = quantize(mlp(split.sizes(HIDDEN)), weight_quant=QFXDigits)
    budget = HardwareBudget(model, lut=1000)
    model.load_state_dict(kept["model"])
    budget.load_state_dict(kept["budget"])
    model, price = model.eval(), budget.price
    half = len(split.x_test) // 2
    row: dict[str, Any] = {
        "alkaid": kept["lut"],
        "accuracy": percent(accuracy(model, split.x_test, split.y_test)),
        "first half": percent(accuracy(model, split.x_test[:half], split.y_test[:half])),
        "second half": percent(accuracy(model, split.x_test[half:], split.y_test[half:])),
        "duplicates": duplicates(model),
    }
    if "own" not in path.stem or kept["lut"] < LARGE:
        return row
    for effort in (0, 1, 2, 3, 4):
        start = time.process_time()
        row[f"effort {effort}"] = luts(model, effort)
        row[f"effort {effort}, s"] = round(time.process_time() - start, 2)
    by_estimate, by_count = removals(model, tries)
    for name, change in (("estimated", by_estimate), ("counted", by_count)):
        row[f"removal {name}"] = changed(model, split, change)
    row["sharing"] = sharing(model, split, tries, price)
    return row


Change = list[tuple[str, int, float]]
"""Weights by layer and flat place, with their new values."""


def removals(model: nn.Module, tries: int) -> tuple[Change, Change]:
    """A third of the `tries` digits of least expected loss a LUT, estimated or counted."""
    found: list[tuple[float, float, tuple[str, int, float]]] = []
    for name, layer in layers(model):
        quantizer = layer.weight_quant.quantizer
        own, digits = quantizer.price, quantizer.count(layer.weight)
        more = torch.clamp(quantizer.price, min=1e-12)
        for _ in range(40):  # until a dearer digit is given up
            more = more * 1.15
            quantizer.price = more
            fewer, left = quantizer(layer.weight)[0], quantizer.count(layer.weight)
            for place in torch.nonzero((left < digits).flatten())[:, 0].tolist():
                loss = float(more.flatten()[place % more.numel()])
                new = (name, place, float(fewer.flatten()[place]))
                if all(new[:2] != other[2][:2] for other in found):
                    found.append((loss, 1.0, new))
            if len(found) > 3 * tries:
                break
        quantizer.price = own
    found = sorted(found, key=lambda one: one[0])[:tries]
    whole = luts(model)
    counted = []
    for loss, _, new in found:
        with weights(model, [new]):
            counted.append((loss / max(whole - luts(model), 0.1), new))
    third = max(1, tries // 3)
    return [new for *_, new in found[:third]], [
        new for _, new in sorted(counted, key=lambda one: one[0])[:third]
    ]


def sharing(model: nn.Module, split: Split, tries: int, price: float) -> dict[str, Any]:
    """Accepts another code of as many digits where the count falls by more than the loss costs."""
    generator = torch.Generator().manual_seed(0)
    whole, taken = luts(model), []
    for _ in range(tries):
        name, layer = layers(model)[int(torch.randint(3, (1,), generator=generator))]
        quantizer = layer.weight_quant.quantizer
        values, digits = quantizer(layer.weight)[0], quantizer.count(layer.weight)
        places = torch.nonzero(values.flatten())[:, 0]
        place = int(places[int(torch.randint(len(places), (1,), generator=generator))])
        lsb = float(2.0 ** -quantizer.binary_point.round())
        value, latent = float(values.flatten()[place]), float(layer.weight.flatten()[place])
        codes = quantizer._codes * lsb
        same = codes[quantizer._counts[(codes / lsb - quantizer._codes[0]).long()]
                     == digits.flatten()[place]]  # fmt: skip
        same = same[same != value]
        other = float(same[(same - latent).abs().argmin()])
        curvature = float(quantizer.curvature.expand_as(layer.weight).flatten()[place])
        loss = 0.5 * curvature * ((other - latent) ** 2 - (value - latent) ** 2)
        with weights(model, [*taken, (name, place, other)]):
            count = luts(model)
        if (whole - count) / 0.65 * price > loss:
            taken, whole = [*taken, (name, place, other)], count
    return changed(model, split, taken) | {"taken": len(taken)}


class weights:  # noqa: N801 # a context
    """Weights with other values for a while: their price and curvature decide nothing then."""

    def __init__(self, model: nn.Module, change: Change) -> None:
        self.model, self.change = model, change

    def __enter__(self) -> None:
        self.before = [layer.weight.detach().clone() for _, layer in layers(self.model)]
        self.prices = [layer.weight_quant.quantizer.price for _, layer in layers(self.model)]
        with torch.no_grad():
            for _, layer in layers(self.model):
                quantizer = layer.weight_quant.quantizer
                layer.weight.copy_(quantizer(layer.weight)[0])
                quantizer.price = torch.zeros_like(quantizer.price)
            for name, place, value in self.change:
                self.model.get_submodule(name).weight.view(-1)[place] = value

    def __exit__(self, *_: object) -> None:
        with torch.no_grad():
            saved = zip(layers(self.model), self.before, self.prices, strict=True)
            for (_, layer), before, price in saved:
                layer.weight.copy_(before)
                layer.weight_quant.quantizer.price = price


def changed(model: nn.Module, split: Split, change: Change) -> dict[str, Any]:
    """LUTs, accuracy and training loss before and after."""
    found: dict[str, Any] = {}
    for when, new in (("before", []), ("after", change)):
        with weights(model, new), torch.no_grad():
            loss = float(nn.functional.cross_entropy(model(split.x), split.y))
            right = percent(accuracy(model, split.x_test, split.y_test))
            found[when] = {"lut": luts(model), "accuracy": right, "loss": round(loss, 5)}
    return found


def duplicates(model: nn.Module) -> int:
    """Pairs of living neurons with equal or opposite codes."""
    found = 0
    for _, layer in layers(model)[:-1]:
        rows = layer.weight_quant(layer.weight).value.detach()
        rows = rows[rows.abs().sum(1) > 0]
        same = (rows[:, None] == rows[None]).all(2) | (rows[:, None] == -rows[None]).all(2)
        found += (int(same.sum()) - len(rows)) // 2
    return found


def layers(model: nn.Module) -> list[tuple[str, Any]]:
    """The linear layers."""
    return [
        (name, module) for name, module in model.named_modules() if hasattr(module, "in_features")
    ]


def luts(model: nn.Module, effort: int = 2) -> int:
    """By alkaid's count."""
    with tempfile.TemporaryDirectory():
        return count_luts(export_qonnx(model, torch.zeros(1, 64), latents=False), effort=effort)


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of right classes."""
    return float((model(x).argmax(1) == y).float().mean())


def percent(share: float) -> float:
    """With two digits."""
    return round(100 * share, 2)


if __name__ == "__main__":
    main()
