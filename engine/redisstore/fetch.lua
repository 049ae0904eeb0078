-- Reads keys, and raises the scores of those that it finds. First it raises entries for
-- uses that Redis did not see.
-- ARGV:
--   '0' to raise; '1' to raise nothing, because an earlier try of this fetch may have
--     raised; '2' to raise nothing and return all values
--   how many bytes of values are enough
--   how many bytes of values are the most
--   number of the keys with unseen uses
--   these keys
--   keys to read
--   the number of uses of each key with unseen uses
-- Returns a list:
--   head
--   number of raises that were tried
--   why they were refused
--   values of as many keys as have room; if they are large, only the number of these
--     keys, since the script would copy each value twice
--   metas of all keys in ARGV
--   the time of the store, if entries in it expire: those whose time is over are absent

local FIRST = 5

local state = redis.call('HMGET', STATE, 'layout', 'eviction', 'head', 'expiring')
local policy, refusal = check(state[1], state[2])
if refusal then return redis.error_reply(refusal) end
local head = state[3]
if not head or #head ~= layout.HeadSize then head = nil end

local uses = tonumber(ARGV[4])
local last = #ARGV - uses -- the last key
local read = FIRST + uses -- the first key to read
local count = last - read + 1
if last < FIRST then return { head or '', 0, '', {}, {} } end
local metas = redis.call('HMGET', META, unpack(ARGV, FIRST, last))

-- is_dead says which entries have expired. If the state is lost, some may expire. If only
-- its field is lost, the store sees that by the metas, and asks again.
local now, is_dead
if state[4] or not head or ARGV[1] == '2' then
  -- include expiry.lua
  is_dead = {}
  now = time_after(latest_in(state[4]))
  for i = 1, uses + count do
    local expiry = expiry_in(metas[i])
    is_dead[i] = expiry and expiry <= now
  end
end

-- Sizes matter only if values may lack room. The state knows the largest value that
-- this module ever wrote. Values of other programs may be larger, but have no meta.
local values = {}
if count > 0 then
  local enough, most = tonumber(ARGV[2]), tonumber(ARGV[3])
  local largest = head and struct.unpack('>I6', head, layout.LargestAt) or math.huge
  local bounded = count * largest > math.min(enough, most, layout.LargeFetch)
  if not bounded then
    values = redis.call('HMGET', VALUES, unpack(ARGV, read, last))
    for i = 1, count do
      bounded = bounded or values[i] and not metas[uses + i]
    end
  end
  if bounded then
    -- include meta.lua
    local sum, by_meta = 0, true
    for i = 1, count do
      local meta = metas[uses + i]
      local size = size_in(meta)
      if is_dead and is_dead[uses + i] then
        meta, size = nil, 0
      elseif not size then
        size = redis.call('HSTRLEN', VALUES, ARGV[read + i - 1])
        by_meta = by_meta and (size == 0 or member_of(meta, ''))
      end
      if (meta or size > 0) and (sum + size > most or sum > 0 and sum + size > enough) then
        count = i - 1
        break
      end
      sum = sum + size
    end
    if by_meta and sum > layout.LargeFetch and ARGV[1] ~= '2' then
      values = count
    else
      values = count > 0 and redis.call('HMGET', VALUES, unpack(ARGV, read, read + count - 1)) or {}
    end
  end
end
local reply = { head or '', 0, '', values, metas, now }
if ARGV[1] ~= '0' then return reply end

-- The members in RANKS of the entries found, with their keys. Invalid meta has none, as
-- in member_of.
local members, keys, times, n = {}, {}, {}, 0
local others = 0 -- number of the members with unseen uses, which come first
local byte, sub = string.byte, string.sub
for i = 1, uses + count do
  local meta = (i <= uses or values == count or values[i - uses]) and not (is_dead and is_dead[i]) and metas[i]
  if meta and #meta >= layout.MetaSize then
    local form = byte(meta)
    if form >= layout.Mark and (form < layout.ReplacedMark or #meta >= layout.ReplacedSize) then
      n = n + 1
      local key = ARGV[FIRST + i - 1]
      members[n], keys[n] = sub(meta, layout.InsertionAt, layout.InsertionEnd) .. key, key
      if i <= uses then
        times[n] = tonumber(ARGV[last + i])
        others = n
      end
    end
  end
end
if n == 0 then return reply end

local held, has_former, clock, window = 0, nil, nil, nil
if head then
  held, has_former, clock, window = struct.unpack('>I6Bdd', head, layout.KeysAt)
end
local order
if has_former == 0 and clock - clock == 0 and window - window == 0 then
  order = { policy = policy, keys = held, clock = clock, window = window, conversion = nil }
else
  -- include convert.lua
  -- include order.lua
  order = order_of(policy, held, clock, window, nil, has_former)
end
local turn = begin(order)

local scores = redis.call('ZMSCORE', RANKS, unpack(members))
local raised, size = {}, 0
local places, raised_others = {}, 0 -- places of members in raised
local conversion, fetch, format = order.conversion, turn.fetch, string.format
for i = 1, n do
  local m = members[i]
  local place = places[m]
  if not place or place <= raised_others then -- else the key is read twice, and raised once
    local score = tonumber(place and raised[place] or scores[i] or 0)
    if conversion then score = conversion.own(order, score) end
    score = fetch(score, keys[i], times[i] or 1)
    size = size + 2
    raised[size - 1], raised[size] = format(score % 1 == 0 and '%d' or '%.17g', score), m
    if n > 1 then places[m] = size - 1 end
    if i <= others then raised_others = size end
  end
end
reply[2] = n

-- A server that is full or read-only still answers. Only the raises are lost.
local result = redis.pcall('ZADD', RANKS, unpack(raised))
if type(result) == 'table' then
  reply[3] = result.err
  return reply
end
if turn.finish then
  turn.finish()
  if head then
    head = sub(head, 1, layout.ClockAt - 1) .. struct.pack('>dd', order.clock, order.window) .. sub(head, layout.LowAt)
    result = redis.pcall('HSET', STATE, 'head', head)
    if type(result) == 'table' then reply[3] = result.err end
  end
end
return reply
