-- The head is the part of the state that most calls need, in one field; layout.go has
-- its form. head_of returns nil for a lost one: it is absent, or others wrote it.
local function head_of(text)
  if not text or #text ~= layout.HeadSize then return end
  local number, event_number, event_tag, epoch, bytes, largest, keys, flags, clock, window, low = struct.unpack('layout.HeadForm', text)
  return {
    number = number, event_number = event_number, event_tag = event_tag, epoch = epoch, bytes = bytes, largest = largest,
    keys = keys, has_former = flags == 1, clock = clock, window = window, low = low,
  }
end

local function head_text(h, order)
  return struct.pack('layout.HeadForm', h.number, h.event_number, h.event_tag, h.epoch, h.bytes, h.largest, h.keys,
    order.conversion and 1 or 0, order.clock, order.window, order.low or -math.huge)
end

local function order_in(head, policy)
  head = head or {}
  local order = order_of(policy, head.keys or 0, head.clock, head.window, head.low)
  if head.has_former then order.conversion = conversion_of(redis.call('HGET', STATE, 'former')) end
  return order
end
