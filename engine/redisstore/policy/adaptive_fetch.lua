-- adaptive.lua for fetches. Its two functions capture little, since every fetch makes
-- them anew.
local used = {} -- times and keys of the uses, as ZADD takes them
local stamp, stamp_ends = nil, -1
return {
  fetch = function(score, key, times)
    local now, n = order.clock + 1, #used
    order.clock = now
    if now >= stamp_ends then
      local grain = math.max(1, math.floor(order.keys / store.grains))
      stamp_ends = now - now % grain + grain
      stamp = string.format('%d', stamp_ends - grain)
    end
    used[n + 1], used[n + 2] = stamp, key
    if score < store.Edge then return now + store.Apart end
    -- The loop is fold in adaptive.lua, of the score and each use whose turn it is. The
    -- rest by 1 is cheaper than math.floor.
    score = score - score % 1
    local half = store.half * (order.keys > 0 and order.keys or 1)
    while true do
      if times % 2 == 1 then
        local d = (score - now) / half
        if d < 0 then score, d = now, -d end
        if d < store.faded then
          local y = d * store.ln2by32
          local x = 1 - y * (1 - 0.5 * y)
          x = x * x
          x = x * x
          x = x * x
          x = x * x
          x = x * x
          local more = half * (x * (store.plus1 - x * (store.plus2 - store.plus3 * x)))
          score = score + (more - more % 1)
        end
      end
      if times < 2 then return score end
      times = math.floor(times / 2)
      now = now + math.floor(half * (store.plus1 - (store.plus2 - store.plus3)))
    end
  end,
  -- finish ends as that in adaptive.lua does, where nothing was created.
  finish = function()
    local added = redis.pcall('ZADD', KEYS[6], unpack(used))
    if type(added) ~= 'number' or added == 0 then return end
    local surplus = redis.pcall('ZCARD', KEYS[6])
    if type(surplus) == 'number' then
      surplus = math.min(surplus - math.max(order.keys, 0), store.slack + added)
      if surplus > 0 then redis.pcall('ZREMRANGEBYRANK', KEYS[6], 0, surplus - 1) end
    end
    local c = math.max(order.keys, 1)
    local w = order.window + store.step * -added
    w = w - store.leak * added * order.window / c
    w = math.min(math.max(w, 1, store.least * c), c)
    order.window = math.floor(w * store.windowParts) / store.windowParts
  end,
}
