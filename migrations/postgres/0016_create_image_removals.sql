-- Images that left the registry, or are on their way out. Of one that is there, there is no row.

insert into queues (kind, max_running_per_client) values ('retention', 1);

-- Until `held_until` a request of whoever has the row may still remove the image; `removed_at` is when that was done.
create table image_removals (
  app_id text not null references apps (id),
  digest text not null,
  client_id text not null references clients (id),
  requested_at bigint not null,
  held_until bigint not null,
  removed_at bigint,
  primary key (app_id, digest)
);

-- When the app's images were last looked through.
alter table apps add column images_swept_at bigint;

-- A right to delete is another one.
alter table registry_grants drop constraint registry_grants_actions_check;
alter table registry_grants add check (actions in ('pull', 'pull,push', 'delete'));
