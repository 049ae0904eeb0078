-- Runs a batch of writes in order, each with the evictions it needs.
-- ARGV:
--   number of the batch
--   facts that the writer knows: 1 if an earlier batch was recorded, plus 2 if this
--     batch was sent before, plus 4 if WAIT or WAITAOF follows
--   tag of the batch
--   channel of the events
--   max_keys
--   max_bytes
--   eviction
--   '1' to put these limits in force
--   a letter for the op of each write, a capital one if the entry is to expire
--   the keys of all writes, then their values, then the attrs of all values (see
--     attrsOf)
--   if any write has a condition or a score: the versions that each must match, then
--     the versions that each must not match, then the scores
-- Returns a list:
--   head
--   write number before the writes
--   1 if a limit is exceeded or the conversion is refused, plus 2 if scores of former
--     policies are left, plus 4 if expired entries are left
--   number of repairs
--   max_keys, max_bytes and eviction, as three elements
--   answers, as answers.go reads them
--   list of the evicted keys
--   how many of these were never fetched
--   why the event was not published; '' otherwise
--   1 if the batch was recorded
--   if entries expire or expired: their number, and the list of the keys of expired
--     entries that were removed
--
-- A script cannot be undone. So everything that can fail comes before the first write.
-- The reads below check the types of the keys. The first write itself is tried.
--
-- The files behind this one continue it: handover.lua, room.lua, repair.lua,
-- writes.lua, commit.lua. They include others. Code that few batches need is in a branch, where it costs the
-- others nothing.

local OPS, FIRST_KEY = 9, 10
local MAX_EVICTIONS = 1000 -- of one batch, which delays all other clients
local WRITER_TTL = '600000' -- ms; no try of a batch lives that long

-- The record of the writer decides: the batch runs, or it ran already and its answer is
-- repeated, or it is refused.
local batch_number, knows = tonumber(ARGV[1]), tonumber(ARGV[2])
local record = redis.call('GET', WRITER)
if record then
  local last = struct.unpack('>I6', record)
  if batch_number < last then return redis.error_reply('REFUSED a later batch of this writer ran already') end
  if batch_number == last then
    -- WAIT waits for the last write of its connection. The batch ran on another one.
    if knows >= 4 then
      local again = redis.pcall('SET', WRITER, record, 'PX', WRITER_TTL)
      if again.err then return again end
    end
    return cmsgpack.unpack(string.sub(record, layout.InsertionSize + 1))
  end
elseif knows % 2 == 1 then
  return redis.error_reply('REFUSED the record of this writer is gone')
end

local state = redis.call('HMGET', STATE, 'layout', 'head', 'max_keys', 'max_bytes', 'eviction', 'expiring')
local policy_before, refusal, policy_lost = check(state[1], state[5])
if refusal then return redis.error_reply(refusal) end

local keys = redis.call('HLEN', VALUES)
local torn = keys ~= redis.call('HLEN', META)
torn = redis.call('ZCARD', RANKS) ~= keys or torn

-- The state may be lost too, or another program may have spoiled it. mended counts the
-- repairs.
local TAG, head = ARGV[3], state[2]
local tag = struct.unpack('>I4', TAG)
local mended, number, bytes, largest = 0, 0, 0, 0
local event_number, event_tag = 0, 0
local latest, expiring = 0, 0 -- the latest time of the store, and the number of entries that expire
if state[6] and #state[6] == layout.ExpiringSize then latest, expiring = struct.unpack('layout.ExpiringForm', state[6]) end
local lives -- see expire.lua
local epoch = tag -- of the first batch; a namespace that was emptied gets another one
local _, has_former, clock, window, low
if head and #head == layout.HeadSize then
  number, event_number, event_tag, epoch, bytes, largest, _, has_former, clock, window, low = struct.unpack('layout.HeadForm', head)
  if keys == 0 then bytes, largest = 0, 0 end
else
  head = nil
  if keys > 0 then
    mended = 1
    -- A number above those of all earlier writes: tenths of a millisecond since 1970.
    -- The epoch is new, so nobody compares the number with older ones.
    local time = redis.call('TIME')
    number = time[1] * 10000 + math.floor(time[2] / 100)
    -- include expiry.lua
    local STEP = 1000
    for first = 0, keys - 1, STEP do
      for _, m in ipairs(redis.call('ZRANGE', RANKS, first, first + STEP - 1)) do
        local key = string.sub(m, layout.KeyAt)
        local size = redis.call('HSTRLEN', VALUES, key)
        bytes, largest = bytes + #key + size, math.max(largest, size)
        local expiry = expiry_in(redis.call('HGET', META, key))
        if expiry then
          lives = lives or {}
          lives[key] = expiry
        end
      end
    end
    expiring = redis.call('ZCARD', EXPIRIES)
  end
end

-- Mostly the batch brings the limits in force. Then those in the state need no parsing.
local max_keys = state[3] == ARGV[5] and tonumber(ARGV[5]) or limit_of(state[3])
local max_bytes = state[4] == ARGV[6] and tonumber(ARGV[6]) or limit_of(state[4])
local set_before = max_keys and max_bytes and not policy_lost
local sets_limits = ARGV[8] == '1' or not set_before
if not set_before and keys > 0 then mended = mended + 1 end
local policy = policy_before
if sets_limits then
  max_keys, max_bytes, policy = tonumber(ARGV[5]), tonumber(ARGV[6]), policy_named(ARGV[7])
  if not policy then return redis.error_reply('POLICY this version does not know the eviction policy ' .. ARGV[7]) end
end

local ops = ARGV[OPS]
local brings_expiry = string.find(ops, '%u') ~= nil
if brings_expiry then ops = string.lower(ops) end
-- The field may be lost or spoiled. Looking at EXPIRIES each time would cost all batches.
local expires = brings_expiry or expiring > 0 or lives ~= nil or state[6] and latest == 0
  or sets_limits and redis.call('ZCARD', EXPIRIES) > 0
local more_due = false
if expires then
  lives = lives or {}
  torn = redis.call('ZCARD', EXPIRIES) ~= expiring or torn
end
local count = #ops
local grows = string.find(ops, '[^d]') ~= nil

-- Redis may refuse writes until the first one of a script succeeds: any write with
-- READONLY, and a write that needs memory with OOM. It looks for OOM only before that.
-- So a batch that may need memory tries such a write first. begin_growing comes before
-- writes that need memory, begin_shrinking before others. They return the refusal.
local writing, tried_to_grow, too_full = false, false, nil
local function try(...)
  local result = redis.pcall(...)
  if not writing and type(result) == 'table' and result.err then
    -- Redis 6.2 puts the place in the script before an error, and line ends behind it.
    return (string.gsub(string.gsub(result.err, '^@?user_script: ?%d+: %-?', ''), '[\r\n]+$', ''))
  end
  writing = true
end
local function begin_growing()
  if not tried_to_grow then
    tried_to_grow = true
    too_full = try('HSET', STATE, 'layout', LAYOUT)
  end
  return too_full
end
local function begin_shrinking()
  if grows then begin_growing() end
  if not writing then return try('ZREM', RANKS, '') end
end
