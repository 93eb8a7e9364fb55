-- What listings said is kept with tasks; what they show as it was placed is noted as seen, and is no task.

alter table runs add column unchanged bigint not null default 0;     -- images seen as they were placed, which are no tasks

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
alter table placements add column verified_at text;                  -- when all of it was last sent or asked for; null: in doubt
-- What was placed until now had been verified by then, but where a late result disagreed.
update placements set verified_at = seen_at where target not in (select target from audits_due);
create index placements_by_verification on placements (job, verified_at);

-- What the last run that did so saw of a destination tag in listings, as it was placed. Apart from the placement, so that
-- a report tells what its run saw, whatever came later; that of another run stays until that one has its report.
create table unchanged (
    project text not null default 'default',
    target text not null,
    run text not null references runs (id),
    source text not null,
    position bigint not null,                                        -- the destination's place in the file's order
    source_digest text,
    digest text not null,
    content text not null,
    origin text not null,
    seen_at text not null,
    primary key (project, target)
);
create index unchanged_by_run on unchanged (run, source, position);
create index unchanged_by_source on unchanged (source);
