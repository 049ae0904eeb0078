-- Converts scores after a policy took over the order of another one. This file uses the
-- names of convert.go, and must compute the same bits: sums, products and quotients
-- keep their order.

local function log2(n)
  local k, power = 0, 1
  while power * 2 <= n do
    power = power * 2
    k = k + 1
  end
  return k + n / power - 1
end

local function is_unread(policy, clock, score)
  if policy.scale == store.Counts then return score < clock + 1 end
  return score % 1 ~= 0
end

-- conversion_of reads the former policies: for each a name and five numbers. It returns
-- { all, base, own, is_unread, above }, or nil if there are none. A policy that this version
-- does not know is {}.
local function conversion_of(former)
  local function finite_of(text)
    local n = tonumber(text)
    return n and n - n == 0 and n or nil
  end
  local all = {}
  local number = ' ([%d.e+-]+)'
  for name, clock, base, start, half, shift in string.gmatch(former or '', '(%a+)' .. string.rep(number, 5)) do
    all[#all + 1] = {
      name = name, policy = policy_named(name) or {}, clock = finite_of(clock) or 0, base = finite_of(base) or 0,
      start = finite_of(start) or 0, half = math.max(finite_of(half) or 1, 1), shift = finite_of(shift) or 0,
    }
  end
  if not all[1] then return end

  -- former_of returns the index of the former order that score belongs to; nil if it is
  -- a score of the policy in force.
  local function former_of(order, score)
    local n = #all
    if score >= all[n].base or score < store.Edge and order.policy.window then return end
    if score < store.Edge then
      while n > 1 and not all[n].policy.window do n = n - 1 end
      return n
    end
    while n > 1 and score < all[n - 1].base do n = n - 1 end
    return n
  end

  local function exp2(x)
    local power = 1
    while x >= 1 do
      power = power * 2
      x = x - 1
    end
    return power * (1 + x)
  end

  -- converted returns the score of the next policy, which has scale to, for an old
  -- score.
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

  return {
    all = all,
    base = all[#all].base,
    own = function(order, score)
      local i = former_of(order, score)
      if not i then return score end
      for i = i, #all do
        local to = all[i + 1] or order
        score = converted(all[i], score, to.policy.scale)
      end
      return score
    end,
    is_unread = function(order, score)
      local i = former_of(order, score)
      if i then return is_unread(all[i].policy, all[i].clock, score) end
      return is_unread(order.policy, order.clock, score)
    end,
    -- above keeps a score of the policy in force apart from those of former policies.
    above = function(score)
      local base = all[#all].base
      return score < base and base + score % 1 or score
    end,
  }
end
