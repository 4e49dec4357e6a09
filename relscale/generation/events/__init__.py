"""The prior relational-events: hidden traits, events in time, names that mean something, forecast tasks."""
