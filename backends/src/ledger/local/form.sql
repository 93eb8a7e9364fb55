-- The form of a Ledger's file. Digests are their bytes; their length tells the algorithm. Times are microseconds since
-- 1970. Another form begins anew, so nothing here is ever migrated: count FORM in file.rs up with each change.

create table registries (
    id integer primary key autoincrement,
    host text not null unique,
    learned text
);

create table repositories (
    id integer primary key autoincrement,
    registry integer not null,
    path text not null,
    noted integer not null,
    unique (registry, path)
);

create table held (
    registry integer not null,
    digest blob not null,
    repository integer not null,
    noted integer not null,
    primary key (registry, digest, repository)
) without rowid;

-- A base layer lies in thousands of repositories, and the newest few are asked for.
create index held_newest on held (registry, digest, noted);

create table manifests (
    digest blob primary key,
    media_type text not null,
    raw blob not null,
    size integer not null,
    used integer not null
);

-- Pruning reads this and no manifest.
create index manifests_oldest on manifests (used, size);
