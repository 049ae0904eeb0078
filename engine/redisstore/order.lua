-- The order of the entries, as the scripts know it. scripts.go makes begin of the files
-- in policy/. It opens the policy on an order. For fetches it takes the file whose name
-- ends in _fetch, if the policy has one. begin returns
--   enter(key, member): the score of an entry that is about to be created. nil says
--     that the policy has put the entry into RANKS itself.
--   fetch(score, key, times): the new score of an entry that was used so many times.
--     The score that it has is one of this policy.
-- and, if the policy needs them,
--   victim(): takes the entry that is evicted next out of RANKS. It returns key and
--     score, and meta if it was read anyway. Without victim, the entry with the lowest
--     score is evicted. order.coming estimates how many evictions will follow.
--   settle(): writes what the policy holds back, before another part of the script uses
--     RANKS.
--   forget(key, score): notes that a key was deleted; with score, that the entry with
--     this score has expired.
--   finish(): writes everything to RANKS, and sets clock and window of the order.
--     order.keys is the number of entries by then.

-- text_of returns a score as text, since Redis itself writes numbers slowly.
local function text_of(n)
  return string.format(n % 1 == 0 and '%d' or '%.17g', n)
end

local function is_finite(n) return n and n - n == 0 end

-- An order is { policy, keys, clock, window, low, coming, conversion }. conversion is
-- nil unless scores of former policies are left. A clock that is lost, or that another
-- program spoiled, is derived from the scores: the lowest one if the policy counts,
-- since its clock stands still, and the highest one otherwise.
local function order_of(policy, keys, clock, window, low, has_former)
  if not is_finite(clock) then
    local at = policy.scale == store.Counts and 0 or -1
    local score = tonumber(redis.call('ZRANGE', RANKS, at, at, 'WITHSCORES')[2] or 0)
    clock = is_finite(score) and math.max(math.floor(score), 0) or 0
  end
  return {
    policy = policy, keys = keys, clock = clock, window = is_finite(window) and window or 0,
    low = is_finite(low) and low or nil, coming = 0,
    conversion = has_former == 1 and conversion_of(redis.call('HGET', STATE, 'former')) or nil,
  }
end

-- own returns what a score of an entry is worth to the policy in force.
local function own(order, score)
  if order.conversion then return order.conversion.own(order, score) end
  return score
end
