-- Writes all changes of the batch to Redis, and publishes them as an event.

local limits = sets_limits
if sets_limits and begin_growing() then
  limits = false
  max_keys, max_bytes, policy = limit_of(state[3]) or 0, limit_of(state[4]) or 0, policy_lost and { name = '' } or policy_before
end
local unfinished = order.conversion and 2 or 0
if keys > max_keys or max_bytes > 0 and bytes > max_bytes or order.conversion and too_full then unfinished = unfinished + 1 end
if more_due then unfinished = unfinished + 4 end
local last_number, last_tag = event_number, event_tag
if changed > 0 then event_number, event_tag = number, tag end
if writing then
  order.keys = keys
  -- include settle.lua
  if turn.finish then turn.finish() end
  if lives then
    local set, unset = {}, {}
    for key, expiry in pairs(lives) do
      if expiry then
        set[#set + 1], set[#set + 2] = format('%d', expiry), key
      else
        unset[#unset + 1] = key
      end
    end
    for i = 1, #set, 1000 do expiring = expiring + redis.call('ZADD', EXPIRIES, unpack(set, i, math.min(i + 999, #set))) end
    for i = 1, #unset, 1000 do expiring = expiring - redis.call('ZREM', EXPIRIES, unpack(unset, i, math.min(i + 999, #unset))) end
    -- The last one seems to be gone. But if another program wrote to EXPIRIES, the count may
    -- be too low, and without the field nothing would expire.
    if expiring <= 0 then expiring = redis.call('ZCARD', EXPIRIES) end
  end
end
head = struct.pack('layout.HeadForm', number, event_number, event_tag, epoch, bytes, largest, keys, order.conversion and 1 or 0,
  order.clock, order.window, order.low or -math.huge)
local reply = { head, number_before, unfinished, writing and mended or 0, max_keys, max_bytes, policy.name, table.concat(answers), evicted, unread, '', 0 }
if lives then reply[13], reply[14] = expiring, expired end
if not writing then
  -- An earlier try of this batch may still arrive, when its writes would change
  -- something. The record then makes it repeat this answer. And WAIT waits for the last
  -- write of its connection, and so for all that the answer depends on.
  if knows < 2 then return reply end
  local err = try('HSET', STATE, 'layout', LAYOUT)
  if err then return redis.error_reply(err) end
else
  -- The head comes before the values: if those fail, a missing event shows it.
  if limits then
    redis.call('HSET', STATE, 'head', head, 'max_keys', ARGV[5], 'max_bytes', ARGV[6], 'eviction', policy.name)
  else
    redis.call('HSET', STATE, 'head', head)
  end
  -- include write_back.lua
  -- The count comes last: if anything before it fails, a wrong count makes the next batch
  -- repair.
  if lives and expiring > 0 then
    redis.call('HSET', STATE, 'expiring', struct.pack('layout.ExpiringForm', now, expiring))
  elseif lives then
    redis.call('HDEL', STATE, 'expiring')
  end
end
reply[12] = 1
redis.call('SET', WRITER, struct.pack('>I6', batch_number) .. cmsgpack.pack(reply), 'PX', WRITER_TTL)
if changed > 0 then
  -- One concatenation, since the text may be long.
  local previous = last_number > 0 and format('%x%08x', last_number, last_tag) or ''
  changes[0] = format('{"version":3,"number":%d,"tag":"%08x","previous":"%s","epoch":"%08x","changes":[', number, tag, previous, epoch)
  changes[1] = sub(changes[1], 2)
  changes[changed + 1] = ']}'
  local published = redis.pcall('PUBLISH', ARGV[4], table.concat(changes, '', 0))
  if type(published) == 'table' and published.err then reply[11] = published.err end
end
return reply
