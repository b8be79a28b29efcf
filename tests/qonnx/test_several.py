"""Models of several inputs and outputs, as users call, name, calibrate and train them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from brevitas_quantizers import (
    HardwareBudget,
    QFXDigits,
    calibrate,
    export_qonnx,
    quantize,
    train_to_budget,
)
from brevitas_quantizers.cost.train import inputs_and_targets
from brevitas_quantizers.fixed_point import DataError, ExportError
from qfx_plugin import verify_agreement
from qfx_plugin.ir.inputs import random_inputs
from qfx_plugin.qonnx_import import load_qonnx


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.last = nn.Linear(4, 6), nn.Linear(3, 6), nn.Linear(6, 2)

    def forward(self, left, right):
        hidden = torch.relu(self.a(left)) + torch.relu(self.b(right))
        return {"scores": self.last(hidden), "hidden": hidden}


LEFT, RIGHT, Y = torch.randn(32, 4), torch.randn(32, 3), torch.randint(2, (32,))
BATCHES = {
    "tuple": (LEFT, RIGHT), "nested": ((LEFT, RIGHT), Y), "row": (LEFT, RIGHT, Y),
    "dict": {"right": RIGHT, "left": LEFT}, "labelled": {"left": LEFT, "right": RIGHT, "label": Y},
    "dict and label": ({"left": LEFT, "right": RIGHT}, Y),
}  # fmt: skip


def two(batch=BATCHES["tuple"], **options):
    torch.manual_seed(0)
    return calibrate(quantize(Two(), **options), [batch])


@pytest.mark.parametrize("kind", BATCHES)
def test_every_kind_of_batch_calibrates_alike(kind):
    wanted = export_qonnx(two(), (LEFT, RIGHT)).SerializeToString()
    assert export_qonnx(two(BATCHES[kind]), (LEFT, RIGHT)).SerializeToString() == wanted
    assert two(example=(LEFT, RIGHT)) is not None


@pytest.mark.parametrize("args", [(LEFT, RIGHT), {"right": RIGHT, "left": LEFT}])
def test_names_of_inputs_and_outputs(args, tmp_path):
    """A dict gives the names; `input_names` and `output_names` others, in order."""
    path, model = tmp_path / "m.onnx", two()
    file = export_qonnx(model, args, path)
    own = [value.name for value in file.graph.input]
    assert own == (["left", "right"] if isinstance(args, dict) else ["input_0", "input_1"])
    names = {"input_names": ["u", "v"], "output_names": ["box", "code"]}
    file = export_qonnx(model, args, path, **names)
    assert [value.name for value in file.graph.input] == ["u", "v"]
    assert [value.name for value in file.graph.output] == ["box", "code"]
    programs = ["torch", "qonnx", "onnxruntime"]
    x = random_inputs(load_qonnx(path), 50, seed=1)
    verify_agreement(path, x, model, executors=programs).raise_if_different(required=programs)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"input_names": ["u"]},
            "input_names must be 2 different name(s), one for each of",
        ),
        ({"output_names": ["u", "u"]}, "output_names must be 2 different name(s), one for each of"),
        ({"input_names": ["u", "v"], "output_names": ["u", "w"]}, "must be no names of inputs"),
    ],
)
def test_names_that_do_not_fit(options, text):
    with pytest.raises(ExportError) as caught:
        export_qonnx(two(), (LEFT, RIGHT), **options)
    assert text in str(caught.value)


class Scores(Two):
    def forward(self, left, right):
        return super().forward(left, right)["scores"]


@pytest.mark.parametrize("kind", ["nested", "row", "labelled", "dict and label"])
def test_training_to_a_budget(kind):
    torch.manual_seed(0)
    model = calibrate(quantize(Scores(), weight_quant=QFXDigits), [(LEFT, RIGHT)])
    args, targets = inputs_and_targets(model, BATCHES[kind])
    assert args[0] is LEFT and args[1] is RIGHT and targets is Y
    history = train_to_budget(
        model, [BATCHES[kind]], HardwareBudget(model, 2000), epochs=2, exact=False
    )
    assert len(history.loss) == 2


def test_targets_that_are_not_there():
    with pytest.raises(DataError, match="must hold the targets under one name that is no argument"):
        inputs_and_targets(Scores(), BATCHES["dict"])
    with pytest.raises(DataError, match="a batch must be \\(inputs, targets\\)"):
        inputs_and_targets(Scores(), LEFT)
