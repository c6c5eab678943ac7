"""The use-cases, one verb a file: read the facts, let core decide, commit once, then act. Ports only, no adapters."""
