"""The main job: train float and QFX networks, export them, and prove every bit."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import nn

from brevitas_quantizers import export_qonnx, learned_formats
from brevitas_quantizers.prepare import named_quantizers
from qfx_plugin.ir import Quantize, Weighted, interpret
from qfx_plugin.qonnx_import import load_qonnx
from qfx_plugin.report import (
    DatasetSummary,
    DemoReport,
    ExecutorAgreement,
    LearnedFormat,
    ModelResult,
)
from qfx_plugin.verify import Agreement, verify

from .data import Dataset, load_dataset
from .models import NETWORKS, RECIPES, Recipe, build
from .progress import DemoProgress, SilentDemo
from .train import accuracy, predict, train

EPOCHS = {"digits": 40, "mnist": 4, "cifar10": 4}
QUICK_EPOCHS = {"digits": 3, "mnist": 1, "cifar10": 1}
LOOKED_AT = 1000
"""Test images on which the range of each tensor is looked at, at most."""

SIMULATED_SAMPLES = {"digits": None, "mnist": 1000, "cifar10": 100}
"""Test samples for hls4ml's C simulation, which is slow; `None` means all of them."""

TINY_IMAGE = 256
"""Values of an image up to which PyTorch gets one thread."""

_PACKAGES = ("torch", "brevitas", "qonnx", "hls4ml", "numpy")


@dataclass
class TrainedModel:
    """One network of the demo and what became of it.

    Attributes:
        title: row title: "MLP, QFX 6-bit".
        network: "mlp" or "cnn".
        recipe: how its numbers are represented.
        model: the trained network, in evaluation mode.
        accuracy: of the test split, in percent.
        path: the QONNX file, unless float.
        agreement: the executors compared, unless float.
        largest: magnitudes that the tensors reach on test images, by their names in
            `learned_formats`.
        stages: seconds by stage.
    """

    title: str
    network: str
    recipe: Recipe
    model: nn.Module
    accuracy: float = 0.0
    path: Path | None = None
    agreement: Agreement | None = None
    largest: dict[str, float] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Record the wall-clock time of a stage."""
        start = time.perf_counter()
        yield
        self.stages[stage] = time.perf_counter() - start


def run_demo(
    dataset: str | None = None,
    out_dir: str | Path = "build/demo",
    seed: int = 0,
    quick: bool = False,
    progress: DemoProgress | None = None,
    networks: Sequence[str] = NETWORKS,
    recipes: Sequence[Recipe] = RECIPES,
    executors: Sequence[str] | None = None,
) -> DemoReport:
    """Train, export and verify the demo's networks.

    Args:
        dataset: "digits", "mnist" or "cifar10"; by default MNIST where `QFX_DATA` is set.
        out_dir: folder for the QONNX files.
        seed: of weights and sample order.
        quick: few epochs, to see that all works; accuracies mean nothing then.
        progress: listens to what is going on.
        networks: of "mlp" and "cnn".
        recipes: number representations; float first, as the baseline of the others.
        executors: names of executors to compare with the interpreter; all by default.

    Returns:
        The report, with one row for each network and recipe.

    Raises:
        VerificationError: an executor's code differs from the interpreter's.
        DataError: the data set is missing or damaged.
    """
    start = time.perf_counter()
    listener = progress or SilentDemo()
    data = load_dataset(dataset)
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    epochs = (QUICK_EPOCHS if quick else EPOCHS)[data.name]
    rows = []
    with _threads_for(data):
        for network in networks:
            for recipe in recipes:
                row = train_one(data, network, recipe, epochs, seed, listener)
                if not recipe.is_float:
                    export_and_verify(row, data, out_dir, executors, listener)
                rows.append(row)
    return DemoReport(
        dataset=_summary(data),
        models=tuple(_result(row, rows) for row in rows),
        seed=seed,
        environment=_environment(),
        seconds=time.perf_counter() - start,
    )


def train_one(
    data: Dataset, network: str, recipe: Recipe, epochs: int, seed: int, progress: DemoProgress
) -> TrainedModel:
    """Train one network from scratch and measure its accuracy."""
    torch.manual_seed(seed)
    title = f"{network.upper()}, {recipe.name}"
    row = TrainedModel(
        title, network, recipe, build(network, recipe, data.image_shape, data.classes)
    )
    progress.stage(f"{title}: train")

    def report(done: int, total: int, loss: float) -> None:
        progress.step(done, total, f"loss {loss:.3f}")

    with row.timed("train"):
        train(row.model, as_input(network, data.x_train), data.y_train, epochs, seed, report)
    row.accuracy = accuracy(predict(row.model, as_input(network, data.x_test)), data.y_test)
    progress.step(epochs, epochs, f"accuracy {row.accuracy:.2f} %")
    return row


def export_and_verify(
    row: TrainedModel,
    data: Dataset,
    out_dir: Path,
    executors: Sequence[str] | None,
    progress: DemoProgress,
) -> None:
    """Export a trained network and compare every executor on the test split."""
    x = as_input(row.network, data.x_test)
    row.path = out_dir / f"{_slug(row.title)}.onnx"
    progress.stage(f"{row.title}: export")
    with row.timed("export"):
        export_qonnx(row.model, torch.from_numpy(x[:1]), row.path)
    progress.stage(f"{row.title}: verify")
    limit = SIMULATED_SAMPLES[data.name]
    limits = {} if limit is None else {"hls4ml": limit}
    with row.timed("verify"):
        row.agreement = verify(row.path, x, row.model, executors, limits=limits)
    row.agreement.raise_if_different()
    row.largest = largest_values(row.path, x[:LOOKED_AT])
    progress.step(1, 1, _verdict(row.agreement))


def largest_values(path: Path, x: np.ndarray) -> dict[str, float]:
    """Largest magnitudes of weights, biases and activations, by their quantizers' names."""
    graph = load_qonnx(path)
    casts = [op for op in graph.ops if isinstance(op, Quantize)]
    tensors = interpret(graph, x, keep=[op.output for op in casts])
    found = {
        op.name.removesuffix("_quant"): float(np.abs(tensors[op.output].values).max())
        for op in casts
    }
    for op in graph.ops:
        for weight in (op.weight, op.bias) if isinstance(op, Weighted) else ():
            if weight is not None:
                rows = np.abs(weight.codes.reshape(len(weight.codes), -1)).max(axis=1)
                values = np.ldexp(rows.astype(float), -np.asarray(weight.frac_bits))
                found[weight.name] = float(values.max())
    return found


def as_input(network: str, images: np.ndarray) -> np.ndarray:
    """Images as the network takes them: flattened for the MLP.

    Args:
        network: "mlp" or "cnn".
        images: (samples, channels, height, width).
    """
    return images.reshape(len(images), -1) if network == "mlp" else images


@contextmanager
def _threads_for(data: Dataset) -> Iterator[None]:
    """One thread for tiny images: a second one gains nothing, and on a busy machine both wait."""
    before = torch.get_num_threads()
    if data.x_train[0].size <= TINY_IMAGE:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _verdict(agreement: Agreement) -> str:
    parts = [
        f"{entry.name} {entry.codes:,} codes equal" if entry.ran else f"{entry.name} not run"
        for entry in agreement.executors
    ]
    return ", ".join(parts)


def _slug(title: str) -> str:
    words = "".join(character if character.isalnum() else " " for character in title.lower())
    return "-".join(words.split())


def _summary(data: Dataset) -> DatasetSummary:
    return DatasetSummary(
        name=data.name,
        train_samples=len(data.x_train),
        test_samples=len(data.x_test),
        image_shape=data.image_shape,
        classes=data.classes,
        source=data.source,
    )


def _result(row: TrainedModel, rows: Sequence[TrainedModel]) -> ModelResult:
    baselines = (other for other in rows if other.network == row.network and other.recipe.is_float)
    baseline = next((other.title for other in baselines if other is not row), None)
    formats = () if row.recipe.is_float else learned_formats(row.model).items()
    agreement = row.agreement.executors if row.agreement else ()
    return ModelResult(
        name=row.title,
        accuracy=row.accuracy,
        weight_bits=row.recipe.bit_width,
        act_bits=row.recipe.bit_width,
        size_bits=_size_bits(row),
        k=row.recipe.k,
        baseline=baseline,
        formats=tuple(LearnedFormat.of(name, fmt, row.largest.get(name)) for name, fmt in formats),
        agreement=tuple(ExecutorAgreement.of(entry) for entry in agreement),
        stages=row.stages,
    )


def _size_bits(row: TrainedModel) -> int:
    """Bits of all weights and biases; 32 each in float."""
    if row.recipe.bit_width is None:
        return 32 * sum(parameter.numel() for parameter in row.model.parameters())
    formats = {id(p) for _, q in named_quantizers(row.model) for p in q.parameters()}
    values = sum(p.numel() for p in row.model.parameters() if id(p) not in formats)
    return row.recipe.bit_width * values


def _environment() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
