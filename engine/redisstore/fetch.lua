-- Reads the keys ARGV[4..] and raises those that are found.
-- ARGV: batch number, what the writer knows, default policy, keys.
-- Returns {write number, epoch, raises lost, why, value, meta, value, meta, ...}.

local repeated, refusal = recall()
if refusal then return redis.error_reply(refusal) end

local state = redis.call('HMGET', STATE, 'layout', 'number', 'epoch', 'eviction', 'clock', 'window', 'held')
local foreign = check_layout(state[1])
if foreign then return redis.error_reply(foreign) end
local policy, unknown = policy_named(state[4] or ARGV[3])
if unknown then return redis.error_reply(unknown) end

local values = redis.call('HMGET', VALUES, unpack(ARGV, 4))
local metas = redis.call('HMGET', META, unpack(ARGV, 4))

local reply = { tonumber(state[2] or 0), state[3] or '', 0, '' }
local members = {}
for i = 1, #values do
  reply[2 * i + 3], reply[2 * i + 4] = values[i], metas[i]
  if values[i] and metas[i] and not repeated then
    local insertion = parse(metas[i])
    if insertion then
      members[#members + 1] = member(insertion, ARGV[i + 3])
    end
  end
end
if #members == 0 then return reply end

local order = {
  fetching = true,
  clock = tonumber(state[5]) or 0, window = tonumber(state[6]) or 0, keys = tonumber(state[7]) or 0,
}
policy = policy(order)
local scores = redis.call('ZMSCORE', RANKS, unpack(members))
local raised = {}
for i = 1, #members do
  raised[2 * i - 1] = policy.fetch(tonumber(scores[i] or 0), members[i])
  raised[2 * i] = members[i]
end
-- A store that is full or read-only still answers; the raises are lost then.
local result = redis.pcall('ZADD', RANKS, unpack(raised))
if type(result) == 'table' and result.err then
  reply[3], reply[4] = #members, result.err
  return reply
end
if policy.finish then
  policy.finish()
  redis.call('HSET', STATE, 'clock', order.clock, 'window', order.window)
end
redis.call('HSET', WRITER, 'number', ARGV[1])
redis.call('PEXPIRE', WRITER, WRITER_TTL)
return reply
