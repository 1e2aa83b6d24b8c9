"""ttom: test-time optimisation and memory for compositional text-to-video generation."""

__version__ = "0.1.0"
