"""What the processes of these tests run: importable by name in each of them."""

from __future__ import annotations

from typing import Any

import brevitas.nn as qnn
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from brevitas_quantizers import QFXFixedPoint, calibrate, learned_formats, parameter_groups
from brevitas_quantizers.fixed_point import QfxError
from brevitas_quantizers.nn import QuantBatchNorm2d
from brevitas_quantizers.prepare import named_quantizers, replicate_formats

CLASSES = 10
CALIBRATION_SAMPLES = (32, 640)


def small_cnn(seed: int = 0, **options: Any) -> nn.Module:
    """Input quantizer, convolution with per-channel weights, ReLU, linear layer; all learned."""
    torch.manual_seed(seed)
    return nn.Sequential(
        qnn.QuantIdentity(act_quant=QFXFixedPoint, bit_width=6, **options),
        qnn.QuantConv2d(
            1, 4, 3, padding=1, weight_quant=QFXFixedPoint, weight_bit_width=4,
            weight_scaling_per_output_channel=True, bias_quant=QFXFixedPoint,
        ),
        qnn.QuantReLU(act_quant=QFXFixedPoint, bit_width=4, **options),
        nn.Flatten(),
        qnn.QuantLinear(256, CLASSES, weight_quant=QFXFixedPoint, bias_quant=QFXFixedPoint),
    )  # fmt: skip


def data(seed: int = 1, samples: int = 32) -> tuple[Tensor, Tensor]:
    """Images whose second half is eight times the first: no rank can guess the whole range."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(samples, 1, 8, 8, generator=generator)
    images[samples // 2 :] *= 8
    return images, torch.randint(CLASSES, (samples,), generator=generator)


def train(model: nn.Module, images: Tensor, labels: Tensor, steps: int = 8) -> dict[str, Any]:
    """A few optimizer steps from the first batch on; losses of all ranks, points, formats."""
    optimizer = torch.optim.SGD(parameter_groups(model, lr=0.02, binary_point_lr=0.2), momentum=0.9)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(mean_over_ranks(loss.detach()))
    return {"losses": losses} | state(getattr(model, "module", model))


def state(model: nn.Module) -> dict[str, Any]:
    """Binary points and formats by quantizer."""
    points = {name: q.binary_point.detach().clone() for name, q in named_quantizers(model)}
    return {"points": points, "formats": learned_formats(model)}


def mean_over_ranks(loss: Tensor) -> float:
    if dist.is_initialized():
        dist.all_reduce(loss)
        loss /= dist.get_world_size()
    return float(loss)


def share(rank: int, *tensors: Tensor) -> list[Tensor]:
    """This rank's half."""
    return [tensor.chunk(2)[rank] for tensor in tensors]


def train_ddp(rank: int, options: dict[str, Any]) -> dict[str, Any]:
    """Half batches; the ranks start from different weights, DDP copies those of rank 0."""
    model = DistributedDataParallel(small_cnn(seed=rank, **options))
    return train(model, *share(rank, *data()))


def calibrate_ranks(rank: int, samples: int) -> dict[str, Any]:
    """Calibration on half of the data, then one evaluation step."""
    model = small_cnn()
    images = data(samples=samples)[0]
    calibrate(model, share(rank, images))
    return state(model)


def calibrate_unevenly(rank: int) -> dict[str, Any]:
    """Rank 0 has all the data, rank 1 an empty loader."""
    model = small_cnn()
    calibrate(model, [] if rank else [data()[0]])
    return state(model)


def train_fsdp(rank: int) -> dict[str, Any]:
    """As `train_ddp`, with sharded weights; those start equal, as FSDP2 wants them."""
    model = small_cnn()
    for _, quantizer in named_quantizers(model):  # rank 0 decides about the rest
        quantizer.binary_point.data += rank
    ignored = replicate_formats(model)
    fully_shard(model, mesh=init_device_mesh("cpu", (2,)), ignored_params=ignored)
    return train(model, *share(rank, *data()))


def train_batch_norm(rank: int) -> dict[str, Any]:
    """Batch norm has its own statistics on each rank, and yet one format on all of them."""
    torch.manual_seed(rank)
    model = nn.Sequential(
        qnn.QuantConv2d(1, 4, 3, weight_quant=QFXFixedPoint, bias=False),
        QuantBatchNorm2d(4, quant=QFXFixedPoint),
        nn.Flatten(),
        qnn.QuantLinear(144, CLASSES, weight_quant=QFXFixedPoint, bias_quant=QFXFixedPoint),
    )
    return train(DistributedDataParallel(model), *share(rank, *data()), steps=2)


class SharedNorm(nn.Module):
    """One batch norm on two inputs of a step."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = qnn.QuantConv2d(1, 4, 3, weight_quant=QFXFixedPoint, bias=False)
        self.norm = QuantBatchNorm2d(4, quant=QFXFixedPoint)
        self.head = qnn.QuantLinear(144, CLASSES, weight_quant=QFXFixedPoint, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        both = self.norm(self.conv(x)) + self.norm(self.conv(x * 40))
        return self.head(both.flatten(1))


def train_shared_batch_norm(rank: int) -> dict[str, Any]:
    """Two calls of a layer whose binary points move, in one step on each rank."""
    torch.manual_seed(rank)
    return train(DistributedDataParallel(SharedNorm()), *share(rank, *data()), steps=3)


def refusals(rank: int) -> list[str]:
    """Errors are raised on every rank: no data anywhere, NaN on one rank."""
    texts = []
    broken = torch.full((2, 1, 8, 8), float("nan") if rank else 1.0)
    for loader in ([], [broken]):
        try:
            calibrate(small_cnn(), loader)
        except QfxError as error:
            texts.append(str(error))
    return texts


def state_of_rank_0(rank: int) -> dict[str, Any]:
    """Only rank 0 has a calibrated model; DDP copies its state, and rank 1 must not initialise."""
    model = small_cnn(seed=rank)
    if rank == 0:
        quantizers = [q for name, q in named_quantizers(model) if name.endswith("act")]
        for quantizer in quantizers:
            quantizer.initialize_from(torch.tensor([-3.0, 3.0]))
    return train(DistributedDataParallel(model), *share(rank, *data()), steps=1)


def every_scenario(rank: int, ddp_options: list[dict[str, Any]]) -> dict[str, Any]:
    """All of the above in one process group: starting processes costs more than running them."""
    return {
        "ddp": [train_ddp(rank, options) for options in ddp_options],
        "calibrated": {samples: calibrate_ranks(rank, samples) for samples in CALIBRATION_SAMPLES},
        "uneven": calibrate_unevenly(rank),
        "refusals": refusals(rank),
        "state of rank 0": state_of_rank_0(rank),
        "sharded": train_fsdp(rank),
        "batch norm": train_batch_norm(rank),
        "shared batch norm": train_shared_batch_norm(rank),
    }
