# Before 2022.1, Vitis HLS exports no IP since the year 2022, unless it has AMD's patch.
version=$("$hls" -version 2>/dev/null | grep -o 'v20[0-9][0-9]\.[0-9]' | head -n 1 || true)
root=$(dirname "$(dirname "$(readlink -f "$(command -v "$hls")")")")
if [[ -n $version && $version < v2022.1 ]] &&
    ! compgen -G "$root/common/scripts/automg_patch_*.tcl" >/dev/null &&
    ! compgen -G "${XILINX_HLS:-$root}/common/scripts/automg_patch_*.tcl" >/dev/null; then
    echo "continue.sh: Vitis HLS $version cannot export an IP since 2022: use 2022.1 or newer, or" \
        "install AMD's y2k22 patch (article 76960) into $root" >&2
    exit 3
fi
