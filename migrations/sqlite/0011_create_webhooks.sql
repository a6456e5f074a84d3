-- What happens to a client's things, and where it wants to hear of it.

insert into queues (kind, max_running_per_client) values ('notify', 3);

-- Where events are sent. `event_types` names those that are wanted, parted by commas; empty is all. For a while after a
-- change of the secret both are used. A deleted endpoint keeps its row for its deliveries, without its secrets.
create table webhook_endpoints (
  id text primary key not null,
  client_id text not null references clients (id),
  url text not null,
  description text not null,
  event_types text not null,
  secret_sealed text,
  old_secret_sealed text,
  old_secret_until integer,
  status text not null default 'enabled' check (status in ('enabled', 'disabled')),
  deleted_at integer,
  created_at integer not null,
  updated_at integer not null,
  check ((secret_sealed is null) = (deleted_at is not null)),
  check ((old_secret_sealed is null) = (old_secret_until is null))
) strict;
create index webhook_endpoints_client on webhook_endpoints (client_id, id);

-- Something that happened. Never changed.
create table events (
  id text primary key not null,
  client_id text not null references clients (id),
  type text not null,
  data text not null,
  created_at integer not null
) strict;
create index events_client on events (client_id, id);
create index events_created on events (created_at);

-- Until when an event with a key is not told again.
create table event_keys (
  client_id text not null references clients (id),
  key text not null,
  until integer not null,
  primary key (client_id, key)
) strict;

-- An event on its way to an endpoint. Not before `next_at` is it sent (again).
create table event_deliveries (
  id text primary key not null,
  client_id text not null references clients (id),
  event_id text not null references events (id) on delete cascade,
  endpoint_id text not null references webhook_endpoints (id),
  job_id text not null references jobs (id),
  status text not null default 'pending' check (status in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0,
  response_status integer,
  error text,
  next_at integer,
  created_at integer not null,
  updated_at integer not null,
  check ((status = 'pending') = (next_at is not null))
) strict;
create index event_deliveries_event on event_deliveries (event_id, id);
create index event_deliveries_endpoint on event_deliveries (endpoint_id);
create index event_deliveries_job on event_deliveries (job_id);
create index event_deliveries_pending on event_deliveries (client_id) where status = 'pending';
create index event_deliveries_waiting on event_deliveries (endpoint_id, id) where status = 'pending';
