variable "project_id" {
  description = "The project that holds everything."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region of the services and, unless firestore_location says otherwise, of the database."
  type        = string
  default     = "europe-west1"
  nullable    = false
}

variable "environment" {
  description = "Name of the environment: a label on everything that bears labels."
  type        = string
  default     = "production"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,62}$", var.environment))
    error_message = "environment must be a label value: lower case letters, digits and dashes."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete the database. Turn it off only to take an environment down."
  type        = bool
  default     = true
  nullable    = false
}

variable "firestore_database" {
  description = "Name of the Firestore database."
  type        = string
  default     = "headgate"
  nullable    = false
}

variable "firestore_location" {
  description = "Location of the database, for example eur3; null = region."
  type        = string
  default     = null
}

variable "backup_retention" {
  description = "How long daily backups of the database are kept, in seconds."
  type        = string
  default     = "1209600s"
  nullable    = false
}

variable "worker_url" {
  description = "URL of the worker service without a path; it is the audience of the push token too."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^https://[^/]+$", var.worker_url))
    error_message = "worker_url must be https://HOST without a path: the worker compares the token's audience with it."
  }
}

variable "push" {
  description = "How runs are pushed to the worker."
  type = object({
    ack_deadline_seconds  = optional(number, 600) # also the timeout of a push request
    max_delivery_attempts = optional(number, 10)
    minimum_backoff       = optional(string, "10s")
    maximum_backoff       = optional(string, "600s")
    retention             = optional(string, "604800s")
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.push.ack_deadline_seconds >= 10 && var.push.ack_deadline_seconds <= 600
    error_message = "ack_deadline_seconds must lie between 10 and 600."
  }

  validation {
    condition     = var.push.max_delivery_attempts >= 5 && var.push.max_delivery_attempts <= 100
    error_message = "max_delivery_attempts must lie between 5 and 100."
  }
}
