"""headgate: a multi-tenant run control plane."""

__version__ = "0.1.0"
