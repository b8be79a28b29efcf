"""Known remarks of host libraries that would tear a progress display."""

from __future__ import annotations

import logging
import warnings

_REMARKS = (
    "fast_hadamard_transform package not found",
    "Named tensors and all their associated APIs",
    "brevitas.fx is deprecated",
)


def silence_hosts() -> None:
    """Silence them, by their text. Some are made at import: call this first."""
    for text in _REMARKS:
        warnings.filterwarnings("ignore", message=text)
    logging.getLogger("torch.utils.cpp_extension").addFilter(
        lambda record: not record.getMessage().startswith("No CUDA runtime is found")
    )
