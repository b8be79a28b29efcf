"""Builds of the digits MLP for each target, killed inside three steps and resumed: the same bytes?

    python benchmarks/kill_builds.py                     all targets
    python benchmarks/kill_builds.py --targets rtl --seed 7

Each target is built once undisturbed. Then the same command is killed (SIGKILL, with all its
children) at a random moment inside three different steps, drawn by `--seed` among those that take a
tenth of a second or more, and started again after each. All files of both folders are compared,
but logs and reports, which hold times; of the manifest everything but the times.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from common import environment, parser, print_table, write_results

sys.path.insert(0, str(Path(__file__).parents[1]))  # what kills builds in the tests

from brevitas_quantizers import export_qonnx
from qfx_plugin.build import Manifest
from qfx_plugin.demo.data import load_dataset
from qfx_plugin.demo.models import Recipe, build
from qfx_plugin.demo.train import train
from tests.build.kills import compared, draw_moments, kill_in_each, run_undisturbed

TARGETS = ("hls4ml", "finn", "rtl")


def main() -> None:
    """Kill, resume, compare; write `benchmarks/results/kill_builds.json`."""
    arguments = parser(__doc__)
    arguments.add_argument("--targets", nargs="+", choices=TARGETS, default=TARGETS)
    arguments.add_argument("--bits", type=int, default=4)
    arguments.add_argument("--samples", type=int, default=100)
    arguments.add_argument("--kills", type=int, default=3)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    rows = []
    with TemporaryDirectory(prefix="qfx-kills-") as temporary:
        folder = Path(temporary)
        model = digits_mlp(folder, options.bits)
        for target in options.targets:
            rows.append(measure(target, model, folder / target, options))
            print(rows[-1], flush=True)
            write_results("kill_builds", {"options": vars(options), "rows": rows} | environment())
    print_table(rows)
    if any(row["differing"] or row["kills"] < options.kills for row in rows):
        raise SystemExit(1)


def digits_mlp(folder: Path, bits: int) -> Path:
    """The demo's MLP, trained on the digits."""
    torch.manual_seed(0)
    data = load_dataset("digits")
    model = build("mlp", Recipe(f"QFX {bits}-bit", bits), data.image_shape, data.classes)
    x = data.x_train.reshape(len(data.x_train), -1)
    train(model, x, data.y_train, epochs=5, seed=0)
    path = folder / "digits_mlp.onnx"
    export_qonnx(model.eval(), torch.from_numpy(x[:1]), path)
    return path


def measure(target: str, model: Path, folder: Path, options: Any) -> dict[str, Any]:
    """One target: undisturbed, killed, compared."""
    words = ["qfx_plugin.cli", "build", str(model), "--target", target]
    command = [*words, "--samples", str(options.samples), "-o"]
    calm, killed = folder / "undisturbed", folder / "killed"
    begin = time.perf_counter()
    run_undisturbed(command, calm, QFX_CACHE=str(folder / "cache1"))
    seconds = time.perf_counter() - begin
    moments = draw_moments(calm, options.kills, options.seed)
    cache = str(folder / "cache2")  # as empty as that of the undisturbed build
    kills = kill_in_each(command, killed, moments, QFX_CACHE=cache)
    run_undisturbed(command, killed, QFX_CACHE=cache)
    first, second = compared(calm), compared(killed)
    wrong = [name for name in first.keys() | second if first.get(name) != second.get(name)]
    took = {name: record.seconds for name, record in Manifest.load(calm).steps.items()}
    return {
        "target": target,
        "steps": len(took),
        "files": len(first),
        "seconds": round(seconds, 1),
        "kills": len(kills),
        "killed in": ", ".join(
            f"{k.step} at {k.moment:.2f} of {took[k.step]:.2f} s" for k in kills
        ),
        "differing": len(wrong),
        "first differing": ", ".join(sorted(wrong)[:3]),
    }


if __name__ == "__main__":
    main()
