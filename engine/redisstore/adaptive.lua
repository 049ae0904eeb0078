-- adaptive: what is fetched often stays, and uses fade. See adaptive.go, whose
-- names these are, and which this equals to the last bit: sums, products and
-- quotients must keep their order.
--
-- Ghosts and shadow only advise. If Redis refuses them, because somebody else
-- wrote to their keys, the advice is lost and nothing else.
policies.adaptive = function(order)
  local APART, EDGE = -2251799813685248, -1125899906842624
  local half = 16 * math.max(order.keys, 1)
  local grain = math.max(1, math.floor(order.keys / 16))
  local window = order.window

  local function plus(d)
    if d >= 32 then return 0 end
    local y = d * 0.0216608
    local x = 1 - y * (1 - 0.5 * y)
    x = x * x
    x = x * x
    x = x * x
    x = x * x
    x = x * x
    return x * (1.4427 - x * (0.6484 - 0.2057 * x))
  end

  local function fold(a, b)
    if a < b then a, b = b, a end
    return a + math.floor(half * plus((a - b) / half))
  end

  -- when of the last use, as text: Redis would write numbers more slowly.
  local when, when_ends = nil, -1
  local function use()
    local now = order.clock + 1
    order.clock = now
    if now >= when_ends then
      local start = now - now % grain
      when, when_ends = string.format('%.0f', start), start + grain
    end
    return now, when
  end

  -- note adds a list of numbers and keys, and returns how many were new.
  local function note(name, list)
    local added = 0
    in_chunks(list, 2, function(...)
      local new = redis.pcall('ZADD', name, ...)
      if type(new) == 'number' then added = added + new end
    end)
    if added > 0 then redis.pcall('ZREMRANGEBYRANK', name, 0, -order.keys - 1) end
    return added
  end

  -- judge is told of so many uses whose keys were absent, and adds all to the
  -- shadow.
  local function judge(had, seen)
    local added = note(SHADOW, seen)
    local c = math.max(order.keys, 1)
    local w = window + 2 * (had - added)
    w = w - 0.02 * added * window / c
    w = math.min(math.max(w, 1, 0.01 * c), c)
    order.window = math.floor(w * 65536) / 65536
  end

  if order.fetching then
    local seen = {}
    return {
      fetch = function(score, key)
        local now, at = use()
        local n = #seen
        seen[n + 1], seen[n + 2] = at, key
        if score < EDGE then return now + APART end
        return fold(score - score % 1, now)
      end,
      finish = function() judge(0, seen) end,
    }
  end

  local seen, ghosts = {}, {}

  -- What the batch reads of the order more than once.
  local apart, low, low_score
  local function moved() apart, low = nil, nil end

  local function full()
    apart = apart or redis.call('ZCOUNT', RANKS, '-inf', '(-1125899906842624')
    return apart > 0 and apart >= math.floor(window)
  end
  local function lowest(from)
    local found = redis.call('ZRANGE', RANKS, from, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
    return found[1], tonumber(found[2])
  end
  local function ranked(key, score)
    local used = score - APART
    local ghost = ghosts[key]
    if not ghost then
      ghost = redis.pcall('ZSCORE', GHOSTS, key)
      ghost = type(ghost) == 'string' and tonumber(ghost)
    end
    if not ghost then return used end
    local unread = used % 1
    return fold(ghost, used - unread) + unread
  end

  return {
    moved = moved,
    enter = function(key)
      for _ = 1, 2 do
        if not full() then break end
        local m, score = lowest('-inf')
        redis.call('ZADD', RANKS, ranked(string.sub(m, 17), score), m)
        apart, low = apart - 1, nil
      end
      local now, at = use()
      seen[key] = at
      if apart then apart = apart + 1 end
      return now + APART - 0.5
    end,
    leaves = function()
      if not low then low, low_score = lowest(EDGE) end
      local m, score, rank = low, low_score, low_score
      if full() or not low then
        m, score = lowest('-inf')
        if not m then return end
        rank = ranked(string.sub(m, 17), score)
        apart = apart - 1
        if low and low_score + half < rank then
          redis.call('ZADD', RANKS, rank, m)
          m, score, rank = low, low_score, low_score
          low = nil
        end
      else
        low = nil
      end
      redis.call('ZREM', RANKS, m)
      ghosts[string.sub(m, 17)] = rank - rank % 1
      return m, score
    end,
    forget = function(key)
      moved()
      seen[key], ghosts[key] = nil, nil
      redis.pcall('ZREM', SHADOW, key)
      redis.pcall('ZREM', GHOSTS, key)
    end,
    finish = function()
      local list = {}
      for key, rank in pairs(ghosts) do
        list[#list + 1] = rank
        list[#list + 1] = key
      end
      if #list > 0 then note(GHOSTS, list) end
      list = {}
      for key, time in pairs(seen) do
        list[#list + 1] = time
        list[#list + 1] = key
      end
      if #list > 0 then judge(#list / 2, list) end
    end,
  }
end
