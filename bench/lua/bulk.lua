-- Writes new keys, many in a request. Arguments: the number before the first key, the lines
-- of a request, the value of a line.

local number, count, tail
local lines = {}

function init(args)
  number, count = tonumber(args[1]), tonumber(args[2])
  tail = '","value":"' .. args[3] .. '"}\n'
end

function request()
  for i = 1, count do
    lines[i] = string.format('{"key":"key-%016d', number + i) .. tail
  end
  number = number + count
  local body = table.concat(lines)
  return 'POST /cache HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-ndjson\r\nContent-Length: ' ..
    #body .. '\r\n\r\n' .. body
end
