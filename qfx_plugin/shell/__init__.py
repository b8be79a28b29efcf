"""The AXI shell around Verilog of the RTL path, and what goes with it. See `docs/board.md`."""
