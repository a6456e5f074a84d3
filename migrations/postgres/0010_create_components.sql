-- What an app is made of. `spec` is a component as JSON; an app without any has one web component.
create table components (
  app_id text not null references apps (id),
  name text not null,
  client_id text not null references clients (id),
  spec text not null,
  updated_at bigint not null,
  primary key (app_id, name)
);

insert into queues (kind, max_running_per_client) values ('service', 4);

-- Databases and the like that the engine runs for an app on a server, with the volume and the password that outlive releases.
create table services (
  id text primary key not null,
  client_id text not null references clients (id),
  app_id text not null references apps (id),
  customer_id text not null references customers (id),
  server_id text not null references servers (id),
  component text not null,
  kind text not null check (kind in ('postgres', 'mysql', 'redis')),
  version text not null,
  password_sealed text not null,
  created_at bigint not null,
  delete_requested_at bigint,
  deleted_at bigint
);
create unique index services_component on services (server_id, app_id, component) where deleted_at is null;
create index services_client on services (client_id, id);

-- Everything of a release but its environment, as JSON; null in deployments from before there were components.
alter table deployments add column plan text;
-- When its release command ended well.
alter table deployments add column prepared_at bigint;
-- The deployment that served before it, to which it gives way when it fails in the time after the switch.
alter table deployments add column replaced_id text;
-- Until when it is watched after the switch.
alter table deployments add column watched_until bigint;

-- The domains of a deployment, its own one among them. Visitors of one with `redirect_to` are sent there.
create table deployment_domains (
  deployment_id text not null references deployments (id),
  domain text not null,
  redirect_to text,
  primary key (deployment_id, domain)
);
create index deployment_domains_domain on deployment_domains (domain);
insert into deployment_domains (deployment_id, domain) select id, traefik_domain from deployments;
create index deployments_replaced on deployments (replaced_id) where replaced_id is not null;
