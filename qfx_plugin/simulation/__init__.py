"""Verilator: Verilog modules compiled once and run on integer codes, as NumPy arrays."""
