"""Yosys: what a design costs on a device, estimated from its Verilog."""
