"""What post-training quantization to 8 bits keeps: signal to noise of networks with batch norms.

    PYTHONPATH=.:site python benchmarks/post_training.py            # or names of networks
    python benchmarks/tables.py --write      # the table of docs/convert.md

Networks of `tests/networks.py`, and of torchvision where it is found (see `coverage.py`), of random
weights. Batch norms have random factors and offsets and the statistics of images that they have
seen; images are coarse noise with fine noise on it. 16 images calibrate, 16 others are measured:
`10 log10(sum(y**2) / sum((quantized - y)**2))` over the outputs `y` of the float network.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import RESULTS, environment, parser, print_table, write_results

from brevitas_quantizers import calibrate, quantize
from brevitas_quantizers.nn import QuantBatchNorm2d
from tests.networks import MobileNet, ResNet20

EIGHT = {"overrides": {nn.BatchNorm2d: {"bit_width": 8}}}
RULES: dict[str, dict[str, Any]] = {
    "8 bits everywhere": EIGHT,
    "default": {},
    "fold, 8 bits": {"fold_batchnorm": True, "bias_bit_width": 8},
    "fold": {"fold_batchnorm": True},
    "auto": {"fold_batchnorm": "auto"},
}
IMAGES = 16
SMALL: dict[str, Callable[[], nn.Module]] = {
    "resnet20": ResNet20,
    "mobilenet": MobileNet,
    "mobilenet, relu6": partial(MobileNet, activation=nn.ReLU6),
}
TORCHVISION: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "mobilenet_v2": {"width_mult": 0.5},
    "mnasnet0_5": {},
    "shufflenet_v2_x0_5": {},
    "densenet121": {},
    "efficientnet_b0": {},
}


def networks() -> dict[str, tuple[Callable[[], nn.Module], int, int]]:
    """By name: what builds it, the size of its images, and how many seeds."""
    found = {name: (build, 32, 4) for name, build in SMALL.items()}
    if importlib.util.find_spec("torchvision"):
        import torchvision.models as models

        for name, options in TORCHVISION.items():
            build = partial(getattr(models, name), weights=None, num_classes=10, **options)
            found[name] = (build, 64, 1)
    return found


def images(size: int) -> Tensor:
    """(images, 3, size, size)."""
    coarse = F.interpolate(torch.randn(IMAGES, 3, 4, 4), size=size, mode="bilinear")
    return coarse + 0.2 * torch.randn(IMAGES, 3, size, size)


@torch.no_grad()
def settled(network: nn.Module, size: int) -> nn.Module:
    """Batch norms as after training, in evaluation mode."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            module.momentum = None  # the mean of all batches
    for _ in range(2):
        network.train()(images(size))
    return network.eval()


@torch.no_grad()
def measured(network: nn.Module, size: int) -> dict[str, tuple[float, int]]:
    """By rule: signal to noise in dB, and how many batch norms are left."""
    seen, x = images(size), images(size)
    expected, found = network(x), {}
    for rule, options in RULES.items():
        model = calibrate(quantize(network, **options), [seen]).eval()
        noise = (model(x) - expected).square().sum()
        left = sum(isinstance(module, QuantBatchNorm2d) for module in model.modules())
        found[rule] = (float(10 * torch.log10(expected.square().sum() / noise)), left)
    return found


def stored() -> list[dict[str, Any]]:
    """What earlier runs have found."""
    path = RESULTS / "post_training.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text())["rows"] if path.exists() else []
    return rows


def main() -> None:
    """Measure all that are asked for, and store them."""
    known = networks()
    arguments = parser(__doc__)
    arguments.add_argument("networks", nargs="*", default=list(known), help=", ".join(known))
    warnings.simplefilter("ignore")
    rows = {row["network"]: row for row in stored()}
    for name in arguments.parse_args().networks:
        build, size, seeds = known[name]
        runs = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            runs.append(measured(settled(build(), size), size))
        decibels = {rule: round(mean(run[rule][0] for run in runs), 1) for rule in RULES}
        norms = {"norms": runs[0]["default"][1], "norms, auto": runs[0]["auto"][1]}
        rows[name] = {"network": name, "seeds": seeds, **norms, **decibels}
        print_table([rows[name]])
        ordered = [rows[known_name] for known_name in known if known_name in rows]
        write_results("post_training", {"environment": environment(), "rows": ordered})


if __name__ == "__main__":
    main()
