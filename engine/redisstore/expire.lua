-- Removes a step of the entries that have expired, and those that the writes name.
-- For commit.lua:
--   lives has the key of each entry that gets another expiry than it had, with this time;
--     false if it has none any more.
--   expired lists the keys of expired entries that were removed.
-- If more_due is true, there may be more, and expire_step removes the next.
-- remove takes keys whose time may be over. They are out of EXPIRIES by now.
local function remove(keys_due, tail)
  -- include settle.lua
  local metas = redis.call('HMGET', META, unpack(keys_due))
  local members, dead = {}, {}
  for i, key in ipairs(keys_due) do
    local meta = metas[i]
    local has_value = not torn or redis.call('HEXISTS', VALUES, key) == 1
    local expiry = places[key] == nil and expiry_in(meta)
    if torn and has_value and places[key] == nil and not member_of(meta, key) then expiry = now end -- its meta was lost
    if expiry and expiry <= now then
      members[#members + 1], dead[#dead + 1] = member_of(meta, key) or key, key
      bytes = math.max(bytes - #key - (size_in(meta) or redis.call('HSTRLEN', VALUES, key)), 0)
      if has_value then keys = keys - 1 end
      places[key] = false
      gone[#gone + 1], expired[#expired + 1] = key, key
      changes[changed + 1], changes[changed + 2], changes[changed + 3] = ',["expired",', cjson.encode(key), tail
      changed = changed + 3
    elseif expiry then
      lives[key] = expiry -- EXPIRIES was wrong
    elseif places[key] == nil then
      expiring = expiring + 1 -- another program listed the key, so it was not counted
    end
  end
  if #dead == 0 then return end
  if turn.forget then
    local scores = redis.call('ZMSCORE', RANKS, unpack(members))
    for i, key in ipairs(dead) do turn.forget(key, tonumber(scores[i] or 0)) end
  end
  redis.call('ZREM', RANKS, unpack(members))
end

expire_step = function(n, tail)
  local found = redis.call('ZRANGE', EXPIRIES, '-inf', format('%d', now), 'BYSCORE', 'LIMIT', 0, n)
  more_due = #found == n
  if not found[1] then return end
  expiring = expiring - redis.call('ZREM', EXPIRIES, unpack(found))
  remove(found, tail)
end

local named = {}
for i = 1, count do
  local expiry = expiry_in(stored_metas[i])
  if expiry and expiry <= now then
    named[#named + 1] = ARGV[FIRST_KEY + i - 1]
    stored_metas[i] = false -- absent, even if the server refuses to remove it
  end
end
local first = redis.call('ZRANGE', EXPIRIES, 0, 0, 'WITHSCORES')[2]
-- A batch without writes also keeps the time, now and then, so that a clock that is set back
-- matters little.
local keeps_time = count == 0 and first and now - latest >= 10000
if (named[1] or keeps_time or first and tonumber(first) <= now) and not begin_shrinking() then
  local tail = format(',%d]', number + 1)
  expire_step(math.max(order.coming, store.TrimStep), tail)
  if named[1] then
    expiring = expiring - redis.call('ZREM', EXPIRIES, unpack(named))
    remove(named, tail)
  end
  if expired[1] then number = number + 1 end
else
  for _, key in ipairs(named) do places[key] = false end
end
