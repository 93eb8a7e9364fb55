-- Takes a lease, unless another process has it: within one, its own memory has told already who may have it.
-- KEYS: the lease. ARGV: the process, which of its leases, how long it lasts (ms).
local holder = redis.call('GET', KEYS[1])
if holder and string.sub(holder, 1, #ARGV[1]) ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
return 1
