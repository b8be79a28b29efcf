"""The targets of builds, a folder each: its options and steps stand in `target.py`."""
