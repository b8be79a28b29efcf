"""Large weights: set aside while the graph is rewritten; trained floats as far as they fit."""

from __future__ import annotations

import json
import re
import warnings
import zlib

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from brevitas_quantizers import calibrate, export_qonnx, import_qonnx, quantize
from brevitas_quantizers.fixed_point import QfxWarning
from brevitas_quantizers.injectors import initialise
from brevitas_quantizers.qonnx import metadata
from brevitas_quantizers.qonnx.aside import SetAside
from brevitas_quantizers.qonnx.state import decode, encode
from qfx_plugin import interpret, load_qonnx


def wide(equal: bool = False) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    if equal:  # exporters write one initializer
        model[2].weight.data.copy_(model[0].weight.data)
    x = torch.randn(5, 64)
    return calibrate(quantize(model), [x]).eval(), x


@pytest.mark.parametrize("dynamo", [False, True])
def test_weights_come_back_where_they_were(dynamo):
    model, x = wide(equal=True)
    exported = export_qonnx(model, x[:1], dynamo=dynamo)
    stored = {t.name: numpy_helper.to_array(t) for t in exported.graph.initializer}
    for name in ("0.weight", "2.weight"):
        assert np.array_equal(
            stored[name], model.get_submodule(name[0]).quant_weight().value.detach()
        )
    (found,) = interpret(load_qonnx(exported), x.numpy()).values()
    assert np.array_equal(found.values, model(x).detach().numpy())


def test_aside_are_large_floats_and_copies_get_them_too():
    values = np.arange(2000, dtype=np.float32)
    tensors = [values, values.astype(np.int64), values[:9]]
    graph = onnx.helper.make_graph(
        [], "g", [], [], [numpy_helper.from_array(t, f"t{i}") for i, t in enumerate(tensors)]
    )
    wanted = graph.SerializeToString()
    aside = SetAside(graph)
    assert [len(t.raw_data) < 20 for t in graph.initializer] == [True, False, False]
    graph.initializer.add().CopyFrom(graph.initializer[0])
    aside.put_back(graph)
    assert graph.initializer[3] == graph.initializer[0]
    del graph.initializer[3]
    assert graph.SerializeToString() == wanted


def test_trained_floats_that_readers_would_refuse_are_left_out(monkeypatch):
    """A file that is read, with a warning that names the option, instead of one that is not."""
    model, x = wide()
    full = export_qonnx(model, x[:1])
    size = len(next(p.value for p in full.metadata_props if p.key == "qfx_state"))
    monkeypatch.setattr(metadata, "_MAX_STATE", size // 2)
    text = (
        "export_qonnx: the trained floats of GraphModule, 8320 parameters, need more than the "
        f"{size // 2} bytes of metadata that readers accept, so the file is without them, and "
        "training can go on only from the model's own state_dict; say latents=False"
    )
    with pytest.warns(QfxWarning, match=f"^{re.escape(text)}$"):
        short = export_qonnx(model, x[:1])
    with warnings.catch_warnings():
        warnings.simplefilter("error", QfxWarning)
        assert export_qonnx(model, x[:1], latents=False) == short
    assert "qfx_state" not in {p.key for p in short.metadata_props}
    assert torch.equal(import_qonnx(short)(x), model(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_is_stored_in_a_stream_that_any_zlib_reads(dtype):
    near = torch.linspace(-1, 1, 50_000, dtype=dtype)
    values = near + 1e-3 * torch.rand(50_000, generator=torch.Generator().manual_seed(0))
    item = json.loads(json.dumps(encode(values, near)))
    assert torch.equal(decode(item, (50_000,), near), values.to(dtype))
    assert len(encode(torch.zeros(50_000, dtype=dtype))["data"]) < 2000
    noise = torch.randint(-(1 << 62), 1 << 62, (9000,))
    assert len(encode(noise)["data"]) < 1.01 * len(zlib.compress(noise.numpy().tobytes())) * 4 / 3


def test_each_point_is_searched_once(monkeypatch):
    searched = []
    search = initialise._least_squares
    monkeypatch.setattr(
        initialise,
        "_least_squares",
        lambda values, *rest: searched.append(values.shape) or search(values, *rest),
    )
    quantize(
        nn.Sequential(
            nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.PReLU(), nn.Flatten(), nn.Linear(12, 5)
        )
    )
    assert [searched.count(shape) for shape in ((3, 1, 2, 2), (5, 12), (5,))] == [1, 1, 1]


@pytest.mark.parametrize("shape", [(), (1, 1), (300, 1), (1, 500)])
def test_errors_by_blocks_find_the_same_points(shape, monkeypatch):
    values = torch.randn(300, 500, generator=torch.Generator().manual_seed(1))

    def cast(x, point):
        return (torch.round(x * torch.exp2(point)).clamp(-8, 7)) * torch.exp2(-point)

    found = [
        initialise.initial_frac_bits(values, shape, 7, True, initialise.BinaryPointInit.MSE, cast)
        for block in (1 << 30, 7000)
        if monkeypatch.setattr(initialise, "_BLOCK", block) is None
    ]
    assert torch.equal(*found)
    assert found[0].shape == shape
