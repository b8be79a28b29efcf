"""Yosys: what a design costs on an FPGA, counted.

    report = estimate.estimate(sources, "top")     # one design; its counts are `Resources`
    report.exceeds(load_board("ultra96-v2"))       # against what a board's device has
    total, parts = network.estimate_folder(folder, "top", units)     # unit by unit

`netlist` finds the depth of logic, `rtlil` makes equal modules one.
"""
