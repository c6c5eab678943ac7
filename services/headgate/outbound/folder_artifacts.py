"""Artifacts in a folder: `root/run/attempt/name`, readable by the worker's user only. Embedded mode."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from headgate.core.run import Artifact
from headgate.outbound.artifact_files import address, checked_name, described, key, open_regular


class FolderArtifacts:
    """An ArtifactStore in a folder, which is made when needed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def save(self, run_id: str, attempt: str, name: str, source: Path, media_type: str) -> Artifact:
        """Copy the file in. Raises FileExistsError when this attempt has saved other bytes under that name."""
        uri = address(run_id, attempt, name)
        folder = self._root / run_id / attempt
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open_regular(source) as file, tempfile.NamedTemporaryFile(dir=folder, prefix=".saving-") as copy:
            shutil.copyfileobj(file, copy, 1024 * 1024)
            copy.flush()
            os.fsync(copy.fileno())
            copy.seek(0)
            artifact = described(copy, uri, name, media_type)
            self._publish(Path(copy.name), folder / name, artifact)
        # If we die before the line above, a hidden file stays, which nobody reads and `delete` removes.
        return artifact

    def _publish(self, copy: Path, target: Path, artifact: Artifact) -> None:
        """Give the finished copy its name, at once and only if it is free: a link, because a rename would overwrite."""
        try:
            os.link(copy, target)
        except FileExistsError:
            with target.open("rb") as present:
                if described(present, artifact.uri, artifact.name, artifact.media_type) != artifact:
                    raise
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def fetch(self, artifact: Artifact, into: Path) -> Path:
        """The file itself. Raises FileNotFoundError when retention has removed it."""
        path = self._root / key(artifact)
        if not path.is_file():
            raise FileNotFoundError(f"the artifact {artifact.uri} is no longer kept")
        return path

    def delete(self, run_id: str) -> None:
        """Remove everything of the run; nothing there is fine. If we die in the middle, the next call does the rest."""
        folder = self._root / checked_name(run_id)
        if folder.exists():
            shutil.rmtree(folder)
