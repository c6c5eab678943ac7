"""Rules for the resources. Each gives one sentence for each thing that is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import yaml

from headgate.settings import load_settings
from headgate.settings.table import SettingsError, variables
from headgate.store.documents import INDEXED
from tests.infra.hcl import Block
from tests.infra.reading import Infra

NOT_SET_HERE = {
    "PORT": "gunicorn binds, by the arguments",
    "HEADGATE_HOST": "gunicorn binds, by the arguments",
    "HEADGATE_COMMANDS": "the default list, until an image has more programs",
    "HEADGATE_LOCAL_REPOS": "embedded only",
    "HEADGATE_PUSH_ENDPOINT": "towards the emulator only",
    "FIRESTORE_EMULATOR_HOST": "an emulator",
    "PUBSUB_EMULATOR_HOST": "an emulator",
    "HEADGATE_SQLITE_SYNC": "SQLite only",
    "HEADGATE_SWEEP_SECONDS": "the scheduler keeps the time",
    "HEADGATE_METRICS": "operators only, the default: every caller comes through Google's front end",
    "HEADGATE_STORE_DEADLINE_SECONDS": "the default",
    "HEADGATE_STORE_OUTAGE_SECONDS": "the default",
    "HEADGATE_LEASE_SECONDS": "of the policy",
    "HEADGATE_HEARTBEAT_SECONDS": "of the policy",
    "HEADGATE_URL": "the CLI's",
    "HEADGATE_API_KEY": "the CLI's",
}
"""Settings that the services run without, and why."""

LABELLED = {
    "google_cloud_run_v2_service": "labels", "google_pubsub_topic": "labels", "google_pubsub_subscription": "labels",
    "google_storage_bucket": "labels", "google_artifact_registry_repository": "labels", "google_secret_manager_secret": "labels",
    "google_monitoring_alert_policy": "user_labels", "google_monitoring_slo": "user_labels",
    "google_monitoring_custom_service": "user_labels", "google_monitoring_uptime_check_config": "user_labels",
    "google_monitoring_notification_channel": "user_labels",
}  # fmt: skip

EVERYBODY = re.compile(r"\ball(Authenticated)?Users\b")
BASIC = re.compile(r'"roles/(owner|editor|viewer)"')
ACTING = re.compile(r"roles/iam\.serviceAccount(TokenCreator|User|KeyAdmin|Admin)")
SPAN = re.compile(r'^"?(\d+)s"?$')


def everything_parses(infra: Infra) -> Iterator[str]:
    """Raises Broken itself; beside that: what is declared is used, what is used is declared, and described."""
    whole = "\n".join(text for name, text in infra.texts.items() if name.endswith(".tf"))
    declared = {block.labels[0] for block in infra.blocks("variable")}
    used = set(re.findall(r"\bvar\.(\w+)", whole))
    yield from (f"var.{name} is not declared" for name in sorted(used - declared))
    yield from (f"variable {name} is used nowhere" for name in sorted(declared - used))
    locals_ = set(re.findall(r"\blocal\.(\w+)", whole))
    yield from (f"local.{name} is not declared" for name in sorted(locals_ - set(infra.locals)))
    yield from (f"local {name} is used nowhere" for name in sorted(set(infra.locals) - locals_))
    for block in infra.blocks("variable"):
        if not block["description"] or not block["type"]:
            yield f"variable {block.labels[0]} needs a type and a description"
    yield from (f"output {b.labels[0]} needs a description" for b in infra.blocks("output") if not b["description"])


def it_stands_alone(infra: Infra) -> Iterator[str]:
    for name, text in infra.texts.items():
        if name.endswith(".tf") and (re.search(r"path\.(root|cwd)|\"\.\./|\}/\.\./", text) or "filebase64" in text):
            yield f"{name}: reads outside of infra/"
    if list(infra.blocks("terraform")) and any(
        b.blocks and list(b.below("backend")) for b in infra.blocks("terraform")
    ):
        yield "the place of the state is the environment's business"


def dead_letters_can_be_forwarded(infra: Infra) -> Iterator[str]:
    """A push subscription has a way out for what cannot be delivered, with both grants, and somebody to look at it."""
    subscriptions = list(infra.blocks("resource", "google_pubsub_subscription"))
    plain = [one for one in subscriptions if one.labels[0] == "google_pubsub_subscription"]
    grants = [b for b in infra.blocks("resource", "google_pubsub_") if b.labels[0].endswith("_iam_member")]
    for one in plain:
        policies = list(one.below("dead_letter_policy"))
        ends_here = "dead_letters" in one["topic"]  # there is no dead letter of a dead letter
        if list(one.below("push_config")) and not ends_here and not policies:
            yield f"{one.labels[1]}: no dead-letter policy"
        for policy in policies:
            topic = policy["dead_letter_topic"].removesuffix(".id")
            if policy["max_delivery_attempts"] != "var.push.max_delivery_attempts":
                yield f"{one.labels[1]}: late_deliveries compares with var.push.max_delivery_attempts"
            yield from _grants(grants, topic, f"google_pubsub_subscription.{one.labels[1]}")
            if not any(topic in other["topic"] and not list(other.below("push_config")) for other in plain):
                yield f"{topic}: no subscription keeps the dead letters for people"
    if not {"dlq_forwarded", "dlq_unattended", "dlq_forwarding_broken"} <= {entry["id"] for entry in infra.alerts}:
        yield "dead letters need the alerts dlq_forwarded, dlq_unattended, dlq_forwarding_broken"


def _grants(grants: list[Block], topic: str, subscription: str) -> Iterator[str]:
    for role, of, name in (("publisher", "topic", topic), ("subscriber", "subscription", subscription)):
        if not any(
            g["role"] == f'"roles/pubsub.{role}"' and g[of].startswith(name) and g["member"] == "local.pubsub_agent"
            for g in grants
        ):
            yield f"{name}: Pub/Sub's own account needs roles/pubsub.{role}, else nothing is forwarded"


def pushes_are_signed_and_have_time(infra: Infra) -> Iterator[str]:
    for one in infra.blocks("resource", "google_pubsub_subscription"):
        for push in one.below("push_config"):
            tokens = list(push.below("oidc_token"))
            if not tokens or tokens[0]["audience"] != "local.worker_audience":
                yield f"{one.labels[1]}: a push carries a token for the worker's audience"
        for policy in one.below("expiration_policy"):
            if policy["ttl"] != '""':
                yield f"{one.labels[1]}: a subscription that expires loses what comes after it"
        if one.labels[0] == "google_pubsub_subscription" and not list(one.below("expiration_policy")):
            yield f"{one.labels[1]}: without an expiration_policy it is deleted after 31 quiet days"
    deadline = infra.resource("google_pubsub_subscription", "runs_push")["ack_deadline_seconds"]
    if deadline not in infra.locals["services"]:
        yield "the worker's timeout and the deadline of a push are not the same"


def the_sweep_is_called(infra: Infra) -> Iterator[str]:
    job = infra.resource("google_cloud_scheduler_job", "sweep")
    for token in job.below("oidc_token"):
        if token["audience"] != "local.worker_audience" or '["scheduler"]' not in token["service_account_email"]:
            yield "the sweep is called as the scheduler's account, for the worker's audience"
    if job["schedule"] != '"* * * * *"':
        yield "the sweep comes every minute; alerts and leases count on it"
    if not list(job.below("oidc_token")) or job["paused"] == "true" or not job["attempt_deadline"]:
        yield "nobody calls the sweep"


def no_message_holds_up_others(infra: Infra) -> Iterator[str]:
    """Ordering would let one poisoned message stall all that share its key; without back-off it would come at once."""
    for one in infra.blocks("resource", "google_pubsub_subscription"):
        if one["enable_message_ordering"] not in ("", "false"):
            yield f"{one.labels[1]}: messages are ordered"
        if list(one.below("push_config")) and not list(one.below("retry_policy")):
            yield f"{one.labels[1]}: no back-off"


def data_outlives_mistakes(infra: Infra) -> Iterator[str]:
    database = infra.resource("google_firestore_database", "headgate")
    if database["point_in_time_recovery_enablement"] != '"POINT_IN_TIME_RECOVERY_ENABLED"':
        yield "the database cannot be put back to a moment"
    if "var.deletion_protection" not in database["delete_protection_state"]:
        yield "the database is not protected"
    if not list(infra.blocks("resource", "google_firestore_backup_schedule")):
        yield "the database has no backups"
    ends = {collection for collection, fields in INDEXED.items() if "expire_at" in fields}
    kept = set(yaml.safe_load(infra.texts["firestore_indexes.yaml"])["ttl"])
    yield from (f"{collection}: what has expired is kept for ever" for collection in sorted(ends - kept))
    for kind in ("index", "field"):
        for one in infra.blocks("resource", f"google_firestore_{kind}"):
            if one["database"] != "google_firestore_database.headgate.name" or not one["for_each"]:
                yield f"{'.'.join(one.labels)}: indexes and time to live come from firestore_indexes.yaml, for our database"


def dead_letters_are_kept_as_long(infra: Infra) -> Iterator[str]:
    """At least as long as what they come from; the source's retention is bounded by its variable's validation."""
    month = SPAN.match(infra.locals["month"])
    source = int(infra.defaults["push"]["retention"].removesuffix("s"))
    if month is None or int(month[1]) < source:
        yield "dead letters are kept for less time than runs"
    for one in infra.blocks("resource", "google_pubsub_subscription"):
        if "dead_letters" in one["topic"] and one["message_retention_duration"] != "local.month":
            yield f"{one.labels[1]}: dead letters are kept for a month"


GRANTS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("google_cloud_run_v2_service_iam_member", "worker"): (
        '"push"',
        '"scheduler"',
        '"roles/run.invoker"',
        '["worker"]',
    ),
    ("google_pubsub_topic_iam_member", "runs"): (
        '"api"',
        '"worker"',
        '"publisher"',
        '"viewer"',
        "google_pubsub_topic.runs.id",
    ),
    ("google_project_iam_member", "database"): ('"api"', '"worker"', '"roles/datastore.user"'),
    ("google_project_iam_member", "monitoring"): (
        "roles/monitoring.viewer",
        "roles/monitoring.metricWriter",
        '["worker"]',
    ),
    ("google_project_iam_member", "logs"): ('"api"', '"worker"', '"roles/logging.logWriter"'),
    ("google_storage_bucket_iam_member", "artifacts"): ("roles/storage.objectViewer", "roles/storage.objectUser"),
    ("google_secret_manager_secret_iam_member", "policy"): (
        '"api"',
        '"worker"',
        '"roles/secretmanager.secretAccessor"',
    ),
    ("google_service_account_iam_member", "sign_pushes"): ('["push"]', "local.pubsub_agent"),
}
"""What the parts need to do their work: without one of these something fails that no plan shows."""


def everybody_has_what_they_need(infra: Infra) -> Iterator[str]:
    for (kind, name), needed in GRANTS.items():
        texts = " ".join(infra.resource(kind, name).texts())
        yield from (f"{kind}.{name}: {one} is missing" for one in needed if one not in texts)
    if infra.resource("google_cloud_run_v2_service", "service")["custom_audiences"] != "each.value.audiences" or (
        "[local.worker_audience]" not in infra.locals["services"]
    ):
        yield "the worker does not accept the audience of its callers' tokens"


def nobody_has_too_much(infra: Infra) -> Iterator[str]:
    for block in infra.blocks("resource"):
        kind, name = block.labels
        texts = " ".join(block.texts())
        if EVERYBODY.search(texts):
            yield f"{kind}.{name}: open to everybody"
        if BASIC.search(texts):
            yield f"{kind}.{name}: a basic role"
        if kind.startswith("google_project_iam") and ACTING.search(texts):
            yield f"{kind}.{name}: acting as an account is granted on that account, not on the project"
        if kind == "google_service_account_key":
            yield f"{kind}.{name}: no keys"
        if kind.endswith(("_iam_binding", "_iam_policy")):
            yield f"{kind}.{name}: takes away what others granted; use _iam_member"
        if kind == "google_project_iam_member" and "roles/datastore" in texts and not list(block.below("condition")):
            yield f"{kind}.{name}: data of every database; add the condition"


def no_secret_is_in_the_state(infra: Infra) -> Iterator[str]:
    for block in infra.blocks("resource"):
        if block.labels[0] == "google_secret_manager_secret_version" or any("secret_data" in t for t in block.texts()):
            yield f"{block.labels[1]}: versions of secrets are added out of band"
    for text in infra.texts.values():
        if re.search(r"-----BEGIN|AIza[0-9A-Za-z_-]{20}|hg_[0-9a-z]{20}_", text):
            yield "this looks like a secret"


def buckets_are_private(infra: Infra) -> Iterator[str]:
    for one in infra.blocks("resource", "google_storage_bucket"):
        if one.labels[0] != "google_storage_bucket":
            continue
        if one["public_access_prevention"] != '"enforced"' or one["uniform_bucket_level_access"] != "true":
            yield f"{one.labels[1]}: public access is not prevented"
        if not any(v["enabled"] == "true" for v in one.below("versioning")):
            yield f"{one.labels[1]}: no versions"


def images_are_digests(infra: Infra) -> Iterator[str]:
    for one in infra.blocks("resource", "google_cloud_run_v2_service"):
        yield from (
            f"{one.labels[1]}: image is not var.image" for c in one.below("containers") if c["image"] != "var.image"
        )
    [image] = [block for block in infra.blocks("variable") if block.labels == ("image",)]
    if not any("@sha256:" in block["condition"] for block in image.below("validation")):
        yield "var.image accepts a tag"


def services_are_watched_and_protected(infra: Infra) -> Iterator[str]:
    for one in infra.blocks("resource", "google_cloud_run_v2_service"):
        if one.labels[0] != "google_cloud_run_v2_service":
            continue
        for probe in ("startup_probe", "liveness_probe"):
            if not list(one.below(probe)):
                yield f"{one.labels[1]}: no {probe}"
        if one["deletion_protection"] != "var.deletion_protection":
            yield f"{one.labels[1]}: deletion_protection must be the variable, else nothing can be taken down"
        if not any("google_service_account.identity" in t["service_account"] for t in one.below("template")):
            yield f"{one.labels[1]}: runs as the default account"
    if '"INGRESS_TRAFFIC_INTERNAL_ONLY"' not in infra.locals["services"]:
        yield "the worker is reached from outside"


def labels_are_on_everything(infra: Infra) -> Iterator[str]:
    for block in infra.blocks("resource"):
        attribute = LABELLED.get(block.labels[0])
        if attribute and "local.labels" not in block[attribute]:
            yield f"{'.'.join(block.labels)}: no {attribute}"


def environment_and_settings_agree(infra: Infra) -> Iterator[str]:
    known = {variable.name for _, variable in variables()}
    services = infra.resource("google_cloud_run_v2_service", "service")
    here = infra.locals["environment"] + " ".join(services.texts()) + " ".join(
        one["for_each"] for one in _dynamics(services) if one.labels == ("env",)
    )  # fmt: skip
    set_ = set(re.findall(r"\b([A-Z][A-Z0-9_]{3,})\s*=\s", here))
    yield from (f"{name} is set, and no setting reads it" for name in sorted(set_ - known))
    yield from (f"{name} is not set: set it, or say why not" for name in sorted(known - set_ - set(NOT_SET_HERE)))
    yield from (f"{name} is set: take it off NOT_SET_HERE" for name in sorted(set_ & set(NOT_SET_HERE)))


EXAMPLES = {
    "var.project_id": "acme-headgate",
    "var.firestore_database": "headgate",
    "var.log_level": "INFO",
    "local.worker_audience": "https://headgate-worker.acme-headgate.internal",
    "google_storage_bucket.artifacts.name": "acme-headgate-artifacts",
}
"""What some expressions come to."""


def the_services_start_with_their_environment(infra: Infra) -> Iterator[str]:
    """The settings themselves read what is set here."""
    given = {}
    for name, text in re.findall(r"^\s*([A-Z][A-Z0-9_]+)\s*=\s*(.+?)\s*$", infra.locals["environment"], re.MULTILINE):
        given[name] = text.strip('"') if text.startswith('"') else _example(infra, text)
    try:
        settings = load_settings(given)
    except SettingsError as wrong:
        yield from wrong.problems
        return
    if (settings.store, settings.delivery, settings.push_auth) != ("firestore", "pubsub", "oidc"):
        yield "production runs on Firestore and Pub/Sub, and pushes prove who they are"
    if settings.push_service_account == settings.sweep_service_account:
        yield "Pub/Sub and the scheduler have one account: whoever may call the sweep may push"


def _example(infra: Infra, text: str) -> str:
    if found := re.search(r'identity\["(\w+)"\]\.email', text):
        return f"headgate-{found[1]}@acme-headgate.iam.gserviceaccount.com"
    if found := re.fullmatch(r"local\.names\.(\w+)", text):
        return infra.names[found[1]]
    return "8" if text.startswith("tostring(") else EXAMPLES.get(text, text)


def _dynamics(block: Block) -> Iterator[Block]:
    for inner in block.blocks:
        if inner.type == "dynamic":
            yield inner
        yield from _dynamics(inner)


def numbers_google_does_not_check(infra: Infra) -> Iterator[str]:
    """The provider lets these through."""
    for job in infra.blocks("resource", "google_cloud_scheduler_job"):
        if len(job["schedule"].strip('"').split()) != 5:
            yield f"{job.labels[1]}: the schedule is no cron expression"
    for one in infra.blocks("resource", "google_pubsub_subscription"):
        seconds = one["ack_deadline_seconds"]
        if seconds.isdigit() and not 10 <= int(seconds) <= 600:
            yield f"{one.labels[1]}: ack_deadline_seconds is 10 to 600"
    for block in infra.blocks("resource"):
        for inner in (block, *block.below("condition_threshold", "http_target", "retry_config", "alert_strategy")):
            for name in ("duration", "auto_close", "attempt_deadline", "period", "timeout", "min_backoff_duration"):
                text = inner[name]
                if text.startswith('"') and "${" not in text and not SPAN.match(text):
                    yield f"{'.'.join(block.labels)}: {name} = {text} is no time in seconds"


RULES = (
    everything_parses,
    it_stands_alone,
    dead_letters_can_be_forwarded,
    pushes_are_signed_and_have_time,
    the_sweep_is_called,
    no_message_holds_up_others,
    data_outlives_mistakes,
    dead_letters_are_kept_as_long,
    everybody_has_what_they_need,
    nobody_has_too_much,
    no_secret_is_in_the_state,
    buckets_are_private,
    images_are_digests,
    services_are_watched_and_protected,
    labels_are_on_everything,
    environment_and_settings_agree,
    the_services_start_with_their_environment,
    numbers_google_does_not_check,
)
