-- Reads what is stored, and changes nothing: it also runs on a replica, and
-- where memory is short. ARGV[1] says what is asked for.

local state = redis.call('HMGET', STATE, 'layout', 'number', 'bytes', 'max_keys', 'max_bytes', 'eviction')
local foreign = check_layout(state[1])
if foreign then return redis.error_reply(foreign) end
local number = tonumber(state[2] or 0)

local asked = {}

-- Returns {write number, keys, bytes, max_keys, max_bytes, eviction}.
function asked.size()
  local keys = redis.call('HLEN', VALUES)
  local bytes = keys > 0 and tonumber(state[3] or 0) or 0
  return { number, keys, bytes, tonumber(state[4] or 0), tonumber(state[5] or 0), state[6] or '' }
end

return asked[ARGV[1]]()
