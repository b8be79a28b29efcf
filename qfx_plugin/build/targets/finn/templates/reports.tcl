report_utilization -file utilization.rpt
report_utilization -hierarchical -file utilization_hierarchical.rpt
report_timing_summary -file timing.rpt
report_power -file power.rpt
foreach kind {setup hold} {
    set slack [get_property SLACK [get_timing_paths -max_paths 1 -$kind]]
    if {$slack < 0} {
        error "QFX: timing is not met: the worst slack is $slack ns ($kind); build with a lower\
            clock_mhz"
    }
}
