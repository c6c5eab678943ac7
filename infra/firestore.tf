locals {
  firestore = yamldecode(file("${path.module}/firestore_indexes.yaml"))

  # "runs: lane, state, delayed, key" => the index
  firestore_composite = {
    for index in local.firestore.composite :
    "${index.collection}: ${join(", ", [for f in index.fields : try(f.order, null) == "DESCENDING" ? "-${f.field}" : f.field])}" => index
  }

  # "runs.input" => its collection and field
  firestore_exempt = merge([
    for collection, fields in local.firestore.exempt : {
      for field in fields : "${collection}.${field}" => { collection = collection, field = field }
    }
  ]...)
}

resource "google_firestore_database" "headgate" {
  name        = var.firestore_database
  location_id = coalesce(var.firestore_location, var.region)
  type        = "FIRESTORE_NATIVE"

  # headgate opens no transactions: it commits by precondition (the version it read), so no read lock ever stands in a
  # writer's way. This is the mode it was measured in.
  concurrency_mode = "PESSIMISTIC"

  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"
  delete_protection_state           = var.deletion_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy                   = var.deletion_protection ? "ABANDON" : "DELETE"

  depends_on = [google_project_service.api]
}

resource "google_firestore_backup_schedule" "daily" {
  database  = google_firestore_database.headgate.name
  retention = var.backup_retention

  daily_recurrence {}
}

resource "google_firestore_index" "composite" {
  for_each = local.firestore_composite

  database   = google_firestore_database.headgate.name
  collection = each.value.collection

  dynamic "fields" {
    for_each = each.value.fields
    content {
      field_path   = fields.value.field
      order        = try(fields.value.order, null)
      array_config = try(fields.value.array, null)
    }
  }
}

resource "google_firestore_field" "exempt" {
  for_each = local.firestore_exempt

  database   = google_firestore_database.headgate.name
  collection = each.value.collection
  field      = each.value.field

  index_config {} # empty = no index
}

resource "google_firestore_field" "ttl" {
  for_each = toset(local.firestore.ttl)

  database   = google_firestore_database.headgate.name
  collection = each.value
  field      = "ttl"

  index_config {} # times that grow would heat one end of an index
  ttl_config {}
}
