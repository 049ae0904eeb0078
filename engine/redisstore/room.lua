-- Values and meta are written at the end, all at once. Until then:
--   values and metas have the new value and meta of a key; the value is false if the
--     key was deleted or evicted.
--   gone lists the keys that are removed first.
--   stored_metas has the stored meta for the key of each write.
local metas, values, gone = {}, {}, {}
local function write_back()
  if gone[1] then
    redis.call('HDEL', VALUES, unpack(gone))
    redis.call('HDEL', META, unpack(gone))
  end
  local new_values, new_metas, n = {}, {}, 0
  for key, value in next, values do
    if value then
      new_values[n + 1], new_values[n + 2] = key, value
      new_metas[n + 1], new_metas[n + 2] = key, metas[key]
      n = n + 2
    end
  end
  if n > 0 then
    redis.call('HSET', VALUES, unpack(new_values))
    redis.call('HSET', META, unpack(new_metas))
  end
  metas, values, gone = {}, {}, {}
end
local stored_metas = count > 0 and redis.call('HMGET', META, unpack(ARGV, FIRST_KEY, FIRST_KEY + count - 1)) or {}
for i = 1, count do
  if not stored_metas[i] and string.sub(ops, i, i) ~= 'd' then order.coming = order.coming + 1 end
end

-- Without victim, the entry with the lowest score is evicted. RANKS is read and written
-- once for many entries:
--   queue has the keys of the next entries in RANKS, and queue_metas their meta.
--   queue_scores has their scores; nil if all are as low as a new entry under counts.
--   removed is how many entries are evicted, but still in RANKS.
--   fresh has new entries that are not yet in RANKS, in their order, as scores and
--     members. fresh_scores has the scores as numbers.
local turn = begin(order)
local is_counts = order.policy.scale == store.Counts and not order.conversion
local queue, queue_metas, queue_scores, at, removed = {}, {}, nil, 1, 0
local ahead = math.max(math.min(order.coming, store.TrimStep), 1) -- how many entries to read
local only_fetched = not is_counts -- RANKS has no entry as low as a new one
local fresh, fresh_scores, first_fresh = {}, {}, 1
local entered, entered_text -- the last score of a new entry
local function settle()
  if turn.settle then turn.settle() end
  if removed > 0 then redis.call('ZREMRANGEBYRANK', RANKS, 0, removed - 1) end
  if fresh_scores[first_fresh] then redis.call('ZADD', RANKS, unpack(fresh, 2 * first_fresh - 1)) end
  queue, queue_metas, queue_scores, at, removed = {}, {}, nil, 1, 0
  fresh, fresh_scores, first_fresh = {}, {}, 1
  only_fetched = not is_counts
end
local function read_on()
  queue, queue_scores, at = {}, nil, 1
  if not only_fetched then
    queue = redis.call('ZRANGE', RANKS, '-inf', text_of(order.clock), 'BYSCORE', 'LIMIT', removed, ahead)
    if #queue < ahead then
      only_fetched, ahead = true, 1
    end
  end
  if not queue[1] then
    local found = redis.call('ZRANGE', RANKS, removed, removed + ahead - 1, 'WITHSCORES')
    queue_scores = {}
    for i = 1, #found, 2 do
      queue[(i + 1) / 2], queue_scores[(i + 1) / 2] = found[i], tonumber(found[i + 1])
    end
    ahead = math.min(2 * ahead, store.TrimStep)
  end
  local n = #queue
  local sub = string.sub
  for i = 1, n do queue[i] = sub(queue[i], layout.KeyAt) end
  queue_metas = n > 0 and redis.call('HMGET', META, unpack(queue)) or {}
end
local function enter(key, m, score)
  local is_restored = score ~= nil
  if not is_restored then
    score = turn.enter(key, m)
    if not score then return end
  end
  local last = #fresh_scores
  if is_restored or is_counts and score < order.clock or first_fresh <= last and score < fresh_scores[last] then
    settle()
    redis.call('ZADD', RANKS, text_of(score), m)
    return
  end
  if score ~= entered then entered, entered_text = score, text_of(score) end
  fresh_scores[last + 1], fresh[2 * last + 1], fresh[2 * last + 2] = score, entered_text, m
end
