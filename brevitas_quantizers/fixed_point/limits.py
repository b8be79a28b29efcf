"""What a model file may ask for: more is taken for a damaged file, or for one that means harm."""

MAX_ELEMENTS = 1 << 24
"""Elements of one sample's tensor."""
MAX_RANGE_BITS = 1024
"""Bits of a number that a tensor can provably hold; 63 can be computed with."""
MAX_FRAC_BITS = 4096
"""Magnitude of a binary point."""
