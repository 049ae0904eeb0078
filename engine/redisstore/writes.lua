-- The writes, one after another: as straight code, since a function costs Redis more.

local answers, evicted, unread = {}, {}, 0
-- Changes are JSON, with a comma before each. Redis writes a list of strings faster than
-- tables.
local changes, changed = {}, 0
local encode = cjson.encode
local no_limit = max_bytes == 0

-- Where there is something to work off or to mend, a step for that comes first. A lowered
-- limit is worked off by store.TrimStep entries a batch. Until that is done, a write
-- frees as much as it adds.
local too_many = keys > max_keys or not no_limit and bytes > max_bytes
local first_step = (too_many or torn) and FIRST_WRITE - STRIDE or FIRST_WRITE
local number_before = number
for i = first_step, #ARGV, STRIDE do
  local op, key, value, attrs = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local answer, err
  local size, growth, taken_out
  local most_keys, most_bytes, most_evictions -- what may be there before the write; evict until then
  local tail -- with which its changes end
  local meta = nil
  if i < FIRST_WRITE then
    if too_many and not begin_shrinking() then
      number = number + 1
      tail = string.format(',%d]', number)
      most_keys, most_bytes, most_evictions = max_keys, no_limit and math.huge or max_bytes, store.TrimStep
      ahead = store.TrimStep
    end
  else
    meta = metas[key]
    if meta == nil then
      meta = redis.call('HGET', META, key)
      metas[key] = meta
    end
    if not meta and torn and values[key] == nil and redis.call('HEXISTS', VALUES, key) == 1 then
      meta = '' -- a value that nobody gave meta yet
    end
    size = #key + #value
    if meta and op ~= 'p' and op ~= 'd' then
      local same = has_attrs(meta, attrs) and (values[key] or redis.call('HGET', VALUES, key)) == value
      answer = (same and 'K' or 'k') .. version_in(meta)
    elseif op == 'd' and not meta then
      answer = 'a'
    elseif op ~= 'd' and not no_limit and size > max_bytes then
      answer = 'l'
    elseif (ARGV[i + 4] ~= '' or ARGV[i + 5] ~= '') and not allowed(meta, ARGV[i + 4], ARGV[i + 5]) then
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
      tail = string.format(',%d]', number)
      if meta then
        growth = (op == 'd' and 0 or size) - #key - (values[key] and #values[key] or size_in(meta) or redis.call('HSTRLEN', VALUES, key))
        if op == 'd' then
          answer = 'd'
          redis.call('ZREM', RANKS, member_of(meta, key) or key)
        elseif growth > 0 and not no_limit and bytes + growth > max_bytes then
          -- Out of the order meanwhile, so that it is not evicted to make its own room.
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
      answer = 's' -- what was evicted is gone, and a later try finds the rest of the way shorter
      break
    end
    local victim, score
    if torn then
      victim = leaves_torn(key)
    elseif turn.leaves then
      victim, score = turn.leaves()
    else
      local newest = fresh_scores[first_fresh]
      if not queue[at] and not (only_fetched and newest == order.clock and is_counts) then read_on() end
      local m = queue[at]
      score = m and (queue_scores and queue_scores[at] or order.clock)
      -- Among equal scores, a new one is the youngest.
      if newest and not (m and score <= newest) then
        m, score = fresh[2 * first_fresh], newest
        first_fresh = first_fresh + 1
      elseif m then
        at, removed = at + 1, removed + 1
      end
      victim = m and string.sub(m, layout.KeyAt)
    end
    if not victim then break end
    if score and unread_score(order, score) then unread = unread + 1 end
    local stored = values[victim]
    if not stored and metas[victim] == nil then metas[victim] = redis.call('HGET', META, victim) end
    bytes = bytes - #victim - (stored and #stored or size_in(metas[victim]) or redis.call('HSTRLEN', VALUES, victim))
    if bytes < 0 then bytes = 0 end
    keys = keys - 1
    metas[victim], values[victim] = false, false
    evicted[#evicted + 1] = victim
    changes[changed + 1], changes[changed + 2], changes[changed + 3] = ',["evicted",', encode(victim), tail
    changed = changed + 3
  end

  if taken_out then enter(key, member_of(meta, key), tonumber(taken_out)) end
  if i < FIRST_WRITE then
    if torn and not begin_growing() then mend() end
    number_before = number
  else
    local what
    if answer == 'd' then
      what, keys = ',["deleted",', keys - 1
      bytes = math.max(bytes + growth, 0)
      metas[key], values[key] = false, false
      if turn.forget then turn.forget(key) end
    elseif not answer then
      local text = struct.pack('>I6', number)
      local insertion, rest = text, ''
      if #attrs > layout.SizeEnd then
        attrs, rest = string.sub(attrs, 1, layout.SizeEnd), string.sub(attrs, layout.SizeEnd + 1)
      end
      if meta then
        answer, what = 'p', ',["replaced",'
        bytes = math.max(bytes + growth, 0)
        local m = member_of(meta, key)
        if m then
          insertion = string.sub(m, 1, layout.InsertionSize)
          attrs, rest = string.char(string.byte(attrs) + layout.Replaced - layout.Mark) .. string.sub(attrs, 2), text .. rest
        else
          enter(key, insertion .. key)
        end
      else
        answer, what = 'c', ',["created",'
        keys, bytes = keys + 1, bytes + size
        enter(key, insertion .. key, op ~= 'c' and op ~= 'p' and above(order, order.clock + tonumber(string.sub(op, 2))) or nil)
      end
      values[key], metas[key] = value, attrs .. insertion .. TAG .. rest
      if #value > largest then largest = #value end
    end
    if what then
      changes[changed + 1], changes[changed + 2], changes[changed + 3] = what, encode(key), tail
      changed = changed + 3
    end
    answers[#answers + 1] = answer
  end
end
