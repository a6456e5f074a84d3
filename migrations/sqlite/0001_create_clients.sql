-- Who uses the engine: clients (businesses), their users, sessions and API keys.
-- Times are unix milliseconds (BIGINT), ids are uuid v7 (TEXT), in every table.

create table clients (
  id text primary key not null,
  name text not null,
  created_at integer not null
) strict;

create table users (
  id text primary key not null,
  client_id text not null references clients (id),
  email text not null unique,
  password_hash text not null,
  role text not null check (role in ('owner', 'member')),
  token_version integer not null default 0,
  created_at integer not null
) strict;

-- One row per refresh token; a family is one login. Reuse of a rotated token revokes the family.
create table refresh_tokens (
  id text primary key not null,
  family_id text not null,
  user_id text not null references users (id),
  client_id text not null references clients (id),
  token_hash text not null unique,
  created_at integer not null,
  expires_at integer not null,
  rotated_at integer,
  revoked_at integer
) strict;
create index refresh_tokens_family on refresh_tokens (family_id);

create table api_keys (
  id text primary key not null,
  client_id text not null references clients (id),
  name text not null,
  key_hash text not null unique,
  scopes text not null,
  created_at integer not null,
  expires_at integer,
  last_used_at integer,
  revoked_at integer
) strict;
create index api_keys_client on api_keys (client_id, id);

-- The answer given to a request with an Idempotency-Key, committed together with its effect.
create table idempotency_keys (
  client_id text not null,
  key text not null,
  request_hash text not null,
  status integer not null,
  location text,
  body text not null,
  created_at integer not null,
  primary key (client_id, key)
) strict;
