# The newest board part that is installed, whatever its maker is called by now. Vivado is asked
# whether it took it: a preset that never applied is not seen before the board itself.
# The environment variable QFX_BOARD_FILES names a folder with more board files.
proc qfx_board {known advice} {
    if {[info exists ::env(QFX_BOARD_FILES)]} {
        # The parameter is for Vivado, the property for a project that is open already.
        set more [list $::env(QFX_BOARD_FILES)]
        set_param board.repoPaths [concat [get_param board.repoPaths] $more]
        set_property BOARD_PART_REPO_PATHS [concat \
            [get_property BOARD_PART_REPO_PATHS [current_project]] $more] [current_project]
    }
    set part [get_property PART [current_project]]
    set pattern *:[join [lrange [split $known :] 1 2] :]:*
    set found [get_board_parts -quiet -filter "NAME =~ $pattern"]
    if {[llength $found] == 0} {
        set found [lsearch -all -inline -nocase -glob [get_board_parts -quiet] $pattern]
    }
    set newest ""
    foreach name $found {
        set two [list [lindex [split $newest :] 3] [lindex [split $name :] 3]]
        if {$newest eq "" || [lindex [lsort -dictionary $two] end] ne [lindex $two 0]} {
            set newest $name
        }
    }
    if {$newest eq ""} {
        error "QFX: Vivado has no board files $pattern (such as $known): $advice"
    }
    if {[catch {set_property board_part $newest [current_project]} message]} {
        error "QFX: Vivado does not take board $newest: $message. $advice"
    }
    set taken [get_property board_part [current_project]]
    if {$taken ne $newest} {
        error "QFX: the project's board is '$taken', not $newest, so its preset would not apply"
    }
    set other [get_property PART [current_project]]
    if {$other ne $part} {
        error "QFX: board $newest has part $other, not $part: is another board meant?"
    }
    puts "INFO: QFX: board part $newest"
}

# The clock that really runs, in MHz.
proc qfx_clock {asked actual} {
    if {![string is double -strict $actual] || $actual <= 0} {
        puts "WARNING: QFX: Vivado does not tell the clock that is reached; $asked MHz is assumed"
        return $asked
    }
    set actual [expr {double($actual)}]
    puts "INFO: QFX: the clock is $actual MHz for $asked MHz asked"
    if {abs($actual - $asked) > 0.01 * $asked} {
        puts "WARNING: QFX: that is more than 1 % away: rates and latencies hold for $actual MHz"
    }
    return $actual
}

# The driver reckons with the clock that really runs.
proc qfx_tell_clock {path clock_mhz} {
    set file [open $path r]
    set text [read $file]
    close $file
    if {![regsub {"clock_mhz": [0-9.]+} $text "\"clock_mhz\": $clock_mhz" text]} {
        puts "WARNING: QFX: $path names no clock_mhz"
    }
    set file [open $path w]
    puts -nonewline $file $text
    close $file
}
