"""Files: a manifest, video tracks and timed packets, read by byte range."""

__all__: list[str] = []
