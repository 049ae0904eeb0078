-- Runs the writes one after another, in straight code: functions cost Redis more.

local answers, evicted, unread = {}, {}, 0
-- changes has the JSON of all changes, with a comma before each. Redis joins a list of
-- strings faster than it encodes tables.
local changes, changed = {}, 0
local encode = cjson.encode
local no_limit = max_bytes == 0
local first_value, first_attrs = FIRST_KEY + count - 1, FIRST_KEY + 2 * count - 1
local first_match = FIRST_KEY + 3 * count - 1 -- if there are conditions or scores
local has_more = #ARGV > first_match

local expired = {}
local may_expire = MAX_EVICTIONS -- of all its writes together, beside the first step
local now, expire_step
if expires then
  -- include expiry.lua
  now = time_after(latest)
  -- include expire.lua
end
local number_before = number

-- If a limit is exceeded or keys disagree, an extra step evicts or mends first. It
-- evicts at most store.TrimStep entries, since a lowered limit may need many more.
-- Until that is done, a write frees as much as it adds.
local too_many = keys > max_keys or not no_limit and bytes > max_bytes
local version_in, allowed, has_attrs -- see conditions.lua
for i = (too_many or torn) and 0 or 1, count do
  local op, key, value, attrs = sub(ops, i, i), ARGV[FIRST_KEY + i - 1], ARGV[first_value + i], ARGV[first_attrs + i]
  local answer, err
  local size, growth, taken_out
  local most_keys, most_bytes, most_evictions -- evict down to these before the write
  local tail -- the end of its changes
  local expiry -- the time at which the entry expires
  local entering, restored -- see enter.lua
  local meta, new_value = nil, nil
  if i == 0 then
    if too_many and not more_due and not begin_shrinking() then
      number = number + 1
      tail = format(',%d]', number)
      most_keys, most_bytes, most_evictions = max_keys, no_limit and math.huge or max_bytes, store.TrimStep
      ahead = store.TrimStep
    end
  else
    local place = places[key]
    if place then
      new_value, meta = new_values[place + 1], new_metas[place + 1]
    elseif place == nil then
      meta = stored_metas[i]
      if torn then
        meta = redis.call('HGET', META, key)
        if not meta and redis.call('HEXISTS', VALUES, key) == 1 then meta = '' end -- a value without meta
      end
    end
    size = #key + #value
    if brings_expiry and #attrs > layout.SizeEnd and string.byte(attrs) % layout.ReplacedBit >= layout.ExpiresBit then
      -- A restored entry brings the time at which it expires, and others how long they live.
      expiry = struct.unpack('>I6', attrs, layout.SizeEnd + 1) + (op == 'r' and 0 or now)
      attrs = string.char(string.byte(attrs) - layout.ExpiresBit) .. sub(attrs, 2, layout.SizeEnd) .. sub(attrs, layout.SizeEnd + layout.ExpirySize + 1)
    end
    local conflicts = meta and op ~= 'p' and op ~= 'd'
    local is_too_large = op ~= 'd' and not no_limit and size > max_bytes
    if op == 'd' and not meta then
      answer = 'a'
    elseif conflicts or has_more and not is_too_large then
      if not version_in then
        -- include conditions.lua
      end
      if conflicts then
        local same = has_attrs(meta, attrs) and (new_value or redis.call('HGET', VALUES, key)) == value
        answer = (same and 'K' or 'k') .. version_in(meta)
      elseif not allowed(meta, ARGV[first_match + i], ARGV[first_match + count + i]) then
        answer = 'f' .. version_in(meta)
      end
    elseif is_too_large then
      answer = 'l'
    end
    if not answer and expiry and expiry <= now then answer = 'x' end
    if not answer then
      if op == 'd' then
        -- include settle.lua
        err = begin_shrinking()
      else
        if not tried_to_grow then begin_growing() end
        err = too_full
      end
      if err then answer = 'r' .. err .. '\0' end
    end
    if not answer then
      number = number + 1
      tail = format(',%d]', number)
      if meta then
        growth = (op == 'd' and 0 or size) - #key - (new_value and #new_value or size_in(meta) or redis.call('HSTRLEN', VALUES, key))
        if op == 'd' then
          answer = 'd'
          redis.call('ZREM', RANKS, member_of(meta, key) or key)
        elseif growth > 0 and not no_limit and bytes + growth > max_bytes then
          -- The entry is out of the order meanwhile. So it is not evicted to make room
          -- for itself.
          -- include settle.lua
          local m = member_of(meta, key)
          taken_out = m and redis.call('ZSCORE', RANKS, m)
          if taken_out then
            redis.call('ZREM', RANKS, m)
            entering, restored = m, tonumber(taken_out)
          end
          most_keys, most_bytes, most_evictions = math.huge, math.max(max_bytes, bytes) - growth, MAX_EVICTIONS
        end
      else
        most_keys = (keys > max_keys and keys or max_keys) - 1
        most_bytes = no_limit and math.huge or math.max(max_bytes, bytes) - size
        most_evictions = MAX_EVICTIONS
      end
    end
  end

  -- Evict. No live entry is evicted while there are expired ones.
  if more_due and most_keys then
    while more_due and may_expire > 0 and (keys > most_keys or bytes > most_bytes) do
      expire_step(store.TrimStep, tail)
      may_expire = may_expire - store.TrimStep
    end
    if more_due and (keys > most_keys or bytes > most_bytes) then
      answer, most_keys = 's', nil
    end
  end
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
      if not queue[at] and not (only_fetched and newest == order.clock and is_counts) then
        -- Read on.
        queue, queue_scores, at = {}, nil, 1
        if not only_fetched then
          queue = redis.call('ZRANGE', RANKS, '-inf', format(order.clock % 1 == 0 and '%d' or '%.17g', order.clock), 'BYSCORE', 'LIMIT',
            removed == 0 and '0' or removed, ahead == 1 and '1' or ahead)
          if #queue < ahead then
            only_fetched, ahead = true, 1
          end
        end
        if not queue[1] then
          local found = redis.call('ZRANGE', RANKS, removed == 0 and '0' or removed, removed + ahead - 1, 'WITHSCORES')
          queue_scores = {}
          for i = 1, #found, 2 do
            queue[(i + 1) / 2], queue_scores[(i + 1) / 2] = found[i], tonumber(found[i + 1])
          end
          ahead = math.min(2 * ahead, store.TrimStep)
        end
        for i = 1, #queue do queue[i] = sub(queue[i], layout.KeyAt) end
        queue_metas = queue[1] and redis.call('HMGET', META, unpack(queue)) or {}
      end
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
    if score then
      local is_unread
      if is_counts then
        is_unread = score < order.clock + 1
      elseif order.conversion then
        is_unread = order.conversion.is_unread(order, score)
      else
        is_unread = score % 1 ~= 0
      end
      if is_unread then unread = unread + 1 end
    end
    local place = places[victim]
    local stored = place and new_values[place + 1]
    if not stored and stored_meta == nil then stored_meta = redis.call('HGET', META, victim) end
    bytes = bytes - #victim - (stored and #stored or size_in(stored_meta) or redis.call('HSTRLEN', VALUES, victim))
    if bytes < 0 then bytes = 0 end
    keys = keys - 1
    if place then
      -- include unplace.lua
    end
    places[victim] = false
    if lives then lives[victim] = false end
    evicted[#evicted + 1], gone[#gone + 1] = victim, victim
    changes[changed + 1], changes[changed + 2], changes[changed + 3] = ',["evicted",', encode(victim), tail
    changed = changed + 3
  end

  if i == 0 then
    if torn and not begin_growing() then mend() end
    number_before = number
  else
    local what
    if answer == 'd' then
      what, keys = ',["deleted",', keys - 1
      bytes = math.max(bytes + growth, 0)
      local place = places[key]
      if place then
        -- include unplace.lua
      end
      places[key] = false
      if lives then lives[key] = false end
      gone[#gone + 1] = key
      if turn.forget then turn.forget(key) end
    elseif not answer then
      local text = struct.pack('>I6', number)
      local insertion, rest = text, ''
      if #attrs > layout.SizeEnd then
        attrs, rest = sub(attrs, 1, layout.SizeEnd), sub(attrs, layout.SizeEnd + 1)
      end
      if expiry then
        attrs, rest = string.char(string.byte(attrs) + layout.ExpiresBit) .. sub(attrs, 2), struct.pack('>I6', expiry) .. rest
      end
      if lives then lives[key] = expiry or false end
      if meta then
        answer, what = 'p', ',["replaced",'
        bytes = math.max(bytes + growth, 0)
        local m = member_of(meta, key)
        if m then
          insertion = sub(m, 1, layout.InsertionSize)
          attrs, rest = string.char(string.byte(attrs) + layout.ReplacedMark - layout.Mark) .. sub(attrs, 2), text .. rest
        else
          entering = insertion .. key
        end
      else
        answer, what = 'c', ',["created",'
        keys, bytes = keys + 1, bytes + size
        entering = insertion .. key
        if op == 'r' then
          restored = order.clock + tonumber(ARGV[first_match + 2 * count + i])
          if order.conversion then restored = order.conversion.above(restored) end
        end
      end
      local place = places[key]
      if not place then
        place = written + 1
        written = written + 2
        places[key], new_values[place], new_metas[place] = place, key, key
      end
      new_values[place + 1], new_metas[place + 1] = value, attrs .. insertion .. TAG .. rest
      if #value > largest then largest = #value end
    end
    if what then
      changes[changed + 1], changes[changed + 2], changes[changed + 3] = what, encode(key), tail
      changed = changed + 3
    end
    answers[i] = answer
  end
  if entering then
    -- include enter.lua
  end
end
