"""Open RTL path: Verilog from a QFX network, simulated and synthesised without a vendor tool."""
