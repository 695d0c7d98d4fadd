"""Reports: numbers, plots, pages. Nothing is here yet."""

__all__: list[str] = []
