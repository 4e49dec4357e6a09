"""How work runs and is recorded; knows no tables and no models."""
