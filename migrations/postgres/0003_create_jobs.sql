-- The job queue. A row here is the only truth about a job; there is no copy of its state elsewhere.

-- One row per kind of job. `vtime` is the highest fair-order ticket claimed so far; updating it serialises claims.
create table queues (
  kind text primary key not null,
  vtime bigint not null default 0,
  max_running_per_client bigint not null,
  paused bigint not null default 0 check (paused in (0, 1))
);
insert into queues (kind, max_running_per_client) values ('build', 2), ('provision', 8), ('deploy', 8), ('noop', 1000000);

-- The last fair-order ticket of each client: a client with many queued jobs does not delay another's first one.
create table queue_tickets (
  kind text not null references queues (kind),
  client_id text not null,
  last_ticket bigint not null,
  primary key (kind, client_id)
);

create table jobs (
  id text primary key not null,
  kind text not null references queues (kind),
  subject_id text not null,
  client_id text not null,
  state text not null default 'queued'
    check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'dead')),
  priority bigint not null default 100,
  ticket bigint not null,
  run_at bigint not null,
  attempt bigint not null default 0,
  handbacks bigint not null default 0,
  max_attempts bigint not null,
  timeout_ms bigint not null,
  unique_key text,
  exclusive_key text,
  lease_owner text,
  lease_until bigint,
  deadline_at bigint,
  cancel_requested_at bigint,
  last_error text,
  -- 1 when the job ended without success and its handler has not yet been told (Handler::abandoned).
  abandoned bigint not null default 0 check (abandoned in (0, 1)),
  created_at bigint not null,
  started_at bigint,
  finished_at bigint,
  check ((state = 'running') = (lease_owner is not null)),
  check ((state in ('succeeded', 'failed', 'cancelled', 'dead')) = (finished_at is not null))
);
create index jobs_claim on jobs (kind, priority, ticket, id) where state = 'queued';
create index jobs_running on jobs (kind, client_id) where state = 'running';
create index jobs_owner on jobs (lease_owner) where state = 'running';
create index jobs_subject on jobs (subject_id);
create index jobs_finished on jobs (state, finished_at) where finished_at is not null;
create index jobs_lease on jobs (kind, lease_until) where state = 'running';
create index jobs_abandoned on jobs (kind) where abandoned = 1;
create unique index jobs_exclusive_key on jobs (exclusive_key) where state = 'running';
create unique index jobs_unique_key on jobs (unique_key) where state in ('queued', 'running');

-- What happened to a job, in order: enqueued, claimed, retried, lost, cancelled, dead, replayed.
create table job_events (
  id text primary key not null,
  job_id text not null references jobs (id) on delete cascade,
  attempt bigint not null,
  event text not null,
  detail text,
  at bigint not null
);
create index job_events_job on job_events (job_id, id);
