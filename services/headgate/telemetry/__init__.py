"""Logs, metrics and traces behind one small seam."""
