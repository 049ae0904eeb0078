-- Tries what fetches and batches do, and changes nothing: it reads every key that
-- they read, and runs every command that they run, in a way that leaves no trace.
-- It declares the keys that they declare; WRITER is one that is not there.
-- Returns {why fetches are refused, why batches are, commands that the user has no
--   right to, apart by spaces}; "" for what is not.

local unset = WRITER

local reads = {
  { 'HMGET', STATE, '' }, { 'HMGET', VALUES, '' }, { 'HMGET', META, '' }, { 'GET', unset },
  { 'HGET', META, '' }, { 'HLEN', VALUES }, { 'HLEN', META }, { 'HEXISTS', VALUES, '' }, { 'HSTRLEN', VALUES, '' },
  { 'HSCAN', unset, 0 }, { 'HRANDFIELD', VALUES, 0 },
  { 'ZMSCORE', RANKS, '' }, { 'ZSCORE', RANKS, '' }, { 'ZCARD', RANKS }, { 'ZRANGE', RANKS, 0, 0 },
  { 'ZCOUNT', RANKS, 0, 0 }, { 'ZSCAN', unset, 0 }, { 'TIME' },
}
local writes = {
  { 'HSET', unset, '', '', '' }, -- a field without a value, which is refused in the end
  { 'HDEL', unset, '' }, { 'ZREM', unset, '' }, { 'ZPOPMIN', unset }, { 'ZREMRANGEBYRANK', unset, 0, 0 },
  { 'SET', unset, '', 'PX', 0 }, { 'UNLINK', unset }, -- no life at all is refused in the end, too
}

-- For each command that the user has no right to: the words that said so.
local missing, names = {}, {}

-- Returns the error of a command, unless it is that the user has no right to it.
local function attempt(command)
  local result = redis.pcall(unpack(command))
  local err = type(result) == 'table' and result.err
  local name = command[1]
  if not err or not string.find(err, 'user executing the script', 1, true) and not string.find(err, 'NOPERM', 1, true) then
    return err
  end
  if not missing[name] then names[#names + 1] = string.lower(name) end
  missing[name] = err
end

-- Whether Redis takes writes: it looks for memory only before the first write of a
-- script. This one finds no member to change.
local full = attempt({ 'ZADD', RANKS, 'XX', 0, '' })
local broken
for _, command in ipairs(reads) do
  local err = attempt(command)
  broken = broken or err
end
for _, command in ipairs(writes) do attempt(command) end

local unread = missing.HMGET
if not unread then
  local state = not broken and redis.call('HMGET', STATE, 'layout', 'eviction')
  unread = broken
  if not unread then
    local _, refusal = check(state[1], state[2])
    unread = refusal
  end
end
-- A fetch that cannot raise answers all the same.
unread = unread or missing.ZMSCORE
if not missing.ZADD and not full then unread = unread or missing.HSET end
local unwritten = unread or names[1] and missing[string.upper(names[1])] or full
return { unread or '', unwritten or '', table.concat(names, ' ') }
