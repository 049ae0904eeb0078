-- Reads keys and raises those that are found; before that, those that others
-- used meanwhile.
-- ARGV: batch number, what the writer knows, how many entries others used, how
--   many bytes of values are enough, how many are the most, key and number of uses
--   of each, the keys to read.
-- Returns {write number, epoch, last event, raises lost, why, 1 if the batch was
--   recorded, value, meta, value, meta, ...}, of as many keys as have room.

local FIRST_USE = 6

local repeated, refusal = recall()
if refusal then return redis.error_reply(refusal) end

local state = redis.call('HMGET', STATE, 'layout', 'number', 'epoch', 'eviction', 'clock', 'window', 'held', 'former', 'event', 'largest')
local foreign = check_layout(state[1])
if foreign then return redis.error_reply(foreign) end
local eviction = policy_name_of(state[4]) or DEFAULT_POLICY
local policy, unknown = policy_named(eviction)
if unknown then return redis.error_reply(unknown) end

local reply = { whole_of(state[2]) or 0, state[3] or '', event_of(state[9]), 0, '', repeated and 1 or 0 }
local order = order_of(eviction, whole_of(state[7]) or 0, clock_of(state[5], eviction), state[6], state[8])
order.fetching = true
local turn = policy.begin(order)

-- raise takes members of the order, and how often each was used if that is not
-- once. A store that is full or read-only still answers; the raises are lost then.
local function raise(members, uses)
  if #members == 0 then return end
  local scores = redis.call('ZMSCORE', RANKS, unpack(members))
  local raised, n, met = {}, 0, {}
  for i = 1, #members do
    local m = members[i]
    if not met[m] then
      met[m] = true
      raised[n + 1], raised[n + 2] = turn.fetch(own(order, tonumber(scores[i] or 0)), m, uses and uses[i] or 1), m
      n = n + 2
    end
  end
  local result = redis.pcall('ZADD', RANKS, unpack(raised))
  if type(result) == 'table' and result.err then
    reply[4], reply[5] = reply[4] + #members, result.err
  else
    reply[6] = 1
  end
end

local first_key = FIRST_USE + 2 * tonumber(ARGV[3])
if first_key > FIRST_USE and not repeated then
  local keys = {}
  for i = FIRST_USE, first_key - 1, 2 do keys[#keys + 1] = ARGV[i] end
  local members, uses = {}, {}
  for i, meta in ipairs(redis.call('HMGET', META, unpack(keys))) do
    local insertion = meta and parse(meta)
    if insertion then
      members[#members + 1] = member(insertion, keys[i])
      uses[#members] = tonumber(ARGV[FIRST_USE + 2 * i - 1])
    end
  end
  raise(members, uses)
end

-- with_room returns how many of the keys have room for their values: until they
-- are enough, but for the first, and never more than the most. Sizes are asked for
-- only where they matter; the state knows the largest value that was ever written,
-- but not what others wrote, which has no meta.
local function with_room(metas)
  local enough, most = tonumber(ARGV[4]), tonumber(ARGV[5])
  local n, sum = #ARGV - first_key + 1, 0
  local largest = whole_of(state[10]) or math.huge
  local matters = n * largest > math.min(enough, most)
  for i = 1, n do
    local size = largest
    if matters or not metas[i] then size = redis.call('HSTRLEN', VALUES, ARGV[first_key + i - 1]) end
    local exists = metas[i] or size > 0
    if exists and (sum + size > most or sum > 0 and sum + size > enough) then return i - 1 end
    sum = sum + size
  end
  return n
end

if ARGV[first_key] then
  local metas = redis.call('HMGET', META, unpack(ARGV, first_key))
  local n = with_room(metas)
  local values = n > 0 and redis.call('HMGET', VALUES, unpack(ARGV, first_key, first_key + n - 1)) or {}
  local members = {}
  for i = 1, n do
    reply[2 * i + 5], reply[2 * i + 6] = values[i], metas[i]
    local insertion = values[i] and metas[i] and not repeated and parse(metas[i])
    if insertion then members[#members + 1] = member(insertion, ARGV[first_key + i - 1]) end
  end
  raise(members)
end

if repeated or reply[6] == 0 then return reply end
if turn.finish then
  turn.finish()
  redis.call('HSET', STATE, kept(order, {}))
end
redis.call('HSET', WRITER, 'number', ARGV[1])
redis.call('PEXPIRE', WRITER, WRITER_TTL)
return reply
