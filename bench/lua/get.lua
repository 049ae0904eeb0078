-- GETs count keys, beginning with the number first. The stride visits each key once a turn.
-- Keys that follow each other in time differ in age.
-- Arguments: first, count, the path before the key and after it.

local ready = {} -- requests that this run has formatted
local first, count, before, after, stride, at

local function coprime(a, b)
  while b > 0 do a, b = b, a % b end
  return a == 1
end

function init(args)
  first, count, before, after = tonumber(args[1]), tonumber(args[2]), args[3], args[4]
  stride = math.floor(count * 0.618)
  while not coprime(stride, count) do stride = stride + 1 end
  math.randomseed(os.time())
  at = math.random(0, count - 1) -- rounds of different seconds begin elsewhere
end

function request()
  at = (at + stride) % count
  local r = ready[at]
  if not r then
    r = string.format('GET %skey-%016d%s HTTP/1.1\r\nHost: bench\r\n\r\n', before, first + at, after)
    ready[at] = r
  end
  return r
end
