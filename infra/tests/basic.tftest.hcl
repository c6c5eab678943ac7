mock_provider "google" {
  mock_data "google_project" {
    defaults = {
      number = "123456789012"
    }
  }

  mock_resource "google_service_account" {
    defaults = {
      name   = "projects/headgate-test/serviceAccounts/headgate-some@headgate-test.iam.gserviceaccount.com"
      email  = "headgate-some@headgate-test.iam.gserviceaccount.com"
      member = "serviceAccount:headgate-some@headgate-test.iam.gserviceaccount.com"
    }
  }

  mock_resource "google_cloud_run_v2_service" {
    defaults = {
      uri = "https://some-service.a.run.app"
    }
  }

  mock_resource "google_monitoring_notification_channel" {
    defaults = {
      name = "projects/headgate-test/notificationChannels/1"
    }
  }
}

variables {
  project_id   = "headgate-test"
  image        = "europe-west1-docker.pkg.dev/p/r/headgate@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  alert_emails = { warning = ["a@example.com"], critical = ["a@example.com", "b@example.com"] }
}

run "from_nothing_in_one_go" {
  command = apply

  assert {
    condition     = length(google_monitoring_alert_policy.alert) >= 25
    error_message = "The catalogue has at least 25 alerts."
  }

  assert {
    condition = alltrue([
      for policy in google_monitoring_alert_policy.alert : length(policy.conditions) >= 1 && policy.severity != ""
    ])
    error_message = "Each policy has a condition and a severity."
  }

  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.headgate.dashboard_json).mosaicLayout.tiles) > 40
    error_message = "The dashboard shows the catalogue."
  }

  assert {
    condition = (
      google_monitoring_alert_policy.alert["queue_depth_warning"].display_name == "queue_depth_warning"
      && google_monitoring_alert_policy.alert["queue_depth_warning"].severity == "WARNING"
      && google_monitoring_alert_policy.alert["queue_depth_warning"].conditions[0].condition_threshold[0].threshold_value == 100
      && google_monitoring_alert_policy.alert["queue_depth_warning"].conditions[0].condition_threshold[0].duration == "300s"
      && strcontains(google_monitoring_alert_policy.alert["queue_depth_warning"].conditions[0].condition_threshold[0].filter, "num_undelivered_messages")
      && strcontains(google_monitoring_alert_policy.alert["queue_depth_warning"].conditions[0].condition_threshold[0].filter, "\"runs-push\"")
    )
    error_message = "queue_depth_warning: more than 100 undelivered messages, sustained for 5 minutes."
  }

  assert {
    condition = (
      google_monitoring_alert_policy.alert["queue_depth_critical"].severity == "CRITICAL"
      && google_monitoring_alert_policy.alert["queue_depth_critical"].conditions[0].condition_threshold[0].threshold_value == 500
      && google_monitoring_alert_policy.alert["queue_depth_critical"].conditions[0].condition_threshold[0].duration == "300s"
    )
    error_message = "queue_depth_critical: more than 500 undelivered messages, sustained for 5 minutes."
  }

  assert {
    condition = (
      google_monitoring_alert_policy.alert["queue_age_warning"].conditions[0].condition_threshold[0].threshold_value == 600
      && strcontains(google_monitoring_alert_policy.alert["queue_age_warning"].conditions[0].condition_threshold[0].filter, "oldest_unacked_message_age")
    )
    error_message = "queue_age_warning: the oldest message is older than 10 minutes."
  }

  assert {
    condition = (
      length(google_monitoring_alert_policy.alert["queue_depth_warning"].notification_channels) == 1
      && length(google_monitoring_alert_policy.alert["queue_depth_critical"].notification_channels) == 2
    )
    error_message = "Channels go by severity."
  }

  assert {
    condition = alltrue([
      for id in ["api_slo_fast", "api_slo_slow", "api_slo_drift", "start_slo_fast", "start_slo_slow"] :
      google_monitoring_alert_policy.alert[id].combiner == "AND" && length(google_monitoring_alert_policy.alert[id].conditions) == 2
    ])
    error_message = "A burn alert needs both windows."
  }

  assert {
    condition     = length(google_firestore_index.composite) == length(local.firestore.composite)
    error_message = "Two entries of firestore_indexes.yaml have the same key."
  }

  assert {
    condition = alltrue([
      for index in google_firestore_index.composite : alltrue([
        for field in index.fields : (field.order != null && field.order != "") != (field.array_config != null && field.array_config != "")
      ])
    ])
    error_message = "Each field of an index has an order or is an array, not both."
  }

  assert {
    condition     = alltrue([for c in local.firestore.ttl : contains(keys(google_firestore_field.ttl), c)])
    error_message = "A collection of the ttl list has no time to live."
  }

  assert {
    condition = (
      google_pubsub_topic_iam_member.forward.role == "roles/pubsub.publisher"
      && google_pubsub_subscription_iam_member.forwarded.role == "roles/pubsub.subscriber"
      && google_pubsub_topic_iam_member.forward.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"
      && google_pubsub_subscription_iam_member.forwarded.member == google_pubsub_topic_iam_member.forward.member
    )
    error_message = "Pub/Sub's own account needs to publish dead letters and to take the originals off."
  }

  assert {
    condition = (
      google_firestore_database.headgate.delete_protection_state == "DELETE_PROTECTION_ENABLED"
      && alltrue([for service in google_cloud_run_v2_service.service : service.deletion_protection])
      && !google_storage_bucket.artifacts.force_destroy
    )
    error_message = "What holds data must be protected by default."
  }
}

run "set_otherwise" {
  command = plan

  variables {
    queue_depth_threshold          = 7
    queue_depth_critical_threshold = 70
    thresholds                     = { rejection_share = 0.02 }
    policy_version                 = "3"
    build_repository               = "projects/p/locations/europe-west1/connections/c/repositories/r"
    api                            = { ingress = "INGRESS_TRAFFIC_INTERNAL_ONLY" }
  }

  assert {
    condition = (
      google_monitoring_alert_policy.alert["queue_depth_warning"].conditions[0].condition_threshold[0].threshold_value == 7
      && google_monitoring_alert_policy.alert["queue_depth_critical"].conditions[0].condition_threshold[0].threshold_value == 70
      && strcontains(google_monitoring_alert_policy.alert["rejection_rate"].conditions[0].condition_prometheus_query_language[0].query, "> 0.02")
    )
    error_message = "Thresholds come from the variables."
  }

  assert {
    condition     = length(google_monitoring_uptime_check_config.api) == 0 && !contains(keys(google_monitoring_alert_policy.alert), "api_unreachable")
    error_message = "A check from outside cannot reach it."
  }

  assert {
    condition = alltrue([
      for service in google_cloud_run_v2_service.service :
      contains([for env in service.template[0].containers[0].env : env.value], "/etc/headgate/policy.yaml")
    ])
    error_message = "Both services read the policy."
  }

  assert {
    condition     = google_cloudbuild_trigger.main[0].filename == "cloudbuild.yaml"
    error_message = "The build is what cloudbuild.yaml says."
  }
}

run "the_worker_is_not_open" {
  command = plan

  variables {
    api = { open = true }
  }

  assert {
    condition = (
      google_cloud_run_v2_service.service["worker"].ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY"
      && !google_cloud_run_v2_service.service["worker"].invoker_iam_disabled
      && google_cloud_run_v2_service.service["api"].invoker_iam_disabled
    )
    error_message = "Opening the API does not open the worker."
  }
}

run "a_tag_is_no_image" {
  command = plan

  variables {
    image = "europe-west1-docker.pkg.dev/p/r/headgate:latest"
  }

  expect_failures = [var.image]
}

run "critical_lies_above_warning" {
  command = plan

  variables {
    queue_depth_threshold = 600
  }

  expect_failures = [var.queue_depth_critical_threshold]
}

run "a_percentage_is_no_share" {
  command = plan

  variables {
    thresholds = { run_failure_share = 5 }
  }

  expect_failures = [var.thresholds]
}

run "workers_have_room_for_the_slots" {
  command = plan

  variables {
    worker = { max_instances = 2, concurrency = 8 }
  }

  expect_failures = [var.worker]
}

run "everybody_is_no_invoker" {
  command = plan

  variables {
    api = { invokers = ["allUsers"] }
  }

  expect_failures = [var.api]
}

run "limits_of_pubsub_are_known" {
  command = plan

  variables {
    push = { ack_deadline_seconds = 601, max_delivery_attempts = 4, retention = "3000000s" }
  }

  expect_failures = [var.push]
}
