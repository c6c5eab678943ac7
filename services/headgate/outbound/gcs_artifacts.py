"""Artifacts in a Cloud Storage bucket: the object `run/attempt/name`. Production.

Every call has a timeout and a bounded retry: without them an outage holds a worker's thread for minutes. A retried
create is safe, because an object is only created if absent (`if_generation_match=0`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from google.api_core.exceptions import NotFound, PreconditionFailed
from google.cloud.storage.retry import DEFAULT_RETRY

from headgate.core.run import Artifact
from headgate.outbound.artifact_files import address, checked_name, described, key, open_regular

_LIMITS: Final[dict[str, Any]] = {"timeout": 30.0, "retry": DEFAULT_RETRY.with_timeout(60.0)}
"""Seconds for one request (to connect, and between two pieces), and for all tries of one call together."""


class GcsArtifacts:
    """An ArtifactStore in a bucket. `client` is a google.cloud.storage.Client."""

    def __init__(self, bucket: str, client: Any) -> None:
        self._bucket = client.bucket(bucket)

    def save(self, run_id: str, attempt: str, name: str, source: Path, media_type: str) -> Artifact:
        """Upload the file. Raises FileExistsError when this attempt has saved other bytes under that name.

        If we die in the middle no object appears: the upload becomes visible as a whole or not at all.
        """
        uri = address(run_id, attempt, name)
        with open_regular(source) as file:
            artifact = described(file, uri, name, media_type)
            file.seek(0)
            blob = self._bucket.blob(key(artifact))
            blob.metadata = {"sha256": artifact.sha256}
            try:
                blob.upload_from_file(
                    file,
                    size=artifact.bytes,
                    content_type=media_type,
                    if_generation_match=0,
                    checksum="crc32c",
                    **_LIMITS,
                )
            except PreconditionFailed as error:
                self._demand_same(artifact, error)
        return artifact

    def _demand_same(self, artifact: Artifact, error: PreconditionFailed) -> None:
        """The name is taken: fine if by these bytes, namely when the answer to our own upload was lost."""
        present = self._bucket.get_blob(key(artifact), **_LIMITS)
        if present is None or (present.metadata or {}).get("sha256") != artifact.sha256:
            raise FileExistsError(f"{artifact.uri} was saved before with other bytes: use another name") from error

    def fetch(self, artifact: Artifact, into: Path) -> Path:
        """A copy in `into`. Raises FileNotFoundError when retention has removed the object."""
        target = into / checked_name(artifact.name)
        try:
            self._bucket.blob(key(artifact)).download_to_filename(str(target), checksum="crc32c", **_LIMITS)
        except NotFound as error:
            raise FileNotFoundError(f"the artifact {artifact.uri} is no longer kept") from error
        return target

    def delete(self, run_id: str) -> None:
        """Remove everything of the run; what is already gone is fine. If we die in the middle, call it again."""
        for blob in self._bucket.list_blobs(prefix=f"{checked_name(run_id)}/", **_LIMITS):
            try:
                blob.delete(**_LIMITS)
            except NotFound:
                continue  # another sweep was here first
