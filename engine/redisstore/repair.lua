-- VALUES, META and RANKS have the same keys, unless another program wrote to them or
-- Redis evicted one of them. Then the order may name absent keys, or lack present ones.
-- This batch mends a step of that, and writes its own changes at once in between. First
-- it puts an event into the state that nobody receives. If the batch fails half-way,
-- nodes see a gap between events.
local victim_torn, mend
if torn then
  -- unlist takes a key without a value out of EXPIRIES. The count has it too, so nothing
  -- would show it any more, once META and RANKS agree with VALUES.
  local function unlist(key)
    if not expires then return end
    lives[key] = nil
    expiring = expiring - redis.call('ZREM', EXPIRIES, key)
  end

  -- repair goes through VALUES, META and RANKS, a bounded step at a time. A value
  -- without meta or rank gets them. Meta and ranks without a value are deleted.
  --
  -- adopt(key, member) gives a value a place in the order. Without member, it gives the
  -- value new meta, too. repair returns how many disagreements it mended.
  -- include expiry.lua
  local function repair(adopt)
    local REPAIR_STEP = 200
    local function has_value(key) return redis.call('HEXISTS', VALUES, key) == 1 end

    local parts = {
      { field = 'repair_values', scan = 'HSCAN', from = VALUES, mend = function(key)
        local meta = redis.call('HGET', META, key)
        local m = member_of(meta, key)
        local mended = 0
        if not (m and redis.call('ZSCORE', RANKS, m)) then
          adopt(key, m)
          mended = 1
        end
        local expiry = expires and expiry_in(meta)
        if expiry and tonumber(redis.call('ZSCORE', EXPIRIES, key) or nil) ~= expiry then
          redis.call('ZADD', EXPIRIES, string.format('%d', expiry), key)
          mended = mended + 1
        end
        return mended
      end },
      { field = 'repair_meta', scan = 'HSCAN', from = META, mend = function(key)
        if has_value(key) then return 0 end
        redis.call('HDEL', META, key)
        unlist(key)
        return 1
      end },
      { field = 'repair_ranks', scan = 'ZSCAN', from = RANKS, mend = function(m)
        local key = string.sub(m, layout.KeyAt)
        local present = has_value(key)
        if present and member_of(redis.call('HGET', META, key), key) == m then return 0 end
        redis.call('ZREM', RANKS, m)
        if not present then unlist(key) end
        return 1
      end },
    }
    if expires then
      parts[4] = { field = 'repair_expiries', scan = 'ZSCAN', from = EXPIRIES, mend = function(key)
        local meta = redis.call('HGET', META, key)
        if expiry_in(meta) or not member_of(meta, key) and has_value(key) then return 0 end
        redis.call('ZREM', EXPIRIES, key)
        return 1
      end }
    end

    local mended, passed = 0, false
    for _, part in ipairs(parts) do
      local cursor = redis.call('HGET', STATE, part.field) or '0'
      local page = redis.pcall(part.scan, part.from, cursor, 'COUNT', REPAIR_STEP)
      if page.err then page = redis.call(part.scan, part.from, 0, 'COUNT', REPAIR_STEP) end -- the cursor was spoiled
      redis.call('HSET', STATE, part.field, page[1])
      for i = 1, #page[2], 2 do
        mended = mended + part.mend(page[2][i])
      end
      if part.from == VALUES and page[1] == '0' then passed = true end
    end
    -- What two passes over all values have left is right. The first one may have begun in
    -- the middle.
    if expires and passed then
      local again = redis.call('HGET', STATE, 'repair_again') == '1'
      local right = redis.call('ZCARD', EXPIRIES)
      if again then expiring = right end
      redis.call('HSET', STATE, 'repair_again', (again or right == expiring) and '0' or '1')
    end
    return mended
  end

  local marked = false
  local function write_now()
    if not marked and head and writing then
      marked = true
      redis.call('HSET', STATE, 'head', string.sub(head, 1, layout.EventAt - 1) .. struct.pack('>I6', number) .. TAG .. string.sub(head, layout.EpochAt))
    end
    -- include write_back.lua
    -- include settle.lua
  end
  victim_torn = function(spared)
    write_now()
    for _ = 1, store.TrimStep do
      local m = redis.call('ZPOPMIN', RANKS)[1]
      if not m then break end
      local key = string.sub(m, layout.KeyAt)
      if key ~= spared then
        if redis.call('HEXISTS', VALUES, key) == 1 then return key end
        unlist(key)
      end
    end
    local any = redis.call('HRANDFIELD', VALUES, 2)
    return any[1] ~= spared and any[1] or any[2]
  end
  mend = function()
    write_now()
    mended = mended + repair(function(key, m)
      local size = redis.call('HSTRLEN', VALUES, key)
      largest = math.max(largest, size)
      if not m then
        number = number + 1
        local insertion = struct.pack('>I6', number)
        local form, rest = layout.ForeignMark, ''
        local expiry = expires and tonumber(redis.call('ZSCORE', EXPIRIES, key) or nil)
        if expiry and expiry >= 0 and expiry < 2 ^ (8 * layout.ExpirySize) then
          form, rest = form + layout.ExpiresBit, struct.pack('>I6', expiry)
        end
        redis.call('HSET', META, key, struct.pack('>BI3', form, math.min(size, layout.MostSize)) .. insertion .. TAG .. rest)
        m = insertion .. key
      end
      local entering, restored = m, nil
      -- include enter.lua
    end)
  end
end
