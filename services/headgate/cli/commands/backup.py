"""headgate backup, headgate restore"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headgate.cli import output
from headgate.cli.exits import Exit, Failure
from headgate.cli.grammar import Command
from headgate.cli.session import Session, current, data_option, json_option

if TYPE_CHECKING:
    from headgate.store.backup import Contents

DATABASE = "headgate.db"
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    cls=Command,
    examples=("headgate backup headgate.backup", "headgate backup /backups/today.db --data /var/lib/headgate --force"),
)
@click.argument("file", type=FILE)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
@data_option
@json_option
def backup(file: Path, force: bool) -> None:
    """Copy the embedded store to FILE, as it is at one moment; the server may go on working.

    The copy is checked before it gets its name, and only its owner may read it: hashes of keys and inputs of runs are
    in it. Artifacts are not: copy the folder `artifacts` of the data folder as well if they are wanted.
    """
    from headgate.store.backup import BadBackup, back_up

    session = current()
    source = _data(session) / DATABASE
    if not source.exists():
        raise Failure(Exit.USAGE, f"there is no store at {source}.", "Name the server's data folder with --data.")
    if file.exists() and not force:
        raise Failure(Exit.USAGE, f"{file} is there already.", "Name another file, or give --force.")
    try:
        contents = back_up(source, file)
    except (BadBackup, OSError) as error:
        raise Failure(Exit.FAILED, f"no backup was made: {error}.") from error
    _tell(session, contents, "file", file)


@click.command(
    cls=Command,
    examples=("headgate restore headgate.backup", "headgate restore /backups/today.db --data /var/lib/headgate"),
)
@click.argument("file", type=FILE)
@data_option
@json_option
def restore(file: Path) -> None:
    """Put the backup FILE in the place of the embedded store. The server must be stopped.

    FILE is checked first, and what is replaced is kept beside it. Everything that happened after the backup is
    forgotten: runs that were in line or at work then go on from there, and what they did since is done again.
    """
    from headgate.serve import only_server
    from headgate.store import backup as store

    session = current()
    data = _data(session)
    aside = data / f"{DATABASE}.replaced-{_stamp(session)}"
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with only_server(data) as alone:
        if not alone:
            raise Failure(Exit.FAILED, f"a server is running on {data}.", "Stop it first.")
        try:
            contents = store.restore(file, data / DATABASE, aside)
        except (store.BadBackup, OSError) as error:
            raise Failure(Exit.FAILED, f"nothing was restored: {error}.") from error
    _tell(session, contents, "replaced", aside if aside.exists() else None)


def _data(session: Session) -> Path:
    settings = session.settings()
    if settings.store != "sqlite":
        remedy = "Firestore has backups of its own: gcloud firestore backups."
        raise Failure(Exit.USAGE, f"HEADGATE_STORE is {settings.store}: this is for the embedded store.", remedy)
    return settings.data


def _stamp(session: Session) -> str:
    return datetime.fromtimestamp(session.timing.wall_ms() / 1000, UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"


def _tell(session: Session, contents: Contents, name: str, path: Path | None) -> None:
    facts: dict[str, object] = {name: None if path is None else str(path), "bytes": contents.bytes}
    facts |= {"schema": contents.schema, "documents": dict(contents.documents)}
    if session.as_json:
        output.document(facts)
    else:
        counts = ", ".join(f"{count} {name}" for name, count in contents.documents.items() if count)
        output.facts({**facts, "documents": counts}.items())
