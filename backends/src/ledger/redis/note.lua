-- Notes whether a repository holds digests.
-- KEYS: what the repository holds; then, for each digest, who holds it.
-- ARGV: how long what is not used stays (ms), how many holders are kept, the repository's path, 1 if it holds them and
-- else 0; then the digests.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local lasts = tonumber(ARGV[1])
for place = 2, #KEYS do
    local digest = ARGV[place + 3]
    if ARGV[4] == '1' then
        redis.call('ZADD', KEYS[1], now, digest)
        redis.call('ZADD', KEYS[place], now, ARGV[3])
        redis.call('ZREMRANGEBYRANK', KEYS[place], 0, -1 - ARGV[2])
        redis.call('PEXPIRE', KEYS[place], lasts)
    else
        redis.call('ZREM', KEYS[1], digest)
        redis.call('ZREM', KEYS[place], ARGV[3])
    end
end
-- The empty name stands for the repository itself, which is known from now on even if it holds nothing.
redis.call('ZADD', KEYS[1], now, '')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - lasts * 1000)
redis.call('PEXPIRE', KEYS[1], lasts)
return 1
