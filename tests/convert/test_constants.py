"""Parameters and buffers that forward uses itself: quantized constants of layers."""

from __future__ import annotations

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from brevitas_quantizers import export_qonnx, import_qonnx, learned_formats, quantize
from brevitas_quantizers.fixed_point import ConversionError, FixedPointFormat
from tests.convert.helpers import assert_close, converted, prove

CHANNELS, SIDE = 4, 5


class With(nn.Module):
    """A convolution in front of a function that reads a tensor of the network."""

    def __init__(self, function, shape=(CHANNELS, 1, 1), trains=True):
        super().__init__()
        self.conv = nn.Conv2d(3, CHANNELS, 1)
        self.last = nn.Conv2d(CHANNELS, 2, 1)
        self.function = function
        values = torch.rand(shape) + 0.5
        if trains:
            self.held = nn.Parameter(values)
        else:
            self.register_buffer("held", values)

    def forward(self, x):
        return self.last(self.function(F.relu(self.conv(x)), self.held))


FUNCTIONS = {
    "add": lambda y, c: y + c,
    "add, reversed": lambda y, c: c + y,
    "torch.add": lambda y, c: torch.add(y, c, alpha=2),
    "sub": lambda y, c: y - c,
    "sub, reversed": lambda y, c: c - y,
    "method": lambda y, c: y.sub(c),
    "mul": lambda y, c: y * c,
    "mul, reversed": lambda y, c: torch.mul(c, y),
    "div": lambda y, c: y / c,
    "in place": lambda y, c: operator.iadd(operator.imul(y, c), c),
    "computed": lambda y, c: y * torch.sigmoid(c - 1).view(1, -1, 1, 1),
    "twice": lambda y, c: (y + c.detach()) * (1 / c.detach()),
}


ONE_LAYER = [name for name in FUNCTIONS if name not in ("in place", "twice")]
"""A tensor that trains belongs to one layer."""


@pytest.mark.parametrize(
    ("name", "trains"),
    [*((name, True) for name in ONE_LAYER), *((name, False) for name in FUNCTIONS)],
)
def test_arithmetic_with_a_constant(name, trains):
    network, x = With(FUNCTIONS[name], trains=trains), torch.rand(2, 3, SIDE, SIDE)
    model = converted(network, x, bit_width=14)
    assert_close(model, network, x, 0.01)
    prove(model, x)


@pytest.mark.parametrize(
    "shape", [(), (1,), (CHANNELS, 1, 1), (1, CHANNELS, 1, 1), (1, SIDE, SIDE)]
)
@pytest.mark.parametrize("name", ["add", "mul"])
def test_shapes_of_constants(name, shape):
    network, x = With(FUNCTIONS[name], shape), torch.rand(2, 3, SIDE, SIDE)
    model = converted(network, x, bit_width=14)
    assert_close(model, network, x, 0.01)
    prove(model, x)


@pytest.mark.parametrize("shape", [(), (CHANNELS, 1, 1)])
def test_a_format_for_each_channel_where_there_are_channels(shape):
    network, x = With(FUNCTIONS["mul"], shape), torch.rand(2, 3, SIDE, SIDE)
    model = converted(network, x, bit_width=14, weight_scaling_per_output_channel=True)
    assert_close(model, network, x, 0.01)
    formats = learned_formats(model)["mul.weight"]
    assert isinstance(formats, tuple) == (shape != ())
    prove(model, x)


@pytest.mark.parametrize("name", ["add", "mul"])
def test_the_file_comes_back(name):
    network, x = With(FUNCTIONS[name]), torch.rand(2, 3, SIDE, SIDE)
    model = converted(network, x)
    exported = export_qonnx(model, x[:1])
    again = export_qonnx(import_qonnx(exported).eval(), x[:1])
    assert again.SerializeToString() == exported.SerializeToString()


def test_a_parameter_goes_on_training():
    network, x = With(FUNCTIONS["mul"]), torch.rand(2, 3, SIDE, SIDE)
    model = converted(network, x).train()
    model(x).square().mean().backward()
    assert model.mul.weight.grad.abs().sum() > 0
    assert not converted(With(FUNCTIONS["mul"], trains=False), x).mul.weight.requires_grad


def test_a_checkpoint_of_the_float_network_loads():
    other = With(FUNCTIONS["computed"])
    model = quantize(With(FUNCTIONS["computed"]))
    model.load_state_dict(other.state_dict())
    expected = quantize(other)
    assert torch.equal(model.mul.weight, expected.mul.weight)
    expected.load_state_dict(model.state_dict())


class Normalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1))
        self.register_buffer("std", torch.tensor([0.25, 0.5, 0.2]).view(3, 1, 1))
        self.body = nn.Conv2d(3, 2, 3)

    def forward(self, x):
        return self.body((x - self.mean) / self.std)


def test_input_normalisation():
    network, x = Normalised(), torch.rand(4, 3, SIDE, SIDE)
    model = converted(network, x, bit_width=12)
    assert_close(model, network, x, 0.01)
    prove(model, x)


def test_a_constant_has_the_bits_that_it_needs():
    network = With(FUNCTIONS["mul"], trains=False)
    network.held = torch.tensor([0.0, 1.0, 1.0, 0.0]).view(-1, 1, 1)
    x = torch.rand(2, 3, SIDE, SIDE)
    formats = learned_formats(converted(network, x))
    assert formats["mul.weight"] == FixedPointFormat(2, 1, signed=False)
    network.held = torch.tensor([0.0, -1.5, 1.0, 0.0]).view(-1, 1, 1)
    assert learned_formats(converted(network, x))["mul.weight"].width == 3


class Own(nn.Module):
    """Functions with the parameters of the module around them."""

    def __init__(self):
        super().__init__()
        self.norm = ActivatedNorm(CHANNELS)
        self.slope = nn.Parameter(torch.tensor([0.25]))
        self.kernel = nn.Parameter(torch.randn(CHANNELS, 3, 3, 3) / 4)
        self.row = nn.Parameter(torch.randn(CHANNELS, CHANNELS, 3) / 3)
        self.head = Head()

    def forward(self, x):
        x = F.conv2d(x, self.kernel, padding=1, stride=1)
        x = F.prelu(self.norm(x), self.slope)
        x = F.conv1d(x.flatten(2), self.row, bias=None, padding="same")
        return self.head(x)


class ActivatedNorm(nn.BatchNorm2d):
    def __init__(self, channels):
        super().__init__(channels)
        self.act = nn.ReLU6()
        self.running_mean.normal_()
        self.running_var.uniform_(0.5, 2)

    def forward(self, x):
        if self.training:
            self.num_batches_tracked.add_(1)
        y = F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, 0.1, 1e-3
        )
        return self.act(y)


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, CHANNELS * SIDE * SIDE) / 8)
        self.bias = nn.Parameter(torch.randn(3))
        self.factor = nn.Parameter(torch.randn(3, 3))

    def forward(self, x):
        x = F.linear(x.flatten(1), self.weight, self.bias)
        return F.relu(x) @ self.factor


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(CHANNELS, 3, 3, 3) / 4)
        self.slope = nn.Parameter(torch.tensor([0.25]))
        self.head = Head()

    def forward(self, x):
        return self.head(F.prelu(F.conv2d(x, self.kernel, padding=1), self.slope))


def test_functions_with_parameters_of_the_module():
    network, x = Own().eval(), torch.randn(2, 3, SIDE, SIDE)
    model = quantize(network, bit_width=14, example=x)
    names = {n for n, _ in model.named_parameters() if not n.endswith(("point", "width"))}
    assert {"norm.weight", "norm.bias", "head.linear.weight", "conv2d.weight"} <= names
    model.load_state_dict(network.state_dict())
    assert type(model.norm).__name__ == "QuantBatchNorm2d"


def test_functions_with_parameters_are_exact():
    network, x = Plain().eval(), torch.rand(2, 3, SIDE, SIDE)
    model = converted(network, x, bit_width=14)
    assert_close(model, network, x, 0.02)
    prove(model, x)


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = ActivatedNorm(CHANNELS)
        self.conv = nn.Conv2d(3, CHANNELS, 1)

    def forward(self, x):
        return self.norm(self.conv(x))


def test_a_norm_that_activates_itself():
    network, x = Norm(), torch.rand(2, 3, SIDE, SIDE)
    model = converted(network, x, bit_width=14)
    assert type(model.norm).__name__ == "QuantBatchNorm2d"
    assert "norm.act.output" in learned_formats(model)
    assert_close(model, network, x, 0.02)
    prove(model, x)


class Twice(nn.Module):
    def __init__(self, shared):
        super().__init__()
        self.scale = Scaled()
        self.other = nn.Linear(3, 3)
        self.shared = shared

    def forward(self, x):
        x = self.scale(self.other(self.scale(x)))
        return x + self.scale.gamma if self.shared else x


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(3))

    def forward(self, x):
        return x * self.gamma


def test_a_module_that_is_called_twice_stays_one_layer():
    network, x = Twice(False), torch.rand(2, 3)
    model = converted(network, x, bit_width=12)
    assert_close(model, network, x, 0.01)
    assert [name for name in learned_formats(model) if name.startswith("scale.mul.")] == [
        "scale.mul.weight"
    ]
    prove(model, x)


def test_a_tensor_that_trains_belongs_to_one_layer():
    with pytest.raises(ConversionError, match=r"scale.gamma: is used by two layers; each needs"):
        quantize(Twice(True))
    network, x = With(FUNCTIONS["twice"]), torch.rand(2, 3, SIDE, SIDE)
    assert_close(converted(network, x, bit_width=12), network, x, 0.01)


FACTORS = {
    "operator": lambda a, y: a @ y,
    "function": lambda a, y: torch.matmul(a, y),
    "method, transposed": lambda a, y: a.t().matmul(y),
    "product of two": lambda a, y: (a @ a.t()) @ y,
}


class Mixed(nn.Module):
    """Nodes that mix by a constant matrix from the left."""

    def __init__(self, function):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(3, 4), nn.Linear(4, 2)
        self.function = function
        self.register_buffer("matrix", (torch.rand(5, 5) > 0.5).float() / 4)

    def forward(self, x):
        y = F.relu(self.function(self.matrix, self.fc1(x)))
        return self.function(self.matrix, self.fc2(y)).sum(1)


@pytest.mark.parametrize("name", FACTORS)
def test_a_constant_factor_on_the_left(name):
    network, x = Mixed(FACTORS[name]), torch.rand(3, 5, 3)
    model = converted(network, x, bit_width=14, example=x)
    assert_close(model, network, x, 0.01)
    prove(converted(network, x, bit_width=6), x)


class Heads(nn.Module):
    """A matrix for each head, on either side; a stack of one."""

    def __init__(self):
        super().__init__()
        self.right = nn.Parameter(torch.randn(2, 3, 2))
        self.left = nn.Parameter(torch.randn(1, 2, 4, SIDE))
        self.one = nn.Parameter(torch.randn(1, 3, 4))

    def forward(self, x):
        y = self.left @ (x.unflatten(2, (2, 3)).transpose(1, 2) @ self.right).tanh()
        return torch.bmm(self.one.expand(x.shape[0], -1, -1), y.transpose(1, 2).flatten(2).tanh())


def test_constant_factors_of_several_matrices():
    network, x = Heads(), torch.randn(3, SIDE, 6)
    model = converted(network, x, bit_width=12, example=x)
    model.load_state_dict(network.state_dict())
    assert_close(model, network, x, 0.03)
    prove(converted(network, x, bit_width=6, example=x), x)


JOINED = {
    "class token": (1, lambda y, c: torch.hstack([2 * c.expand(y.shape[0], -1, -1), y])),
    "stack": (1, lambda y, c: torch.stack([y, c.expand(y.shape[0], SIDE, 4)], 1)),
    "delay": (1, lambda y, c: torch.cat([torch.zeros_like(y[:, :1]), y[:, :-1]], dim=1) + c),
    "map": (-1, lambda y, c: torch.cat(tensors=(y, c.repeat(y.size(0), 1, 1), y), dim=-1)),
    "written": (1, lambda y, c: torch.cat([y + written(y), c.expand(y.shape[0], SIDE, 4)], 1)),
}


def written(y):
    """What forward makes of numbers alone."""
    mask = y.new_zeros((SIDE, y.shape[-1]))
    mask[1:3] = 2
    mask[:, 1] += torch.arange(SIDE)
    return mask


@pytest.mark.parametrize("name", JOINED)
def test_constants_joined_and_written(name):
    dim, function = JOINED[name]

    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.randn(1, SIDE, CHANNELS))
            self.last = nn.Linear(3 * CHANNELS if dim == -1 else CHANNELS, 2)

        def forward(self, x):
            return self.last(function(x, self.token))

    network, x = Joined(), torch.rand(3, SIDE, CHANNELS)
    model = converted(network, x, bit_width=14, example=x)
    model.load_state_dict(network.state_dict())
    assert_close(model, network, x, 0.01)
    prove(model, x)
    model.train()(x).square().mean().backward()
    held = [leaf for leaf in model.parameters() if leaf.numel() == SIDE * CHANNELS]
    assert any(leaf.requires_grad and leaf.grad.any() for leaf in held)


REFUSED = {
    "group_norm: has no fixed-point form; use BatchNorm": lambda y, c: F.group_norm(y, 1, c),
    "truediv: must divide a tensor of the network by a constant": lambda y, c: c / y,
    "divides by a constant of 'held', which has a zero in it": lambda y, c: y / (c - c),
    "cat: has no fixed-point form with a constant of 'held'": lambda y, c: torch.cat(
        [y, c[None]], 0
    ),
    "linear: its weight must be a parameter of the network": lambda y, c: F.linear(y, y, c),
    "multiplies a constant of 'held' from the left, which must have two axes": lambda y, c: (
        c[0, 0] @ y
    ),
    "a constant of 'held': is a result of the network as it is": lambda y, c: (y, c),
}


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text):
    network = With(REFUSED[text], trains=False)
    if "result" in text:
        network = Pair(REFUSED[text])
    with pytest.raises(ConversionError) as error:
        quantize(network)
    assert text in str(error.value)


class Pair(With):
    def __init__(self, function):
        super().__init__(function)

    def forward(self, x):
        return self.function(self.conv(x), self.held)
