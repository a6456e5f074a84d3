-- Copies of databases and volumes in clients' buckets.

insert into queues (kind, max_running_per_client) values ('backup', 4), ('restore', 2);

-- A bucket, and the key that writes to it. A deleted one keeps its row for what was once in it, without its secret.
create table backup_targets (
  id text primary key not null,
  client_id text not null references clients (id),
  name text not null,
  endpoint text not null,
  region text not null,
  bucket text not null,
  prefix text not null,
  access_key_id text not null,
  secret_key_sealed text,
  deleted_at bigint,
  created_at bigint not null,
  updated_at bigint not null,
  check ((secret_key_sealed is null) = (deleted_at is not null))
);
create index backup_targets_client on backup_targets (client_id, id);

-- What a client's backups are encrypted with: an age recipient, and its identity, sealed.
create table backup_keys (
  client_id text primary key not null references clients (id),
  recipient text not null,
  identity_sealed text not null,
  created_at bigint not null
);

-- When a thing is backed up, and how long its backups stay. `source` names it within its kind: the id of a service, or
-- server, app and name of a volume.
create table backup_policies (
  id text primary key not null,
  client_id text not null references clients (id),
  target_id text not null references backup_targets (id),
  source text not null,
  schedule text not null,
  keep_count bigint,
  keep_days bigint,
  enabled bigint not null default 1 check (enabled in (0, 1)),
  next_at bigint not null,
  created_at bigint not null,
  updated_at bigint not null,
  check (keep_count is not null or keep_days is not null)
);
create index backup_policies_client on backup_policies (client_id, id);
create unique index backup_policies_source on backup_policies (client_id, source);
create index backup_policies_next on backup_policies (next_at) where enabled = 1;

-- One backup. Its objects have names that begin with `object_stem`; the one that counts is `object_key`.
create table backups (
  id text primary key not null,
  client_id text not null references clients (id),
  target_id text not null references backup_targets (id),
  -- Not a reference: a backup outlives its policy.
  policy_id text,
  source text not null,
  kind text not null check (kind in ('postgres', 'mysql', 'redis', 'volume')),
  server_id text not null references servers (id),
  app_id text not null references apps (id),
  job_id text references jobs (id),
  status text not null default 'queued' check (status in ('queued', 'running', 'uploaded', 'verified', 'failed')),
  object_stem text not null,
  object_key text,
  size_bytes bigint,
  -- What the test restore found, as JSON.
  proof text,
  error_code text,
  error_message text,
  delete_requested_at bigint,
  created_at bigint not null,
  started_at bigint,
  uploaded_at bigint,
  finished_at bigint,
  check ((object_key is null) = (uploaded_at is null)),
  check ((status in ('verified', 'failed')) = (finished_at is not null))
);
create index backups_client on backups (client_id, id);
create index backups_source on backups (client_id, source, id);
create index backups_target on backups (target_id);
create index backups_policy on backups (policy_id) where policy_id is not null;

-- A backup on its way into a thing that lives. `safety_id` is the backup that is taken of that before.
create table restores (
  id text primary key not null,
  client_id text not null references clients (id),
  backup_id text not null references backups (id) on delete cascade,
  safety_id text,
  source text not null,
  server_id text not null references servers (id),
  job_id text references jobs (id),
  status text not null default 'queued' check (status in ('queued', 'running', 'succeeded', 'failed')),
  error_code text,
  error_message text,
  created_at bigint not null,
  started_at bigint,
  finished_at bigint,
  check ((status in ('succeeded', 'failed')) = (finished_at is not null))
);
create index restores_client on restores (client_id, id);
create index restores_backup on restores (backup_id);
create index restores_safety on restores (safety_id) where safety_id is not null;
