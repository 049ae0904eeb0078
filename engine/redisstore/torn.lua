-- Where the three structures disagree, the order may name what is gone, or miss what is
-- there. This step mends some of it, and what comes in between is written at once. The
-- state then has an event that nobody hears of, so that a batch which fails half-way
-- shows as a gap between events.
local marked = false
local function write_now()
  if not marked and head and writing then
    marked = true
    redis.call('HSET', STATE, 'head', string.sub(head, 1, layout.EventAt - 1) .. struct.pack('>I6', number) .. TAG .. string.sub(head, layout.EpochAt))
  end
  write_back()
  settle()
end
local function leaves_torn(spared)
  write_now()
  for _ = 1, store.TrimStep do
    local m = redis.call('ZPOPMIN', RANKS)[1]
    if not m then break end
    local key = string.sub(m, layout.KeyAt)
    if key ~= spared and redis.call('HEXISTS', VALUES, key) == 1 then return key end
  end
  local any = redis.call('HRANDFIELD', VALUES, 2)
  return any[1] ~= spared and any[1] or any[2]
end
local function mend()
  write_now()
  mended = mended + repair(function(key, m)
    local size = redis.call('HSTRLEN', VALUES, key)
    largest = math.max(largest, size)
    if not m then
      number = number + 1
      local insertion = struct.pack('>I6', number)
      redis.call('HSET', META, key, struct.pack('>BI3', layout.Foreign, math.min(size, layout.MostSize)) .. insertion .. TAG)
      m = insertion .. key
    end
    enter(key, m)
  end)
end
