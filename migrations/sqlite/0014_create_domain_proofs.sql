-- Proof that a client controls a name.

insert into queues (kind, max_running_per_client) values ('prove', 4);

-- A name that a client proves, or wants to prove. Several clients may want the same one; one at most has proved it. Proof
-- by a DNS record holds for the names below it too. `lost` was proved once, until another client proved it and this one's
-- proof was not to be found any more.
create table domain_proofs (
  id text primary key not null,
  client_id text not null references clients (id),
  name text not null,
  token text not null,
  state text not null default 'pending' check (state in ('pending', 'proved', 'lost')),
  method text check (method in ('dns', 'http')),
  check_requested_at integer,
  checked_at integer,
  proved_at integer,
  error_code text,
  error_message text,
  created_at integer not null,
  updated_at integer not null,
  check ((state = 'proved') = (method is not null)),
  check (state = 'pending' or proved_at is not null)
) strict;
create unique index domain_proofs_client on domain_proofs (client_id, name);
create unique index domain_proofs_proved on domain_proofs (name) where state = 'proved';
