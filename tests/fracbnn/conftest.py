"""A FracBNN of two small stages on scikit-learn's digits, whose pixels are sixteenths."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from brevitas_quantizers import export_qonnx
from qfx_plugin import load_qonnx
from qfx_plugin.demo.data import load_dataset
from qfx_plugin.fracbnn import Architecture, FracBNN, Parameters, ReferenceFracBNN
from qfx_plugin.ir import Graph

TINY = Architecture(channels=(4, 8), blocks=1, levels=16, colours=1, classes=10)


@pytest.fixture(scope="session")
def parameters():
    return Parameters.random(TINY, seed=1)


@pytest.fixture(scope="session")
def images():
    return torch.tensor(load_dataset("digits").x_train[:48])


@pytest.fixture
def reference(parameters):
    return ReferenceFracBNN(parameters).eval()


@pytest.fixture
def model(parameters, images):
    """8 bits, K = 2, calibrated; a new one for each test."""
    return FracBNN(parameters, bits=8, k=2).calibrate(images).eval()


class Exported(NamedTuple):
    path: Path
    graph: Graph
    model: FracBNN


@pytest.fixture(scope="session")
def network(parameters, images, tmp_path_factory):
    """Such a model, exported and read again; not to be changed."""
    path = tmp_path_factory.mktemp("fracbnn") / "tiny.onnx"
    model = FracBNN(parameters, 8, 2).calibrate(images).eval()
    export_qonnx(model, images[:1], path)
    return Exported(path, load_qonnx(path), model)
