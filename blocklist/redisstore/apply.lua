-- Carries out one change, writes it down, and returns its number; -1 when a
-- person's word stands against what is automatic.
-- KEYS: entries (hash), expiry (sorted set, milliseconds), changes (stream), number.
-- ARGV: op, entry's name, entry, when it expires, change, how many changes to keep.
local entries, expiry, changes, number = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local op, name, entry, expires = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local old = redis.call('ZRANGEBYSCORE', expiry, '-inf', now, 'LIMIT', 0, 100)
if #old > 0 then
	redis.call('HDEL', entries, unpack(old))
	redis.call('ZREM', expiry, unpack(old))
end

if op == 'add' then
	local has = redis.call('HGET', entries, name)
	if string.sub(entry, 1, 1) == 'a' and has and string.sub(has, 1, 1) == 'h'
		and tonumber(redis.call('ZSCORE', expiry, name) or 0) > now then
		return -1
	end
	redis.call('HSET', entries, name, entry)
	redis.call('ZADD', expiry, expires, name)
else
	redis.call('HDEL', entries, name)
	redis.call('ZREM', expiry, name)
end

-- Nothing is left of a list that nobody uses any more.
local last = redis.call('ZREVRANGE', expiry, 0, 0, 'WITHSCORES')
if #last > 0 then
	local ends = string.format('%.0f', tonumber(last[2]) + 1000)
	redis.call('PEXPIREAT', entries, ends)
	redis.call('PEXPIREAT', expiry, ends)
end

if redis.call('EXISTS', number) == 0 then
	local newest = redis.call('XREVRANGE', changes, '+', '-', 'COUNT', 1)
	if #newest > 0 then
		redis.call('SET', number, (string.gsub(newest[1][1], '-.*', '')))
	end
end
local n = redis.call('INCR', number)
redis.call('XADD', changes, 'MAXLEN', '~', ARGV[6], string.format('%.0f-1', n), 'c', ARGV[5])
return n
