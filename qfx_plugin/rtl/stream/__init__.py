"""Streaming networks: stages with AXI-Stream between them, unrolled or folded."""
