"""`distill`: the outputs of a float network as targets."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from brevitas_quantizers import Distilled, calibrate, distill, learned_formats, quantize
from brevitas_quantizers.fixed_point import CalibrationError, DataError, OptionError

X = torch.randn(96, 3, 4, generator=torch.Generator().manual_seed(1))


def batches(y: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(X.split(32), y.split(32), strict=True))


@pytest.mark.parametrize(
    ("task", "targets"),
    [
        ("classification", torch.zeros(96, 3, dtype=torch.long)),
        ("regression", torch.zeros(96, 3, 5)),
    ],
)
def test_the_teacher_counts_by_its_share(task, targets, torch_seed):
    teacher = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 5)).train()
    distances = []
    for share in (1.0, 0.0):
        model = quantize(teacher, bit_width=3, input_bit_width=6)
        calibrate(model, [X])
        losses = distill(model, teacher, batches(targets), 25, distillation=share, task=task,
                         class_axis=-1, lr=5e-2)  # fmt: skip
        assert losses[-1] < losses[0] and len(losses) == 25
        assert not model.training and not teacher.training
        assert not any(q.requires_grad for q in model.parameters() if q.ndim == 0)  # frozen
        assert learned_formats(model)
        distances.append((model(X) - teacher(X)).detach().abs().mean())
    assert distances[0] < 0.5 * distances[1]


def test_without_a_teacher_a_float_network_learns_its_targets(torch_seed):
    model, y = nn.Linear(4, 2), (X[:, 0, 0] > 0).long()
    loader = [(X[:, 0][i : i + 32], y[i : i + 32]) for i in (0, 32, 64)]
    seen = []
    distill(model, None, loader, 25, lr=5e-2, progress=lambda *args: seen.append(args))
    assert (model(X[:, 0]).argmax(1) == y).float().mean() > 0.85
    assert [entry[:2] for entry in seen] == [(n, 25) for n in range(1, 26)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "distill: epochs must be at least 1, not 0"),
        ({"distillation": 1.5}, "distill: distillation must be from 0 to 1, not 1.5"),
        ({"task": "speech"}, "distill: task must be one of classification, binary, regression, "
                             "not 'speech'"),
        ({"loader": iter([])}, "distill: loader must have a length"),
        ({"loader": []}, "distill: the loader must yield a batch, not 0"),
        ({"loader": [X]}, r"distill: a batch must be \(inputs, targets\), or a mapping of names"),
        ({"teacher": nn.Linear(4, 3)}, r"Distilled: teacher must give outputs of shape \(32, 3, "
                                       r"2\), as the model does, not \(32, 3, 3\)"),
    ],
)  # fmt: skip
def test_refusals(options, message):
    given = {"teacher": None, "loader": batches(torch.zeros(96, 3, 2)), "task": "regression"}
    with pytest.raises((OptionError, DataError, CalibrationError), match=message):
        distill(nn.Linear(4, 2), **given | options)


def test_a_loss_of_ones_own_loop():
    teacher, model, y = nn.Linear(4, 3).train(), nn.Linear(4, 3), torch.zeros(96, dtype=torch.long)
    x = X[:, 0]
    criterion = Distilled(nn.CrossEntropyLoss(label_smoothing=0.1), teacher, share=0.25)
    output = model(x)
    soft = F.cross_entropy(output / 3, torch.softmax(teacher(x) / 3, 1))
    own = F.cross_entropy(output, y, label_smoothing=0.1)
    assert torch.allclose(criterion(output, y, x), 0.75 * own + 0.25 * 9 * soft)
    criterion(output, y, input=x).backward()
    assert not teacher.training and teacher.weight.grad is None and model.weight.grad is not None
    assert Distilled(F.mse_loss, teacher, 1.0)(teacher(x), x[:, :3], x) == 0
    assert Distilled(nn.BCEWithLogitsLoss(), None)(output, output.sigmoid()) > 0
    assert Distilled(lambda a, b: a.sum(), teacher, 0.0, "regression")(output, y, x) == output.sum()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Distilled(nn.MSELoss(), None, 2.0), "Distilled: share must be from 0 to 1, not 2"),
        (lambda: Distilled(nn.MSELoss(), None, task="speech"), "Distilled: task must be one of cl.*"
                                                               "regression, not 'speech'"),
        (lambda: Distilled(nn.CTCLoss(), None), "not None with the loss CTCLoss"),
        (lambda: Distilled(nn.MSELoss(), nn.Linear(4, 3))(X[:, 0], X[:, 0]), "with the inputs too"),
    ],
)  # fmt: skip
def test_what_the_loss_refuses(call, message):
    with pytest.raises(OptionError, match=message):
        call()
