-- Decides asks as limiter.Ask.Spend does, one decision after another.
--
-- KEYS[k] keeps the state of ask k: when its bucket is full again, in whole
-- microseconds of this server's clock, which a double holds exactly.
-- ARGV are, for each decision, how many asks it has, and then of each ask its
-- kind and, in microseconds, its cost, the limit's window and the debt. Kinds are
-- "l", a look, "t", a take, and "b", a give-back; in upper case if forced.
-- The reply has a number for each ask: twice the microseconds until its bucket
-- is full again, and 1 more if there was room.
--
-- Nothing is written before everything is computed, and the first write finds
-- out whether this server may write, so that a failure decides nothing.

local forced = { L = true, T = true, B = true }
local call, min, max = redis.call, math.min, math.max

local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local kept = call('MGET', unpack(KEYS))

local full = {} -- when each key's bucket is full again, not before now
for k, key in ipairs(KEYS) do
	local at = tonumber(kept[k])
	full[key] = at and at > now and math.floor(at) or now -- what is no number is not after now
end

local reply = {}

-- Decides ask k, whose arguments begin at a. Returns whether it had room.
local function spend(k, a)
	local key, kind, cost = KEYS[k], ARGV[a], tonumber(ARGV[a + 1])
	local empty = now + ARGV[a + 2] -- full again, for a bucket with nothing left
	local deepest = empty + ARGV[a + 3]
	local at = min(full[key], deepest)
	local ok = at + cost <= empty
	if kind == 't' then
		if ok then at = at + cost end
	elseif kind == 'T' then
		at = min(at + cost, deepest)
	elseif kind == 'b' or kind == 'B' then
		at, ok = max(at - cost, now), true
	end
	full[key] = at
	reply[k] = (at - now) * 2 + (ok and 1 or 0)
	return ok
end

-- Answers ask k, which is not spent because one of its decision had no room.
-- What is too far ahead is corrected all the same, or it would always be.
local function look(k, a)
	local key = KEYS[k]
	full[key] = min(full[key], now + ARGV[a + 2] + ARGV[a + 3])
	reply[k] = (full[key] - now) * 2 + reply[k] % 2
end

local a, k = 1, 1 -- the next argument and ask
while ARGV[a] do
	local last, refused, before = k + ARGV[a] - 1, false, {}
	for i = k, last do
		local arg = a + 1 + 4 * (i - k)
		before[i] = full[KEYS[i]]
		if not spend(i, arg) and not forced[ARGV[arg]] then
			refused = true
		end
	end
	if refused then
		for i = last, k, -1 do
			full[KEYS[i]] = before[i]
		end
		for i = k, last do
			local arg = a + 1 + 4 * (i - k)
			if forced[ARGV[arg]] then
				spend(i, arg)
			else
				look(i, arg)
			end
		end
	end
	a, k = a + 1 + 4 * (last - k + 1), last + 1
end

for k, key in ipairs(KEYS) do
	local at = full[key]
	if at and at ~= tonumber(kept[k]) then
		if at > now then
			call('SET', key, at, 'PX', math.ceil((at - now) / 1000) + 1)
		elseif kept[k] then
			call('DEL', key)
		end
	end
	full[key] = nil -- a key that comes again is written once
end

return reply
