# The IP that Vitis HLS has exported: in the folder that the environment variable QFX_IP_REPO names, by
# default ../hls/qfx_hls/solution/impl/ip.
set ip_repo [file normalize [expr {[info exists env(QFX_IP_REPO)]
    ? $env(QFX_IP_REPO) : "../hls/qfx_hls/solution/impl/ip"}]]
if {![file isdirectory $ip_repo]} {
    error "QFX: no IP in $ip_repo: run Vitis HLS first"
}
set_property ip_repo_paths [list $ip_repo] [current_project]
update_ip_catalog
