-- Few jobs run at a time, and `jobs_running` finds them all. An index on the lease makes every claim, heartbeat and end
-- write more than it saves; so do the keys' indexes for the jobs that have none.
drop index jobs_lease;
drop index jobs_owner;
drop index jobs_exclusive_key;
drop index jobs_unique_key;
create unique index jobs_exclusive_key on jobs (exclusive_key) where state = 'running' and exclusive_key is not null;
create unique index jobs_unique_key on jobs (unique_key)
  where state in ('queued', 'running') and unique_key is not null;

-- From a job to its subject.
create index build_jobs_job on build_jobs (job_id);
create index servers_job on servers (job_id);
create index deployments_job on deployments (job_id);
