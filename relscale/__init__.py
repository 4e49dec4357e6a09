"""relscale: scaling laws of relational foundation models."""

__version__ = "0.1.0"
