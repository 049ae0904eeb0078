-- Runs a batch of writes in order, each with the evictions it needs.
-- ARGV: batch number, what the writer knows, tag of the batch, channel,
--   max_keys, max_bytes, eviction, '1' to put these limits in force,
--   then for each write: op (with 'r' the score behind it), key, value, kind and
--   content type, the versions it must match, those it must not.
-- Returns {write number, epoch, last event, keys, bytes, 1 if a limit is exceeded or nothing
--   can be converted plus 2 if not all is converted, mended, max_keys, max_bytes,
--   eviction, answers, one a line, {evicted keys}, how many of them were never
--   fetched, why the event was not published, 1 if the batch was recorded}.
--
-- A script has no way back, so everything that can fail comes before the first
-- write: the reads below touch every key and so check its type, and the first
-- write itself is tried by begin.

local FIRST_WRITE, STRIDE = 9, 6
local MAX_EVICTIONS = 1000 -- of one batch, which holds up everyone else

local repeated, refusal, remembered = recall()
if refusal then return redis.error_reply(refusal) end
if repeated then return cmsgpack.unpack(remembered) end

local state = redis.call('HMGET', STATE, 'layout', 'number', 'bytes', 'max_keys', 'max_bytes', 'eviction', 'epoch', 'clock', 'window', 'former', 'low', 'event', 'largest')
local foreign = check_layout(state[1])
if foreign then return redis.error_reply(foreign) end

local keys = redis.call('HLEN', VALUES)
local torn = keys ~= redis.call('HLEN', META)
torn = redis.call('ZCARD', RANKS) ~= keys or torn

-- The state too may have been lost, or written by somebody else. mended counts
-- what had to be found out anew.
local mended = 0
local function mend(what)
  mended = mended + 1
  return what
end

-- The tag of the first batch tells a namespace from one that was emptied.
local epoch = state[7] and string.match(state[7], '^%x+$') or ARGV[3]
local number = whole_of(state[2]) or keys == 0 and 0
if not number then
  -- Later than any write can have had: tenths of a millisecond since 1970. With
  -- another epoch, nobody compares it with what was before.
  local time = redis.call('TIME')
  number, epoch = mend(time[1] * 10000 + math.floor(time[2] / 100)), ARGV[3]
end

local bytes, largest = whole_of(state[3]), whole_of(state[13])
if keys == 0 then bytes, largest = 0, 0 end
if not bytes or not largest then
  bytes, largest = mend(0), 0
  for first = 0, keys - 1, 1000 do
    for _, m in ipairs(redis.call('ZRANGE', RANKS, first, first + 999)) do
      local key = string.sub(m, 17)
      local size = redis.call('HSTRLEN', VALUES, key)
      bytes, largest = bytes + #key + size, math.max(largest, size)
    end
  end
end
local largest_kept = whole_of(state[13])

local eviction_before = policy_name_of(state[6])
local set_before = whole_of(state[4]) and whole_of(state[5]) and eviction_before
local sets_limits = ARGV[8] == '1' or not set_before
local max_keys = tonumber(sets_limits and ARGV[5] or state[4])
local max_bytes = tonumber(sets_limits and ARGV[6] or state[5])
local eviction = sets_limits and ARGV[7] or eviction_before
if not set_before and keys > 0 then mend() end
local policy, unknown = policy_named(eviction)
if unknown then return redis.error_reply(unknown) end
local before = eviction_before or DEFAULT_POLICY -- if there was none, or its name was lost
local policy_before
policy_before, unknown = policy_named(before)
if unknown then return redis.error_reply(unknown) end
local is_clock_lost = state[8] and not finite_of(state[8])
if is_clock_lost then mend() end
local order = order_of(before, keys, clock_of(state[8], before), state[9], state[10], state[11])

-- Until one write went through, a write may be refused: READONLY always, OOM
-- for commands that need memory. Redis looks for OOM only before the first
-- write of a script, so that a write that needs memory is always tried first.
local writing = false
local function try(...)
  local result = redis.pcall(...)
  if not writing and type(result) == 'table' and result.err then
    return (string.gsub(result.err, '[\r\n]+$', '')) -- with which Redis 6.2 ends it, as a line of answers does
  end
  writing = true
end

-- The last event. From the first write on the state names one that nobody hears
-- of, so that a batch which fails half-way shows as a gap between events.
local last_event = event_of(state[12])
local unheard = hex(number) .. ARGV[3]
local marked = false

-- begin_growing comes before writes that need memory, and returns the refusal.
local grew, too_full = false, nil
local function begin_growing()
  if not grew then
    grew = true
    too_full = try('HSET', STATE, 'layout', LAYOUT, 'epoch', epoch, 'event', unheard)
    marked = not too_full
  end
  return too_full
end

local grows = false
for i = FIRST_WRITE, #ARGV, STRIDE do grows = grows or ARGV[i] ~= 'd' end

-- begin runs a write that needs no memory, and returns the refusal. It must change
-- nothing that is read.
local function begin(...)
  if grows then begin_growing() end
  local err = try(...)
  if not err and not marked then
    marked = true
    redis.call('HSET', STATE, 'event', unheard)
  end
  return err
end

-- What was ordered by another policy is converted, a step with every batch.
if sets_limits and before ~= eviction then
  if begin_growing() then
    policy = policy_before
  else
    hand_over(order, eviction)
    redis.pcall('UNLINK', GHOSTS, SHADOW)
  end
end
if order.former and not begin_growing() then convert(order) end
local turn = policy.begin(order)

-- Values and meta are written at the end, all at once. Until then these
-- tables say what has become of a key: its new meta and value, or false.
local metas, values = {}, {}

local function meta_of(key)
  local meta = metas[key]
  if meta == nil then
    meta = redis.call('HGET', META, key)
    metas[key] = meta
  end
  return meta
end
local function value_of(key)
  return values[key] or redis.call('HGET', VALUES, key)
end
local function size_of(key)
  local value = values[key]
  return #key + (value and #value or redis.call('HSTRLEN', VALUES, key))
end

local function write_back()
  local gone, new_values, new_metas = {}, {}, {}
  for key, value in pairs(values) do
    if value then
      new_values[#new_values + 1], new_values[#new_values + 2] = key, value
      new_metas[#new_metas + 1], new_metas[#new_metas + 2] = key, metas[key]
    else
      gone[#gone + 1] = key
    end
  end
  in_chunks(gone, 1, function(...)
    redis.call('HDEL', VALUES, ...)
    redis.call('HDEL', META, ...)
  end)
  in_chunks(new_values, 2, function(...) redis.call('HSET', VALUES, ...) end)
  in_chunks(new_metas, 2, function(...) redis.call('HSET', META, ...) end)
  metas, values = {}, {}
end

local changes, evicted, unread = {}, {}, 0
local function changed(what, key)
  changes[#changes + 1] = { what, key, number }
end

local function forget(key)
  bytes = math.max(bytes - size_of(key), 0)
  keys = keys - 1
  metas[key], values[key] = false, false
end

local function settle()
  if turn.settle then turn.settle() end
end
local function enter(key, insertion, score)
  local m = member(insertion, key)
  if score then
    settle()
  else
    score = turn.enter(key, m)
  end
  if score then redis.call('ZADD', RANKS, score, m) end
end

-- Where the three structures disagree, the order may name what is gone, or
-- miss what is there.
local spared -- a key that must stay
local function leaves_torn()
  write_back()
  settle()
  for _ = 1, store.TrimStep do
    local m = redis.call('ZPOPMIN', RANKS)[1]
    if not m then break end
    local key = string.sub(m, 17)
    if key ~= spared and redis.call('HEXISTS', VALUES, key) == 1 then return key end
  end
  local any = redis.call('HRANDFIELD', VALUES, 2)
  return any[1] ~= spared and any[1] or any[2]
end

local function leaves()
  if torn then return leaves_torn() end
  local key, score
  if turn.leaves then
    key, score = turn.leaves()
  else
    local lowest = redis.call('ZPOPMIN', RANKS)
    key, score = lowest[1] and string.sub(lowest[1], 17), tonumber(lowest[2])
  end
  if key and unread_score(order, score) then unread = unread + 1 end
  return key
end

local function evict()
  local key = leaves()
  if not key then return false end
  forget(key)
  evicted[#evicted + 1] = key
  changed('evicted', key)
  return true
end

-- A lowered limit is worked off by store.TrimStep entries a batch. Until that is
-- done, a write frees as much as it adds.
local trimmed = 0
local function over()
  return keys > max_keys or (max_bytes > 0 and bytes > max_bytes)
end
if over() and not begin('ZREM', RANKS, '') then -- needs no memory, as trimming must not
  number = number + 1
  order.coming = store.TrimStep
  while over() and trimmed < store.TrimStep and evict() do trimmed = trimmed + 1 end
end
if torn and not begin_growing() then
  write_back()
  settle()
  mended = mended + repair(function(key, insertion)
    largest = math.max(largest, redis.call('HSTRLEN', VALUES, key))
    if not insertion then
      number = number + 1
      insertion = hex(number)
      redis.call('HSET', META, key, insertion .. ' ' .. insertion .. ' ' .. ARGV[3] .. ' r ')
    end
    enter(key, insertion)
  end)
end

local function etag_of(meta)
  local _, n, tag = parse(meta)
  return n and n .. tag or ''
end

local function among(etag, versions)
  return versions == '*' or string.find(versions, ' ' .. etag .. ' ', 1, true) ~= nil
end

-- RFC 9110, section 13.1; meta is false for an absent key.
local function allowed(meta, match, none_match)
  if match ~= '' and not (meta and among(etag_of(meta), match)) then return false end
  return none_match == '' or not meta or not among(etag_of(meta), none_match)
end

-- make_room evicts until so much more fits, and returns a refusal if that takes
-- longer than others may be held up: what was evicted is gone, and a later try
-- finds the rest of the way shorter.
local function make_room(more_keys, more_bytes)
  local most_keys = math.max(max_keys, keys)
  local most_bytes = max_bytes > 0 and math.max(max_bytes, bytes) or math.huge
  while keys + more_keys > most_keys or bytes + more_bytes > most_bytes do
    if #evicted >= MAX_EVICTIONS then
      return 'slow'
    end
    if not evict() then return end
  end
end

local function insert(key, value, attrs, score)
  local err = begin_growing()
  if err then return 'refused ' .. err end
  number = number + 1
  local slow = make_room(1, #key + #value)
  if slow then return slow end
  local insertion = hex(number)
  enter(key, insertion, score and above(order, order.clock + score))
  values[key], metas[key] = value, insertion .. ' ' .. insertion .. ' ' .. ARGV[3] .. ' ' .. attrs
  keys, bytes, largest = keys + 1, bytes + #key + #value, math.max(largest, #value)
  changed('created', key)
  return 'created ' .. insertion .. ARGV[3]
end

local function replace(key, value, attrs, meta)
  local err = begin_growing()
  if err then return 'refused ' .. err end
  number = number + 1
  local growth = #key + #value - size_of(key)
  local insertion = parse(meta)
  if growth > 0 and max_bytes > 0 and bytes + growth > max_bytes then
    -- Out of the order meanwhile, so that it is not evicted to make its own room.
    settle()
    local m = insertion and member(insertion, key)
    local score = m and redis.call('ZSCORE', RANKS, m)
    if score then redis.call('ZREM', RANKS, m) end
    spared = key
    local slow = make_room(0, growth)
    spared = nil
    if score then enter(key, insertion, score) end
    if slow then return slow end
  end
  if not insertion then
    insertion = hex(number)
    enter(key, insertion)
  end
  bytes, largest = math.max(bytes + growth, 0), math.max(largest, #value)
  values[key], metas[key] = value, insertion .. ' ' .. hex(number) .. ' ' .. ARGV[3] .. ' ' .. attrs
  changed('replaced', key)
  return 'replaced ' .. hex(number) .. ARGV[3]
end

local function remove(key, meta)
  local insertion = parse(meta)
  settle()
  local err = begin('ZREM', RANKS, insertion and member(insertion, key) or key)
  if err then return 'refused ' .. err end
  number = number + 1
  forget(key)
  if turn.forget then turn.forget(key) end
  changed('deleted', key)
  return 'deleted ' .. hex(number) .. ARGV[3]
end

local function conflict(key, value, attrs, meta)
  local _, _, _, stored = parse(meta)
  local same = stored == attrs and value_of(key) == value
  return 'conflict ' .. etag_of(meta) .. (same and ' same' or '')
end

local function run(op, key, value, attrs, match, none_match)
  local meta = meta_of(key)
  if not meta and torn and values[key] == nil and redis.call('HEXISTS', VALUES, key) == 1 then
    meta = '' -- a value that nobody gave meta yet
  end
  if meta and op ~= 'p' and op ~= 'd' then return conflict(key, value, attrs, meta) end
  if op == 'd' and not meta then return 'absent' end
  if op ~= 'd' and max_bytes > 0 and #key + #value > max_bytes then return 'large' end
  if not allowed(meta, match, none_match) then
    return 'failed ' .. (meta and etag_of(meta) or '')
  end
  if op == 'd' then return remove(key, meta) end
  if meta then return replace(key, value, attrs, meta) end
  return insert(key, value, attrs, tonumber(string.sub(op, 2)))
end

local first_keys = {}
for i = FIRST_WRITE, #ARGV, STRIDE do first_keys[#first_keys + 1] = ARGV[i + 1] end
in_chunks(first_keys, 1, function(...)
  local found = redis.call('HMGET', META, ...)
  for i, key in ipairs({ ... }) do
    if metas[key] == nil then metas[key] = found[i] end
  end
end)
for i = FIRST_WRITE, #ARGV, STRIDE do
  if ARGV[i] ~= 'd' and not metas[ARGV[i + 1]] then order.coming = order.coming + 1 end
end

local answers = {}
for i = FIRST_WRITE, #ARGV, STRIDE do
  answers[#answers + 1] = run(unpack(ARGV, i, i + STRIDE - 1))
end

if sets_limits then
  if begin_growing() then
    max_keys, max_bytes, eviction = whole_of(state[4]) or 0, whole_of(state[5]) or 0, eviction_before or ''
  else
    redis.call('HSET', STATE, 'max_keys', max_keys, 'max_bytes', ARGV[6], 'eviction', eviction)
  end
end

local unfinished = order.former and 2 or 0
if over() or order.former and too_full then unfinished = unfinished + 1 end
local event = #changes > 0 and hex(number) .. ARGV[3] or last_event
local reply = { number, epoch, event, keys, bytes, unfinished, writing and mended or 0, max_keys, max_bytes, eviction, table.concat(answers, '\n'), evicted, unread, '', 0 }
if not writing then
  -- An earlier try may come yet, when the writes would change something: it
  -- must meet this answer.
  if not tried_before() then return reply end
  local err = try('HSET', WRITER, 'number', ARGV[1])
  if err then return redis.error_reply(err) end
else
  write_back()
  if turn.finish then
    order.keys = keys
    turn.finish()
    redis.call('HSET', STATE, kept(order, { 'layout', LAYOUT, 'epoch', epoch, 'event', event, 'number', number, 'bytes', bytes, 'held', keys }))
  else
    redis.call('HSET', STATE, 'layout', LAYOUT, 'epoch', epoch, 'event', event, 'number', number, 'bytes', bytes)
    if is_clock_lost then redis.call('HSET', STATE, 'clock', exact(order.clock)) end
  end
  if largest ~= largest_kept then redis.call('HSET', STATE, 'largest', largest) end
end
reply[15] = 1
redis.call('HSET', WRITER, 'number', ARGV[1], 'answers', cmsgpack.pack(reply))
redis.call('PEXPIRE', WRITER, WRITER_TTL)
if #changes > 0 then
  local message = '{"version":2,"number":' .. string.format('%.0f', number) .. ',"tag":"' .. ARGV[3] ..
    '","previous":"' .. last_event .. '","epoch":"' .. epoch .. '","changes":' .. cjson.encode(changes) .. '}'
  local published = redis.pcall('PUBLISH', ARGV[4], message)
  if type(published) == 'table' and published.err then reply[14] = published.err end
end
return reply
