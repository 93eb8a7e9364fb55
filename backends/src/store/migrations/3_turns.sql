-- The place of a task among those of its repository that came with it: tasks go out in this order, so that the copies under
-- way spread over the repositories.
alter table tasks add column turn bigint not null default 0;

drop index tasks_due;
create index tasks_due on tasks (run, state, turn, not_before, id);

-- Few among all that ever were, and asked for with each batch.
create index tasks_published on tasks (taken_at) where state = 'published';
