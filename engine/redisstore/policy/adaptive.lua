-- adaptive is LFU with ageing behind an admission window and filter. This file uses the
-- names of adaptive.go, and must compute the same bits: sums, products and quotients
-- keep their order.
--
-- Ghosts and shadow only advise. If another program spoiled their keys, Redis refuses
-- commands on them. Then only the advice is lost.
local half = store.half * math.max(order.keys, 1)
local grain = math.max(1, math.floor(order.keys / store.grains))

local function fold(a, b)
  local d = (a - b) / half
  if d < 0 then a, d = b, -d end
  if d >= store.faded then return a end
  local y = d * store.ln2by32
  local x = 1 - y * (1 - 0.5 * y)
  x = x * x
  x = x * x
  x = x * x
  x = x * x
  x = x * x
  return a + math.floor(half * (x * (store.plus1 - x * (store.plus2 - store.plus3 * x))))
end

local format = string.format

-- add writes a list of numbers and names, as ZADD takes it. It returns how many names
-- were new.
local function add(name, list)
  local added = 0
  for i = 1, #list, 1000 do
    local new = redis.pcall('ZADD', name, unpack(list, i, math.min(i + 999, #list)))
    if type(new) == 'number' then added = added + new end
  end
  return added
end

local function trim(name, keep, most)
  local n = redis.pcall('ZCARD', name)
  if type(n) ~= 'number' then return end
  n = math.min(n - math.max(keep, 0), most)
  if n > 0 then redis.pcall('ZREMRANGEBYRANK', name, '0', n == 1 and '0' or n - 1) end
end

local used, n = {}, 0 -- times and keys of the uses, as ZADD takes them
local stamp, stamp_ends = nil, -1

-- The window is a queue in three parts:
--   popped: entries already taken out of RANKS, as members and scores. keys, metas and
--     ghosts belong to them. first_popped is the index of the oldest one.
--   entries still in RANKS, with scores below Edge.
--   fresh: new entries not yet in RANKS, as scores and members.
-- moves are entries on their way to the rest of the order. settle writes all of it
-- back.
local popped, keys, metas, ghosts, first_popped = {}, {}, {}, {}, 1
local fresh, first_fresh = {}, 1
local moves = {}
local at_once -- 1 after too many entries were popped
-- apart is the number of entries in the window. low is the lowest entry of the rest,
-- and low_score its score. All are nil while unknown.
local apart, low, low_score
-- bound is a lower bound of the scores outside the window, or nil if unknown. order.low
-- keeps it. With it, an eviction may not need to read the lowest entry.
local bound = not order.conversion and order.low or nil
-- place has the places of keys in used. evicted_ranks has the ranks that evicted keys
-- had.
local place, evicted_ranks = {}, {}
local moved, forgot = false, 0

local function put(list, from)
  for i = from, #list, 1000 do redis.call('ZADD', RANKS, unpack(list, i, math.min(i + 999, #list))) end
end
local function put_back()
  for i = first_popped, #keys do
    moves[#moves + 1], moves[#moves + 2] = popped[2 * i], popped[2 * i - 1]
  end
  put(moves, 1)
  put(fresh, first_fresh)
end

local function full()
  apart = apart or redis.call('ZCOUNT', RANKS, '-inf', '(store.Edge')
  return apart > 0 and apart >= math.floor(order.window)
end

-- oldest takes the oldest entry out of the window. It returns member, key, score, the
-- score that the entry has in the rest of the order, and meta if it was read.
local function oldest()
  local i, m, key, score, ghost, meta = first_popped
  if not keys[i] then
    local there = apart - (#fresh - first_fresh + 1) / 2
    if there > 0 then
      -- Take the oldest entries out of RANKS.
      local count = math.min(there, at_once or math.min(math.max(order.coming, 1), 500))
      popped, keys, first_popped, i = redis.call('ZPOPMIN', RANKS, count == 1 and '1' or count), {}, 1, 1
      for i = 1, #popped / 2 do keys[i] = string.sub(popped[2 * i - 1], layout.KeyAt) end
      metas = keys[1] and redis.call('HMGET', META, unpack(keys)) or {}
      ghosts = keys[1] and redis.pcall('ZMSCORE', GHOSTS, unpack(keys)) or {}
    end
  end
  key = keys[i]
  if key then
    first_popped = i + 1
    m, score, ghost, meta = popped[2 * i - 1], tonumber(popped[2 * i]), ghosts[i], metas[i]
  else
    m = fresh[first_fresh + 1]
    if not m then return end
    key, score = string.sub(m, layout.KeyAt), tonumber(fresh[first_fresh])
    ghost = redis.pcall('ZSCORE', GHOSTS, key)
    if type(ghost) ~= 'string' then ghost = nil end
    first_fresh = first_fresh + 2
  end
  apart = apart - 1
  local rank = score - store.Apart
  if order.conversion then rank = order.conversion.above(rank) end
  ghost = evicted_ranks[key] or tonumber(ghost or nil)
  if ghost then
    local unread = rank % 1
    rank = fold(ghost, rank - unread) + unread
  end
  return m, key, score, rank, meta
end

return {
  -- enter puts the entry into the order itself.
  enter = function(key, m)
    for _ = 1, 2 do
      if not full() then break end
      local m, _, _, rank = oldest()
      moves[#moves + 1], moves[#moves + 2] = rank, m
      if bound and rank < bound then bound = rank end
      low = nil
    end
    moved = true
    local now = order.clock + 1
    order.clock = now
    if now >= stamp_ends then
      stamp_ends = now - now % grain + grain
      stamp = format('%d', stamp_ends - grain)
    end
    local at = place[key]
    if not at then
      at, n = n + 1, n + 2
      place[key], used[n] = at, key
    end
    used[at] = stamp
    fresh[#fresh + 1], fresh[#fresh + 2] = format('%d.5', now + store.Apart), m
    if apart then apart = apart + 1 end
  end,
  victim = function()
    local m, old, old_score, old_rank, old_meta
    if full() then m, old, old_score, old_rank, old_meta = oldest() end
    local key, score, rank, meta, low_rank
    if old and not low and bound and old_rank <= bound + store.margin * half then
      key, score, rank, meta = old, old_score, old_rank, old_meta
    else
      if not low then
        put(moves, 1)
        moves = {}
        local found = redis.call('ZRANGE', RANKS, 'store.Edge', '+inf', 'BYSCORE', 'LIMIT', '0', '1', 'WITHSCORES')
        low, low_score = found[1], tonumber(found[2])
        bound = not order.conversion and low_score or nil
      end
      if not low and not old then
        m, old, old_score, old_rank, old_meta = oldest()
        if not old then return end
      end
      low_rank = low_score
      if low and order.conversion then low_rank = order.conversion.own(order, low_score) end
      if old and low and low_rank + store.margin * half < old_rank then
        moves[#moves + 1], moves[#moves + 2] = old_rank, m
      elseif old then
        key, score, rank, meta = old, old_score, old_rank, old_meta
      end
    end
    if not key then
      key, score, rank = string.sub(low, layout.KeyAt), low_score, low_rank
      redis.call('ZREM', RANKS, low)
      low = nil
    end
    moved = true
    evicted_ranks[key] = rank - rank % 1
    return key, score, meta
  end,
  settle = function()
    if first_popped <= #keys then at_once = 1 end -- too many were popped
    put_back()
    popped, keys, first_popped, fresh, first_fresh, moves = {}, {}, 1, {}, 1, {}
    apart, low, bound = nil, nil, nil
  end,
  forget = function(key, score)
    moved = true
    if score then -- it expired
      local rank, ghost = score, nil
      if score < store.Edge then
        rank = score - store.Apart
        if order.conversion then rank = order.conversion.above(rank) end
        ghost = evicted_ranks[key] or redis.pcall('ZSCORE', GHOSTS, key)
      elseif order.conversion then
        rank = order.conversion.own(order, score)
      end
      ghost = type(ghost) ~= 'table' and tonumber(ghost or nil)
      if ghost then
        local unread = rank % 1
        rank = fold(ghost, rank - unread) + unread
      end
      evicted_ranks[key] = rank - rank % 1
      return
    end
    forgot = forgot + 1
    evicted_ranks[key] = nil
    if place[key] then
      -- The last use moves to its place.
      local i = place[key]
      used[i], used[i + 1] = used[n - 1], used[n]
      place[used[n]] = i
      place[key] = nil
      used[n], used[n - 1], n = nil, nil, n - 2
    end
    redis.pcall('ZREM', SHADOW, key)
    redis.pcall('ZREM', GHOSTS, key)
  end,
  finish = function()
    put_back()
    order.low = bound
    local out = forgot -- one note for each entry that is gone
    if moved then
      local notes = {}
      for key, rank in pairs(evicted_ranks) do
        notes[#notes + 1], notes[#notes + 2] = format('%d', rank), key
      end
      local count, c = #notes / 2, order.keys
      out = out + count
      trim(GHOSTS, c - count, store.slack + count + out)
      add(GHOSTS, notes)
      if count > c then trim(GHOSTS, c, store.slack + count + out) end
    end
    -- The shadow judges the window: creates of keys that it holds widen it, others
    -- narrow it.
    local had, added = n / 2, add(SHADOW, used)
    if moved or added > 0 then trim(SHADOW, order.keys, store.slack + added + out) end
    if had == 0 and added == 0 then return end
    local c = math.max(order.keys, 1)
    local w = order.window + store.step * (had - added)
    w = w - store.leak * added * order.window / c
    w = math.min(math.max(w, 1, store.least * c), c)
    order.window = math.floor(w * store.windowParts) / store.windowParts
  end,
}
