-- What happens when a policy takes an order over from another one. See
-- convert.go, whose names these are, and which this equals to the last bit:
-- sums, products and quotients must keep their order.

local APART, EDGE = -2251799813685248, -1125899906842624
local CONVERT_STEP, FORMER_MOST = 200, 4
local ROOMY, SPREAD, STEADY = 32, 2 ^ 40, 2

-- clock_of reads the clock of an order. Where somebody else wrote one, it is what
-- the order shows: under rank all clocks are alike, under others it has just moved.
local function clock_of(text, eviction)
  local clock = finite_of(text)
  if clock or not text then return clock or 0 end
  local at = eviction == 'rank' and 0 or -1
  local score = finite_of(redis.call('ZRANGE', RANKS, at, at, 'WITHSCORES')[2])
  return math.max(math.floor(score or 0), 0)
end

local function exact(n) return string.format('%.17g', n) end

-- An order is { eviction, keys, clock, window, low, coming, former }, former being nil unless
-- scores of former policies are left. As text those are five numbers after each
-- name.
local function order_of(eviction, keys, clock, window, former, low)
  window, low = finite_of(window) or 0, finite_of(low)
  local order = {
    eviction = eviction, keys = keys, clock = finite_of(clock) or 0, window = window, window_kept = window,
    low = low, low_kept = low, coming = 0, former = false, fetching = false,
  }
  if former then
    local all = {}
    local number = ' ([%d.e+-]+)'
    for policy, clock, base, start, half, shift in string.gmatch(former, '(%a+)' .. string.rep(number, 5)) do
      all[#all + 1] = {
        policy = policy, clock = finite_of(clock) or 0, base = finite_of(base) or 0,
        start = finite_of(start) or 0, half = math.max(finite_of(half) or 1, 1), shift = finite_of(shift) or 0,
      }
    end
    if all[1] then order.former = all end
  end
  return order
end

-- kept adds to fields of the state what a turn of the order changed: as text,
-- since Redis writes numbers slowly.
local function kept(order, fields)
  local n = #fields
  fields[n + 1], fields[n + 2] = 'clock', string.format('%.0f', order.clock)
  if order.window ~= order.window_kept then
    fields[#fields + 1], fields[#fields + 2] = 'window', exact(order.window)
  end
  if order.low ~= order.low_kept then
    fields[#fields + 1], fields[#fields + 2] = 'low', order.low and exact(order.low) or ''
  end
  return unpack(fields)
end

-- former_of returns the place of the order that score is left from, or nil.
local function former_of(order, score)
  local all = order.former
  if not all then return end
  local n = #all
  if score >= all[n].base or score < EDGE and order.eviction == 'adaptive' then return end
  if score < EDGE then
    while n > 1 and all[n].policy ~= 'adaptive' do n = n - 1 end
    return n
  end
  while n > 1 and score < all[n - 1].base do n = n - 1 end
  return n
end

local function is_unread(policy, clock, score)
  if policy == 'rank' then return score < clock + 1 end
  return score % 1 ~= 0
end

-- unread_score tells whether an entry that has score was never fetched.
local function unread_score(order, score)
  local i = former_of(order, score)
  local f = i and order.former[i]
  if f then return is_unread(f.policy, f.clock, score) end
  return is_unread(order.eviction, order.clock, score)
end

local function log2(n)
  local k, power = 0, 1
  while power * 2 <= n do
    power = power * 2
    k = k + 1
  end
  return k + n / power - 1
end

local function exp2(x)
  local power = 1
  while x >= 1 do
    power = power * 2
    x = x - 1
  end
  return power * (1 + x)
end

-- converted is what the policy that followed makes of a score.
local function converted(f, score, to)
  local unread = is_unread(f.policy, f.clock, score)
  local was = math.floor(score - f.clock)
  local is_apart = score < EDGE
  if is_apart then was = was - APART end
  if to == 'rank' then
    if unread then return f.base end
    if is_apart or f.policy == 'lru' then return f.base + 1 end
    return f.base + math.max(math.floor(exp2(math.min(math.max(was / f.half + f.shift, 0), ROOMY)) - 0.5), 1)
  end
  if to == 'lru' then
    was = was + (f.clock - f.base)
  elseif f.policy == 'rank' then
    was = math.floor(f.half * (log2(1 + math.max(was, 0)) - f.shift))
  end
  score = math.max(f.start + was, f.base)
  return unread and score + 0.5 or score
end

-- own is the score of the policy's own making for an entry that has score.
local function own(order, score)
  local i = former_of(order, score)
  if not i then return score end
  local all = order.former
  for i = i, #all do
    score = converted(all[i], score, all[i + 1] and all[i + 1].policy or order.eviction)
  end
  return score
end

-- above keeps a score of the policy's own making apart from those that
-- are left.
local function above(order, score)
  local base = order.former and order.former[#order.former].base
  if base and score < base then return base + score % 1 end
  return score
end

-- hand_over gives an order to another policy.
local function hand_over(order, to)
  local from, all = order.eviction, order.former or {}
  local past = redis.call('HMGET', STATE, 'start', 'shift')
  local top = redis.call('ZRANGE', RANKS, -1, -1, 'WITHSCORES')[2]
  local start, shift = 0, 0
  if top then
    local half = 16 * math.max(order.keys, 1)
    local f = {
      policy = from, clock = order.clock, base = math.max(order.clock, math.ceil(tonumber(top))) + 1,
      half = half, shift = 0,
    }
    local room = ROOMY * half
    if to == 'rank' then
      room = 0
      f.shift = math.max((finite_of(past[2]) or 0) - (order.clock - (finite_of(past[1]) or 0)) / half, 0)
    elseif from == 'rank' and to == 'lru' then
      room = math.max(room, math.min(f.base - f.clock, SPREAD))
    elseif from == 'rank' then
      local at = math.floor(order.keys / 2)
      local middle = redis.call('ZRANGE', RANKS, at, at, 'WITHSCORES')[2]
      middle = own(order, tonumber(middle or top)) - order.clock
      f.shift = math.max(log2(1 + math.floor(math.max(middle, 0))) - STEADY, 0)
      shift = f.shift
    end
    start = f.base + room
    f.start = start
    if #all == FORMER_MOST then table.remove(all, 1) end
    all[#all + 1] = f
  else
    all = {}
  end
  order.eviction, order.clock, order.window = to, start, 0
  order.window_kept, order.low, order.low_kept = 0, nil, nil
  order.former = all[1] and all
  redis.call('HSET', STATE, 'clock', start, 'window', 0, 'start', start, 'shift', shift)
  redis.call('HDEL', STATE, 'low')
  local text = {}
  for i, f in ipairs(all) do
    text[i] = table.concat({ f.policy, exact(f.clock), exact(f.base), exact(f.start), exact(f.half), exact(f.shift) }, ' ')
  end
  if all[1] then
    redis.call('HSET', STATE, 'former', table.concat(text, ' '))
  else
    redis.call('HDEL', STATE, 'former')
  end
end

-- convert gives a step of entries scores of the policy's own making.
local function convert(order)
  local lowest = order.eviction == 'adaptive' and EDGE or '-inf'
  local base = order.former[#order.former].base
  local found = redis.call('ZRANGE', RANKS, '(' .. exact(base), lowest, 'BYSCORE', 'REV', 'LIMIT', 0, CONVERT_STEP, 'WITHSCORES')
  local moves = {}
  for i = 1, #found, 2 do
    moves[i], moves[i + 1] = own(order, tonumber(found[i + 1])), found[i]
  end
  if #moves > 0 then redis.call('ZADD', RANKS, unpack(moves)) end
  if #moves < 2 * CONVERT_STEP then
    order.former = nil
    redis.call('HDEL', STATE, 'former')
  end
end
