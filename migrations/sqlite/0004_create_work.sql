-- What the workers do and report into.

create table build_jobs (
  id text primary key not null,
  client_id text not null references clients (id),
  app_id text not null references apps (id),
  job_id text not null references jobs (id),
  git_ref text not null,
  commit_sha text,
  status text not null default 'pending'
    check (status in ('pending', 'fetching', 'building', 'pushing', 'success', 'failed', 'cancelled')),
  requested_at integer not null,
  started_at integer,
  finished_at integer,
  image_repository text,
  image_tag text,
  image_digest text,
  stack text,
  dockerfile text,
  port integer,
  health_path text,
  error_code text,
  error_message text,
  log_bytes integer not null default 0,
  check ((status in ('success', 'failed', 'cancelled')) = (finished_at is not null))
) strict;
create index build_jobs_client on build_jobs (client_id, id);
create index build_jobs_app on build_jobs (app_id, id);

create table servers (
  id text primary key not null,
  client_id text not null references clients (id),
  customer_id text not null references customers (id),
  job_id text references jobs (id),
  provider text not null,
  spec text not null,
  status text not null default 'requested' check (status in ('requested', 'creating', 'booting', 'bootstrapping', 'ready',
    'stopped', 'draining', 'deleting', 'deleted', 'compensating', 'failed', 'stuck')),
  provider_ref text,
  address text,
  ssh_port integer not null default 22,
  ssh_user text not null default 'root',
  host_public_key text,
  host_private_key_sealed text,
  login_public_key text,
  login_private_key_sealed text,
  bootstrap_version text,
  facts text,
  delete_requested_at integer,
  error_code text,
  error_message text,
  created_at integer not null,
  updated_at integer not null
) strict;
create index servers_client on servers (client_id, id);
create index servers_customer on servers (customer_id, id);

create table deployments (
  id text primary key not null,
  client_id text not null references clients (id),
  app_id text not null references apps (id),
  customer_id text not null references customers (id),
  server_id text not null references servers (id),
  build_id text references build_jobs (id),
  job_id text references jobs (id),
  sequence integer not null,
  status text not null default 'pending' check (status in ('pending', 'preparing', 'pulling', 'starting', 'verifying',
    'switching', 'live', 'superseded', 'stopped', 'deleted', 'failed', 'rolled_back', 'cancelled')),
  desired text not null default 'live' check (desired in ('live', 'stopped', 'deleted')),
  image_repository text not null,
  image_tag_deployed text,
  image_digest text not null,
  port integer not null,
  health_path text not null,
  traefik_domain text not null,
  env_sealed text not null,
  compose text,
  vps_id text,
  vps_ip text,
  deployed_at integer,
  error_code text,
  error_message text,
  log_bytes integer not null default 0,
  created_at integer not null,
  updated_at integer not null
) strict;
create index deployments_client on deployments (client_id, id);
create index deployments_app on deployments (app_id, id);
create index deployments_server on deployments (server_id, id);
create unique index deployments_sequence on deployments (server_id, app_id, sequence);

-- A domain is served by one app on one server. Claimed when a deployment is accepted, freed when none is left that serves it.
create table domains (
  domain text primary key not null,
  client_id text not null references clients (id),
  app_id text not null references apps (id),
  server_id text not null references servers (id),
  created_at integer not null
) strict;

-- Status changes of builds, servers and deployments, in order.
create table status_events (
  id text primary key not null,
  client_id text not null,
  entity text not null check (entity in ('build', 'server', 'deployment')),
  entity_id text not null,
  status text not null,
  detail text,
  at integer not null
) strict;
create index status_events_entity on status_events (entity_id, id);

-- Append-only log segments of builds, servers and deployments. `seq` counts from 1 without gaps; `total` is the sum of
-- bytes up to and including the segment, so that the size limit costs one look at the last row.
create table log_segments (
  entity_id text not null,
  seq integer not null,
  client_id text not null,
  at integer not null,
  text text not null,
  total integer not null,
  primary key (entity_id, seq)
) strict;

-- Short-lived rights on one registry repository, for one build (push) or one server (pull). Only hashes are kept.
create table registry_grants (
  id text primary key not null,
  client_id text not null references clients (id),
  secret_hash text not null,
  repository text not null,
  actions text not null check (actions in ('pull', 'pull,push')),
  subject text not null,
  created_at integer not null,
  expires_at integer not null
) strict;
create index registry_grants_expiry on registry_grants (expires_at);
