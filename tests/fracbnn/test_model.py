"""The fixed-point network: near the float one, in the formats asked for, and able to learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brevitas_quantizers import learned_formats
from brevitas_quantizers.fixed_point import FixedPointFormat, is_khot
from brevitas_quantizers.prepare import named_quantizers
from qfx_plugin.errors import OptionError
from qfx_plugin.fracbnn import (
    FracBNN,
    ReferenceFracBNN,
    ReleasedFracBNN,
    Schedule,
    accuracy,
    correct_offsets,
    distil,
)
from qfx_plugin.fracbnn.correction import norm_means
from qfx_plugin.fracbnn.reference import CONSTANT_FORMAT, FEATURE_FORMAT


def test_wide_formats_come_to_the_float_network(parameters, reference, images):
    model = FracBNN(parameters, bits=16).calibrate(images).eval()
    with torch.no_grad():
        wanted, got = reference(images), model(images)
    assert (wanted - got).abs().max() < 0.1 * wanted.std()
    assert (wanted.argmax(1) == got.argmax(1)).all()


def test_every_element_wise_format_has_at_most_eight_bits(model):
    formats = learned_formats(model)
    assert len(formats) > 60
    assert max(entry.width for entry in formats.values()) == 8


@pytest.mark.parametrize("k", [1, 3])
def test_factors_are_khot(parameters, images, k):
    model = FracBNN(parameters, bits=8, k=k).calibrate(images).eval()
    factors: dict[str, torch.Tensor] = {}
    for name, quantizer in named_quantizers(model):
        if quantizer.options.k is not None:
            quantizer.register_forward_hook(
                lambda _m, _i, out, name=name: factors.__setitem__(name, out[0] / out[1])
            )
    model(images[:1])
    assert len(factors) == 1 + 4 * 3 + 1  # first norm, half blocks, classifier
    for codes in factors.values():
        assert is_khot(codes.detach().numpy().astype(np.int64), k).all()


def test_bits_and_k_are_checked(parameters):
    with pytest.raises(OptionError, match="bits must be from 3 to 16, not 2"):
        FracBNN(parameters, bits=2)
    with pytest.raises(OptionError, match="k must be an integer of at least 1, not 0"):
        FracBNN(parameters, k=0)


def test_released_formats_hold_every_constant_and_feature(parameters, images):
    released = ReleasedFracBNN(parameters)
    seen = []
    released.observer = lambda name, y: seen.append(y)
    logits = released(images)
    for name, constant in released.named_parameters():
        if "conv" not in name:
            assert on_grid(constant, CONSTANT_FORMAT), name
    assert len(seen) == 9
    assert all(on_grid(y, FEATURE_FORMAT) for y in [*seen, logits])
    close = ReferenceFracBNN(parameters)(images)
    assert (logits - close).abs().mean() < 0.2 * close.std()


def on_grid(values: torch.Tensor, fmt: FixedPointFormat) -> bool:
    codes = values.detach() * 2.0**fmt.frac_bits
    inside = codes.min() >= fmt.min_code and codes.max() <= fmt.max_code
    return bool(inside and (codes == codes.round()).all())


def test_corrected_offsets_keep_the_means(model, reference, images):
    wanted = norm_means(reference, images)

    def worst():
        found = {}
        hooks = [
            layer.register_forward_hook(
                lambda _m, _i, y, name=name: found.__setitem__(name, y.mean((0, 2, 3)))
            )
            for name, layer in model.norms()
        ]
        with torch.no_grad():
            model(images)
        for hook in hooks:
            hook.remove()
        assert found.keys() == wanted.keys()
        return sum(float((found[n] - wanted[n]).abs().mean()) for n in wanted)

    before = worst()
    assert correct_offsets(model, reference, images) is model
    assert not model.training
    assert worst() < 0.5 * before


def test_distillation_brings_the_answers_nearer(model, reference, images):
    losses = []
    schedule = Schedule(steps=8, batch=12, learning_rate=1e-2)
    with torch.no_grad():
        wanted = reference(images)
        before = (model(images) - wanted).square().mean()
    distil(model, reference, images, schedule, lambda step, loss: losses.append(loss))
    assert len(losses) == 8
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    with torch.no_grad():
        assert (model(images) - wanted).square().mean() < before
    assert not any(q.binary_point.requires_grad for _, q in named_quantizers(model))


def test_accuracy_counts(images):
    class Second(torch.nn.Module):
        def forward(self, x):
            return torch.tensor([0.0, 1.0]).expand(len(x), -1)

    labels = torch.tensor([1] * 12 + [0] * 36)
    assert accuracy(Second(), images, labels, batch=7) == 25.0
