"""Many cubes at once. Nothing is here yet."""

__all__: list[str] = []
