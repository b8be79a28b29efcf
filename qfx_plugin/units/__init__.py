"""Folded units: matrix-vector products, digits, casts; their parameters, and all SystemVerilog."""
