"""The last steps of the target `rtl`; their order stands in `target.py`."""
