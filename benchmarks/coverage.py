"""Which float networks come through: torchvision's, timm's and the zoo of `tests/zoo`.

    python benchmarks/coverage.py                          # all that is not known yet
    python benchmarks/coverage.py zoo --columns FINN       # some
    python benchmarks/coverage.py timm:dla34 --again       # anew
    python benchmarks/tables.py --write                    # the page, docs/coverage.md

torchvision and timm want an environment, or a folder, of their own:

    pip install --no-deps --target site torchvision==0.27.1 timm==1.0.31 huggingface_hub safetensors
    PYTHONPATH=.:site python benchmarks/coverage.py torchvision timm

Networks are asked in the order given, in another process, with limits of time and memory; what is
found is stored at once: a run that was stopped is taken up where it ended. Weights are random,
batch norms as after training, samples few; what is compared is codes.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from common import RESULTS, environment, parser, write_results  # noqa: E402

HERE = str(Path(__file__).parent)
sys.path = [path for path in sys.path if path != HERE]  # numba asks for a package of this name


def _names(text: str) -> list[str]:
    return text.split()


TORCHVISION = _names("""
    alexnet convnext_tiny densenet121 densenet161 efficientnet_b0 efficientnet_v2_s googlenet
    inception_v3 maxvit_t mnasnet0_5 mnasnet1_0 mobilenet_v2 mobilenet_v3_small mobilenet_v3_large
    regnet_x_400mf regnet_y_400mf resnet18 resnet34 resnet50 resnext50_32x4d shufflenet_v2_x0_5
    shufflenet_v2_x1_0 squeezenet1_0 squeezenet1_1 swin_t swin_v2_t vgg11 vgg11_bn vit_b_16
    wide_resnet50_2
""")
TIMM = _names("""
    resnet18 resnet26 resnet10t resnext50_32x4d seresnet50 ecaresnet26t skresnet18 resnest14d
    res2net50_26w_4s hrnet_w18_small dla34 dpn48b densenet121 vovnet39a ese_vovnet19b_dw cspresnet50
    cspdarknet53 darknet53 selecsls42 xception41 inception_v3 inception_v4 inception_resnet_v2
    mobilenetv2_050 mobilenetv3_small_050 mobilenetv3_large_100 mobilenetv4_conv_small
    mobilenetv4_hybrid_medium mnasnet_small semnasnet_075 spnasnet_100 fbnetc_100 fbnetv3_b
    efficientnet_b0 efficientnet_lite0 tf_efficientnet_b0 efficientnetv2_rw_t mixnet_s tinynet_e
    hardcorenas_a ghostnet_100 ghostnetv2_100 lcnet_050 rexnet_100 regnetx_002 regnety_002 repvgg_a0
    mobileone_s0 convnext_atto convnextv2_atto convmixer_768_32 poolformer_s12 edgenext_xx_small
    vit_tiny_patch16_224
""")
SIZES = {"inception_v3": 96, "inception_v4": 96, "inception_resnet_v2": 96}
OWN_SIZE = ("alexnet", "vit", "swin", "maxvit", "edgenext", "mobilenetv4_hybrid")
"""Whose layers want the size that they were made for."""
SAMPLES = {"zoo": 4}
FIRST = ("quantize", "export", "torch", "qonnx", "onnxruntime", "import")
HARDWARE = ("hls4ml, arrays", "hls4ml, streams", "FINN", "RTL, unrolled", "RTL, streaming")
Cells: TypeAlias = dict[str, int | str]
"""By column: how many codes are equal (0 where none are compared), or the reason."""
LATE = "not within"
LONG = 300
"""Characters of a reason that are kept."""


def known() -> dict[str, tuple[str, ...]]:
    """Names of all networks, and their columns."""
    from tests.zoo import ZOO

    names = [*(f"zoo:{n}" for n in ZOO), *(f"torchvision:{n}" for n in TORCHVISION)]
    names += [f"timm:{n}" for n in TIMM]
    return {n: FIRST + HARDWARE * n.startswith("zoo:") for n in names}


def proof(name: str) -> Any:
    """The network with its samples."""
    import torch

    from tests.convert.helpers import randomise_norms
    from tests.zoo import ZOO
    from tests.zoo.proof import Proof

    source, own = name.split(":")
    if source == "zoo":
        network = ZOO[own]
        return Proof(network.model(), network.inputs(SAMPLES["zoo"]), network.options)
    torch.manual_seed(0)
    size = 224 if own.startswith(OWN_SIZE) else SIZES.get(own, 64)
    if source == "torchvision":
        import torchvision.models as models

        options = {"init_weights": False} if own in ("googlenet", "inception_v3") else {}
        model = getattr(models, own)(weights=None, num_classes=10, **options)
    else:
        import timm

        model = timm.create_model(own, num_classes=10)
        size = model.default_cfg["input_size"][-1] if size == 224 else size
    return Proof(randomise_norms(model).eval(), [torch.randn(1, 3, size, size)])


def ask(names: list[str], columns: list[str]) -> None:
    """Print a line of JSON a column: network, column, and how many codes are equal or the reason.

    Columns behind one that they need, and that is refused, are empty.
    """
    warnings.simplefilter("ignore")
    sys.stdout, shown = open(os.devnull, "w"), sys.stdout  # noqa: SIM115 - hosts are talkative
    for name in names:
        own, refused = None, False
        for column in columns:
            cell: int | str = ""
            if not refused:
                try:
                    own = own or proof(name)
                    cell = own.column(column)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is the reason
                    cell, refused = reason_of(error), column in FIRST[:2]
            print(json.dumps([name, column, cell]), file=shown, flush=True)


def reason_of(error: Exception) -> str:
    """Its first line, or the first obstacle below it; that of a bug with its type."""
    from qfx_plugin.errors import QfxError

    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    text = lines[1] if lines[0].endswith("cannot be converted to fixed point:") else lines[0]
    return (text if isinstance(error, QfxError) else f"{type(error).__name__}: {text}")[:LONG]


def run(
    names: list[str], columns: list[str], limit: float, memory: float
) -> Iterator[tuple[str, Cells]]:
    """Ask in processes with so many seconds a network; one that ends a process says so."""
    while names:
        command = [sys.executable, __file__, "--ask", *names, "--columns", *columns]
        command += ["--memory", str(memory)]
        environ = os.environ | {"OMP_NUM_THREADS": "1"}
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environ
            ) as process,
        ):
            assert process.stdout is not None
            while names:
                cells: Cells = {}
                late = threading.Timer(limit, process.kill)
                late.start()
                while len(cells) < len(columns) and (line := process.stdout.readline()):
                    _, column, cell = json.loads(line)
                    cells[column] = cell
                ended = len(cells) < len(columns)
                in_time = late.is_alive()
                late.cancel()
                if ended:
                    process.wait()
                    errors.seek(0)
                    last = (errors.read().strip().splitlines() or ["?"])[-1]
                    why = f"the process ended: {last}" if in_time else f"{LATE} {limit:.0f} s"
                    cells = {c: cells.get(c, why[:LONG]) for c in columns}
                yield names.pop(0), cells
                if ended:
                    break
            process.kill()


def main() -> None:
    """Ask for what is not known yet, the cheapest columns first."""
    arguments = parser(__doc__)
    arguments.add_argument("names", nargs="*", help="zoo, torchvision, timm, or zoo:UNet ...")
    arguments.add_argument("--columns", nargs="+", default=[*FIRST, *HARDWARE])
    arguments.add_argument("--limit", type=float, default=600, help="seconds of a network")
    arguments.add_argument("--memory", type=float, default=16, help="GiB of a process")
    arguments.add_argument("--seconds", type=float, default=1e9, help="of all; then it stops")
    arguments.add_argument("--again", action="store_true", help="what is known, too")
    arguments.add_argument("--failed", action="store_true", help="what is known to fail, too")
    arguments.add_argument("--ask", nargs="+", help="(what a process of its own is started with)")
    options = arguments.parse_args()
    if options.ask:
        limit = int(options.memory * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        ask(options.ask, options.columns)
        return
    end = time.monotonic() + options.seconds
    for columns in (FIRST, *((column,) for column in HARDWARE)):
        chosen = [column for column in columns if column in options.columns]
        names = [
            name
            for name in named(options.names)
            if set(chosen) & set(known()[name])
            and (options.again or not_known(stored().get(name, {}), chosen, options.failed))
        ]
        for name, cells in run(names, chosen, options.limit, options.memory) if chosen else ():
            print(name, cells, flush=True)
            rows = stored()
            rows[name] = rows.get(name, {}) | cells
            keep(rows)
            if time.monotonic() > end:
                return


def named(texts: list[str]) -> list[str]:
    """Networks, or all of a group, in the order in which they were asked for; all without any."""
    groups = [[n for n in known() if text in (n, n.split(":")[0])] for text in texts]
    return list(dict.fromkeys(sum(groups, []))) or list(known())


def not_known(cells: Cells, columns: Sequence[str], failed: bool) -> bool:
    """Whether there is something to ask for: never asked, out of time, or failed."""
    found = [str(cells.get(column, LATE)) for column in columns]
    return any(cell.startswith(LATE) or (failed and not cell.isdigit()) for cell in found)


def keep(rows: dict[str, Cells]) -> None:
    """Store, in the order of `known`."""
    order = list(known())
    write_results(
        "coverage",
        {"rows": dict(sorted(rows.items(), key=lambda row: order.index(row[0])))}
        | {"environment": environment()},
    )


def stored() -> dict[str, Cells]:
    """What is known, by network and column."""
    path = RESULTS / "coverage.json"
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else {}


if __name__ == "__main__":
    main()
