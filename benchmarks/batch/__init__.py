"""Many cubes at once: how busy the cores are, and what a kill costs."""
