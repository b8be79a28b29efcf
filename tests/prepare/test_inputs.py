"""Several inputs, inputs by name, optional arguments, outputs of any structure."""

from __future__ import annotations

import copy

import brevitas.nn as qnn
import numpy as np
import pytest
import torch
from torch import nn

from brevitas_quantizers import QFXFixedPoint, calibrate, export_qonnx, learned_formats, quantize
from brevitas_quantizers.fixed_point import CalibrationError, ConversionError, DataError
from brevitas_quantizers.prepare import uninitialized_quantizers


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 4), nn.Linear(3, 4)

    def forward(self, u, v):
        return torch.relu(self.a(u)) + torch.relu(self.b(v))


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 4)

    def forward(self, x, mask=None, negate: bool = False, *, scale=(1, 2)):
        y = torch.relu(self.a(x))
        if mask is not None:
            y = y * mask
        if negate:
            y = torch.relu(self.a(x + x))
        return {"y": y, "parts": [y, (x,)]} if scale == (1, 2) else y


U, V, LABEL = torch.randn(16, 6) * 3, torch.randn(16, 3), torch.arange(16)
BATCHES = {
    "tuple": (U, V),
    "list": [U, V],
    "label": (U, V, LABEL),
    "nested": ((U, V), LABEL),
    "names": {"v": V, "u": U, "label": LABEL},
    "names and label": ({"u": U, "v": V}, LABEL),
}


@pytest.mark.parametrize("batch", BATCHES.values(), ids=list(BATCHES))
def test_batches_of_two_inputs(batch):
    torch.manual_seed(0)
    model = quantize(Two())
    expected = copy.deepcopy(model)
    expected.train()(U, V)
    calibrate(model, [batch])
    assert learned_formats(model) == learned_formats(expected)


@pytest.mark.parametrize(
    ("batch", "text"),
    [
        ((U,), "calibrate: a batch must hold the 2 inputs u, v of forward, and at most a label"),
        ((U, V, LABEL, LABEL), "not 4 elements; give ((u, v), label) or a mapping"),
        (((U, V, V), LABEL), "not 3 elements"),
        ({"u": U}, "calibrate: a batch by names must have the inputs u, v of forward, not only u"),
        (np.zeros((4, 6)), "a mapping of argument names to inputs, not ndarray"),
        ((), "calibrate: a batch must be a tensor, a sequence that begins with the inputs"),
    ],
)
def test_what_does_not_say_its_inputs_is_refused(batch, text):
    with pytest.raises(DataError) as caught:
        calibrate(quantize(Two()), [batch])
    assert text in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("batch", [U, (U,), (U, LABEL), [U, LABEL, LABEL], {"x": U, "y": LABEL}])
def test_one_input_as_ever(batch):
    torch.manual_seed(0)
    model = quantize(Masked())
    calibrate(model, [batch])
    assert learned_formats(model)["x_quant.act"].max > 3


def test_wrapped_models_have_the_signature_of_what_is_inside():
    class Wrapper(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, *inputs, **kwargs):
            return self.module(*inputs, **kwargs)

    calibrate(Wrapper(quantize(Two())), [(U, V)])


def test_optional_arguments_take_their_defaults_and_keep_the_call(tmp_path):
    torch.manual_seed(0)
    plain = Masked()
    model = quantize(plain)
    y = model.train()(U)
    assert set(y) == {"y", "parts"}
    y["y"].sum().backward()
    assert plain.a.weight.shape == model.a.weight.grad.shape
    for twin in (model, copy.deepcopy(model)):
        same = twin(U, None, negate=False)["y"]
        assert torch.equal(same, twin(U)["y"])
        with pytest.raises(DataError) as caught:
            twin(U, torch.ones(16, 4))
        assert str(caught.value) == (
            "forward: mask must be None, as when the network was quantized, not a tensor of shape "
            "(16, 4); give quantize(..., example={'mask': ...}) what it is called with"
        )
        with pytest.raises(DataError, match="negate must be False, as when .* not True"):
            twin(U, negate=True)


@pytest.mark.parametrize("given", [(U, torch.rand(16, 4)), {"mask": torch.rand(16, 4)}])
def test_examples_make_inputs_of_optional_arguments(given):
    torch.manual_seed(0)
    plain, mask = Masked(), torch.rand(16, 4)
    model = quantize(plain, bit_width=12, example_inputs=given)
    calibrate(model, [{"x": U, "mask": mask}])
    torch.testing.assert_close(
        model.eval()(U, mask)["y"], plain.eval()(U, mask)["y"], rtol=0.05, atol=0.05
    )


def test_examples_set_flags():
    torch.manual_seed(0)
    plain = Masked()
    model = quantize(plain, bit_width=12, example={"negate": True, "scale": (2, 2)})
    x = U.clone()
    calibrate(model, [x])
    y = model(x, negate=True, scale=(2, 2))
    assert torch.equal(y, model(x))
    torch.testing.assert_close(y, plain(x, negate=True, scale=(2, 2)), rtol=0.05, atol=0.05)
    with pytest.raises(DataError, match="negate must be True"):
        model(x, negate=False)
    with pytest.raises(ConversionError, match="example must fit forward"):
        quantize(plain, example={"mosk": U})


def test_a_loss_inside_forward_does_not_hinder():
    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(6, 4)

        def forward(self, x, target=None):
            y = self.a(x)
            return y if target is None else (y - target).pow(2).mean()

    model = quantize(Loss())
    calibrate(model, [(U, LABEL)])
    exported = export_qonnx(model.eval(), U[:1])
    assert len(exported.graph.input) == 1


def test_a_layer_that_forward_never_calls_is_named():
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.i = qnn.QuantIdentity(act_quant=QFXFixedPoint)
            self.spare = qnn.QuantReLU(act_quant=QFXFixedPoint)

        def forward(self, x):
            return self.i(x)

    model = Spare()
    assert uninitialized_quantizers(model) == ["i.act", "spare.act"]
    calibrate(model, [U])
    assert uninitialized_quantizers(model) == ["spare.act"]
    with pytest.raises(CalibrationError) as caught:
        learned_formats(model)
    assert str(caught.value) == (
        "spare.act: the binary point has not been initialised, because forward did not call the "
        "layer in calibrate; remove the layer, or call it and calibrate again"
    )
