"""Every operation, as module, function and method: the same function, all of it fixed point."""

from __future__ import annotations

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brevitas_quantizers import export_qonnx, learned_formats, quantize
from brevitas_quantizers.fixed_point import ConversionError, OptionError
from brevitas_quantizers.nn.numbers import rounded_factor, rounded_offset
from qfx_plugin import verify_agreement
from tests.convert.helpers import assert_close, converted, prove, randomise_norms

CHANNELS, SIDE = 4, 8


class Around(nn.Module):
    """A convolution, the function under test, another convolution."""

    def __init__(self, function, outputs=CHANNELS, **modules):
        super().__init__()
        self.first = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.last = nn.Conv2d(outputs, 5, 1)
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.function(self, self.first(x)))


class Sequence(nn.Sequential):
    """Layers for samples that are no images."""

    def __init__(self, shape, *layers):
        super().__init__(*layers)
        self.shape = shape


def flattened(reshape):
    """A network that ends in a linear layer behind `reshape`."""

    class Flattened(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, CHANNELS, 3, padding=1)
            self.linear = nn.Linear(CHANNELS * SIDE * SIDE, 5)
            self.flat = nn.Flatten()

        def forward(self, x):
            return self.linear(reshape(self, F.relu(self.conv(x))))

    return Flattened()


def added(m, y):
    y = F.relu(y)
    return m.other(y) + y


def added_in_place(m, y):
    y = F.relu(y)
    z = m.other(y)
    z += y
    return z.relu_()


def joined(m, y):
    return torch.cat([F.relu(y), m.other(F.relu(y))], dim=1)


def subtracted_in_place(m, y):
    y = F.relu(y)
    z = m.other(y)
    z -= y
    z /= 2
    return z


def line(function):
    """A network of sequences, (batch, 3, 16)."""

    class Line(nn.Module):
        shape = (3, 16)

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(3, CHANNELS, 3)

        def forward(self, x):
            return function(F.relu(self.conv(x)))

    return Line()


def both(m, y):
    return m.other(F.relu(y)), F.relu(y)


def other():
    return {"other": nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)}


NETWORKS = {
    "relu module": lambda: Around(lambda m, y: m.act(y), act=nn.ReLU()),
    "relu module, in place": lambda: Around(lambda m, y: m.act(y), act=nn.ReLU(inplace=True)),
    "F.relu": lambda: Around(lambda m, y: F.relu(y)),
    "F.relu in place": lambda: Around(lambda m, y: F.relu(y, inplace=True)),
    "torch.relu": lambda: Around(lambda m, y: torch.relu(y)),
    "x.relu": lambda: Around(lambda m, y: y.relu()),
    "add": lambda: Around(added, **other()),
    "iadd": lambda: Around(added_in_place, **other()),
    "torch.add": lambda: Around(lambda m, y: torch.add(m.other(F.relu(y)), y), **other()),
    "add of both accumulators": lambda: Around(lambda m, y: F.relu(m.other(y) + y), **other()),
    "add of a tensor to itself": lambda: Around(lambda m, y: operator.add(y, y)),
    "cat": lambda: Around(joined, outputs=2 * CHANNELS, **other()),
    "mul": lambda: Around(lambda m, y: F.relu(y) * m.other(F.relu(y)), **other()),
    "sub": lambda: Around(lambda m, y: operator.sub(*both(m, y)), **other()),
    "isub": lambda: Around(subtracted_in_place, **other()),
    "crelu": lambda: Around(lambda m, y: F.relu(torch.cat([y, -y], dim=1)), outputs=2 * CHANNELS),
    "times a number": lambda: Around(lambda m, y: 0.3 * y),
    "divided by a number": lambda: Around(lambda m, y: y.div(-3)),
    "plus a number": lambda: Around(lambda m, y: 1 + F.relu(y + 0.1)),
    "minus a number": lambda: Around(lambda m, y: (y - 0.485) / 0.229),
    "subtracted from a number": lambda: Around(lambda m, y: 1 - torch.rsub(y, 0.25)),
    "2x - 1": lambda: Around(lambda m, y: 2 * F.relu(y) - 1),
    "an epsilon": lambda: Around(lambda m, y: F.relu(y) + 1e-9),
    "maximum": lambda: Around(lambda m, y: torch.maximum(*both(m, y)), **other()),
    "x.min(y)": lambda: Around(lambda m, y: y.min(m.other(F.relu(y))), **other()),
    "clamp from above": lambda: Around(lambda m, y: y.clamp(max=0.5)),
    "clamp from below": lambda: Around(lambda m, y: torch.clamp_min(y, -0.25)),
    "relu6": lambda: Around(lambda m, y: F.relu6(y)),
    "relu6 module": lambda: Around(lambda m, y: m.act(y), act=nn.ReLU6(inplace=True)),
    "hardtanh": lambda: Around(lambda m, y: F.hardtanh(y, -0.5, 0.75)),
    "clamp": lambda: Around(lambda m, y: y.clamp(min=0, max=0.5)),
    "leaky relu": lambda: Around(lambda m, y: F.leaky_relu(y, 0.1)),
    "leaky relu module": lambda: Around(lambda m, y: m.act(y), act=nn.LeakyReLU(0.2)),
    "prelu": lambda: Around(lambda m, y: m.act(y), act=nn.PReLU()),
    "prelu, per channel": lambda: Around(lambda m, y: m.act(y), act=nn.PReLU(CHANNELS)),
    "average pool": lambda: Around(lambda m, y: F.avg_pool2d(F.relu(y), 2)),
    "average pool of 3x3": lambda: Around(lambda m, y: m.pool(y), pool=nn.AvgPool2d(3, 2, 1)),
    "adaptive pool": lambda: Around(lambda m, y: F.adaptive_avg_pool2d(F.relu(y), 1)),
    "adaptive pool module": lambda: Around(
        lambda m, y: m.pool(F.max_pool2d(y, 3, 2)), pool=nn.AdaptiveAvgPool2d((1, 1))
    ),
    "mean": lambda: Around(lambda m, y: y.mean((-1, -2), keepdim=True)),
    "pool of the whole plane": lambda: Around(lambda m, y: F.avg_pool2d(y, y.size()[2:])),
    "average pool, padding not counted": lambda: Around(
        lambda m, y: F.avg_pool2d(y, 3, 1, 1, count_include_pad=False)
    ),
    "average pool, rounded up": lambda: Around(
        lambda m, y: m.pool(y), pool=nn.AvgPool2d(3, 2, 1, ceil_mode=True)
    ),
    "average pool, rounded up in vain": lambda: Around(
        lambda m, y: m.pool(y), pool=nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)
    ),
    "average pool, another divisor": lambda: Around(
        lambda m, y: F.avg_pool2d(y, 2, divisor_override=3)
    ),
    "max pool, rounded up": lambda: Around(
        lambda m, y: m.pool(y), pool=nn.MaxPool2d(3, 2, ceil_mode=True)
    ),
    "adaptive pool to 2": lambda: Around(lambda m, y: F.adaptive_avg_pool2d(y, 2)),
    "adaptive pool of 7 to 3": lambda: Around(
        lambda m, y: F.adaptive_avg_pool2d(F.max_pool2d(y, 2, 1), (3, None))
    ),
    "adaptive pool that repeats": lambda: Around(
        lambda m, y: F.adaptive_avg_pool2d(F.adaptive_avg_pool2d(y, 1), 7)
    ),
    "adaptive max pool": lambda: Around(lambda m, y: F.adaptive_max_pool2d(y, (1, 4))),
    "average pool 1d": lambda: line(lambda y: F.avg_pool1d(y, 3, 2, 1)),
    "adaptive pool 1d": lambda: line(lambda y: F.adaptive_avg_pool1d(y, 7)),
    "adaptive max pool 1d": lambda: line(lambda y: F.adaptive_max_pool1d(y, 2)),
    "max pool 1d, rounded up": lambda: line(lambda y: F.max_pool1d(y, 3, 2, ceil_mode=True)),
    "mean over time": lambda: line(lambda y: y.mean(-1)),
    "mean of channels": lambda: Around(lambda m, y: y.mean(1, keepdim=True), outputs=1),
    "sum of an image": lambda: Around(lambda m, y: torch.sum(y, dim=(2, 3), keepdim=True)),
    "sum of everything": lambda: line(lambda y: y.sum((1, 2))),
    "largest channel": lambda: Around(lambda m, y: y.amax(1, keepdim=True), outputs=1),
    "least of a row": lambda: Around(lambda m, y: torch.amin(y, -1, keepdim=True)),
    "values of x.max": lambda: line(lambda y: y.max(dim=2).values),
    "argmax": lambda: line(lambda y: y.argmax(1)),
    "argmin over time": lambda: line(lambda y: torch.argmin(y, dim=-1, keepdim=True)),
    "values of topk(1)": lambda: line(lambda y: torch.topk(-y, 1, 1, largest=False)[0]),
    "the place of topk(1)": lambda: line(lambda y: y.topk(k=1).indices.squeeze(-1)),
    "indices of torch.max": lambda: line(lambda y: torch.max(y, 1)[1]),
    "batch norm": lambda: Around(lambda m, y: F.relu(m.norm(y)), norm=nn.BatchNorm2d(CHANNELS)),
    "batch norm, no relu": lambda: Around(lambda m, y: m.norm(y), norm=nn.BatchNorm2d(CHANNELS)),
    "batch norm first": lambda: Around(
        lambda m, y: m.other(F.relu(m.norm(F.relu(y)))) + y,
        norm=nn.BatchNorm2d(CHANNELS),
        **other(),
    ),
    "batch norm 1d": lambda: Sequence(
        (12,), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
    ),
    "batch norm of a sequence": lambda: Sequence(
        (3, 16), nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Conv1d(4, 2, 1)
    ),
    "max pool module": lambda: Around(lambda m, y: m.pool(F.relu(y)), pool=nn.MaxPool2d(2)),
    "max pool before relu": lambda: Around(lambda m, y: F.relu(F.max_pool2d(y, 3, 2, 1))),
    "torch.max_pool2d": lambda: Around(lambda m, y: torch.max_pool2d(F.relu(y), 2)),
    "identity": lambda: Around(lambda m, y: m.same(F.relu(y)), same=nn.Identity()),
    "dropout module": lambda: Around(lambda m, y: m.drop(F.relu(y)), drop=nn.Dropout(0.5)),
    "F.dropout": lambda: Around(lambda m, y: F.dropout(y.relu(), 0.5, training=m.training)),
    "nothing between": lambda: Around(lambda m, y: y),
    "depthwise": lambda: Around(
        lambda m, y: F.relu(m.deep(F.relu(y))),
        deep=nn.Conv2d(CHANNELS, CHANNELS, 3, groups=CHANNELS, stride=2, padding=1),
    ),
    "grouped, dilated, same": lambda: Around(
        lambda m, y: m.conv(F.relu(y)),
        conv=nn.Conv2d(CHANNELS, 4, 3, groups=2, dilation=2, padding="same", bias=False),
    ),
    "flatten module": lambda: flattened(lambda m, y: m.flat(y)),
    "torch.flatten": lambda: flattened(lambda m, y: torch.flatten(y, 1)),
    "x.flatten": lambda: flattened(lambda m, y: y.flatten(1)),
    "view, size": lambda: flattened(lambda m, y: y.view(y.size(0), -1)),
    "view, number of features": lambda: flattened(
        lambda m, y: y.view(-1, y.size(1) * y.size(2) * y.size(3))
    ),
    "reshape, shape": lambda: flattened(lambda m, y: y.contiguous().reshape(y.shape[0], -1)),
    "linear": lambda: Sequence((12,), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3, bias=False)),
    "conv1d": lambda: Sequence(
        (3, 16), nn.Conv1d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(4, 2, 1)
    ),
}


def inputs(network: nn.Module) -> Tensor:
    return torch.randn(6, *getattr(network, "shape", (3, SIDE, SIDE)))


@pytest.mark.parametrize("name", NETWORKS)
def test_same_function_in_fixed_point(name, torch_seed):
    network = randomise_norms(NETWORKS[name]())
    x = inputs(network)
    prove(converted(network, x, bit_width=6), x)
    assert_close(converted(network, x, bit_width=16), network, x, tolerance=2e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_float_checkpoint_loads_strictly(name, torch_seed):
    network = NETWORKS[name]()
    model = quantize(network)
    other = NETWORKS[name]()
    model.load_state_dict(other.state_dict(), strict=True)
    for key, value in other.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)
    model = quantize(network)
    for key, value in network.named_parameters():
        assert torch.equal(model.get_parameter(key), value)


def test_the_float_network_stays_as_it_is(torch_seed):
    network = NETWORKS["add"]().train()
    x = inputs(network)
    before, state = network(x), {k: v.clone() for k, v in network.state_dict().items()}
    model = quantize(network)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert network.training and model.training
    assert torch.equal(network(x), before)
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_quantizers_stand_where_values_grow(torch_seed):
    network = NETWORKS["iadd"]()
    model = converted(network, inputs(network))
    activations = [name for name in learned_formats(model) if name.endswith(".act")]
    assert activations == ["x_quant.act", "relu.act", "other_quant.act", "relu_1.act"]
    formats = learned_formats(model)
    assert [formats[name].signed for name in activations] == [True, False, True, False]


def test_a_mean_of_positive_values_is_unsigned(torch_seed):
    network = Around(lambda m, y: F.max_pool2d(y.relu() + y.relu(), 2))
    model = converted(network, inputs(network))
    assert not learned_formats(model)["add_quant.act"].signed


def test_a_layer_called_twice_is_one_layer_with_two_quantizers(torch_seed):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(self.conv(self.relu(self.conv(x))))

    x = torch.randn(4, 3, SIDE, SIDE)
    model = converted(Twice(), x)
    assert list(learned_formats(model)) == [
        "x_quant.act", "conv.weight", "conv.bias", "relu.act", "relu_1.act",
    ]  # fmt: skip
    prove(model, x)


def test_two_inputs_each_have_a_quantizer(torch_seed):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Linear(4, 3), nn.Linear(5, 3)

        def forward(self, a, b):
            return self.left(a) + self.right(b)

    model = quantize(Two(), input_bit_width=7).train()
    model(torch.randn(3, 4), torch.randn(3, 5))
    formats = learned_formats(model)
    assert formats["a_quant.act"].width == formats["b_quant.act"].width == 7
    assert {"left_quant.act", "right_quant.act"} < set(formats)


def test_nested_names_are_kept_and_calls_named_after_their_place(torch_seed):
    from tests.networks import ResNet20

    model = quantize(ResNet20(width=4), fold_batchnorm=True)
    names = {name for name, _ in model.named_modules()}
    assert {"layer1.0.conv1", "layer2.0.shortcut.0", "layer1.0.relu", "layer1.0.relu_1"} <= names
    assert {"layer1.0.conv2_quant", "layer1.0.add", "avg_pool2d_quant", "linear"} <= names


def test_subclasses_without_a_forward_of_their_own_are_their_base(torch_seed):
    class Wide(nn.Conv2d):
        def __init__(self, inputs):
            super().__init__(inputs, 2 * inputs, 3)

    x = torch.randn(3, 3, SIDE, SIDE)
    prove(converted(nn.Sequential(Wide(3), nn.ReLU()), x), x)


def test_a_norm_without_affine_parameters_gains_them(torch_seed):
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, affine=False), nn.Linear(3, 2))
    network[1].running_var.uniform_(0.5, 2)
    x = torch.randn(8, 4)
    model = converted(network, x, bit_width=16)
    assert {"1.weight", "1.bias"} <= {name for name, _ in model.named_parameters()}
    prove(model, x)
    assert_close(model, network, x, tolerance=2e-3)


def test_what_is_frozen_stays_frozen(torch_seed):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU())
    network.requires_grad_(False)
    model = quantize(network)
    assert not any(
        model.get_parameter(name).requires_grad for name, _ in network.named_parameters()
    )
    assert model.get_parameter("0.weight_quant.tensor_quant.binary_point").requires_grad


def test_float_type_is_kept(torch_seed):
    model = quantize(nn.Sequential(nn.Linear(3, 4), nn.ReLU()).double()).train()
    assert model(torch.randn(2, 3, dtype=torch.float64)).dtype == torch.float64
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}


def test_a_double_network_takes_formats_that_float32_cannot_hold(torch_seed):
    model = quantize(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double(), bit_width=30)
    assert model(torch.randn(5, 3, dtype=torch.float64)).dtype == torch.float64
    assert torch.get_default_dtype() == torch.float32


def test_what_forward_does_not_use_is_left_out_with_a_warning():
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.spare = nn.Linear(3, 4), nn.Linear(3, 4)

        def forward(self, x):
            return self.used(x)

    with pytest.warns(UserWarning) as caught:
        quantize(Spare())
    assert str(caught[0].message) == (
        "quantize: spare.bias, spare.weight of Spare are not used in forward and left out"
    )


def test_both_results_of_a_maximum_leave_the_network(torch_seed):
    network = line(lambda y: torch.max(y, 1))
    model = converted(network, inputs(network))
    values, indices = model(inputs(network))
    assert values.shape == indices.shape == (6, 14) and indices.dtype == torch.int64
    x = inputs(network)
    exported = export_qonnx(model, x[:1])
    verify_agreement(exported, x.numpy(), model, executors=["torch", "qonnx"]).raise_if_different(
        required=["torch", "qonnx"]
    )


def test_numbers_have_few_bits_and_an_epsilon_is_zero():
    assert rounded_factor(0.3, 4) == 0.3125 and rounded_factor(-3, 3) == -3
    assert rounded_offset(127.5, 4) == 127.5 and rounded_offset(1e-6, 8) == 0
    assert rounded_offset(0.1, 8) == 51 / 512


TAILS = {
    "softmax module": nn.Softmax(1),
    "F.softmax": lambda y: F.softmax(y, dim=-1),
    "x.log_softmax": lambda y: y.log_softmax(1),
    "sigmoid, reshaped": lambda y: torch.sigmoid(y).flatten(1),
}


class Tail(nn.Module):
    def __init__(self, tail):
        super().__init__()
        self.linear, self.tail = nn.Linear(12, 5), tail

    def forward(self, x):
        return self.tail(self.linear(x))


@pytest.mark.parametrize("name", TAILS)
def test_a_tail_is_dropped_by_an_option_that_says_so(name, torch_seed):
    network, x = Tail(TAILS[name]), torch.randn(6, 12)
    model = converted(network, x, bit_width=16, drop_tail=True)
    assert_close(model, network.linear, x, tolerance=2e-3)
    if name == "x.log_softmax":
        with pytest.raises(ConversionError, match=r"quantize\(\.\.\., drop_tail=True\) leaves it"):
            quantize(network)


def test_a_tail_that_is_not_there_cannot_be_dropped():
    with pytest.raises(OptionError, match="drop_tail=True: no result of the network is a softmax"):
        quantize(nn.Sequential(nn.Softmax(1), nn.Linear(12, 5)), drop_tail=True)
