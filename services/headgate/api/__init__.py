"""The HTTP API: `create_api` is the Flask app, `build_front` the whole as it is served."""

from headgate.api.app import create_api
from headgate.api.front import build_front

__all__ = ["build_front", "create_api"]
