-- Images that left the registry, or are on their way out. Of one that is there, there is no row.

insert into queues (kind, max_running_per_client) values ('retention', 1);

-- Until `held_until` a request of whoever has the row may still remove the image; `removed_at` is when that was done.
create table image_removals (
  app_id text not null references apps (id),
  digest text not null,
  client_id text not null references clients (id),
  requested_at integer not null,
  held_until integer not null,
  removed_at integer,
  primary key (app_id, digest)
) strict;

-- When the app's images were last looked through.
alter table apps add column images_swept_at integer;

-- A right to delete is another one.
create table new_registry_grants (
  id text primary key not null,
  client_id text not null references clients (id),
  secret_hash text not null,
  repository text not null,
  actions text not null check (actions in ('pull', 'pull,push', 'delete')),
  subject text not null,
  created_at integer not null,
  expires_at integer not null
) strict;
insert into new_registry_grants select * from registry_grants;
drop table registry_grants;
alter table new_registry_grants rename to registry_grants;
create index registry_grants_expiry on registry_grants (expires_at);
