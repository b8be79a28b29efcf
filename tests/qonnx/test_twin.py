"""Models that are not quite plain: unused, pruned, parametrized, called by keyword, nested."""

from __future__ import annotations

import warnings

import brevitas.nn as qnn
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from brevitas_quantizers import (
    QFXFixedPoint,
    calibrate,
    export_qonnx,
    import_qonnx,
    learned_formats,
)
from brevitas_quantizers.fixed_point import ExportError, QfxWarning
from qfx_plugin import interpret, load_qonnx
from tests.qonnx.roundtrip_checks import bytes_of

FIXED = {"act_quant": QFXFixedPoint}
WB = {"weight_quant": QFXFixedPoint, "bias_quant": QFXFixedPoint}


class Base(nn.Module):
    """Two linear layers behind one cast."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = qnn.QuantIdentity(**FIXED)
        self.fc = qnn.QuantLinear(8, 3, **WB)
        self.other = qnn.QuantLinear(8, 3, **WB)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.entry(x))


@pytest.fixture
def x(torch_seed) -> Tensor:
    return torch.randn(6, 8)


def refusal(model: nn.Module, x: Tensor, **options: object) -> str:
    with pytest.raises(ExportError) as caught:
        export_qonnx(model.eval(), x[:1], **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_layers_that_forward_does_not_call_are_left_out_with_a_warning(x):
    model = Base()
    model.head = nn.ModuleDict({"aux": nn.Linear(3, 2), "act": qnn.QuantReLU(**FIXED)})
    model.relu = nn.ReLU()  # nothing is lost with this one
    calibrate(model, [x])
    with pytest.warns(QfxWarning) as caught:
        exported = export_qonnx(model.eval(), x[:1])
    assert [str(w.message) for w in caught if w.category is QfxWarning] == [
        "export_qonnx: forward does not call other, head in evaluation, so the file is without"
    ]
    twin = import_qonnx(exported)
    assert torch.equal(twin(x), model(x))
    assert set(learned_formats(twin)) == {"entry.act", "fc.weight", "fc.bias"}
    assert isinstance(model.other, qnn.QuantLinear)  # the model itself is as it was


def test_a_layer_that_is_read_without_a_call_stays(x):
    class Reads(Base):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            return y if self.other.out_features == 3 else -y

    model = Reads()
    calibrate(model, [x])
    with warnings.catch_warnings():
        warnings.simplefilter("error", QfxWarning)
        twin = import_qonnx(without_notes(export_qonnx(model.eval(), x[:1])))
    assert torch.equal(twin(x), model(x))


def without_notes(exported):
    del exported.metadata_props[:]
    return exported


REPARAMETRIZED = {
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", amount=0.5),
    "pruned twice": lambda layer: prune.random_structured(
        prune.l1_unstructured(layer, "weight", amount=0.25), "weight", amount=1, dim=0
    ),
    "bias": lambda layer: prune.l1_unstructured(layer, "bias", amount=1),
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
}


@pytest.mark.parametrize("name", REPARAMETRIZED)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weights_that_are_computed_are_exported_as_they_are_used(name, x):
    model = Base()
    model.other = None
    REPARAMETRIZED[name](model.fc)
    calibrate(model, [x])
    model.train()
    model(x).square().sum().backward()
    model.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    expected = model(x)
    twin = import_qonnx(export_qonnx(model, x[:1]))
    assert torch.equal(twin(x), expected)
    assert torch.equal(twin.fc.weight, model.fc.weight)
    after = model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_a_recurrent_layer_is_refused_by_name(x):
    slots = ("io_quant", "gate_acc_quant", "sigmoid_quant", "tanh_quant", "cell_state_quant")
    lstm = qnn.QuantLSTM(8, 4, batch_first=True, **WB, **dict.fromkeys(slots, QFXFixedPoint))
    model = nn.Sequential(qnn.QuantIdentity(**FIXED), nn.Sequential(lstm))
    text = refusal(model, x[None])
    assert text.startswith("1.0: QuantLSTM has no exact form in QONNX; its sigmoid and tanh are ")
    assert text.endswith("between its quantizers: use QuantLSTM of brevitas_quantizers.nn")


NO_FORM = {
    "softmax": (nn.Softmax(1), "2: Softmax has no exact form in QONNX: this operation is not "),
    "gelu": (nn.GELU(), "2: Div has no exact form in QONNX: "),
    "leaky": (nn.LeakyReLU(), "2: LeakyRelu has no exact form in QONNX: alpha must be "),
}


@pytest.mark.parametrize("name", NO_FORM)
def test_what_no_reader_takes_is_refused_before_it_is_written(name, x, tmp_path):
    layer, text = NO_FORM[name]
    model = nn.Sequential(qnn.QuantIdentity(**FIXED), qnn.QuantLinear(8, 3, **WB), layer)
    calibrate(model, [x])
    found = refusal(model, x, path=tmp_path / "m.onnx")
    assert found.startswith(text)
    assert not list(tmp_path.iterdir())


class Deep(nn.Module):
    """A function without a form, called by a module and by the model itself."""

    def __init__(self, inside):
        super().__init__()
        self.start = nn.Sequential(qnn.QuantIdentity(**FIXED), qnn.QuantLinear(8, 3, **WB))
        self.blocks = nn.ModuleList([nn.Sequential(nn.Identity(), Sine())])
        self.inside = inside

    def forward(self, x):
        x = self.start(x)
        return self.blocks[0](x) if self.inside else torch.sin(x)


class Sine(nn.Module):
    def forward(self, x):
        return torch.sin(x)


@pytest.mark.parametrize("target", ["qonnx", "qcdq", "hls4ml"])
@pytest.mark.parametrize(("inside", "name"), [(True, "blocks.0.1"), (False, "Deep")])
def test_a_refusal_names_the_module_that_calls(inside, name, target, x):
    model = calibrate(Deep(inside), [x])
    found = refusal(model, x, target=target)
    assert found.startswith(f"{name}: Sin has no exact form in QONNX: this operation is not ")


def test_the_other_exporter_names_the_module_too(x):
    found = refusal(calibrate(Deep(True), [x]), x, dynamo=True)
    assert found.startswith("blocks.0.1: Sin has no exact form in QONNX: this operation is not ")


def test_the_other_exporter_says_why(x):
    class Branches(Base):
        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.entry(x)) if x.sum() > 0 else self.fc(self.entry(-x))

    model = Branches()
    model.other = None
    calibrate(model, [x, -x])
    found = refusal(model, x, dynamo=True)
    assert found.startswith("Branches: torch.onnx cannot export the model: ")
    assert "data-dependent" in found
    assert "step 1" not in found
    assert "\x1b" not in found


class Nested(Base):
    def forward(self, x: Tensor) -> dict:
        x = self.entry(x)
        return {"y": self.fc(x), "aux": {"u": self.other(x), "v": (self.fc(x), None)}}


class Keyword(Base):
    def forward(self, x: Tensor, mask: Tensor | None = None, *, shift: Tensor | None = None):
        y = self.fc(self.entry(x))
        if mask is not None:
            y = y * self.other(self.entry(mask))
        return y if shift is None else (y + self.other(self.entry(shift)),)


def test_outputs_come_back_in_their_nesting(x):
    model = Nested()
    calibrate(model, [x])
    exported = export_qonnx(model.eval(), x[:1])
    assert [value.name for value in exported.graph.output] == ["y", "aux.u", "aux.v.0"]
    twin = import_qonnx(exported)
    expected, found = model(x), twin(x)
    assert list(found) == ["y", "aux"]
    assert torch.equal(found["y"], expected["y"])
    assert torch.equal(found["aux"]["u"], expected["aux"]["u"])
    assert torch.equal(found["aux"]["v"][0], expected["aux"]["v"][0])
    assert found["aux"]["v"][1] is None
    assert bytes_of(export_qonnx(twin, x[:1])) == bytes_of(exported)
    assert set(interpret(load_qonnx(exported), x.numpy())) == {"y", "aux.u", "aux.v.0"}
    row = import_qonnx(exported, outputs=["aux.u", "y"])(x)
    assert [torch.equal(row[0], expected["aux"]["u"]), torch.equal(row[1], expected["y"])] == [
        True
    ] * 2


def test_optional_arguments_are_inputs_where_they_are_given(x):
    model, z = Keyword(), torch.randn(6, 8)
    model.train()
    model(x, z, shift=z)
    model.eval()
    calls = (
        (((x, None), {}), ["input"]),
        (((x, z), {}), ["input_0", "input_1"]),
        (((x, None), {"shift": z}), ["input", "shift"]),
        (((x,), {"mask": z, "shift": z + 1}), ["input", "mask", "shift"]),
    )
    for (args, kwargs), names in calls:
        first = [None if t is None else t[:1] for t in args]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", QfxWarning)  # of what this call leaves out
            exported = export_qonnx(model, first, kwargs={k: t[:1] for k, t in kwargs.items()})
        assert [value.name for value in exported.graph.input] == names
        given = [t for t in (*args, *kwargs.values()) if t is not None]
        expected, found = model(*args, **kwargs), import_qonnx(exported)(*given)
        assert type(found) is type(expected)
        for mine, theirs in zip(found, expected, strict=True):
            assert torch.equal(mine, theirs)
    assert refusal(model, x, kwargs={"shift": 3}) == (
        "args must be a tensor or a tuple of tensors, not 3"
    )
