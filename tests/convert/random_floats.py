"""Random float networks of the calls that people write: what `quantize` is given.

A network grows call by call on a batch, so that each call fits the shape that it finds. All is
drawn from the seed; `RandomFloat(seed).calls` names what it does.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOST = 160
"""Elements of a sample, so that sums stay within 24 bits."""
Call = Callable[[Tensor], Tensor]

FUNCTIONS: dict[str, Call] = {
    "relu": F.relu,
    "tanh": torch.tanh,
    "sigmoid": lambda x: x.sigmoid(),
    "gelu": F.gelu,
    "silu": F.silu,
    "hardswish": F.hardswish,
    "softplus": F.softplus,
    "abs": torch.abs,
    "square": lambda x: x**2,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.25),
    "clamp": lambda x: x.clamp(-0.5, 1.5),
    "clamp one side": lambda x: torch.clamp(x, max=0.75),
    "times": lambda x: x * 0.75,
    "over": lambda x: x / 3,
    "negated": lambda x: -x,
    "plus": lambda x: x + 0.5,
    "from": lambda x: 1 - x,
    "where": lambda x: torch.where(x > 0.25, x, x * -0.5),
    "gated": lambda x: x * (x >= 0.5),
    "own product": lambda x: x * torch.sigmoid(x),
}


class RandomFloat(nn.Module):
    """Up to seven calls, and a linear layer or an argmax at the end.

    Args:
        seed: decides everything.
        batch: of the inputs that `inputs` holds.
    """

    def __init__(self, seed: int, batch: int = 16) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(seed)
        rank = self.pick(1, 2, 2, 3, 3, 3)
        shape = tuple(int(self.rng.integers(2, 7)) for _ in range(rank))
        self.inputs = tuple(torch.randn(batch, *shape) for _ in range(self.pick(1, 1, 1, 2)))
        self.layers = nn.ModuleList()
        self.calls: list[tuple[str, Any]] = []
        y = self.inputs[0]
        if len(self.inputs) > 1:
            join = self.pick(torch.add, torch.sub, torch.maximum, torch.minimum, torch.mul)
            self.join, y = join, join(*self.inputs)
        with torch.no_grad():
            for _ in range(self.pick(3, 4, 5, 6, 7)):
                y = self.grow(y)
            if y.ndim > 2 and self.one_in(2):
                y = self.add("flatten", lambda x: x.flatten(1), y)
            y = self.linear(y)
            if self.one_in(4):
                dim = self.axis(y)
                y = self.add(f"argmax {dim}", lambda x: x.argmax(dim), y)
        self.output = y

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        if z is not None:
            x = self.join(x, z)
        for _, call in self.calls:
            x = call(x)
        return x

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def one_in(self, number: int) -> bool:
        return bool(self.rng.integers(number) == 0)

    def axis(self, x: Tensor, first: int = 1) -> int:
        """Of a sample, counted from either end."""
        axis = int(self.rng.integers(first, x.ndim))
        return axis - x.ndim if self.one_in(3) else axis

    def add(self, name: str, call: Call, x: Tensor) -> Tensor:
        """Take the call, unless its result is too large or of one number."""
        y = call(x)
        if prod(y.shape[1:]) > MOST:
            return x
        self.calls.append((name, call))
        return y

    def grow(self, x: Tensor) -> Tensor:
        kinds = [self.weighted, self.function, self.two, self.part, self.part, self.layout]
        if x.ndim > 2:
            kinds += [self.reduction, self.pool, self.padding, self.resize]
        return self.pick(*kinds)(x)

    def layer(self, module: nn.Module) -> nn.Module:
        self.layers.append(module)
        return module

    def linear(self, x: Tensor) -> Tensor:
        return self.add("linear", self.layer(nn.Linear(x.shape[-1], self.pick(2, 3, 5))), x)

    def weighted(self, x: Tensor) -> Tensor:
        if x.ndim not in (3, 4) or self.one_in(4):
            return self.linear(x)
        kind, norm = ((nn.Conv1d, nn.BatchNorm1d), (nn.Conv2d, nn.BatchNorm2d))[x.ndim - 3]
        size, channels = self.pick(1, 2, 3), x.shape[1]
        groups = self.pick(1, 1, channels)
        module = kind(channels, groups * self.pick(1, 2), size, self.pick(1, 2),
                      padding=self.pick(size - 1, size // 2), groups=groups)  # fmt: skip
        if min(x.shape[2:]) < size:
            return self.linear(x)
        x = self.add("conv", self.layer(module), x)
        if x.shape[1] == module.out_channels and self.one_in(3):
            x = self.add("norm", self.layer(norm(x.shape[1])).eval(), x)
        return x

    def function(self, x: Tensor) -> Tensor:
        name = self.pick(*FUNCTIONS)
        return self.add(name, FUNCTIONS[name], x)

    def two(self, x: Tensor) -> Tensor:
        dim, name = self.axis(x), self.pick("flip", "roll", "mean", "relu", "half")
        other: Call = {
            "flip": lambda y: y.flip(dim),
            "roll": lambda y: torch.roll(y, 1, dim),
            "mean": lambda y: y.mean(dim, keepdim=True),
            "relu": lambda y: F.relu(y),
            "half": lambda y: y * 0.5,
        }[name]
        join = self.pick("add", "sub", "mul", "maximum", "minimum", "cat", "stack")
        if join in ("cat", "stack") and name != "mean":
            return self.add(f"{join} {dim} {name}",
                            lambda y: getattr(torch, join)([y, other(y)], dim), x)  # fmt: skip
        join = "sub" if join in ("cat", "stack") else join
        return self.add(f"{join} {dim} {name}", lambda y: getattr(torch, join)(y, other(y)), x)

    def part(self, x: Tensor) -> Tensor:
        dim = self.axis(x)
        size = x.shape[dim]
        cut = int(self.rng.integers(1, size + 1))
        index = [int(n) for n in self.rng.integers(0, size, cut)]
        sliced = (slice(None),) * (dim % x.ndim)
        name, call = self.pick(
            ("first", lambda y: y[(*sliced, slice(0, cut))]),
            ("last", lambda y: y[(*sliced, slice(-cut, None))]),
            ("every second", lambda y: y[(*sliced, slice(None, None, 2))]),
            ("split", lambda y: torch.split(y, cut, dim)[0]),
            ("chunk", lambda y: y.chunk(min(2, size), dim)[-1]),
            ("narrow", lambda y: y.narrow(dim, size - cut, cut)),
            ("index", lambda y: y[(*sliced, index)]),
            ("flip", lambda y: y.flip(dim)),
            ("roll", lambda y: y.roll(cut, dim)),
            ("repeat", lambda y: y.repeat_interleave(2, dim=dim)),
            ("select", lambda y: y.select(dim, -1) if y.ndim > 2 else y),
        )
        return self.add(f"{name} {dim} {cut}", call, x)

    def layout(self, x: Tensor) -> Tensor:
        order = [0, *(int(n) + 1 for n in self.rng.permutation(x.ndim - 1))]
        first, second = self.axis(x), self.axis(x)
        size = x.shape[first]
        divisor = next((d for d in (2, 3, 5) if size % d == 0), 1)
        name, call = self.pick(
            ("permute", lambda y: y.permute(order)),
            ("transpose", lambda y: y.transpose(first, second)),
            ("flatten", lambda y: y.flatten(1, min(2, y.ndim - 1))),
            ("unsqueeze", lambda y: y.unsqueeze(1) if y.ndim < 4 else y),
            ("squeeze", lambda y: y.unsqueeze(-1).squeeze(-1)),
            ("reshape", lambda y: y.reshape(y.shape[0], -1, y.shape[1])),
            ("unflatten", lambda y: y.unflatten(first, (divisor, -1)) if y.ndim < 4 else y),
        )
        return self.add(f"{name} {first} {second}", call, x)

    def reduction(self, x: Tensor) -> Tensor:
        some = self.pick(1, 1, 2) if x.ndim > 3 else 1
        dims = sorted(int(n) for n in self.rng.choice(np.arange(1, x.ndim), some, replace=False))
        if self.one_in(2):
            dims = [n - x.ndim for n in dims]
        keep, name = self.one_in(2), self.pick("mean", "sum", "amax", "amin", "max", "min")
        if name in ("max", "min"):
            return self.add(f"{name} {dims[:1]} {keep}",
                            lambda y: getattr(torch, name)(y, dims[0], keep).values, x)  # fmt: skip
        return self.add(f"{name} {dims} {keep}", lambda y: getattr(y, name)(dims, keepdim=keep), x)

    def pool(self, x: Tensor) -> Tensor:
        rank, least = x.ndim - 2, min(x.shape[2:])
        if rank > 2 or least < 2:
            return self.function(x)
        kernel, stride = self.pick(2, min(3, least)), self.pick(1, 2, 3)
        ceil, padding, counted = self.one_in(2), self.pick(0, 1), self.one_in(2)
        size = [int(self.rng.integers(1, n + 1)) for n in x.shape[2:]]
        size = size[0] if rank == 1 else size
        name = self.pick("max", "avg", "adaptive_avg", "adaptive_max")
        function = getattr(F, f"{name}_pool{rank}d")
        if name.startswith("adaptive"):
            return self.add(f"{name} {size}", lambda y: function(y, size), x)
        options: dict[str, Any] = {"ceil_mode": ceil, "padding": padding}
        if name == "avg":
            options["count_include_pad"] = counted
        text = f"{name} {kernel} {stride} {options}"
        return self.add(text, lambda y: function(y, kernel, stride, **options), x)

    def padding(self, x: Tensor) -> Tensor:
        mode = self.pick("constant", "reflect", "replicate", "circular")
        most = min(x.shape[2:]) - 1 if mode != "constant" else 2
        pads = [int(n) for n in self.rng.integers(0, min(2, most) + 1, 2 * (x.ndim - 2))]
        return self.add(f"pad {mode} {pads}", lambda y: F.pad(y, pads, mode=mode), x)

    def resize(self, x: Tensor) -> Tensor:
        linear = {3: "linear", 4: "bilinear"}.get(x.ndim)
        if linear is None:
            return self.function(x)
        if x.ndim == 4 and x.shape[1] % 4 == 0 and self.one_in(2):
            return self.add("pixel_shuffle", lambda y: F.pixel_shuffle(y, 2), x)
        if x.ndim == 4 and x.shape[1] % 2 == 0 and self.one_in(2):
            return self.add("channel_shuffle", lambda y: F.channel_shuffle(y, 2), x)
        mode = self.pick("nearest", linear)
        return self.add(mode, lambda y: F.interpolate(y, scale_factor=2, mode=mode), x)
