"""A zoo of small float networks of the kinds that are put on FPGAs, written as people write them.

    @network((1, 16, 16))
    class Classifier(nn.Module): ...

Each is given to `quantize` as it is; sizes are tiny, so that hardware can be simulated. They stand
in `vectors`, `signals`, `images` and `pixels`; `ZOO` has them all by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from tests.convert.helpers import randomise_norms


@dataclass(frozen=True)
class Network:
    """One of the zoo.

    Attributes:
        make: the class.
        shapes: of the inputs, without the batch.
        classes: of each input that is an index (a word, a category): how many; 0 of others.
        options: of `quantize`.
    """

    make: Callable[[], nn.Module]
    shapes: tuple[tuple[int, ...], ...]
    classes: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its class."""
        return self.make.__name__

    @property
    def seed(self) -> int:
        """Of its weights and its data."""
        return crc32(self.name.encode())

    def __str__(self) -> str:
        return self.name

    def model(self) -> nn.Module:
        """In evaluation mode, with statistics as after training."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            return randomise_norms(self.make()).eval()

    def inputs(self, samples: int) -> tuple[Tensor, ...]:
        """Random ones."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        return tuple(
            torch.randint(classes, (samples, *shape), generator=generator)
            if classes
            else torch.randn(samples, *shape, generator=generator)
            for shape, classes in zip(self.shapes, self.classes, strict=True)
        )


ZOO: dict[str, Network] = {}


def network(
    *shapes: tuple[int, ...], classes: tuple[int, ...] | None = None, **options: Any
) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Put a class into the zoo, with the shapes of its inputs and what `quantize` is told."""

    def put(make: type[nn.Module]) -> type[nn.Module]:
        assert make.__name__ not in ZOO, f"two networks are called {make.__name__}"
        given = classes or (0,) * len(shapes)
        ZOO[make.__name__] = Network(make, shapes, given, options)
        return make

    return put


def block(
    inputs: int,
    outputs: int,
    kernel: int = 3,
    stride: int = 1,
    groups: int = 1,
    activation: Callable[[], nn.Module] = nn.ReLU,
) -> nn.Sequential:
    """A convolution that keeps the size, a batch norm and an activation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        activation(),
    )


def block1d(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """The same along time."""
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, stride, dilation * (kernel // 2), dilation, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(),
    )
