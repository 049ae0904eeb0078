-- A batch as it runs: b has its numbers. Values and meta are written at the end, all at
-- once. Until then metas and values say what has become of a key: its new meta and
-- value, or false.
local b = {
  number = 0, bytes = 0, largest = 0, keys = 0, epoch = 0, event_number = 0, event_tag = 0, -- as in the head
  max_keys = 0, max_bytes = 0,
  mended = 0, unread = 0, torn = false, spared = nil, order = nil, turn = nil,
  writing = false, grows = false, tried_to_grow = false, too_full = nil, marked = false,
  noted = 0, tail = '',
}
local metas, values, changes, evicted = {}, {}, {}, {}
local TAG = string.sub(ARGV[3], 1, layout.TagSize)

-- Until one write went through, a write may be refused: READONLY always, OOM
-- for commands that need memory. Redis looks for OOM only before the first
-- write of a script, so that a write that needs memory is always tried first.
local function try(...)
  local result = redis.pcall(...)
  if not b.writing and type(result) == 'table' and result.err then
    return (string.gsub(result.err, '[\r\n]+$', '')) -- with which Redis 6.2 ends it
  end
  b.writing = true
end

-- begin_growing comes before writes that need memory, and returns the refusal.
local function begin_growing()
  if not b.tried_to_grow then
    b.tried_to_grow = true
    b.too_full = try('HSET', STATE, 'layout', LAYOUT)
  end
  return b.too_full
end

-- begin_shrinking comes before writes that need no memory, and returns the refusal.
local function begin_shrinking()
  if b.grows then begin_growing() end
  if not b.writing then return try('ZREM', RANKS, '') end
end

local function meta_of(key)
  local meta = metas[key]
  if meta == nil then
    meta = redis.call('HGET', META, key)
    metas[key] = meta
  end
  return meta
end

local function size_of(key)
  local value = values[key]
  return #key + (value and #value or size_in(meta_of(key)) or redis.call('HSTRLEN', VALUES, key))
end

-- write_back writes what has become of the keys. Before the first time, the state gets an
-- event that nobody hears of.
local function write_back()
  if next(values) == nil then return end
  if not b.marked then
    b.marked = true
    redis.call('HSET', STATE, 'head', head_text(b, b.order))
  end
  local gone, new_values, new_metas, n = {}, {}, {}, 0
  for key, value in pairs(values) do
    if value then
      new_values[n + 1], new_values[n + 2] = key, value
      new_metas[n + 1], new_metas[n + 2] = key, metas[key]
      n = n + 2
    else
      gone[#gone + 1] = key
    end
  end
  if gone[1] then
    redis.call('HDEL', VALUES, unpack(gone))
    redis.call('HDEL', META, unpack(gone))
  end
  if n > 0 then
    redis.call('HSET', VALUES, unpack(new_values))
    redis.call('HSET', META, unpack(new_metas))
  end
  metas, values = {}, {}
end

-- changed notes a change as events have it: JSON with a comma before. Redis writes a list
-- of strings faster than tables.
local function changed(what, key)
  if b.noted ~= b.number then
    b.noted, b.tail = b.number, string.format(',%d]', b.number)
  end
  local n = #changes
  changes[n + 1], changes[n + 2], changes[n + 3] = what, cjson.encode(key), b.tail
end

local function forget(key)
  b.bytes = math.max(b.bytes - size_of(key), 0)
  b.keys = b.keys - 1
  metas[key], values[key] = false, false
end

local function enter(key, m, score)
  if score then
    b.turn.settle()
    redis.call('ZADD', RANKS, text_of(score), m)
  else
    score = b.turn.enter(key, m)
    if score then b.turn.put(score, m) end
  end
end

-- Where the three structures disagree, the order may name what is gone, or
-- miss what is there.
local function leaves_torn()
  write_back()
  b.turn.settle()
  for _ = 1, store.TrimStep do
    local m = redis.call('ZPOPMIN', RANKS)[1]
    if not m then break end
    local key = string.sub(m, layout.KeyAt)
    if key ~= b.spared and redis.call('HEXISTS', VALUES, key) == 1 then return key end
  end
  local any = redis.call('HRANDFIELD', VALUES, 2)
  return any[1] ~= b.spared and any[1] or any[2]
end

local function evict()
  local key, score
  if b.torn then
    key = leaves_torn()
  else
    key, score = b.turn.leaves()
    if key and unread_score(b.order, score) then b.unread = b.unread + 1 end
  end
  if not key then return false end
  forget(key)
  evicted[#evicted + 1] = key
  changed(',["evicted",', key)
  return true
end

local function over()
  return b.keys > b.max_keys or b.max_bytes > 0 and b.bytes > b.max_bytes
end

-- make_room evicts until so much more fits, and returns a refusal if that takes
-- longer than others may be held up: what was evicted is gone, and a later try
-- finds the rest of the way shorter.
local function make_room(more_keys, more_bytes)
  local MAX_EVICTIONS = 1000 -- of one batch, which holds up everyone else
  local most_keys = math.max(b.max_keys, b.keys)
  local most_bytes = b.max_bytes > 0 and math.max(b.max_bytes, b.bytes) or math.huge
  while b.keys + more_keys > most_keys or b.bytes + more_bytes > most_bytes do
    if #evicted >= MAX_EVICTIONS then return 's' end
    if not evict() then return end
  end
end
