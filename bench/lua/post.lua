-- POSTs new keys. Arguments: the number before the first key, body.

local number, tail

function init(args)
  number = tonumber(args[1])
  tail = ' HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: ' ..
    #args[2] .. '\r\n\r\n' .. args[2]
end

function request()
  number = number + 1
  return 'POST /cache/key-' .. string.format('%016d', number) .. tail
end
