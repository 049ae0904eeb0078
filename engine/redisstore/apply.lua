-- Runs a batch of writes in order, each with the evictions it needs.
-- ARGV: batch number, what the writer knows (1 if an earlier batch was recorded, plus 2
--   if this batch was sent before), tag of the batch, channel, max_keys, max_bytes,
--   eviction, '1' to put these limits in force, then for each write: op (with 'r' the
--   score behind it), key, value, what meta says of the value, the versions it must
--   match, those it must not.
-- Returns {head, write number before the writes, 1 if a limit is exceeded or nothing can
--   be converted plus 2 if not all is converted, mended, max_keys, max_bytes, eviction,
--   answers, {evicted keys}, how many of them were never fetched, why the event was not
--   published, 1 if the batch was recorded}.
--
-- A script has no way back, so everything that can fail comes before the first
-- write: the reads below touch every key and so check its type, and the first
-- write itself is tried by try.

local FIRST_WRITE, STRIDE = 9, 6
local WRITER_TTL = 600000 -- ms; no try of a batch lives that long
local RECOUNT_STEP = 1000

-- The record of the writer says of this batch: run it, or it ran already, or it must
-- not run any more.
local batch_number, knows = tonumber(ARGV[1]), tonumber(ARGV[2])
local record = redis.call('GET', WRITER)
if record then
  local last = struct.unpack('>I6', record)
  if batch_number < last then return redis.error_reply('REFUSED a later batch of this writer ran already') end
  if batch_number == last then return cmsgpack.unpack(string.sub(record, layout.InsertionSize + 1)) end
elseif knows % 2 == 1 then
  return redis.error_reply('REFUSED the record of this writer is gone')
end

local state = redis.call('HMGET', STATE, 'layout', 'head', 'max_keys', 'max_bytes', 'eviction')
local foreign = check_layout(state[1])
if foreign then return redis.error_reply(foreign) end
local policy_before, unknown, policy_lost = policy_in_force(state[5])
if unknown then return redis.error_reply(unknown) end

local keys = redis.call('HLEN', VALUES)
b.keys = keys
b.torn = keys ~= redis.call('HLEN', META)
b.torn = redis.call('ZCARD', RANKS) ~= keys or b.torn

-- The state too may have been lost, or written by somebody else. mended counts
-- what had to be found out anew.
local head = head_of(state[2])
local tag = struct.unpack('>I4', TAG)
if head then
  b.number, b.bytes, b.largest, b.epoch = head.number, head.bytes, head.largest, head.epoch
  if keys == 0 then b.bytes, b.largest = 0, 0 end
else
  b.epoch = tag -- tells a namespace from one that was emptied
  if keys > 0 then
    b.mended = b.mended + 1
    -- Later than any write can have had: tenths of a millisecond since 1970. With
    -- another epoch, nobody compares it with what was before.
    local time = redis.call('TIME')
    b.number = time[1] * 10000 + math.floor(time[2] / 100)
    for first = 0, keys - 1, RECOUNT_STEP do
      for _, m in ipairs(redis.call('ZRANGE', RANKS, first, first + RECOUNT_STEP - 1)) do
        local key = string.sub(m, layout.KeyAt)
        local size = redis.call('HSTRLEN', VALUES, key)
        b.bytes, b.largest = b.bytes + #key + size, math.max(b.largest, size)
      end
    end
  end
end
b.event_number, b.event_tag = b.number, tag -- until this batch ends, one that nobody hears of
local last_event = ''
if head and head.event_number > 0 then
  last_event = string.format('%x%08x', head.event_number, head.event_tag)
end

-- Mostly the limits in force are those of the batch, and need no reading.
local max_keys = state[3] == ARGV[5] and tonumber(ARGV[5]) or limit_of(state[3])
local max_bytes = state[4] == ARGV[6] and tonumber(ARGV[6]) or limit_of(state[4])
local set_before = max_keys and max_bytes and not policy_lost
local sets_limits = ARGV[8] == '1' or not set_before
if not set_before and keys > 0 then b.mended = b.mended + 1 end
b.max_keys, b.max_bytes = max_keys, max_bytes
local policy = policy_before
if sets_limits then
  b.max_keys, b.max_bytes = tonumber(ARGV[5]), tonumber(ARGV[6])
  policy, unknown = policy_named(ARGV[7])
  if not policy then return redis.error_reply('POLICY this version does not know the eviction policy ' .. ARGV[7]) end
end

for i = FIRST_WRITE, #ARGV, STRIDE do b.grows = b.grows or ARGV[i] ~= 'd' end

-- What was ordered by another policy is converted, a step with every batch.
local order = order_in(head, policy_before)
order.keys = keys
b.order = order
if sets_limits and policy_before.name ~= policy.name then
  if not begin_growing() then
    hand_over(order, policy)
    redis.pcall('UNLINK', GHOSTS, SHADOW)
  end
end
if order.conversion and not begin_growing() then convert(order) end
order.expect = function(list)
  local found = list[1] and redis.call('HMGET', META, unpack(list)) or {}
  for i, key in ipairs(list) do
    if metas[key] == nil then metas[key] = found[i] end
  end
end
local turn = begin(order)
b.turn = turn
if not turn.leaves then lowest_first(order, turn) end

-- A lowered limit is worked off by store.TrimStep entries a batch. Until that is
-- done, a write frees as much as it adds.
if over() and not begin_shrinking() then
  b.number = b.number + 1
  order.coming = store.TrimStep
  local trimmed = 0
  while over() and trimmed < store.TrimStep and evict() do trimmed = trimmed + 1 end
end
if b.torn and not begin_growing() then
  write_back()
  turn.settle()
  b.mended = b.mended + repair(function(key, meta)
    local size = redis.call('HSTRLEN', VALUES, key)
    b.largest = math.max(b.largest, size)
    if not meta then
      b.number = b.number + 1
      meta = struct.pack('>BI3I6', layout.Foreign, math.min(size, layout.MostSize), b.number) .. TAG
      redis.call('HSET', META, key, meta)
    end
    enter(key, member_of(meta, key))
  end)
end

local first_keys, n = {}, 0
for i = FIRST_WRITE + 1, #ARGV, STRIDE do
  n = n + 1
  first_keys[n] = ARGV[i]
end
order.expect(first_keys)
for i = FIRST_WRITE, #ARGV, STRIDE do
  if ARGV[i] ~= 'd' and not metas[ARGV[i + 1]] then order.coming = order.coming + 1 end
end

local number_before = b.number
local answers = {}
n = 0
for i = FIRST_WRITE, #ARGV, STRIDE do
  n = n + 1
  answers[n] = run(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
end

local limits = sets_limits
if sets_limits and begin_growing() then
  limits = false
  b.max_keys, b.max_bytes, policy = limit_of(state[3]) or 0, limit_of(state[4]) or 0, policy_lost and { name = '' } or policy_before
end

local unfinished = order.conversion and 2 or 0
if over() or order.conversion and b.too_full then unfinished = unfinished + 1 end
if changes[1] then
  b.event_number, b.event_tag = b.number, tag
else
  b.event_number, b.event_tag = head and head.event_number or 0, head and head.event_tag or 0
end
if b.writing then
  order.keys = b.keys
  turn.finish()
end
local text = head_text(b, order)
local reply = { text, number_before, unfinished, b.writing and b.mended or 0, b.max_keys, b.max_bytes, policy.name,
  table.concat(answers), evicted, b.unread, '', 0 }
if not b.writing then
  -- An earlier try may come yet, when the writes would change something: it
  -- must meet this answer.
  if knows < 2 then return reply end
  local err = try('HSET', STATE, 'layout', LAYOUT)
  if err then return redis.error_reply(err) end
else
  -- Before the values, so that a batch that fails half-way shows as a gap between events.
  if limits then
    redis.call('HSET', STATE, 'head', text, 'max_keys', ARGV[5], 'max_bytes', ARGV[6], 'eviction', policy.name)
  else
    redis.call('HSET', STATE, 'head', text)
  end
  b.marked = true
  write_back()
end
reply[12] = 1
redis.call('SET', WRITER, struct.pack('>I6', batch_number) .. cmsgpack.pack(reply), 'PX', WRITER_TTL)
if changes[1] then
  local message = '{"version":2,"number":' .. string.format('%d', b.number) .. string.format(',"tag":"%08x","previous":"', tag) .. last_event ..
    string.format('","epoch":"%08x","changes":[', b.epoch) .. string.sub(table.concat(changes), 2) .. ']}'
  local published = redis.pcall('PUBLISH', ARGV[4], message)
  if type(published) == 'table' and published.err then reply[11] = published.err end
end
return reply
