"""The last steps of the target `rtl`; their order stands in `rtl_target.py`."""
