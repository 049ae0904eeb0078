-- Values and meta are written at the end, all at once (write_back.lua). Until then:
--   new_values and new_metas have keys with their new values and meta, as HSET takes
--     them. written is their size.
--   places has the place of a key in both; false if it was deleted or evicted.
--   gone lists the keys that are removed first.
--   stored_metas has the stored meta for the key of each write.
local places, new_values, new_metas, written, gone = {}, {}, {}, 0, {}
local sub, format = string.sub, string.format
local stored_metas = count > 0 and redis.call('HMGET', META, unpack(ARGV, FIRST_KEY, FIRST_KEY + count - 1)) or {}
for i = 1, count do
  if not stored_metas[i] and sub(ops, i, i) ~= 'd' then order.coming = order.coming + 1 end
end

-- Without victim, the entry with the lowest score is evicted. RANKS is read and written
-- once for many entries (settle.lua):
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
