# The clock comes from the processor block, which constrains it; the design has no pins of its own.
set_property BITSTREAM.GENERAL.COMPRESS TRUE [current_design]
