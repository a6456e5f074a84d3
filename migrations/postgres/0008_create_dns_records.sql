-- Names of customers' domains in the zones that clients' accounts serve.

-- What an account serves: a JSON list of zones, as it was last read.
alter table provider_accounts add column zones text;
alter table provider_accounts add column zones_at bigint;

-- A record that we have set, or are about to set. The row is there before the name service is asked, and ends only when
-- the record is gone. `asked_at` is null until a request was about to be sent; `earlier` holds addresses, parted by
-- spaces, that the name may still have from us.
create table dns_records (
  id text primary key not null,
  client_id text not null references clients (id),
  account_id text not null references provider_accounts (id),
  server_id text not null references servers (id),
  zone text not null,
  name text not null,
  family text not null check (family in ('A', 'AAAA')),
  address text not null,
  earlier text not null default '',
  state text not null default 'wanted' check (state in ('wanted', 'set', 'leaving', 'gone', 'refused')),
  asked_at bigint,
  leaving_at bigint,
  error_code text,
  error_message text,
  created_at bigint not null,
  updated_at bigint not null,
  check (state <> 'set' or asked_at is not null),
  check (state <> 'leaving' or leaving_at is not null)
);
create unique index dns_records_open on dns_records (account_id, name, family) where state <> 'gone';
create index dns_records_name on dns_records (name);
create index dns_records_server on dns_records (server_id);
