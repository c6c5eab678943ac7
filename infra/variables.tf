# What an environment chooses. envs/*.tfvars.example show it; README.md lists it.

variable "project_id" {
  description = "The project that holds everything."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project's id: 6 to 30 lower case letters, digits and dashes."
  }
}

variable "region" {
  description = "Region of the services and, unless firestore_location says otherwise, of the database."
  type        = string
  default     = "europe-west1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be one such as europe-west1."
  }
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

variable "image" {
  description = "The image of all services, by digest: what was tested is what runs."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9.-]+(:[0-9]+)?/.+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "image must be HOST/PATH@sha256:DIGEST; a tag can be moved to another image."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete database, services, bucket and secrets. Turn it off only to take an environment down."
  type        = bool
  default     = true
  nullable    = false
}

variable "firestore_database" {
  description = "Name of the Firestore database."
  type        = string
  default     = "headgate"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,61}[a-z0-9]$", var.firestore_database))
    error_message = "firestore_database must have 4 to 63 lower case letters, digits and dashes."
  }
}

variable "firestore_location" {
  description = "Location of the database, for example eur3; null = region."
  type        = string
  default     = null
}

variable "backup_retention" {
  description = "How long daily backups of the database are kept, in seconds; 14 weeks at most."
  type        = string
  default     = "1209600s"
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]+s$", var.backup_retention)) && try(tonumber(trimsuffix(var.backup_retention, "s")), 0) <= 8467200
    error_message = "backup_retention must be a number of seconds such as 1209600s, 8467200s at most."
  }
}

variable "artifact_days" {
  description = "Days after which artifacts of runs are deleted."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.artifact_days >= 1 && floor(var.artifact_days) == var.artifact_days
    error_message = "artifact_days must be a whole number of days, at least 1."
  }
}

variable "system_slots" {
  description = "Slots of the system scope, as the policy has them: the workers together must have room for so many runs."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.system_slots >= 1 && floor(var.system_slots) == var.system_slots
    error_message = "system_slots must be a whole number, at least 1."
  }
}

variable "api" {
  description = "The API service. open: everybody may call it, headgate's own keys decide; else callers need run.invoker too."
  type = object({
    ingress       = optional(string, "INGRESS_TRAFFIC_ALL")
    open          = optional(bool, false)
    invokers      = optional(list(string), [])
    min_instances = optional(number, 1)
    max_instances = optional(number, 4)
    concurrency   = optional(number, 80)
    processes     = optional(number, 2)
    cpu           = optional(string, "2")
    memory        = optional(string, "1Gi")
  })
  default  = {}
  nullable = false

  validation {
    condition = contains([
      "INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER", "INGRESS_TRAFFIC_INTERNAL_ONLY",
    ], var.api.ingress)
    error_message = "api.ingress must be INGRESS_TRAFFIC_ALL, INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER or INGRESS_TRAFFIC_INTERNAL_ONLY."
  }

  validation {
    condition     = !anytrue([for member in var.api.invokers : contains(["allUsers", "allAuthenticatedUsers"], member)])
    error_message = "api.invokers names callers; to open the API to everybody say api.open = true."
  }

  validation {
    condition     = var.api.min_instances >= 0 && var.api.max_instances >= max(1, var.api.min_instances)
    error_message = "api.max_instances must be at least 1 and not below api.min_instances."
  }
}

variable "worker" {
  description = "The worker service. concurrency: runs that one instance executes at once; each may use 512 MiB unless the policy says otherwise."
  type = object({
    min_instances = optional(number, 0)
    max_instances = optional(number, 7)
    concurrency   = optional(number, 8)
    cpu           = optional(string, "8")
    memory        = optional(string, "8Gi")
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.worker.min_instances >= 0 && var.worker.max_instances >= max(1, var.worker.min_instances)
    error_message = "worker.max_instances must be at least 1 and not below worker.min_instances."
  }

  validation {
    condition     = var.worker.concurrency * var.worker.max_instances >= var.system_slots
    error_message = "worker.concurrency x worker.max_instances must have room for system_slots: else granted runs wait for an instance."
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

  validation {
    condition = alltrue([
      for text in [var.push.minimum_backoff, var.push.maximum_backoff] :
      can(regex("^[0-9]+s$", text)) && try(tonumber(trimsuffix(text, "s")), 601) <= 600
    ])
    error_message = "minimum_backoff and maximum_backoff must be seconds such as 10s, 600s at most."
  }

  validation {
    condition = can(regex("^[0-9]+s$", var.push.retention)) && (
      try(tonumber(trimsuffix(var.push.retention, "s")), 0) >= 600 && try(tonumber(trimsuffix(var.push.retention, "s")), 0) <= 2678400
    )
    error_message = "retention must be seconds such as 604800s, from 600s to 2678400s."
  }
}

variable "log_level" {
  description = "Least severity that the services log. What alerts count is logged at INFO."
  type        = string
  default     = "INFO"
  nullable    = false

  validation {
    condition     = contains(["DEBUG", "INFO"], var.log_level)
    error_message = "log_level must be DEBUG or INFO: decisions are counted from lines of INFO."
  }
}

variable "policy_version" {
  description = "Version of the secret headgate-policy that holds the policy file (YAML); null = the default policy. Versions are added out of band."
  type        = string
  default     = null

  validation {
    condition     = var.policy_version == null || can(regex("^[0-9]+$", var.policy_version))
    error_message = "policy_version must be the number of a version; latest would change under a running revision."
  }
}

variable "build_repository" {
  description = "Cloud Build repository (2nd generation) whose main branch is built and deployed: projects/P/locations/L/connections/C/repositories/R; null = no trigger."
  type        = string
  default     = null

  validation {
    condition = var.build_repository == null || can(regex(
      "^projects/[^/]+/locations/[^/]+/connections/[^/]+/repositories/[^/]+$", var.build_repository
    ))
    error_message = "build_repository must be projects/P/locations/L/connections/C/repositories/R."
  }
}

variable "alert_emails" {
  description = "Who is written to, by severity."
  type = object({
    warning  = optional(list(string), [])
    error    = optional(list(string), [])
    critical = optional(list(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition = alltrue([
      for address in concat(var.alert_emails.warning, var.alert_emails.error, var.alert_emails.critical) :
      can(regex("^[^@ ]+@[^@ ]+$", address))
    ])
    error_message = "alert_emails are e-mail addresses."
  }
}

variable "alert_channels" {
  description = "Further notification channels (a pager, a topic) by severity, by name: projects/P/notificationChannels/N."
  type = object({
    warning  = optional(list(string), [])
    error    = optional(list(string), [])
    critical = optional(list(string), [])
  })
  default  = {}
  nullable = false

  validation {
    condition = alltrue([
      for name in concat(var.alert_channels.warning, var.alert_channels.error, var.alert_channels.critical) :
      can(regex("^projects/[^/]+/notificationChannels/[^/]+$", name))
    ])
    error_message = "alert_channels are names such as projects/P/notificationChannels/N."
  }
}

variable "runbook_base_url" {
  description = "Where people read the runbooks: alerts link to it; null = they name the file only."
  type        = string
  default     = null

  validation {
    condition     = var.runbook_base_url == null || can(regex("^https://.*[^/]$", var.runbook_base_url))
    error_message = "runbook_base_url must be https://... without a slash at its end."
  }
}

variable "queue_depth_threshold" {
  description = "Undelivered messages on Pub/Sub above which queue_depth_warning fires."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.queue_depth_threshold >= 1
    error_message = "queue_depth_threshold must be at least 1."
  }
}

variable "queue_depth_critical_threshold" {
  description = "Undelivered messages on Pub/Sub above which queue_depth_critical fires."
  type        = number
  default     = 500
  nullable    = false

  validation {
    condition     = var.queue_depth_critical_threshold > var.queue_depth_threshold
    error_message = "queue_depth_critical_threshold must be above queue_depth_threshold."
  }
}

variable "thresholds" {
  description = "Thresholds of the other alerts, as alerts/catalogue.yaml names them; shares from 0 to 1, times in seconds."
  type = object({
    queue_age_seconds            = optional(number, 600)
    queue_age_critical_seconds   = optional(number, 1800)
    dead_letter_age_seconds      = optional(number, 86400)
    push_error_share             = optional(number, 0.05)
    push_failures                = optional(number, 10)
    push_deadline_share          = optional(number, 0.8)
    publish_error_share          = optional(number, 0.01)
    instance_share               = optional(number, 0.9)
    pending_requests             = optional(number, 5)
    firestore_error_share        = optional(number, 0.01)
    firestore_aborted_per_second = optional(number, 1)
    store_errors                 = optional(number, 5)
    leaked_slots_per_hour        = optional(number, 3)
    system_share                 = optional(number, 0.8)
    repo_share                   = optional(number, 0.5)
    tenant_share                 = optional(number, 0.8)
    fairness_index               = optional(number, 0.7)
    line_share                   = optional(number, 0.8)
    line_age_seconds             = optional(number, 1800)
    rejection_share              = optional(number, 0.01)
    rejection_critical_share     = optional(number, 0.1)
    decisions_at_least           = optional(number, 100)
    run_failure_share            = optional(number, 0.05)
    runs_at_least                = optional(number, 20)
    start_delay_ms               = optional(number, 10000)
    drain_seconds                = optional(number, 1800)
    maintenance_seconds          = optional(number, 900)
    pause_seconds                = optional(number, 86400)
    pressure_seconds             = optional(number, 1800)
    pushes_refused               = optional(number, 5)
  })
  default  = {}
  nullable = false

  validation {
    condition = alltrue([
      for name, value in var.thresholds : value > 0 && value <= 1 if endswith(name, "_share") || endswith(name, "_index")
    ])
    error_message = "Each share is above 0 and at most 1: 5 % is 0.05."
  }

  validation {
    condition     = alltrue([for name, value in var.thresholds : value > 0])
    error_message = "Each threshold must be above 0."
  }

  validation {
    condition     = var.thresholds.queue_age_critical_seconds > var.thresholds.queue_age_seconds
    error_message = "queue_age_critical_seconds must be above queue_age_seconds."
  }

  validation {
    condition     = var.thresholds.rejection_critical_share > var.thresholds.rejection_share
    error_message = "rejection_critical_share must be above rejection_share."
  }
}

variable "objectives" {
  description = "Objectives over 28 days: the share of API requests that do not fail by our fault, the share of granted runs that start within thresholds.start_delay_ms."
  type = object({
    api_availability = optional(number, 0.995)
    start            = optional(number, 0.95)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for goal in values(var.objectives) : goal > 0 && goal <= 0.999])
    error_message = "An objective lies between 0 and 0.999."
  }
}
