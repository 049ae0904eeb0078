-- Reads entries and state, and changes nothing. So it also runs on a replica, and where
-- memory is short. ARGV[1] names a function of asked.

-- A scan sees about SCAN_STEP keys, in at most SCAN_TURNS steps of HSCAN.
local SCAN_STEP, SCAN_TURNS = 250, 8

-- include expiry.lua

-- order_in returns the order, write number, epoch and bytes of a head. The head may be
-- lost, or spoiled by another program.
local function order_in(head, policy)
  if not head or #head ~= layout.HeadSize then return order_of(policy, 0), 0, '', 0 end
  local number, _, _, epoch, bytes, _, keys, has_former, clock, window, low = struct.unpack('layout.HeadForm', head)
  return order_of(policy, keys, clock, window, low, has_former), number, string.format('%08x', epoch), bytes
end

local state = redis.call('HMGET', STATE, 'layout', 'eviction', 'head', 'max_keys', 'max_bytes', 'expiring')
local policy, refusal = check(state[1])
if refusal then return redis.error_reply(refusal) end
-- The default policy stands in for one that only another version knows.
local order, number, epoch, bytes = order_in(state[3], policy_named(state[2]) or policy)
local clock = order.clock

-- shown returns a score as answers show it: its distance from the clock. It is text,
-- since Redis cuts numbers in replies to integers.
local function shown(score) return text_of(own(order, tonumber(score)) - clock) end

local asked = {}

-- Returns {write number, epoch, keys, bytes, max_keys, max_bytes, eviction, number of
-- entries that expire}.
function asked.size()
  local keys = redis.call('HLEN', VALUES)
  local _, expiring = 0, 0
  if keys > 0 and state[6] and #state[6] == layout.ExpiringSize then _, expiring = struct.unpack('layout.ExpiringForm', state[6]) end
  return {
    number, epoch, keys, keys > 0 and bytes or 0, limit_of(state[4]) or 0, limit_of(state[5]) or 0,
    state[2] and string.match(state[2], '^%l[%w_-]*$') or '', expiring,
  }
end

-- insertion_of returns the insertion number of a member. Lua would compare the members
-- themselves by the locale of the server.
local function insertion_of(m) return #m >= layout.InsertionSize and struct.unpack('>I6', m) or 0 end

-- position counts the members of RANKS before a place; with through, also one at the
-- place. A place is a score and an insertion number, since many members may have the
-- same score.
local function position(score, insertion, through)
  local low, high = 0, redis.call('ZCARD', RANKS)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local found = redis.call('ZRANGE', RANKS, middle, middle, 'WITHSCORES')
    local m, s = insertion_of(found[1]), tonumber(found[2])
    if s < score or s == score and (m < insertion or through and m == insertion) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

-- ARGV: 'next' or 'valued', how many entries, and unless the page is the first one:
-- score and insertion number of the place where it begins.
-- Returns {write number, epoch, clock, 1 if there is more, time, then for each entry: member,
-- score, score as it is shown, meta, size of the value}.
function asked.page()
  local n, score, insertion = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
  local first, last, more
  if ARGV[2] == 'next' then
    first = score and position(score, insertion, true) or 0
    last = first + n - 1
    more = last + 1 < redis.call('ZCARD', RANKS)
  else
    last = (score and position(score, insertion) or redis.call('ZCARD', RANKS)) - 1
    first = math.max(last - n + 1, 0)
    more = first > 0
  end
  local reply = { number, epoch, text_of(clock), more and 1 or 0, time_after(latest_in(state[6])) }
  if last < first then return reply end

  local found = redis.call('ZRANGE', RANKS, first, last, 'WITHSCORES')
  local keys = {}
  for i = 1, #found, 2 do keys[#keys + 1] = string.sub(found[i], layout.KeyAt) end
  if #keys == 0 then return reply end
  local metas = redis.call('HMGET', META, unpack(keys))
  for i, key in ipairs(keys) do
    local at = 5 * i + 1
    reply[at], reply[at + 1], reply[at + 2] = found[2 * i - 1], found[2 * i], shown(found[2 * i])
    reply[at + 3], reply[at + 4] = metas[i], redis.call('HSTRLEN', VALUES, key)
  end
  return reply
end

-- ARGV: key. Returns {write number, value, meta, score as it is shown}. All but the
-- first may be nil.
function asked.look()
  local key = ARGV[2]
  local value, meta = redis.call('HGET', VALUES, key), redis.call('HGET', META, key)
  local m = member_of(meta, key)
  local score = m and redis.call('ZSCORE', RANKS, m)
  local expiry = expiry_in(meta)
  if expiry and expiry <= time_after(latest_in(state[6])) then value = false end
  return { number, value, meta, score and shown(score) or false }
end

-- wanted adds the keys of a step of HSCAN to keys that a pass is to return. Entries that have
-- expired are absent.
local function wanted(step, prefix, keys, now)
  for i = 1, #step, 2 do
    local key = step[i]
    if string.sub(key, 1, #prefix) == prefix then
      local expiry = expiry_in(step[i + 1])
      if not expiry or expiry > now then keys[#keys + 1] = key end
    end
  end
  return keys
end

-- ARGV: prefix, cursor of HSCAN, how many keys at most, and 1 if HSCAN is to take its
-- smallest step. It scans META, since values may be large.
--
-- A smallest step returns all its keys, even more than are wanted. Any other is taken
-- again, and smaller, if it has too many: where in a step a key stands may change, so a
-- cursor cannot say it.
--
-- Returns {run_id of the server, cursor, {keys}}.
function asked.scan()
  local process = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  if not process then return redis.error_reply('ERR INFO of this server has no run_id') end
  local prefix, cursor, most, smallest = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
  local keys, seen, now = {}, 0, time_after(latest_in(state[6]))
  local count = smallest and 1 or math.min(most, SCAN_STEP)
  for turn = 1, SCAN_TURNS do
    local step = redis.call('HSCAN', META, cursor, 'COUNT', count)
    local found = wanted(step[2], prefix, {}, now)
    if #keys + #found <= most or #keys == 0 and count == 1 then
      for _, key in ipairs(found) do keys[#keys + 1] = key end
      cursor, seen = step[1], seen + #step[2] / 2
      if cursor == '0' or smallest or seen >= SCAN_STEP or #keys >= most then break end
      -- As many as should fill the rest, if so few have the prefix as before.
      count = #keys > 0 and math.floor((most - #keys) * seen / #keys) or SCAN_STEP
      count = math.max(1, math.min(count, SCAN_STEP))
    elseif #keys > 0 then
      break
    else
      count = turn < SCAN_TURNS - 1 and math.ceil(count / 4) or 1
    end
  end
  return { process, cursor, keys }
end

return asked[ARGV[1]]()
