-- What the workers said that are still believed.
-- KEYS: what each says, until when each is believed (ms).
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local beats = {}
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. now, '+inf')) do
    beats[#beats + 1] = redis.call('HGET', KEYS[1], worker) or nil
end
return beats
