-- One build makes an image of each part of the repository that the app's components name.

-- What the build makes images of, frozen when it was asked for, as JSON; null is the app's own image alone.
alter table build_jobs add column parts text;

-- The images of a build that ended well. Of a build from before this table there are none: its image stands in its row.
create table build_images (
  build_id text not null references build_jobs (id),
  part text not null,
  repository text not null,
  tag text not null,
  digest text not null,
  stack text,
  port integer,
  health_path text,
  primary key (build_id, part)
) strict;
