-- expiry_in returns the time at which an entry expires, in milliseconds since 1970, by its
-- meta; nil if it does not.
local function expiry_in(meta)
  local form = meta and string.byte(meta)
  if not form or form < layout.Mark or form % layout.ReplacedBit < layout.ExpiresBit then return end
  local at = form < layout.ReplacedMark and layout.MetaSize or layout.ReplacedSize
  if #meta < at + layout.ExpirySize then return end
  return (struct.unpack('>I6', meta, at + 1))
end

-- latest_in returns the latest time in the state; 0 if it has none.
local function latest_in(expiring)
  return expiring and #expiring == layout.ExpiringSize and struct.unpack('layout.ExpiringForm', expiring) or 0
end

-- time_after returns the time of the store: that of the server, unless a server was ahead
-- of it. latest is the latest time in the state.
local function time_after(latest)
  local time = redis.call('TIME')
  return math.max(time[1] * 1000 + math.floor(time[2] / 1000), latest)
end
