"""Which kinds this process has: the built-in ones and plug-ins alike come from the entry points `headgate.handlers`."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint, entry_points

from headgate.handlers.interface import Handler, HandlerConfig

GROUP = "headgate.handlers"

_KIND = re.compile(r"[a-z][a-z0-9-]{0,31}", re.ASCII)


class PluginError(RuntimeError):
    """A handler cannot be used. The message says which, what failed and what to do; the process should not start."""


def load_handlers(config: HandlerConfig) -> dict[str, Handler]:
    """Every installed handler by its kind. Raises PluginError for a broken one and for two of one kind."""
    handlers: dict[str, Handler] = {}
    origin: dict[str, str] = {}
    for point in sorted(set(entry_points(group=GROUP)), key=lambda point: (point.name, point.value)):
        handler = _load(point, config)
        if handler.kind in handlers:
            raise PluginError(
                f"the kind {handler.kind!r} is offered twice, by {origin[handler.kind]} and by {_named(point)}: "
                "uninstall one of the two packages"
            )
        handlers[handler.kind], origin[handler.kind] = handler, _named(point)
    return handlers


def _load(point: EntryPoint, config: HandlerConfig) -> Handler:
    try:
        handler = point.load()(config)
    except Exception as error:  # a plug-in may raise anything; it is told on, not swallowed
        raise PluginError(
            f"{_named(point)} could not be loaded: {type(error).__name__}: {error}. Mend or uninstall its package"
        ) from error
    kind = getattr(handler, "kind", None)
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise PluginError(
            f"{_named(point)} has the kind {kind!r}: set `kind` to lower-case letters, digits and '-', at most 32"
        )
    for method in ("check", "run"):
        if not callable(getattr(handler, method, None)):
            raise PluginError(f"{_named(point)} has no method `{method}`: see headgate.handlers.interface.Handler")
    return handler  # type: ignore[no-any-return]  # just checked, as far as one can


def _named(point: EntryPoint) -> str:
    package = f" of the package {point.dist.name}" if point.dist else ""
    return f"the handler {point.name!r} ({point.value}){package}"
