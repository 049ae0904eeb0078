-- The order of the entries, as the scripts know it. begin, which scripts.go makes of the
-- files in policy/, opens the policy on an order, for a batch or, if the order says
-- fetching, a fetch. It returns
--   enter(key, member): the score of an entry that is about to be created; nil if
--     the policy puts it into RANKS itself
--   fetch(score, member, times): the new score of an entry that was fetched, or
--     used so often by others; the score it has is of the policy's own making
-- and, if it needs them,
--   leaves(): takes an entry out of RANKS; returns its key and score, and its meta
--     if that was read anyway. Without it, the lowest leaves. order.coming is about how many will have to.
--   settle(): others are about to read or to change RANKS.
--   forget(key): a key was deleted.
--   finish(): brings RANKS, and clock and window of the order, up to date;
--     order.keys are those of the end by then.

local function is_finite(n) return n and n - n == 0 end

-- An order is { policy, keys, clock, window, low, coming, conversion }. conversion is nil
-- unless scores of former policies are left. Where somebody else wrote a clock, or it is
-- lost, it is what the order shows: that of counts stands still, others have just moved.
local function order_of(policy, keys, clock, window, low, has_former)
  local function is_finite(n) return n and n - n == 0 end
  if not is_finite(clock) then
    local at = policy.scale == store.Counts and 0 or -1
    local score = tonumber(redis.call('ZRANGE', RANKS, at, at, 'WITHSCORES')[2] or 0)
    clock = is_finite(score) and math.max(math.floor(score), 0) or 0
  end
  return {
    policy = policy, keys = keys, clock = clock, window = is_finite(window) and window or 0, low = is_finite(low) and low or nil,
    coming = 0, fetching = false,
    conversion = has_former == 1 and conversion_of(redis.call('HGET', STATE, 'former')) or nil,
  }
end

-- own is the score of the policy's own making for an entry that has score.
local function own(order, score)
  if order.conversion then return order.conversion.own(order, score) end
  return score
end

-- unread_score tells whether an entry that has score was never fetched.
local function unread_score(order, score)
  if order.conversion then return order.conversion.is_unread(order, score) end
  return is_unread(order.policy, order.clock, score)
end

-- above keeps a score of the policy's own making apart from those that are left.
local function above(order, score)
  local base = order.conversion and order.conversion.base
  if base and score < base then return base + score % 1 end
  return score
end
