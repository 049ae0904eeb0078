-- Runs the writes one after another, in straight code: functions cost Redis more.

local answers, evicted, unread = {}, {}, 0
-- changes has the JSON of all changes, with a comma before each. Redis joins a list of
-- strings faster than it encodes tables.
local changes, changed = {}, 0
local encode, sub, format = cjson.encode, string.sub, string.format
local no_limit = max_bytes == 0
local first_value, first_attrs = FIRST_KEY + count - 1, FIRST_KEY + 2 * count - 1
local first_match = FIRST_KEY + 3 * count - 1 -- if there are conditions or scores
local has_more = #ARGV > first_match

-- If a limit is exceeded or keys disagree, an extra step evicts or mends first. It
-- evicts at most store.TrimStep entries, since a lowered limit may need many more.
-- Until that is done, a write frees as much as it adds.
local too_many = keys > max_keys or not no_limit and bytes > max_bytes
local number_before = number
for i = (too_many or torn) and 0 or 1, count do
  local op, key, value, attrs = sub(ops, i, i), ARGV[FIRST_KEY + i - 1], ARGV[first_value + i], ARGV[first_attrs + i]
  local answer, err
  local size, growth, taken_out
  local most_keys, most_bytes, most_evictions -- evict down to these before the write
  local tail -- the end of its changes
  local meta = nil
  if i == 0 then
    if too_many and not begin_shrinking() then
      number = number + 1
      tail = format(',%d]', number)
      most_keys, most_bytes, most_evictions = max_keys, no_limit and math.huge or max_bytes, store.TrimStep
      ahead = store.TrimStep
    end
  else
    local new_value = values[key]
    if new_value then
      meta = metas[key]
    elseif new_value == nil then
      meta = stored_metas[i]
      if torn then
        meta = redis.call('HGET', META, key)
        if not meta and redis.call('HEXISTS', VALUES, key) == 1 then meta = '' end -- a value without meta
      end
    end
    size = #key + #value
    if meta and op ~= 'p' and op ~= 'd' then
      local same = has_attrs(meta, attrs) and (values[key] or redis.call('HGET', VALUES, key)) == value
      answer = (same and 'K' or 'k') .. version_in(meta)
    elseif op == 'd' and not meta then
      answer = 'a'
    elseif op ~= 'd' and not no_limit and size > max_bytes then
      answer = 'l'
    elseif has_more and not allowed(meta, ARGV[first_match + i], ARGV[first_match + count + i]) then
      answer = 'f' .. version_in(meta)
    elseif op == 'd' then
      settle()
      err = begin_shrinking()
    else
      if not tried_to_grow then begin_growing() end
      err = too_full
    end
    if err then answer = 'r' .. err .. '\0' end
    if not answer then
      number = number + 1
      tail = format(',%d]', number)
      if meta then
        growth = (op == 'd' and 0 or size) - #key - (values[key] and #values[key] or size_in(meta) or redis.call('HSTRLEN', VALUES, key))
        if op == 'd' then
          answer = 'd'
          redis.call('ZREM', RANKS, member_of(meta, key) or key)
        elseif growth > 0 and not no_limit and bytes + growth > max_bytes then
          -- The entry is out of the order meanwhile. So it is not evicted to make room
          -- for itself.
          settle()
          local m = member_of(meta, key)
          taken_out = m and redis.call('ZSCORE', RANKS, m)
          if taken_out then redis.call('ZREM', RANKS, m) end
          most_keys, most_bytes, most_evictions = math.huge, math.max(max_bytes, bytes) - growth, MAX_EVICTIONS
        end
      else
        most_keys = (keys > max_keys and keys or max_keys) - 1
        most_bytes = no_limit and math.huge or math.max(max_bytes, bytes) - size
        most_evictions = MAX_EVICTIONS
      end
    end
  end

  -- Evict.
  while most_keys and (keys > most_keys or bytes > most_bytes) do
    if #evicted >= most_evictions then
      answer = 's' -- the evictions stay, so a later try needs fewer
      break
    end
    local victim, score, stored_meta
    if torn then
      victim = victim_torn(key)
    elseif turn.victim then
      victim, score, stored_meta = turn.victim()
    else
      local newest = fresh_scores[first_fresh]
      if not queue[at] and not (only_fetched and newest == order.clock and is_counts) then read_on() end
      victim = queue[at]
      score = victim and (queue_scores and queue_scores[at] or order.clock)
      -- Among equal scores, a new entry is the youngest.
      if newest and not (victim and score <= newest) then
        victim, score = sub(fresh[2 * first_fresh], layout.KeyAt), newest
        first_fresh = first_fresh + 1
      elseif victim then
        stored_meta = queue_metas[at]
        at, removed = at + 1, removed + 1
      end
    end
    if not victim then break end
    if score and (is_counts and score < order.clock + 1 or not is_counts and unread_score(order, score)) then unread = unread + 1 end
    local stored = values[victim]
    if not stored and stored_meta == nil then stored_meta = redis.call('HGET', META, victim) end
    bytes = bytes - #victim - (stored and #stored or size_in(stored_meta) or redis.call('HSTRLEN', VALUES, victim))
    if bytes < 0 then bytes = 0 end
    keys = keys - 1
    values[victim] = false
    evicted[#evicted + 1], gone[#gone + 1] = victim, victim
    changes[changed + 1], changes[changed + 2], changes[changed + 3] = ',["evicted",', encode(victim), tail
    changed = changed + 3
  end

  if taken_out then enter(key, member_of(meta, key), tonumber(taken_out)) end
  if i == 0 then
    if torn and not begin_growing() then mend() end
    number_before = number
  else
    local what
    if answer == 'd' then
      what, keys = ',["deleted",', keys - 1
      bytes = math.max(bytes + growth, 0)
      values[key] = false
      gone[#gone + 1] = key
      if turn.forget then turn.forget(key) end
    elseif not answer then
      local text = struct.pack('>I6', number)
      local insertion, rest = text, ''
      if #attrs > layout.SizeEnd then
        attrs, rest = sub(attrs, 1, layout.SizeEnd), sub(attrs, layout.SizeEnd + 1)
      end
      if meta then
        answer, what = 'p', ',["replaced",'
        bytes = math.max(bytes + growth, 0)
        local m = member_of(meta, key)
        if m then
          insertion = sub(m, 1, layout.InsertionSize)
          attrs, rest = string.char(string.byte(attrs) + layout.ReplacedMark - layout.Mark) .. sub(attrs, 2), text .. rest
        else
          enter(key, insertion .. key)
        end
      else
        answer, what = 'c', ',["created",'
        keys, bytes = keys + 1, bytes + size
        enter(key, insertion .. key, op == 'r' and above(order, order.clock + tonumber(ARGV[first_match + 2 * count + i])) or nil)
      end
      values[key], metas[key] = value, attrs .. insertion .. TAG .. rest
      if #value > largest then largest = #value end
    end
    if what then
      changes[changed + 1], changes[changed + 2], changes[changed + 3] = what, encode(key), tail
      changed = changed + 3
    end
    answers[i] = answer
  end
end
