mock_provider "google" {
  mock_data "google_project" {
    defaults = {
      number = "123456789012"
    }
  }

  mock_resource "google_service_account" {
    defaults = {
      name   = "projects/headgate-test/serviceAccounts/headgate-push@headgate-test.iam.gserviceaccount.com"
      email  = "headgate-push@headgate-test.iam.gserviceaccount.com"
      member = "serviceAccount:headgate-push@headgate-test.iam.gserviceaccount.com"
    }
  }
}

variables {
  project_id = "headgate-test"
  worker_url = "https://worker.example.com"
}

run "everything_plans_and_applies" {
  command = apply
}

run "an_index_for_each_entry_of_the_list" {
  command = plan

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
}

run "dead_letters_can_be_forwarded" {
  command = plan

  assert {
    condition = (
      google_pubsub_topic_iam_member.forward.role == "roles/pubsub.publisher"
      && google_pubsub_subscription_iam_member.forwarded.role == "roles/pubsub.subscriber"
      && google_pubsub_topic_iam_member.forward.member == google_pubsub_subscription_iam_member.forwarded.member
    )
    error_message = "Pub/Sub's own account needs to publish dead letters and to take the originals off."
  }
}

run "protected_unless_said_otherwise" {
  command = plan

  assert {
    condition     = google_firestore_database.headgate.delete_protection_state == "DELETE_PROTECTION_ENABLED"
    error_message = "The database must be protected by default."
  }
}

run "a_push_endpoint_with_a_path_is_refused" {
  command = plan

  variables {
    worker_url = "https://worker.example.com/push"
  }

  expect_failures = [var.worker_url]
}

run "limits_of_pubsub_are_known" {
  command = plan

  variables {
    push = { ack_deadline_seconds = 601, max_delivery_attempts = 4 }
  }

  expect_failures = [var.push]
}
