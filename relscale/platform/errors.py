"""Errors that a user can cause and mend: one root, four kinds.

The command line prints their message as one sentence and exits with code 2. Any other exception is a
fault of relscale and keeps its traceback.
"""


class RelscaleError(Exception):
    """Root of all errors whose message tells the user what to do."""


class ConfigError(RelscaleError):
    """A setting is unknown, malformed or contradicts another."""


class DataError(RelscaleError):
    """A file or folder is missing, malformed or does not hold what is asked of it."""


class ResumeError(RelscaleError):
    """Earlier output belongs to another configuration, corpus or code version."""


class ResourceError(RelscaleError):
    """The cluster, a server or the storage cannot be reached or cannot hold the work."""
