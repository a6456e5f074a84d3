-- A preview is a build that ends once it is known how the image would be made.
alter table build_jobs add column preview bigint not null default 0 check (preview in (0, 1));
alter table build_jobs add column report text;
alter table build_jobs add column compose text;
