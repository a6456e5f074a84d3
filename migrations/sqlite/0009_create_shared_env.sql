-- The environment variables that a client has for all its apps, or for one customer. `owner_id` is the client or the customer.
create table shared_env (
  owner_id text not null,
  name text not null,
  client_id text not null references clients (id),
  scope text not null check (scope in ('build', 'run', 'both')),
  secret integer not null check (secret in (0, 1)),
  value text not null,
  updated_at integer not null,
  primary key (owner_id, name)
) strict;
