-- What a fleet needs beside one run at a time: who leads, what its schedules started, how long and how much of a run may
-- go on, who may call, and an end to what is kept.

create table leadership (                                            -- one row
    term bigint primary key,                                         -- grows by one with each new holder
    holder text not null,                                            -- '': nobody
    expires_at text not null                                         -- by the database's clock
);
insert into leadership (term, holder, expires_at) values (0, '', '1970-01-01T00:00:00.000000Z');

alter table runs add column key text;                                -- who starts it twice under one key starts it once
alter table runs add column max_concurrency bigint;                  -- of its tasks at once with the workers; null: any
alter table runs add column deadline text;                           -- nothing of it is begun from then on; null: none
alter table runs add column ended_by text;                           -- who cancelled it
alter table runs add column kept text not null default 'all';        -- all; some: its tasks are being deleted; run: it alone
alter table runs add column order_digest text;                       -- what it is to do, in evidence
alter table runs add column bundle text;                             -- what holds for all its tasks, in evidence
create unique index runs_by_key on runs (project, key) where key is not null;

-- What a schedule started: one run for each time that was due.
create table firings (
    project text not null default 'default',
    job text not null,
    due_at text not null,
    run text not null references runs (id),
    primary key (project, job, due_at)
);
create index firings_by_run on firings (run);

-- Until when the times of a schedule are settled, whatever came of them.
create table schedules (
    project text not null default 'default',
    job text not null,
    times text not null,                                             -- the schedule: one with other times begins anew
    since text not null,
    primary key (project, job)
);

create table paused_schedules (
    project text not null default 'default',
    job text not null,
    since text not null,
    paused_by text not null,
    primary key (project, job)
);

-- Who may call. The token itself is not kept.
create table tokens (
    id text primary key,
    project text not null default 'default',
    name text not null,
    role text not null,                                              -- read, write
    sha256 text not null unique,
    created_at text not null,
    created_by text not null,
    last_used_at text,
    revoked_at text
);

-- A run that placed what lies somewhere is kept.
create index placements_by_run on placements (run);
