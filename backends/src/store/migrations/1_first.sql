-- Text, bigint and double only, and times as RFC 3339 text of one length, so that they sort: the same on SQLite and
-- PostgreSQL. `project` is 'default' until there is a second one.

create table runs (
    id text primary key,
    project text not null default 'default',
    job text not null,
    file_digest text not null,
    file_path text not null,            -- where its file lay: two files of one name are two jobs
    git_commit text,
    started_by text not null,
    take_over bigint not null,          -- 1: takes destination tags that other jobs own
    only_text text,                     -- what it is limited to; null: all of its job
    started_at text not null,
    expanded_at text,                   -- null: more tasks may come
    ended_at text,                      -- null: open
    ended_as text,                      -- finished, cancelled, interrupted
    report_digest text,                 -- null: not reported yet
    report_path text,
    -- Counters of the rows in `tasks`: of all, and of the done ones by outcome.
    tasks bigint not null default 0,
    up_to_date bigint not null default 0,
    pushed bigint not null default 0,
    postponed bigint not null default 0,
    cancelled bigint not null default 0,
    failed bigint not null default 0
);
create index runs_by_start on runs (started_at, id);
create index runs_unreported on runs (id) where report_digest is null;

create table tasks (
    id text primary key,
    run text not null references runs (id),
    kind text not null,                 -- mirror; listing: a repository that could not be listed
    source text not null,
    cosign_tags text not null,          -- those that the source lists for what was placed
    state text not null,                -- ready, published, done
    attempt bigint not null,
    tries bigint not null,              -- attempts that failed with class retry
    dead_letters bigint not null,       -- above 0: the attempt runs solo
    deferred bigint not null,           -- 1: whatever is left to do was deferred
    not_before text not null,
    outcome text,                       -- null: open
    source_digest text,
    failure text,                       -- of a listing
    started_at text,
    taken_at text,                      -- when its attempt was last taken to be published
    ended_at text,
    spent text not null,
    stages text not null,
    unique (run, source)
);
create index tasks_due on tasks (run, state, not_before, id);
create index tasks_by_source on tasks (source);

-- A destination of a task, in the order in which the file names them.
create table destinations (
    task text not null references tasks (id),
    position bigint not null,
    target text not null,
    content text not null,              -- what of the image goes there
    origin text not null,               -- the line of the job file that wants it there
    not_before text not null,
    deferred bigint not null,
    attempt bigint not null,            -- the attempt that it was last part of
    known_digest text,                  -- its placement's when the task was first taken
    outcome text,                       -- null: unfinished
    digest text,
    failure text,                       -- the last one, or the deferral
    primary key (task, position),
    unique (task, target)
);
create index destinations_by_target on destinations (target);

create table attempts (
    task text not null references tasks (id),
    attempt bigint not null,
    recorded_at text not null,
    primary key (task, attempt)
);

-- What lies under a destination tag; its job owns the tag.
create table placements (
    project text not null default 'default',
    target text not null,
    job text not null,
    digest text not null,
    fingerprint text not null,
    seen_at text not null,
    run text not null references runs (id),
    primary key (project, target)
);

-- One open task per destination tag.
create table claims (
    project text not null default 'default',
    target text not null,
    task text not null references tasks (id),
    primary key (project, target)
);
create index claims_by_task on claims (task);

-- Destination tags of which a late result said something else than the placement does.
create table audits_due (
    run text not null references runs (id),
    target text not null,
    recorded_digest text not null,
    named_digest text not null,
    noticed_at text not null,
    primary key (run, target, named_digest)
);

-- What is worth a look in a run and is no failure.
create table warnings (
    run text not null references runs (id),
    warning text not null,
    primary key (run, warning)
);
