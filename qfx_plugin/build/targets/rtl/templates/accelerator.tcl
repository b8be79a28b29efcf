# Verilog of network and shell; memories are found by the names in the sources.
foreach name {
@SOURCES@
} {
    add_files -norecurse [file join $sources .. $name]
}
update_compile_order -fileset sources_1
