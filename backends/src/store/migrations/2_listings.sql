-- What listings said is kept with tasks; what did not change is a placement that was seen, and no task.

alter table runs add column unchanged bigint not null default 0;    -- images that were seen as they were placed, without a task

alter table tasks add column listed text;                            -- the digest that a listing of the source gave
alter table tasks rename column cosign_tags to sidecars;
update tasks set sidecars = '{"tags":[],"is_complete":false}';

alter table destinations add column listed text;                     -- what a listing said of it
alter table destinations add column read_back bigint not null default 0;

-- Of what the placement was made, so that it can be told, and read back, without a task. Null: placed before this was kept.
alter table placements add column source text;
alter table placements add column source_digest text;
alter table placements add column content text;
alter table placements add column origin text;
alter table placements add column parts bigint;                      -- manifests and blobs; null: not counted
alter table placements add column verified_at text;                  -- when all of it was last sent or asked for
alter table placements add column seen_in_run text;                  -- the last run that saw it unchanged, without a task
create index placements_by_verification on placements (job, verified_at);
create index placements_by_sight on placements (seen_in_run, source) where seen_in_run is not null;
