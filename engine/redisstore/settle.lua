-- Writes to RANKS what room.lua and the policy hold back.
if turn.settle then turn.settle() end
if removed > 0 then redis.call('ZREMRANGEBYRANK', RANKS, '0', removed == 1 and '0' or removed - 1) end
if fresh_scores[first_fresh] then redis.call('ZADD', RANKS, unpack(fresh, 2 * first_fresh - 1)) end
queue, queue_metas, queue_scores, at, removed = {}, {}, nil, 1, 0
fresh, fresh_scores, first_fresh = {}, {}, 1
only_fetched = not is_counts
