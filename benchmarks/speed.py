"""How fast the ways to a file and back are: this tree and an earlier commit, in turns.

    pip install --no-deps --target site torchvision==0.27.1
    PYTHONPATH=.:site python benchmarks/speed.py              # against the commit below
    PYTHONPATH=.:site python benchmarks/speed.py --before HEAD~3 --rounds 5
    python benchmarks/tables.py --write                       # the table of docs/qonnx.md

Each round starts one process of either tree; what is stored of each is the least processor time,
one thread. References are computed beside it, in the same process: float32 networks of PyTorch for
the interpreter, plain NumPy for casts, the number of parameters for what grows with it.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import environment, parser, print_table, write_results

ROOT = Path(__file__).parents[1]
BEFORE = "4bebbdb"
NETWORKS = ("resnet18", "mobilenet_v2")
SIZE, WIDTH = 64, 1000
"""Pixels of an image; features of the layers of a perceptron."""
ELEMENTS = 800_000
CASTS = (
    ("AP_RND_CONV", "AP_SAT"), ("AP_RND", "AP_SAT"), ("AP_TRN", "AP_WRAP"),
    ("AP_TRN", "AP_WRAP_SM"),
)  # fmt: skip
Measured = Iterator[tuple[str, str, float]]
"""Name, unit, and the figure."""


def least(run: Callable[..., Any], *arguments: Any, times: int = 5) -> float:
    """Least processor time of some runs, after one to warm up."""
    run(*arguments)
    found = []
    for _ in range(times):
        start = time.process_time()
        run(*arguments)
        found.append(time.process_time() - start)
    return min(found)


def casts() -> Measured:
    """Of 0.8 million normal values, beside what plain NumPy needs for the same codes."""
    import numpy as np

    from brevitas_quantizers.fixed_point import FixedPointFormat, requantize, to_codes

    x = np.random.default_rng(0).normal(0, 2, ELEMENTS).astype(np.float32)
    wide = np.rint(x * 4096).astype(np.int64)
    for rounding, overflow in CASTS:
        fmt, own = FixedPointFormat(8, 4), (rounding, overflow)
        plain = least(_plain, x, *own)
        ratio = least(to_codes, x, fmt, *own) / plain
        yield f"to_codes, {rounding}, {overflow}", "plain NumPy", ratio
        plain = least(_plain_shift, wide, 8, *own)
        ratio = least(requantize, wide, 12, 4, 8, True, *own) / plain
        yield f"requantize, {rounding}, {overflow}", "plain NumPy", ratio


def _plain(x: Any, rounding: str, overflow: str) -> Any:
    """What one would write for values that are known to fit an int64."""
    import numpy as np

    whole = {"AP_RND_CONV": np.rint, "AP_TRN": np.floor}.get(rounding, lambda r: np.floor(r + 0.5))
    rounded = whole(x.astype(np.float64) * 16)
    if overflow == "AP_SAT":
        return np.clip(rounded, -128, 127).astype(np.int64)
    return _plain_wrap(rounded.astype(np.int64), overflow)


def _plain_shift(codes: Any, drop: int, rounding: str, overflow: str) -> Any:
    import numpy as np

    half = 1 << (drop - 1)
    if rounding == "AP_RND_CONV":
        codes = codes + (half - 1) + ((codes >> drop) & 1)
    elif rounding == "AP_RND":
        codes = codes + half
    rounded = codes >> drop
    return np.clip(rounded, -128, 127) if overflow == "AP_SAT" else _plain_wrap(rounded, overflow)


def _plain_wrap(codes: Any, overflow: str) -> Any:
    import numpy as np

    word = ((codes + 128) & 255) - 128
    if overflow == "AP_WRAP":
        return word
    sign = (codes >> 8) & 1
    return np.where((word < 0) == (sign == 1), word, -word - 1)


def writing() -> Measured:
    """Of a perceptron: nanoseconds a parameter."""
    import torch
    from torch import nn

    from brevitas_quantizers import calibrate, export_qonnx, quantize

    layers = [part for _ in range(4) for part in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
    model, x = nn.Sequential(*layers, nn.Linear(WIDTH, 10)), torch.randn(4, WIDTH)
    count = sum(parameter.numel() for parameter in model.parameters())
    scale = 1e9 / count
    yield "quantize", "ns a parameter", least(quantize, model, times=3) * scale
    model = calibrate(quantize(model), [x]).eval()
    yield "export_qonnx", "ns a parameter", least(export_qonnx, model, x[:1], times=3) * scale


def reading(folder: Path) -> Measured:
    """Seconds to load, and the interpreter beside float32."""
    import torch

    from qfx_plugin import load_qonnx
    from qfx_plugin.ir import interpret

    for name in NETWORKS:
        path, model = folder / f"{name}.onnx", _float(name)
        yield f"load_qonnx, {name}", "s", least(load_qonnx, path, times=3)
        graph, x = load_qonnx(path), torch.randn(1, 3, SIZE, SIZE)
        with torch.no_grad():
            plain = least(model, x, times=20)
        ratio = least(interpret, graph, x.numpy()) / plain
        yield f"interpret, {name}", "torch, float32", ratio


def _float(name: str) -> Any:
    import torch
    import torchvision.models as models

    from tests.convert.helpers import randomise_norms

    torch.manual_seed(0)
    return randomise_norms(getattr(models, name)(weights=None, num_classes=10)).eval()


def files(folder: Path) -> None:
    """What both trees read."""
    import torch

    from brevitas_quantizers import calibrate, export_qonnx, quantize

    for name in NETWORKS:
        x = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
        model = calibrate(quantize(_float(name)), [x]).eval()
        export_qonnx(model, x, folder / f"{name}.onnx", latents=False)


def ask(tree: Path, folder: Path) -> dict[str, Any]:
    """All figures of one tree, in a process of its own."""
    path = os.pathsep.join([str(tree), os.environ.get("PYTHONPATH", "")])
    environ = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    command = [sys.executable, __file__, "--ask", str(folder)]
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))


def main() -> None:
    """Both trees in turns; the least of each."""
    arguments = parser(__doc__)
    arguments.add_argument("--before", default=BEFORE, help="commit to compare with")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--ask", type=Path, help="(what a process of its own is started with)")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    if options.ask:
        for name, unit, figure in (*casts(), *writing(), *reading(options.ask)):
            print(json.dumps([name, [unit, figure]]), flush=True)
        return
    with tempfile.TemporaryDirectory(prefix="qfx-speed-") as name:
        folder, before = Path(name), Path(name) / "before"
        archive = subprocess.run(
            ["git", "-C", str(ROOT), "archive", options.before], stdout=subprocess.PIPE, check=True
        )
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(before, filter="data")
        files(folder)
        rounds = [(ask(before, folder), ask(ROOT, folder)) for _ in range(options.rounds)]
    rows = [
        {
            "what": what,
            "unit": unit,
            "before": round(min(old[what][1] for old, _ in rounds), 3),
            "after": round(min(new[what][1] for _, new in rounds), 3),
        }
        for what, (unit, _) in rounds[0][1].items()
    ]
    print_table(rows)
    write_results("speed", {"before": options.before, "rows": rows, "environment": environment()})


if __name__ == "__main__":
    main()
