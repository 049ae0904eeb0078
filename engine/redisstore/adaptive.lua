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

  -- Numbers go to Redis as text, since it writes them slowly.
  local function whole(n) return string.format('%d', n) end

  -- Of a list of numbers and names, as ZADD takes it.
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
    if n > 0 then redis.pcall('ZREMRANGEBYRANK', name, 0, n - 1) end
  end

  -- judge adds what was used to the shadow. Of the keys, so many had been absent.
  local function judge(had, used, moved)
    local added = add(SHADOW, used)
    if moved or added > 0 then trim(SHADOW, order.keys, 200 + added) end
    if had == 0 and added == 0 then return end
    local c = math.max(order.keys, 1)
    local w = order.window + 2 * (had - added)
    w = w - 0.02 * added * order.window / c
    w = math.min(math.max(w, 1, 0.01 * c), c)
    order.window = math.floor(w * 65536) / 65536
  end

  local used, n = {}, 0
  local stamp, stamp_ends = nil, -1
  local function use(now, key)
    if now >= stamp_ends then
      local start = now - now % grain
      stamp, stamp_ends = whole(start), start + grain
    end
    used[n + 1], used[n + 2] = stamp, key
    n = n + 2
  end

  if order.fetching then
    local clock = order.clock
    return {
      fetch = function(score, m, times)
        clock = clock + 1
        use(clock, string.sub(m, 17))
        if score < EDGE then return whole(clock + APART) end
        score = score - score % 1
        local now = clock
        while times > 1 do
          if times % 2 == 1 then score = fold(score, now) end
          times = math.floor(times / 2)
          now = fold(now, now)
        end
        return whole(fold(score, now))
      end,
      finish = function()
        order.clock = clock
        judge(0, used)
      end,
    }
  end

  -- The window is a queue, of which each part goes on with the next: popped are
  -- entries that were taken out of RANKS, several at a time; then those that are
  -- there; then fresh ones that are not there yet. moves are for the rest of the
  -- order. settle puts all back.
  local popped, first_popped = {}, 1
  local fresh, first_fresh = {}, 1
  local moves = {}
  local at_once -- 1 once too many were popped
  -- How many entries the window has, and the lowest of the rest, unless unknown.
  local apart, low, low_score
  -- What the lowest of the rest is not below, if known: order.low is kept so that
  -- an entry whose leaving it decides need not be compared.
  local bound = not order.former and order.low or nil
  -- Where in used a key is, and the ranks with which keys left.
  local place, left = {}, {}
  local moved = false

  local function put(list)
    for i = 1, #list, 1000 do redis.call('ZADD', RANKS, unpack(list, i, math.min(i + 999, #list))) end
  end
  local function put_back()
    for i = first_popped, #popped do
      local p = popped[i]
      moves[#moves + 1], moves[#moves + 2] = p.text, p.m
    end
    for i = first_fresh, #fresh do
      local p = fresh[i]
      moves[#moves + 1], moves[#moves + 2] = p.text, p.m
    end
    put(moves)
  end

  local function full()
    apart = apart or redis.call('ZCOUNT', RANKS, '-inf', '(-1125899906842624')
    return apart > 0 and apart >= math.floor(order.window)
  end

  local function ghost(key)
    local rank = redis.pcall('ZSCORE', GHOSTS, key)
    return type(rank) == 'string' and tonumber(rank)
  end

  -- pop takes the oldest of the window out of RANKS, with their ghosts.
  local function pop(count)
    local found = redis.call('ZPOPMIN', RANKS, count)
    popped, first_popped = {}, 1
    for i = 1, #found, 2 do
      local m, text = found[i], found[i + 1]
      popped[#popped + 1] = { m = m, key = string.sub(m, 17), text = text, score = tonumber(text), ghost = false }
    end
    if count == 1 then
      if popped[1] then popped[1].ghost = ghost(popped[1].key) end
      return
    end
    local keys = {}
    for i, p in ipairs(popped) do keys[i] = p.key end
    local ranks = redis.pcall('ZMSCORE', GHOSTS, unpack(keys))
    for i, p in ipairs(popped) do p.ghost = tonumber(ranks[i] or nil) end
  end

  -- oldest takes an entry out of the window.
  local function oldest()
    local p = popped[first_popped]
    if not p then
      local there = apart - (#fresh - first_fresh + 1)
      if there > 0 then
        pop(math.min(there, at_once or math.min(math.max(order.coming, 1), 500)))
        p = popped[1]
      end
    end
    if p then
      first_popped = first_popped + 1
    else
      p = fresh[first_fresh]
      if not p then return end
      first_fresh = first_fresh + 1
      p.ghost = ghost(p.key)
    end
    apart = apart - 1
    return p
  end
  local function find_low()
    if low then return end
    put(moves)
    moves = {}
    local found = redis.call('ZRANGE', RANKS, EDGE, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
    low, low_score = found[1], tonumber(found[2])
    bound = not order.former and low_score or nil
  end
  local function ranked(p)
    local last = above(order, p.score - APART)
    local rank = left[p.key] or p.ghost
    if not rank then return last end
    local unread = last % 1
    return fold(rank, last - unread) + unread
  end
  local function move(p, score)
    moves[#moves + 1], moves[#moves + 2] = score, p.m
  end

  return {
    -- It puts the entry into the order itself.
    enter = function(key, m)
      for _ = 1, 2 do
        if not full() then break end
        local old = oldest()
        local rank = ranked(old)
        move(old, rank)
        if bound and rank < bound then bound = rank end
        low = nil
      end
      moved = true
      local now = order.clock + 1
      order.clock = now
      if place[key] then
        used[place[key]] = whole(now - now % grain)
      else
        use(now, key)
        place[key] = n - 1
      end
      fresh[#fresh + 1] = { m = m, key = key, text = string.format('%d.5', now + APART), score = now + APART - 0.5, ghost = false }
      if apart then apart = apart + 1 end
    end,
    leaves = function()
      local old = full() and oldest()
      local old_rank = old and ranked(old)
      local key, score, rank
      if old and not low and bound and old_rank <= bound + half then
        key, score, rank = old.key, old.score, old_rank
      else
        find_low()
        local worth = low and own(order, low_score)
        if not low and not old then
          old = oldest()
          if not old then return end
          old_rank = ranked(old)
        end
        if old and low and worth + half < old_rank then
          move(old, old_rank)
        elseif old then
          key, score, rank = old.key, old.score, old_rank
        end
      end
      if not key then
        key, score, rank = string.sub(low, 17), low_score, own(order, low_score)
        redis.call('ZREM', RANKS, low)
        low = nil
      end
      moved = true
      left[key] = rank - rank % 1
      return key, score
    end,
    settle = function()
      if first_popped <= #popped then at_once = 1 end -- it was too much
      put_back()
      popped, first_popped, fresh, first_fresh, moves = {}, 1, {}, 1, {}
      apart, low, bound = nil, nil, nil
    end,
    forget = function(key)
      moved = true
      left[key] = nil
      if place[key] then
        -- The last takes its place.
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
      if moved then
        local leaving = {}
        for key, rank in pairs(left) do
          leaving[#leaving + 1], leaving[#leaving + 2] = whole(rank), key
        end
        local count, c = #leaving / 2, order.keys
        trim(GHOSTS, c - count, 200 + count)
        add(GHOSTS, leaving)
        if count > c then trim(GHOSTS, c, 200 + count) end
      end
      judge(n / 2, used, moved)
    end,
  }
end
