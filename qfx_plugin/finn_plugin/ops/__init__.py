"""Hardware operations of ours, and what is asked of every unit. Most of it needs FINN started."""
