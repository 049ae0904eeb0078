-- Writes new keys. Arguments: the number before the first key, the method with the path
-- before the key, content type, body.

local number, head, tail

function init(args)
  number = tonumber(args[1])
  head = args[2] .. 'key-'
  tail = ' HTTP/1.1\r\nHost: bench\r\nContent-Type: ' .. args[3] .. '\r\nContent-Length: ' ..
    #args[4] .. '\r\n\r\n' .. args[4]
end

function request()
  number = number + 1
  return head .. string.format('%016d', number) .. tail
end
