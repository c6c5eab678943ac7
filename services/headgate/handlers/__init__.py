"""The kinds of run: what a `command`, a `git` run does. A handler knows its job, not the store, the line or the web."""
