"""headgate up"""

from __future__ import annotations

import click

from headgate.cli.grammar import Command
from headgate.cli.session import current, data_option

EXAMPLES = (
    "headgate up",
    "headgate up --port 9000 --data /var/lib/headgate --policy policy.yaml",
    "headgate up --store firestore --delivery pubsub   # the emulators, HEADGATE_PUSH_AUTH=none",
)


@click.command(cls=Command, examples=EXAMPLES)
@click.option("--port", metavar="PORT", help="Port to listen on (PORT; 8080).")
@click.option("--host", metavar="HOST", help="Address to listen on (HEADGATE_HOST; 127.0.0.1).")
@data_option
@click.option("--store", metavar="sqlite|firestore", help="Where tenants and runs are stored (HEADGATE_STORE; sqlite).")
@click.option("--delivery", metavar="embedded|pubsub", help="How runs reach a worker (HEADGATE_DELIVERY; embedded).")
@click.option("--policy", metavar="FILE", help="Policy file (HEADGATE_POLICY; the defaults).")
@click.option("--log", metavar="auto|json|pretty", help="Form of the log on standard error (HEADGATE_LOG; auto).")
def up(
    port: str | None,
    host: str | None,
    store: str | None,
    delivery: str | None,
    policy: str | None,
    log: str | None,
) -> int:
    """Start the server: API, worker, delivery and sweep in one process.

    Every option has its environment variable; docs/configuration.md lists the others. Ctrl-C stops it in good order, and
    a kill loses nothing: the next start takes up what was under way.
    """
    settings = current().settings(
        PORT=port,
        HEADGATE_HOST=host,
        HEADGATE_STORE=store,
        HEADGATE_DELIVERY=delivery,
        HEADGATE_POLICY=policy,
        HEADGATE_LOG=log,
    )
    from headgate.serve import serve  # the whole server: no other command should wait for its import

    return serve(settings)
