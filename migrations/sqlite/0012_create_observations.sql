-- What is seen on servers, and asking for a live release to be put right.

insert into queues (kind, max_running_per_client) values ('observe', 4);

-- The last look at each server. `facts` is what the last one that succeeded found, as JSON, and `observed_at` its time;
-- failures are counted since then. `reachable` is what the client was told last.
create table observations (
  server_id text primary key not null references servers (id),
  client_id text not null references clients (id),
  facts text,
  observed_at integer,
  tried_at integer not null,
  reachable integer not null default 1 check (reachable in (0, 1)),
  failures integer not null default 0,
  failing_since integer,
  error_code text,
  error_message text,
  check ((facts is null) = (observed_at is null)),
  check ((failures = 0) = (failing_since is null)),
  check ((failures = 0) = (error_code is null))
) strict;

-- Until it was done.
alter table deployments add column repair_requested_at integer;
