"""ttom: test-time optimisation and memory for compositional text-to-video generation."""

__version__ = "0.1.0"
__all__ = ["__version__", "guided"]


def __getattr__(name: str):
    """`guided` comes with PyTorch, and so only once it is asked for."""
    if name != "guided":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .library import guided

    return guided
