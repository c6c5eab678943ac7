"""Both artifact stores: the same promises, checked on a folder and on a bucket that lives in a dict."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from google.api_core.exceptions import NotFound, PreconditionFailed

from headgate.outbound.artifacts import ArtifactStore
from headgate.outbound.folder_artifacts import FolderArtifacts
from headgate.outbound.gcs_artifacts import GcsArtifacts


class FakeBlob:
    def __init__(self, objects: dict[str, tuple[bytes, dict]], name: str) -> None:
        self.objects, self.name = objects, name
        self.metadata: dict | None = None

    def upload_from_file(self, file, *, size, content_type, if_generation_match, checksum, timeout, retry):
        assert (if_generation_match, checksum) == (0, "crc32c")
        assert timeout
        assert retry
        if self.name in self.objects:
            raise PreconditionFailed("conditionNotMet")
        self.objects[self.name] = (file.read(), self.metadata or {})
        assert len(self.objects[self.name][0]) == size

    def download_to_filename(self, filename, *, checksum, timeout, retry):
        if self.name not in self.objects:
            raise NotFound("no such object")
        Path(filename).write_bytes(self.objects[self.name][0])

    def delete(self, *, timeout, retry):
        if self.objects.pop(self.name, None) is None:
            raise NotFound("no such object")


class FakeClient:
    """As much of google.cloud.storage.Client and its one bucket as the store uses."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, dict]] = {}

    def bucket(self, name: str) -> FakeClient:
        return self

    def blob(self, name: str) -> FakeBlob:
        return FakeBlob(self.objects, name)

    def get_blob(self, name, *, timeout, retry):
        blob = self.blob(name)
        blob.metadata = self.objects[name][1] if name in self.objects else None
        return blob

    def list_blobs(self, *, prefix, timeout, retry):
        return [self.blob(name) for name in list(self.objects) if name.startswith(prefix)] + [self.blob("gone")]


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path: Path) -> ArtifactStore:
    return FolderArtifacts(tmp_path / "kept") if request.param == "folder" else GcsArtifacts("artifacts", FakeClient())


@pytest.fixture
def report(tmp_path: Path) -> Path:
    (tmp_path / "report").write_bytes(b"text" * 1000)
    return tmp_path / "report"


def test_saved_and_fetched(store: ArtifactStore, report: Path, tmp_path: Path):
    artifact = store.save("run-1", "2", "report.txt", report, "text/plain")
    assert artifact.uri == "artifact://run-1/2/report.txt"
    assert (artifact.name, artifact.bytes, artifact.media_type) == ("report.txt", 4000, "text/plain")
    assert artifact.sha256 == hashlib.sha256(b"text" * 1000).hexdigest()
    assert store.fetch(artifact, tmp_path).read_bytes() == b"text" * 1000


def test_attempts_are_kept_apart(store: ArtifactStore, report: Path, tmp_path: Path):
    first = store.save("run-1", "1", "report", report, "text/plain")
    report.write_bytes(b"second")
    second = store.save("run-1", "2", "report", report, "text/plain")
    assert len(store.fetch(first, tmp_path).read_bytes()) == 4000
    assert store.fetch(second, tmp_path).read_bytes() == b"second"


def test_saving_the_same_again_is_fine_and_other_bytes_are_not(store: ArtifactStore, report: Path, tmp_path: Path):
    artifact = store.save("run-1", "1", "report", report, "text/plain")
    assert store.save("run-1", "1", "report", report, "text/plain") == artifact
    report.write_bytes(b"other")
    with pytest.raises(FileExistsError):
        store.save("run-1", "1", "report", report, "text/plain")
    assert len(store.fetch(artifact, tmp_path).read_bytes()) == 4000


def test_deleted(store: ArtifactStore, report: Path, tmp_path: Path):
    mine = store.save("run-1", "1", "report", report, "text/plain")
    other = store.save("run-10", "1", "report", report, "text/plain")
    store.delete("run-1")
    store.delete("run-1")
    with pytest.raises(FileNotFoundError):
        store.fetch(mine, tmp_path)
    assert store.fetch(other, tmp_path).is_file()


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "../x", "a\0", "a b", "ä", "x" * 129, "-x", "a\n"])
def test_unsafe_names(store: ArtifactStore, report: Path, tmp_path: Path, name: str):
    for parts in (("run-1", "1", name), ("run-1", name, "x"), (name, "1", "x")):
        with pytest.raises(ValueError, match="is no name for an artifact"):
            store.save(*parts, report, "text/plain")
    with pytest.raises(ValueError, match="is no name"):
        store.delete(name)


@pytest.mark.parametrize("uri", ["artifact://run/1/../x", "artifact://../../x", "file:///etc/passwd", "run/1/x", ""])
def test_an_address_from_the_database_is_checked(store: ArtifactStore, report: Path, tmp_path: Path, uri: str):
    artifact = store.save("run-1", "1", "report", report, "text/plain")
    with pytest.raises(ValueError, match="is no "):
        store.fetch(replace(artifact, uri=uri), tmp_path)


def test_links_and_devices_are_not_followed(store: ArtifactStore, tmp_path: Path):
    """A child runs as another user than the worker: a link would make the worker read for it."""
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to("/etc/passwd")
    os.mkfifo(pipe)
    for source in (link, pipe, Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match=r"regular|symbolic|[Dd]irectory"):
            store.save("run-1", "1", "x", source, "text/plain")


def test_a_folder_shows_nothing_half_written(tmp_path: Path, report: Path, monkeypatch):
    store = FolderArtifacts(tmp_path / "kept")

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        store.save("run-1", "1", "report", report, "text/plain")
    assert list((tmp_path / "kept" / "run-1" / "1").iterdir()) == []
