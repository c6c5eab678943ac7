"""Where artifacts are kept: a folder (embedded) or a Cloud Storage bucket.

An artifact is addressed by run, attempt and name, so a repeated attempt never overwrites what an earlier one saved
and a late attempt cannot change what the recorded outcome points to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from headgate.core.run import Artifact


class ArtifactStore(Protocol):
    """Save files of runs and give them back."""

    def save(self, run_id: str, attempt: str, name: str, source: Path, media_type: str) -> Artifact:
        """Store the file under the name; `attempt` keeps attempts apart.

        Raises ValueError for an unsafe name, FileExistsError when this attempt saved other bytes under it, OSError, or
        the outage errors of the store.
        """

    def fetch(self, artifact: Artifact, into: Path) -> Path:
        """A local path of the artifact's bytes: the file itself (folder) or a copy made in `into` (bucket)."""

    def delete(self, run_id: str) -> None:
        """Remove everything of a run: retention."""
