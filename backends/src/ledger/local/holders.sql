-- Who holds which of the digests $3 (JSON, a list of hex) at registry $1: rows without path are of repository $2 itself,
-- the row without place says that it is known. Of each digest the newest $4, and more if they are of the same time,
-- what is here too: memory may know that it is gone.
-- A cross join keeps its order: digest by digest, and never through all that is held.
with
    at as (select id from registries where host = $1),
    me as (select id from repositories where registry = (select id from at) and path = $2),
    wanted as materialized (select key as place, unhex(value) as digest from json_each($3))
select null as place, null as path, 0 as noted from me
union all
select wanted.place, null, 0
from wanted
cross join held on held.registry = (select id from at) and held.digest = wanted.digest
    and held.repository = (select id from me)
union all
select wanted.place, repositories.path, held.noted
from wanted
cross join held on held.registry = (select id from at) and held.digest = wanted.digest
    and held.noted >= coalesce(
        (select newer.noted from held as newer where newer.registry = (select id from at) and newer.digest = wanted.digest
         order by newer.noted desc limit 1 offset $4 - 1),
        0)
cross join repositories on repositories.id = held.repository
where held.repository is not (select id from me)
order by noted desc
