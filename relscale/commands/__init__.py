"""The commands of `relscale`, one module for each group of them; heavy libraries are imported inside."""
