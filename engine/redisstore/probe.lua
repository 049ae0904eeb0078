-- Tries everything that fetches and batches do, and changes nothing. It reads every key
-- that they read, and runs every command that they run, in a way that has no effect. It
-- declares the same keys; its WRITER does not exist.
-- Returns:
--   why fetches are refused; "" if they are not
--   why batches are refused; "" if they are not
--   commands that the user has no right to, separated by spaces; "" if none

local unset = WRITER

local reads = {
  { 'HMGET', STATE, '' }, { 'HMGET', VALUES, '' }, { 'HMGET', META, '' }, { 'GET', unset },
  { 'HGET', META, '' }, { 'HLEN', VALUES }, { 'HLEN', META }, { 'HEXISTS', VALUES, '' }, { 'HSTRLEN', VALUES, '' },
  { 'HSCAN', unset, 0 }, { 'HRANDFIELD', VALUES, 0 },
  { 'ZMSCORE', RANKS, '' }, { 'ZSCORE', RANKS, '' }, { 'ZCARD', RANKS }, { 'ZRANGE', RANKS, 0, 0 },
  { 'ZCOUNT', RANKS, 0, 0 }, { 'ZSCAN', unset, 0 }, { 'TIME' },
}
local writes = {
  { 'HSET', unset, '', '', '' }, -- refused after the check of rights: a value is missing
  { 'HDEL', unset, '' }, { 'ZREM', unset, '' }, { 'ZPOPMIN', unset }, { 'ZREMRANGEBYRANK', unset, 0, 0 },
  { 'SET', unset, '', 'PX', 0 }, { 'UNLINK', unset }, -- SET is refused then, too: PX is 0
}

-- missing has the error for each command that the user has no right to. names lists
-- these commands.
local missing, names = {}, {}

-- Servers say so of a right that is missing: the first up to Redis 7.0, the second from
-- 7.2 on.
local function is_forbidden(err)
  return string.find(err, 'user executing the script', 1, true) or string.find(err, 'ACL failure in script', 1, true)
end

-- attempt runs a command. It returns the error, unless the user has no right to the
-- command.
local function attempt(command)
  local result = redis.pcall(unpack(command))
  local err = type(result) == 'table' and result.err
  local name = command[1]
  if not err or not is_forbidden(err) then return err end
  if not missing[name] then names[#names + 1] = string.lower(name) end
  missing[name] = err
end

-- Redis looks for memory only before the first write of a script. So this write comes
-- first. It finds no member to change.
local full = attempt({ 'ZADD', RANKS, 'XX', 0, '' })
local broken
for _, command in ipairs(reads) do
  local err = attempt(command)
  broken = broken or err
end
-- Fetches do not look at this key.
local unlisted = attempt({ 'ZCARD', EXPIRIES })
for _, command in ipairs(writes) do attempt(command) end

local read_refusal = missing.HMGET
if not read_refusal then
  local state = not broken and redis.call('HMGET', STATE, 'layout', 'eviction')
  read_refusal = broken
  if not read_refusal then
    local _, refusal = check(state[1], state[2])
    read_refusal = refusal
  end
end
-- A fetch that cannot raise still answers.
read_refusal = read_refusal or missing.ZMSCORE
if not missing.ZADD and not full then read_refusal = read_refusal or missing.HSET end
local write_refusal = read_refusal or names[1] and missing[string.upper(names[1])] or full or unlisted
return { read_refusal or '', write_refusal or '', table.concat(names, ' ') }
