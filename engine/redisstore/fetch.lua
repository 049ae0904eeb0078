-- Reads keys and raises those that are found; before that, those that others
-- used meanwhile.
-- ARGV: batch number, what the writer knows, default policy, how many entries
--   others used, key and number of uses of each, the keys to read.
-- Returns {write number, epoch, last event, raises lost, why, 1 if the batch was
--   recorded, value, meta, value, meta, ...}.

local FIRST_USE = 5

local repeated, refusal = recall()
if refusal then return redis.error_reply(refusal) end

local state = redis.call('HMGET', STATE, 'layout', 'number', 'epoch', 'eviction', 'clock', 'window', 'held', 'former', 'event')
local foreign = check_layout(state[1])
if foreign then return redis.error_reply(foreign) end
local eviction = state[4] or ARGV[3]
local policy, unknown = policy_named(eviction)
if unknown then return redis.error_reply(unknown) end

local reply = { tonumber(state[2] or 0), state[3] or '', event_of(state[9]), 0, '', repeated and 1 or 0 }
local order = order_of(eviction, tonumber(state[7]) or 0, state[5], state[6], state[8])
order.fetching = true
policy = policy(order)

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
      raised[n + 1], raised[n + 2] = policy.fetch(own(order, tonumber(scores[i] or 0)), m, uses and uses[i] or 1), m
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

local first_key = FIRST_USE + 2 * tonumber(ARGV[4])
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

if ARGV[first_key] then
  local values = redis.call('HMGET', VALUES, unpack(ARGV, first_key))
  local metas = redis.call('HMGET', META, unpack(ARGV, first_key))
  local members = {}
  for i = 1, #values do
    reply[2 * i + 5], reply[2 * i + 6] = values[i], metas[i]
    local insertion = values[i] and metas[i] and not repeated and parse(metas[i])
    if insertion then members[#members + 1] = member(insertion, ARGV[first_key + i - 1]) end
  end
  raise(members)
end

if repeated or reply[6] == 0 then return reply end
if policy.finish then
  policy.finish()
  redis.call('HSET', STATE, kept(order, {}))
end
redis.call('HSET', WRITER, 'number', ARGV[1])
redis.call('PEXPIRE', WRITER, WRITER_TTL)
return reply
