-- Few jobs run at a time, and `jobs_running` finds them all. An index on the lease makes every claim, heartbeat and end
-- write more than it saves.
drop index jobs_lease;
drop index jobs_owner;
