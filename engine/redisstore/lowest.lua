-- lowest_first completes the turn of a policy that evicts the lowest entry: leaves,
-- settle, and put, which takes a new entry with its score. RANKS itself is read and
-- written once for many entries.
local function lowest_first(order, turn)
  -- The next of RANKS, as members and scores; taken of them are gone, but still there.
  local queue, at, taken = {}, 1, 0
  -- New entries, which are not there yet, as scores and members in their order.
  local fresh, first, last = {}, 1, 0

  local function read_on()
    local count = math.min(math.max(order.coming, 1), store.TrimStep)
    queue, at = redis.call('ZRANGE', RANKS, taken, taken + count - 1, 'WITHSCORES'), 1
    local keys = {}
    for i = 1, #queue, 2 do keys[#keys + 1] = string.sub(queue[i], layout.KeyAt) end
    order.expect(keys)
  end

  turn.leaves = function()
    if not queue[at] then read_on() end
    local m, score = queue[at], tonumber(queue[at + 1])
    -- Among equal scores, a new one is the youngest.
    if first < last and not (m and score <= fresh[first]) then
      m, score = fresh[first + 1], fresh[first]
      first = first + 2
    elseif m then
      at, taken = at + 2, taken + 1
      order.coming = order.coming - 1
    else
      return
    end
    return string.sub(m, layout.KeyAt), score
  end

  turn.settle = function()
    if taken > 0 then redis.call('ZREMRANGEBYRANK', RANKS, 0, taken - 1) end
    for i = first, last, 2 do fresh[i] = text_of(fresh[i]) end
    if first < last then redis.call('ZADD', RANKS, unpack(fresh, first, last)) end
    queue, at, taken, fresh, first, last = {}, 1, 0, {}, 1, 0
  end

  turn.put = function(score, m)
    if first < last and score < fresh[last - 1] then turn.settle() end
    fresh[last + 1], fresh[last + 2] = score, m
    last = last + 2
  end

  local finish = turn.finish
  turn.finish = function()
    turn.settle()
    if finish then finish() end
  end
end
