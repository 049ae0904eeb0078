-- adaptive: what is fetched often stays, and uses fade. See adaptive.go, whose
-- names these are, and which this equals to the last bit: sums, products and
-- quotients must keep their order.
--
-- Ghosts and shadow only advise. If Redis refuses them, because somebody else
-- wrote to their keys, the advice is lost and nothing else.
policies.adaptive = function(order)
  local half = 16 * math.max(order.keys, 1)
  local grain = math.max(1, math.floor(order.keys / 16))

  local function fold(a, b)
    local d = (a - b) / half
    if d < 0 then a, d = b, -d end
    if d >= 32 then return a end
    local y = d * 0.0216608
    local x = 1 - y * (1 - 0.5 * y)
    x = x * x
    x = x * x
    x = x * x
    x = x * x
    x = x * x
    return a + math.floor(half * (x * (1.4427 - x * (0.6484 - 0.2057 * x))))
  end

  -- note adds a list of numbers and keys, and returns how many were new.
  local function note(name, list)
    local added = 0
    for i = 1, #list, 1000 do
      local new = redis.pcall('ZADD', name, unpack(list, i, math.min(i + 999, #list)))
      if type(new) == 'number' then added = added + new end
    end
    if added > 0 then redis.pcall('ZREMRANGEBYRANK', name, 0, -order.keys - 1) end
    return added
  end

  -- judge is told how many of the keys used had been absent, and adds all to
  -- the shadow.
  local function judge(had, used)
    local added = note(SHADOW, used)
    if had == 0 and added == 0 then return end
    local c = math.max(order.keys, 1)
    local w = order.window + 2 * (had - added)
    w = w - 0.02 * added * order.window / c
    w = math.min(math.max(w, 1, 0.01 * c), c)
    order.window = math.floor(w * 65536) / 65536
  end

  local used, n = {}, 0

  if order.fetching then
    -- As text, since Redis writes numbers slowly.
    local clock, stamp, stamp_ends = order.clock, nil, -1
    return {
      fetch = function(score, m, times)
        clock = clock + 1
        if clock >= stamp_ends then
          local start = clock - clock % grain
          stamp, stamp_ends = string.format('%.0f', start), start + grain
        end
        used[n + 1], used[n + 2] = stamp, string.sub(m, 17)
        n = n + 2
        if score < EDGE then return clock + APART end
        score = score - score % 1
        if times == 1 then return fold(score, clock) end
        local use = clock
        while true do
          if times % 2 == 1 then score = fold(score, use) end
          times = math.floor(times / 2)
          if times == 0 then return score end
          use = fold(use, use)
        end
      end,
      finish = function()
        order.clock = clock
        judge(0, used)
      end,
    }
  end

  local when, left = {}, {}
  -- What the batch reads of the order more than once.
  local apart, low, low_score

  local function full()
    apart = apart or redis.call('ZCOUNT', RANKS, '-inf', '(-1125899906842624')
    return apart > 0 and apart >= math.floor(order.window)
  end
  -- oldest takes the oldest entry out of the window.
  local function oldest()
    local found = redis.call('ZPOPMIN', RANKS)
    apart = apart - 1
    return found[1], tonumber(found[2])
  end
  local function ranked(m, score)
    local last = above(order, score - APART)
    local key = string.sub(m, 17)
    local ghost = left[key] or redis.pcall('ZSCORE', GHOSTS, key)
    ghost = type(ghost) ~= 'table' and tonumber(ghost)
    if not ghost then return last end
    local unread = last % 1
    return fold(ghost, last - unread) + unread
  end

  return {
    enter = function(key)
      for _ = 1, 2 do
        if not full() then break end
        local m, score = oldest()
        redis.call('ZADD', RANKS, ranked(m, score), m)
        low = nil
      end
      local now = order.clock + 1
      order.clock = now
      when[key] = now - now % grain
      if apart then apart = apart + 1 end
      return now + APART - 0.5
    end,
    leaves = function()
      if not low then
        local found = redis.call('ZRANGE', RANKS, EDGE, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
        low, low_score = found[1], tonumber(found[2])
      end
      local worth = low and own(order, low_score)
      local m, score, rank = low, low_score, worth
      if full() or not low then
        local old, old_score = oldest()
        if not old then return end
        local old_rank = ranked(old, old_score)
        if low and worth + half < old_rank then
          redis.call('ZADD', RANKS, old_rank, old)
        else
          m, score, rank = old, old_score, old_rank
        end
      end
      if m == low then
        redis.call('ZREM', RANKS, m)
        low = nil
      end
      left[string.sub(m, 17)] = rank - rank % 1
      return m, score
    end,
    moved = function() apart, low = nil, nil end,
    forget = function(key)
      apart, low = nil, nil
      when[key], left[key] = nil, nil
      redis.pcall('ZREM', SHADOW, key)
      redis.pcall('ZREM', GHOSTS, key)
    end,
    finish = function()
      local ranks = {}
      for key, rank in pairs(left) do
        ranks[#ranks + 1], ranks[#ranks + 2] = rank, key
      end
      if #ranks > 0 then note(GHOSTS, ranks) end
      for key, time in pairs(when) do
        used[n + 1], used[n + 2] = time, key
        n = n + 2
      end
      if n > 0 then judge(n / 2, used) end
    end,
  }
end
