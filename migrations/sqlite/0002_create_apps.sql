-- What a client registers: apps, their environment, the keys that read their Git source, and customers.

create table deploy_keys (
  id text primary key not null,
  client_id text not null references clients (id),
  name text not null,
  public_key text not null,
  private_key_sealed text not null,
  created_at integer not null
) strict;
create index deploy_keys_client on deploy_keys (client_id, id);

-- SSH host keys of a client's own forges; the well-known forges are compiled in.
create table forge_host_keys (
  id text primary key not null,
  client_id text not null references clients (id),
  host text not null,
  port integer not null default 22,
  public_key text not null,
  created_at integer not null,
  unique (client_id, host, port, public_key)
) strict;

create table apps (
  id text primary key not null,
  client_id text not null references clients (id),
  slug text not null,
  git_url text not null,
  git_branch text not null,
  base_directory text not null default '',
  dockerfile_path text,
  dockerfile_mode text not null default 'auto' check (dockerfile_mode in ('auto', 'generate')),
  submodules integer not null default 0 check (submodules in (0, 1)),
  port integer,
  health_path text,
  deploy_key_id text references deploy_keys (id),
  current_image_tag text,
  current_image_digest text,
  current_build_id text,
  created_at integer not null,
  updated_at integer not null,
  deleted_at integer
) strict;
create unique index apps_slug on apps (client_id, slug) where deleted_at is null;
create index apps_client on apps (client_id, id);

-- scope: build (a BuildKit secret), run (the container's environment) or both.
-- plain values stand in value; secret ones are sealed, bound to the row and the client.
create table app_env (
  app_id text not null references apps (id),
  name text not null,
  client_id text not null references clients (id),
  scope text not null check (scope in ('build', 'run', 'both')),
  secret integer not null check (secret in (0, 1)),
  value text not null,
  updated_at integer not null,
  primary key (app_id, name)
) strict;

create table customers (
  id text primary key not null,
  client_id text not null references clients (id),
  slug text not null,
  name text not null,
  created_at integer not null,
  deleted_at integer
) strict;
create unique index customers_slug on customers (client_id, slug) where deleted_at is null;
create index customers_client on customers (client_id, id);
