-- Rented machines: accounts at clouds, every machine that was ever asked for, and what a look into an account found.

-- One row: which installation of the engine this database is. `install` marks everything it makes at clouds; `lineage`
-- also stands outside the database, so that one that was restored or copied is known as such.
create table installation (
  one integer primary key not null default 1 check (one = 1),
  install text not null,
  lineage text not null,
  created_at integer not null
) strict;

insert into queues (kind, max_running_per_client) values ('account', 4);

-- A client's account at a cloud. `credentials_sealed` is null while the cloud's side is not set up yet (a role at AWS
-- needs our external id first). `catalog` is what the account can create, as JSON, as the worker last read it.
create table provider_accounts (
  id text primary key not null,
  client_id text not null references clients (id),
  job_id text references jobs (id),
  name text not null,
  provider text not null,
  credentials_sealed text,
  external_id text,
  status text not null default 'unchecked' check (status in ('unchecked', 'ready', 'incomplete', 'refused')),
  account text,
  -- What names the account at its cloud for good, where something does.
  identity text,
  missing text not null default '[]',
  machine_limit integer,
  error_code text,
  error_message text,
  checked_at integer,
  catalog text,
  catalog_at integer,
  swept_at integer,
  deleted_at integer,
  created_at integer not null,
  updated_at integer not null
) strict;
create index provider_accounts_client on provider_accounts (client_id, id);
create index provider_accounts_job on provider_accounts (job_id);

alter table servers add column account_id text references provider_accounts (id);
alter table servers add column monthly_micros integer;
alter table servers add column currency text;
-- The host key that a server is about to show in place of the one that it was born with.
alter table servers add column host_public_pending text;
-- What somebody asked a ready server to do, until it is done.
alter table servers add column wanted text check (wanted in ('start', 'stop', 'reboot', 'resize'));
alter table servers add column wanted_size text;

-- One machine that was, or may have been, asked for. The row is there before the request is sent, and ends only when
-- the cloud shows no such machine any more. Its bill runs from `present_at` to `gone_at`.
create table machines (
  id text primary key not null,
  server_id text not null references servers (id),
  client_id text not null references clients (id),
  account_id text not null references provider_accounts (id),
  name text not null unique,
  generation integer not null,
  attempt integer not null,
  state text not null default 'intended' check (state in ('intended', 'sent', 'present', 'leaving', 'gone', 'void')),
  region text not null,
  size text not null,
  placement text not null,
  avoid text not null,
  order_sealed text,
  sent_at integer,
  looks integer not null default 0,
  looked_at integer,
  remote_id text,
  present_at integer,
  seen_at integer,
  leaving_at integer,
  gone_looks integer not null default 0,
  gone_looked_at integer,
  gone_at integer,
  error_code text,
  error_message text,
  created_at integer not null,
  updated_at integer not null,
  unique (server_id, generation),
  check (state not in ('present', 'leaving') or (remote_id is not null and present_at is not null)),
  check (state <> 'gone' or gone_at is not null)
) strict;
create index machines_account on machines (account_id, state);
create index machines_client on machines (client_id, id);

-- What a machine costs, from when on. Its bill is the sum over these up to its end.
create table charges (
  machine_id text not null references machines (id),
  since integer not null,
  size text not null,
  hourly_micros integer not null,
  currency text not null,
  primary key (machine_id, since)
) strict;

-- What stands in an account and should not, or should and does not.
create table findings (
  id text primary key not null,
  client_id text not null references clients (id),
  account_id text not null references provider_accounts (id),
  verdict text not null check (verdict in ('orphan', 'duplicate', 'zombie')),
  region text not null,
  remote_id text not null,
  name text not null,
  server_id text,
  hourly_micros integer,
  currency text,
  first_seen_at integer not null,
  last_seen_at integer not null,
  looks integer not null default 1,
  delete_asked_at integer,
  ended_at integer,
  unique (account_id, region, remote_id, verdict)
) strict;
create index findings_client on findings (client_id, id);
