-- Where digests lie, as seen from a repository.
-- KEYS: what the repository holds; then, for each digest, who holds it.
-- ARGV: how long what is used stays (ms), how many holders are told; then the digests.
-- Gives whether the repository is known, and for each digest 1 if it is here, else the paths of its holders.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local lasts = tonumber(ARGV[1])
local known = redis.call('PEXPIRE', KEYS[1], lasts)
local found = {}
for place = 2, #KEYS do
    local digest = ARGV[place + 1]
    local noted = redis.call('ZSCORE', KEYS[1], digest)
    if not noted then
        found[place - 1] = redis.call('ZREVRANGE', KEYS[place], 0, ARGV[2] - 1)
    else
        found[place - 1] = 1
        -- What is of use stays; written now and then, not with each look.
        if now - noted > lasts * 100 then
            redis.call('ZADD', KEYS[1], now, digest)
        end
    end
end
return {known, found}
