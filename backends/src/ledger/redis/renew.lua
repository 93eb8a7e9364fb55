-- Makes a lease last, or ends it, if it is still had by who asks.
-- KEYS: the lease. ARGV: the holder, and how long it lasts from now on (ms); 0 ends it.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
if ARGV[2] == '0' then
    return redis.call('DEL', KEYS[1])
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
