# Processor: the board's preset, then what this design needs.
create_bd_cell -type ip -vlnv @PS_VLNV@ ps
apply_bd_automation -rule @PS_RULE@ -config [list @PS_RULE_CONFIG@] [get_bd_cells ps]
set_property -dict [list \
@PS_PARAMETERS@] [get_bd_cells ps]
set clock_mhz [qfx_clock @CLOCK@ @CLOCK_ACTUAL@]
