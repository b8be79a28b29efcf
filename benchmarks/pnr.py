"""Networks of digits from training to a bitstream by open tools: resources, clock, time, memory.

    python benchmarks/pnr.py                    # all designs
    python benchmarks/pnr.py "MLP, ULX3S"       # one; the others' results stay

The clock is what is asked for and met after place and route with seed 1; `routed` is what nextpnr
reached. Processor time and memory are those of all programs that the build starts.
"""

from __future__ import annotations

import json
import resource
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import brevitas.nn as qnn
import numpy as np
import torch
from common import RESULTS, environment, parser, write_results
from torch import nn

from brevitas_quantizers import export_qonnx
from qfx_plugin.build import build
from qfx_plugin.build.targets.rtl.open import PLACED
from qfx_plugin.demo.data import load_dataset
from qfx_plugin.demo.models import Recipe
from qfx_plugin.demo.models import build as demo_network
from qfx_plugin.demo.train import train

NAME, EPOCHS = "pnr", 60
RECIPE = Recipe("QFX 4-bit", 4)


@dataclass(frozen=True)
class Design:
    """A network for a board.

    Attributes:
        board: its name.
        clock_mhz: asked for.
        hidden: outputs of the one hidden layer, or none; empty for the demo's MLP.
        pooled: whether 2 x 2 pixels are averaged.
        options: of the target.
    """

    board: str
    clock_mhz: float
    hidden: tuple[int, ...] | None = None
    pooled: bool = False
    options: tuple[tuple[str, Any], ...] = ()


DESIGNS = {
    "MLP, ULX3S": Design("ulx3s-85f", 75.0, options=(("style", "streaming"),)),
    "64-16-10, ULX3S": Design("ulx3s-85f", 75.0, (16,)),
    "64-16-10, ULX3S, 2 adders": Design(
        "ulx3s-85f", 75.0, (16,), False, (("adders_per_stage", 2.0),)
    ),
    "16-8-10, Tang Nano 20K": Design("tang-nano-20k", 54.0, (8,), True),
}


def measure(design: Design) -> dict[str, Any]:
    """Train, build, and what was found."""
    data = load_dataset("digits")
    images = [x.reshape(len(x), -1) for x in (data.x_train, data.x_test)]
    if design.pooled:
        pixels = (data.x_train, data.x_test)
        images = [x.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16) for x in pixels]
    torch.manual_seed(0)
    model = _network(design, images[0].shape[1])
    train(model, images[0], data.y_train, EPOCHS, seed=0)
    with torch.no_grad():
        found = model.eval()(torch.from_numpy(images[1])).argmax(1).numpy()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_qonnx(model, torch.from_numpy(images[1][:1]), folder / "network.onnx")
        np.save(folder / "x.npy", images[1])
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        build(
            folder / "network.onnx", out=folder / "out", target="rtl", board=design.board,
            clock_mhz=design.clock_mhz, inputs=str(folder / "x.npy"), samples=len(images[1]),
            **dict(design.options),
        )  # fmt: skip
        return {
            "board": design.board,
            "accuracy": round(100 * float((found == data.y_test).mean()), 2),
            **_figures(folder / "out", before),
        }


def _network(design: Design, inputs: int) -> nn.Sequential:
    if design.hidden is None:
        return demo_network("mlp", RECIPE, (1, 8, 8), 10)
    layers: list[nn.Module] = [qnn.QuantIdentity(**RECIPE.activation_options(), signed=False)]
    sizes = (inputs, *design.hidden, 10)
    for before, after in zip(sizes, sizes[1:], strict=False):
        layers.append(qnn.QuantLinear(before, after, **RECIPE.layer_options()))
        layers.append(qnn.QuantReLU(**RECIPE.activation_options()))
    return nn.Sequential(*layers[:-1])


def _figures(out: Path, before: resource.struct_rusage) -> dict[str, Any]:
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    route = json.loads((out / "place_route" / "route.json").read_text())
    report = json.loads((out / "report.json").read_text())
    (bitstream,) = (out / "bitstream").iterdir()
    timing = next(one for one in report["timing"] if one["source"] == PLACED)
    steps = {step["name"]: round(step["seconds"]) for step in report["steps"]}
    spent = sum(getattr(after, n) - getattr(before, n) for n in ("ru_utime", "ru_stime"))
    return {
        "used": route["resources"]["used"],
        "capacity": report["capacity"],
        "clock_mhz": timing["clock_mhz"],
        "routed_mhz": timing["routed_mhz"],
        "samples_per_second": timing["most_samples_per_second"],
        "slowest": route["slowest"],
        "differing": sum(one["differing"] for one in report["agreement"]),
        "compared": sum(one["compared"] for one in report["agreement"]),
        "bytes": bitstream.stat().st_size,
        "seconds": {name: steps[name] for name in ("synthesise", "place_route", "bitstream")},
        "processor_seconds": round(spent),
        "peak_gb": round(after.ru_maxrss / 2**20, 2),
    }


def main() -> None:
    """Measure designs and keep the results of the others."""
    options = parser(__doc__)
    options.add_argument("design", nargs="*", choices=[*DESIGNS, []], help="default: all")
    names = options.parse_args().design or list(DESIGNS)
    path = RESULTS / f"{NAME}.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    for name in names:
        row = {"design": name, **measure(DESIGNS[name])}
        print(json.dumps(row, indent=2), flush=True)
        rows = [one for one in rows if one["design"] != name] + [row]
        order = list(DESIGNS)
        rows.sort(key=lambda one: order.index(one["design"]))
        write_results(NAME, {**environment(), "rows": rows})


if __name__ == "__main__":
    main()
