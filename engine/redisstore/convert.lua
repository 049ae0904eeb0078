-- What happens when a policy takes an order over from another one. See
-- convert.go, whose names these are, and which this equals to the last bit:
-- sums, products and quotients must keep their order.

-- clock_of reads the clock of an order. Where somebody else wrote one, it is what
-- the order shows: that of counts stands still, others have just moved.
local function clock_of(text, eviction)
  local clock = finite_of(text)
  if clock or not text then return clock or 0 end
  local policy = policies[eviction]
  local at = policy and policy.scale == store.Counts and 0 or -1
  local score = finite_of(redis.call('ZRANGE', RANKS, at, at, 'WITHSCORES')[2])
  return math.max(math.floor(score or 0), 0)
end

local function exact(n) return string.format('%.17g', n) end

-- An order is { eviction, policy, keys, clock, window, low, coming, former }, former
-- being nil unless scores of former policies are left. As text those are five
-- numbers after each name. A policy that this version does not know is {}.
local function order_of(eviction, keys, clock, window, former, low)
  window, low = finite_of(window) or 0, finite_of(low)
  local order = {
    eviction = eviction, policy = policies[eviction] or {}, keys = keys, clock = finite_of(clock) or 0, window = window, window_kept = window,
    low = low, low_kept = low, coming = 0, former = false, fetching = false,
  }
  if former then
    local all = {}
    local number = ' ([%d.e+-]+)'
    for name, clock, base, start, half, shift in string.gmatch(former, '(%a+)' .. string.rep(number, 5)) do
      all[#all + 1] = {
        name = name, policy = policies[name] or {}, clock = finite_of(clock) or 0, base = finite_of(base) or 0,
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
  if score >= all[n].base or score < store.Edge and order.policy.window then return end
  if score < store.Edge then
    while n > 1 and not all[n].policy.window do n = n - 1 end
    return n
  end
  while n > 1 and score < all[n - 1].base do n = n - 1 end
  return n
end

local function is_unread(policy, clock, score)
  if policy.scale == store.Counts then return score < clock + 1 end
  return score % 1 ~= 0
end

-- unread_score tells whether an entry that has score was never fetched.
local function unread_score(order, score)
  local i = former_of(order, score)
  local f = i and order.former[i]
  if f then return is_unread(f.policy, f.clock, score) end
  return is_unread(order.policy, order.clock, score)
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
  local from = f.policy.scale
  local unread = is_unread(f.policy, f.clock, score)
  local was = math.floor(score - f.clock)
  local is_apart = score < store.Edge
  if is_apart then was = was - store.Apart end
  if to == store.Counts then
    if unread then return f.base end
    if is_apart or from == store.Times then return f.base + 1 end
    if from == store.Counts then return f.base + was end
    return f.base + math.max(math.floor(exp2(math.min(math.max(was / f.half + f.shift, 0), store.roomy)) - 0.5), 1)
  end
  if to == store.Times then
    was = was + (f.clock - f.base)
  elseif from == store.Counts then
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
    local to = all[i + 1] or order
    score = converted(all[i], score, to.policy.scale)
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
