# The clock comes from the processor block, which constrains it; the design has no pins of its own.
set_property BITSTREAM.GENERAL.COMPRESS TRUE [current_design]
# Of the network's id: the driver looks for it in the bitstream's head.
set_property BITSTREAM.CONFIG.USERID 0x@USER_ID@ [current_design]
