-- Hands the order over to another policy, and converts a step of old scores in every
-- batch. See convert.go.
local changes_policy = sets_limits and policy_before.name ~= policy.name
local order
if head and not changes_policy and has_former ~= 1 and clock - clock == 0 and window - window == 0 then
  order = {
    policy = policy, keys = keys, clock = clock, window = window, low = low - low == 0 and low or nil, coming = 0,
    conversion = nil,
  }
else
  -- include convert.lua
  -- include order.lua
  order = order_of(policy_before, keys, clock, window, low, has_former)

  -- hand_over gives an order to another policy. If the scores of both policies mean the
  -- same, they stay.
  local function hand_over(order, to)
    -- begin_scale turns the current scores into those of a former order. Except in a
    -- window, all scores of the next policy are above them. top is the highest current
    -- score, or nil if there is none.
    local function begin_scale(order, to, top)
      local from, all = order.policy, order.conversion and order.conversion.all or {}
      local past = redis.call('HMGET', STATE, 'start', 'shift')
      local function past_of(i)
        local n = tonumber(past[i] or nil)
        return n and n - n == 0 and n or 0
      end
      local start, shift = 0, 0
      if top then
        local half = store.half * math.max(order.keys, 1)
        local f = {
          name = from.name, policy = from, clock = order.clock, base = math.max(order.clock, math.ceil(tonumber(top))) + 1,
          half = half, shift = 0,
        }
        local room = store.roomy * half
        if to.scale == store.Counts then
          room = 0
          f.shift = math.max(past_of(2) - (order.clock - past_of(1)) / half, 0)
        elseif from.scale == store.Counts and to.scale == store.Times then
          room = math.max(room, math.min(f.base - f.clock, store.spread))
        elseif from.scale == store.Counts then
          local at = math.floor(order.keys / 2)
          local middle = redis.call('ZRANGE', RANKS, at, at, 'WITHSCORES')[2]
          middle = own(order, tonumber(middle or top)) - order.clock
          f.shift = math.max(log2(1 + math.floor(math.max(middle, 0))) - store.steady, 0)
          shift = f.shift
        end
        start = f.base + room
        f.start = start
        if #all == store.formerMost then table.remove(all, 1) end
        all[#all + 1] = f
      else
        all = {}
      end
      order.clock = start
      redis.call('HSET', STATE, 'start', start, 'shift', shift)
      if all[1] then
        local text = {}
        for i, f in ipairs(all) do
          text[i] = string.format('%s %.17g %.17g %.17g %.17g %.17g', f.name, f.clock, f.base, f.start, f.half, f.shift)
        end
        local former = table.concat(text, ' ')
        order.conversion = conversion_of(former)
        redis.call('HSET', STATE, 'former', former)
      else
        order.conversion = nil
        redis.call('HDEL', STATE, 'former')
      end
    end

    local from = order.policy
    local top = redis.call('ZRANGE', RANKS, -1, -1, 'WITHSCORES')[2]
    if not top or from.scale ~= to.scale or from.window ~= to.window then begin_scale(order, to, top) end
    order.policy, order.window, order.low = to, 0, nil
  end

  -- convert gives a step of entries scores of the policy in force.
  local function convert(order)
    local lowest = order.policy.window and store.Edge or '-inf'
    local found = redis.call('ZRANGE', RANKS, '(' .. text_of(order.conversion.base), lowest, 'BYSCORE', 'REV', 'LIMIT', 0, store.convertStep, 'WITHSCORES')
    local moves = {}
    for i = 1, #found, 2 do
      moves[i], moves[i + 1] = own(order, tonumber(found[i + 1])), found[i]
    end
    if #moves > 0 then redis.call('ZADD', RANKS, unpack(moves)) end
    if #moves < 2 * store.convertStep then
      order.conversion = nil
      redis.call('HDEL', STATE, 'former')
    end
  end

  if changes_policy and not begin_growing() then
    hand_over(order, policy)
    redis.pcall('UNLINK', GHOSTS, SHADOW)
  end
  if order.conversion and not begin_growing() then convert(order) end
end
