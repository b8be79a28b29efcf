# What tells how it went, also after an error; `first_run.md` says what it is for.
rm -rf "$out/first_run"
mkdir "$out/first_run"
collect() {
    find "$out" -path "$out/first_run" -prune -o -type f \( -name probe.txt -o -name csynth.xml \
        -o -name lat.rpt -o -name utilization.rpt -o -name utilization_hierarchical.rpt \
        -o -name timing.rpt -o -name power.rpt -o -path "$overlay/accelerator.json" \) \
        -exec cp {} "$out/first_run" \; || true
}
trap collect EXIT
