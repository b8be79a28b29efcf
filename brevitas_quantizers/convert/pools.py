"""Pools as functions: the layers that compute the same."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from torch import fx, nn

from .arithmetic import Form, constants


def max_pool(module: type[nn.Module]) -> Callable[..., Form]:
    """Builder of a max pool of one rank."""

    def build(
        input: Any,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Form:
        constants(kernel_size=kernel_size, stride=stride, padding=padding)
        stride = stride or None  # torch.max_pool2d writes [] for "as the kernel"
        return module(kernel_size, stride, padding, dilation, return_indices, ceil_mode), (input,)

    return build


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Form:
    """As `F.avg_pool1d`."""
    constants(kernel_size=kernel_size, stride=stride, padding=padding)
    size = stride or kernel_size
    return nn.AvgPool1d(kernel_size, size, padding, ceil_mode, count_include_pad), (input,)


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Form:
    """As `F.avg_pool2d`; over the whole image, whatever its size."""
    if _is_whole_plane(input, kernel_size):
        return nn.AdaptiveAvgPool2d(1), (input,)
    constants(kernel_size=kernel_size, stride=stride, padding=padding)
    pool = nn.AvgPool2d(
        kernel_size, stride or None, padding, ceil_mode, count_include_pad, divisor_override
    )
    return pool, (input,)


def adaptive(module: type[nn.Module]) -> Callable[..., Form]:
    """Builder of an adaptive pool of one kind and rank."""

    def build(input: Any, output_size: Any, return_indices: bool = False) -> Form:
        constants(output_size=output_size)
        indices = {"return_indices": True} if return_indices else {}
        return module(output_size, **indices), (input,)

    return build


def _is_whole_plane(x: Any, kernel_size: Any) -> bool:
    """Whether `kernel_size` is `x.size()[2:]`, written in one of the usual ways."""
    if isinstance(kernel_size, fx.Node):
        return _size_index(kernel_size, x) in (slice(2, None, None), slice(-2, None, None))
    if isinstance(kernel_size, (tuple, list)) and len(kernel_size) == 2:
        return [_size_index(size, x) for size in kernel_size] in ([2, 3], [-2, -1])
    return False


def _size_index(size: Any, x: fx.Node) -> Any:
    """Which dimension of `x` a graph node reads; None for anything else."""
    if not isinstance(size, fx.Node):
        return None
    if size.target == "size" and size.args[0] is x and len(size.args) == 2:
        return size.args[1]
    if size.target is not operator.getitem or not isinstance(size.args[0], fx.Node):
        return None
    source = size.args[0]
    whole = (source.target == "size" and source.args == (x,)) or (
        source.target is getattr and source.args == (x, "shape")
    )
    return size.args[1] if whole else None
