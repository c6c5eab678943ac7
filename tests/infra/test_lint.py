"""infra/ against the rules that no provider checks; each rule with the mistakes that it must see."""

from __future__ import annotations

import re

import pytest

from tests.infra import lint_alerts, lint_resources
from tests.infra.hcl import Broken, parse
from tests.infra.platform import in_promql
from tests.infra.reading import Infra, read

RULES = {rule.__name__: rule for rule in (*lint_alerts.RULES, *lint_resources.RULES)}
CATALOGUE = "alerts/catalogue.yaml"


@pytest.fixture(scope="module")
def infra() -> Infra:
    return read()


@pytest.mark.parametrize("rule", RULES)
def test_infra_keeps(infra: Infra, rule: str) -> None:
    assert list(RULES[rule](infra)) == []


MUTANTS = [
    ("ids_are_unique_and_seeds_stand", CATALOGUE, "- id: queue_age_critical", "- id: queue_age_warning"),
    ("ids_are_unique_and_seeds_stand", CATALOGUE, "- id: queue_depth_warning", "- id: queue-depth-warning"),
    ("ids_are_unique_and_seeds_stand", CATALOGUE, "${queue_depth_critical_threshold}\n  for: 300s",
     "${queue_depth_critical_threshold}\n  for: 60s"),
    ("ids_are_unique_and_seeds_stand", CATALOGUE, "aligner: ALIGN_MEAN", "aligner: ALIGN_MIN"),
    ("ids_are_unique_and_seeds_stand", CATALOGUE, "- id: drain_active", "- id: drain_activated"),
    ("objectives_count_what_they_say", "slo.tf", 'counter["http_failures"]', 'counter["http_answers"]'),
    ("objectives_count_what_they_say", "slo.tf", "min = 0", "min = 10"),
    ("objectives_count_what_they_say", CATALOGUE, "windows: [3600s, 300s]", "windows: [300s, 3600s]"),
    ("everybody_has_what_they_need", "identities.tf", 'toset(["push", "scheduler"])', 'toset(["push"])'),
    ("everybody_has_what_they_need", "identities.tf", '"roles/monitoring.metricWriter"', '"roles/monitoring.alertViewer"'),
    ("everybody_has_what_they_need", "identities.tf", '["publisher", "viewer"]', '["viewer"]'),
    ("everybody_has_what_they_need", "services.tf", "[local.worker_audience]", "[]"),
    ("the_services_start_with_their_environment", "services.tf", '"oidc"', '"none"'),
    ("the_services_start_with_their_environment", "services.tf", '"firestore"', '"sqlite"'),
    ("the_services_start_with_their_environment", "services.tf", "HEADGATE_PUSH_AUDIENCE ", "HEADGATE_PUSH_AUDIENZ "),
    ("the_services_start_with_their_environment", "services.tf", '"scheduler"].email', '"push"].email'),
    ("the_sweep_is_called", "scheduler.tf", '"* * * * *"', '"0 * * * *"'),
    ("dead_letters_can_be_forwarded", "pubsub.tf", "= var.push.max_delivery_attempts", "= 100"),
    ("data_outlives_mistakes", "firestore_indexes.yaml", "ttl: [idem, receipts,", "ttl: [receipts,"),
    ("thresholds_come_from_variables", CATALOGUE, "threshold: ${pending_requests}", "threshold: 5"),
    ("variables_of_thresholds_are_used", CATALOGUE, "${leaked_slots_per_hour}", "3"),
    ("metrics_are_known", CATALOGUE, "subscription/num_undelivered_messages", "subscription/num_undelivered_mesages"),
    ("metrics_are_known", CATALOGUE, "headgate_slot_drift", "headgate_slots_drift"),
    ("metrics_are_known", CATALOGUE, 'run_googleapis_com:request_count{monitored_resource="cloud_run_revision"',
     'run_googleapis_com:request_count{monitored_resource="cloud_run_service"'),
    ("metrics_are_known", CATALOGUE, 'response_class!="ack"', 'response_klass!="ack"'),
    ("metrics_are_known", CATALOGUE, 'action="run.refused"', 'action="run.rejected"'),
    ("metrics_are_known", CATALOGUE, 'filter: resource.type = "cloud_run_revision" AND resource.labels.service_name',
     'filter: resource.type = "global" AND resource.labels.service_name'),
    ("metrics_are_known", CATALOGUE, 'filter: resource.type = "uptime_url" AND metric.type', "filter: metric.type"),
    ("metrics_are_known", "slo.tf", 'counter["http_failures"]', 'counter["http_errors"]'),
    ("aligners_are_legal", CATALOGUE, "aligner: ALIGN_MEAN", "aligner: ALIGN_RATE"),
    ("aligners_are_legal", CATALOGUE, "aligner: ALIGN_NEXT_OLDER", "aligner: ALIGN_MEAN"),
    ("rates_are_per_second", CATALOGUE, "aligner: ALIGN_MEAN", "aligner: ALIGN_RATE"),
    ("shares_are_ratios", CATALOGUE, ' / max(custom_googleapis_com:headgate_slots_limit{scope="system"}) > ', " > "),
    ("shares_are_ratios", CATALOGUE, "headgate_largest_repo_share", "headgate_runs"),
    ("shares_are_ratios", CATALOGUE, "threshold: ${pending_requests}", "threshold: ${instance_share}"),
    ("ratios_have_traffic", CATALOGUE, ">= ${runs_at_least}", "> 0"),
    ("times_are_what_the_api_takes", CATALOGUE, "for: 300s", "for: 90s"),
    ("times_are_what_the_api_takes", CATALOGUE, "period: 60s", "period: 30s"),
    ("times_are_what_the_api_takes", "alerts.tf", 'evaluation_interval       = "60s"', 'evaluation_interval       = "45s"'),
    ("our_metrics_are_asked_for_by_promql", "alerts.tf", "disable_metric_validation = true", "disable_metric_validation = false"),
    ("our_metrics_are_asked_for_by_promql", CATALOGUE, "run.googleapis.com/pending_queue/pending_requests",
     "custom.googleapis.com/headgate/runs"),
    ("our_metrics_are_asked_for_by_promql", CATALOGUE, "query: max(custom_googleapis_com:headgate_slot_drift) > 0",
     "query: absent(custom_googleapis_com:headgate_slot_drift)"),
    ("our_metrics_are_asked_for_by_promql", "alerts.tf", "condition_matched_log", "condition_absent"),
    ("policies_say_what_the_catalogue_says", "alerts.tf", "severity              = each.value.severity\n", ""),
    ("policies_say_what_the_catalogue_says", "alerts.tf", '"COMPARISON_GT"', '"COMPARISON_LT"'),
    ("policies_say_what_the_catalogue_says", "alerts.tf", "  combiner  ", "  enabled = false\n  combiner  "),
    ("policies_say_what_the_catalogue_says", "alerts.tf", "local.channels[each.value.severity]", "[]"),
    ("the_sweep_is_called", "scheduler.tf", 'identity["scheduler"]', 'identity["push"]'),
    ("the_sweep_is_called", "scheduler.tf", "oidc_token {", "oauth_token {"),
    ("no_message_holds_up_others", "pubsub.tf", "enable_message_ordering = false", "enable_message_ordering = true"),
    ("no_message_holds_up_others", "pubsub.tf", "retry_policy {", "retry {"),
    ("data_outlives_mistakes", "firestore.tf", '"POINT_IN_TIME_RECOVERY_ENABLED"', '"POINT_IN_TIME_RECOVERY_DISABLED"'),
    ("data_outlives_mistakes", "firestore.tf", "google_firestore_backup_schedule", "google_firestore_backup_plan"),
    ("data_outlives_mistakes", "firestore.tf", "= google_firestore_database.headgate.name", '= "(default)"'),
    ("nothing_is_alerted_on_that_no_code_emits", "metrics.yaml", "- run.refused", "- run.rejected"),
    ("nothing_is_alerted_on_that_no_code_emits", CATALOGUE, "headgate_pressure_state", "headgate_slot_drift"),
    ("numbers_of_both_worlds_agree", "variables.tf", "default     = 50\n", "default     = 60\n"),
    ("numbers_of_both_worlds_agree", "variables.tf", "optional(number, 10000)", "optional(number, 12000)"),
    ("numbers_of_both_worlds_agree", "alerts.tf", '"SYSTEM_DRAINING"', '"SYSTEM_DRAIN"'),
    ("everything_parses", "slo.tf", "var.objectives.start,", "var.objective.start,"),
    ("everything_parses", "outputs.tf", '  description = "Where the API is."\n', ""),
    ("everything_parses", "variables.tf", 'variable "artifact_days"', 'variable "artifact_weeks"'),
    ("it_stands_alone", "metrics.tf", '"${path.module}/metrics.yaml"', '"${path.module}/../metrics.yaml"'),
    ("it_stands_alone", "versions.tf", "  required_providers {", '  backend "gcs" {\n  }\n\n  required_providers {'),
    ("dead_letters_can_be_forwarded", "identities.tf", '"roles/pubsub.subscriber"', '"roles/pubsub.viewer"'),
    ("dead_letters_can_be_forwarded", "identities.tf",
     'topic  = google_pubsub_topic.dead_letters.id\n  role   = "roles/pubsub.publisher"',
     'topic  = google_pubsub_topic.runs.id\n  role   = "roles/pubsub.publisher"'),
    ("dead_letters_can_be_forwarded", "pubsub.tf", "dead_letter_policy", "dead_letter_polish"),
    ("dead_letters_can_be_forwarded", CATALOGUE, "- id: dlq_unattended", "- id: dlq_old"),
    ("pushes_are_signed_and_have_time", "pubsub.tf", "audience              = local.worker_audience", 'audience = "x"'),
    ("pushes_are_signed_and_have_time", "pubsub.tf", 'ttl = "" # never', 'ttl = "86400s" # never'),
    ("pushes_are_signed_and_have_time", "services.tf", "var.push.ack_deadline_seconds", "300"),
    ("dead_letters_are_kept_as_long", "pubsub.tf", 'month = "2678400s"', 'month = "86400s"'),
    ("nobody_has_too_much", "identities.tf", 'role     = "roles/run.invoker"\n  member   = each.key',
     'role     = "roles/run.invoker"\n  member   = "allUsers"'),
    ("nobody_has_too_much", "identities.tf", '"roles/logging.logWriter"', '"roles/editor"'),
    ("nobody_has_too_much", "identities.tf", '"roles/logging.logWriter"', '"roles/iam.serviceAccountTokenCreator"'),
    ("nobody_has_too_much", "identities.tf", "  condition {", "  conditions {"),
    ("nobody_has_too_much", "identities.tf", 'resource "google_pubsub_topic_iam_member" "forward"',
     'resource "google_pubsub_topic_iam_binding" "forward"'),
    ("no_secret_is_in_the_state", "secrets.tf", 'resource "google_secret_manager_secret" "policy"',
     'resource "google_secret_manager_secret_version" "policy"'),
    ("buckets_are_private", "artifacts.tf", '"enforced"', '"inherited"'),
    ("buckets_are_private", "artifacts.tf", "    enabled = true", "    enabled = false"),
    ("images_are_digests", "services.tf", "= var.image", '= "example/headgate:latest"'),
    ("images_are_digests", "variables.tf", "@sha256:[0-9a-f]{64}$", "$"),
    ("services_are_watched_and_protected", "services.tf", "liveness_probe {", "alive_probe {"),
    ("services_are_watched_and_protected", "services.tf", "INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_ALL"),
    ("labels_are_on_everything", "artifacts.tf", "  labels                      = local.labels\n", ""),
    ("environment_and_settings_agree", "services.tf", "HEADGATE_WORKERS ", "HEADGATE_THREADS "),
    ("environment_and_settings_agree", "services.tf", '    HEADGATE_LOG                   = "json"\n', ""),
    ("environment_and_settings_agree", "services.tf", 'HEADGATE_LOG                   = "json"',
     'HEADGATE_LOG                   = "json"\n    HEADGATE_SQLITE_SYNC = "full"'),
    ("numbers_google_does_not_check", "scheduler.tf", '"* * * * *"', '"every minute"'),
    ("numbers_google_does_not_check", "alerts.tf", 'auto_close = "1800s"', 'auto_close = "1800"'),
    ("numbers_google_does_not_check", "pubsub.tf", "ack_deadline_seconds       = 60\n", "ack_deadline_seconds = 6000\n"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "file", "before", "after"), MUTANTS)
def test_a_mistake_is_seen(infra: Infra, rule: str, file: str, before: str, after: str) -> None:
    assert list(RULES[rule](infra.with_change(file, before, after)))


def test_every_rule_has_its_mutant() -> None:
    assert {rule for rule, *_ in MUTANTS} == set(RULES)


# --- what the rules stand on


def test_what_stands_in_the_documentation_is_accepted(infra: Infra) -> None:
    """`ttl = ""` = never expires: a rule once refused it."""
    assert 'ttl = ""' in infra.texts["pubsub.tf"]
    assert in_promql("firestore.googleapis.com/api/request_count") == "firestore_googleapis_com:api_request_count"
    assert in_promql("custom.googleapis.com/headgate/runs") == "custom_googleapis_com:headgate_runs"


def test_hcl_is_read() -> None:
    found = parse(
        'a "b" c {\n  d = "x ${y["}"]} #" # e\n  f {\n    g = [1, # h\n      2]\n  }\n}\nk = <<EOT\n}{\nEOT\n'
    )
    [a] = found.blocks
    assert (a.type, a.labels, a["d"]) == ("a", ("b", "c"), '"x ${y["}"]} #"')
    assert re.sub(r"\s", "", a.blocks[0]["g"]) == "[1,2]"
    assert found["k"].endswith("EOT")


@pytest.mark.parametrize(
    "text", ["a {", "a }", 'a = "b', "a = [1", "a = (1]", "a = 1\na = 2", "= 1", "a = <<EOT\nx\n", "}"]
)
def test_what_is_no_hcl_is_refused(text: str) -> None:
    with pytest.raises(Broken, match="line "):
        parse(text)
